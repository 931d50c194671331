# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md is held equal to the messages and drop reasons that are in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from zipmap_ros.mapping import mapper, tracking

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "zipmap_ros"
DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text()
# Where the node's messages are made.
NODE = (
    *("stream_node", "intake", "camera_input", "convert", "transforms", "services", "worker"),
    *("diagnostics", "node_parameters", "outputs", "status"),
)
MAPPING = ("mapper", "prepare", "network", "session", "undistort", "query", "voxel_map")
FILES = [PACKAGE / "nodes" / f"{n}.py" for n in NODE] + [
    PACKAGE / "mapping" / f"{n}.py" for n in MAPPING
]
FILES += [PACKAGE / "model" / "compiled.py", PACKAGE / "model" / "speed.py"]
FILES += [PACKAGE / "geometry.py", PACKAGE / "sources" / "decode.py"]
# Sentences that ask nothing of anybody, or that only a program that calls the library can meet.
NOT_FOR_USERS = {
    "... network on ......, ready after ... s",
    "goes on from the session ...: ...",
    "...x... in chunks of ...",
    "the scene is forgotten",
    "queued images are dropped",
    "images are ... s older",
    "the clock went back",
    "... has ... publisher(s) with fitting QoS",
    "...: images are now ...x...",
    "state, map and trajectory are forgotten",
    "the node is shutting down",
    "latency p50, p95, max (s)",
    "the image is ... ...: give uint8 (H, W, 3) RGB",
    "cast_weights is for inference: call model.eval() first",
    "the network is in training mode: call model.eval() first",
    "the kernels are for bfloat16, not ...: cast first",
    "batch needs frames of one size, got ... of ...: ...",
    "the viewing direction is parallel to up: choose another up",
    "there is no direction from eye to target: choose another target",
    "umeyama needs two (N, 3) arrays with N >= 3, got ... and ...",
}
# Reasons of a ConvertError or DecodeError that do not cost a frame.
NOT_DROPPED = {"camera_info", "depth_encoding", "pose"}


def template(node: ast.AST) -> str:
    """The text of a string expression with ... for what varies; "" for other expressions."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or "..." for part in node.values)
    if isinstance(node, ast.BinOp):
        left, right = template(node.left), template(node.right)
        return (left or "...") + (right or "...") if left or right else ""
    return ""


def sentences(path: Path) -> Iterator[str]:
    """Every text of a file that has four words or more and is no docstring."""
    tree = ast.parse(path.read_text())
    seen = {
        id(n.value)
        for n in ast.walk(tree)
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if id(node) in seen or not (text := template(node)):
            continue
        seen.update(id(part) for part in ast.walk(node))
        if len(text.split()) >= 4 or text.startswith("odom: "):
            yield text


def first_column(section: str) -> list[str]:
    """What stands in backticks in the first column of the tables of a section, or of all."""
    part = DOCUMENT.split(f"## {section}")[-1] if section else DOCUMENT.split("## Dropped")[0]
    rows = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def documents(row: str, message: str) -> bool:
    """Whether a row, its ... standing for anything, is found in a message."""
    pattern = ".*".join(re.escape(part) for part in row.split("..."))
    return re.search(pattern, message) is not None


def test_every_message_is_explained() -> None:
    rows = first_column("")
    messages = {text for path in FILES for text in sentences(path)}
    assert messages >= NOT_FOR_USERS, f"gone: {NOT_FOR_USERS - messages}"
    unexplained = {m for m in messages - NOT_FOR_USERS if not any(documents(r, m) for r in rows)}
    assert unexplained == set()


def test_no_row_explains_a_message_that_nobody_says() -> None:
    messages = {text for path in FILES for text in sentences(path)}
    rows = first_column("")
    assert len(rows) > 50
    assert [row for row in rows if not any(documents(row, m) for m in messages)] == []


def test_every_reason_to_drop_a_frame_is_explained() -> None:
    code = "".join(path.read_text() for path in FILES if path.parent.name in ("nodes", "sources"))
    made = r"(?:\.drop|(?:drop|forget)_queued|(?:Convert|Decode)Error)"
    calls = made + r'\(\s*"(\w+)"|\.dropped\["(\w+)"\]'
    reasons = {word for match in re.findall(calls, code) for word in match if word} - NOT_DROPPED
    reasons |= {mapper.BAD_IMAGE, mapper.NO_MEMORY, mapper.NO_MAP, mapper.RESET, mapper.ERROR}
    reasons |= {tracking.NOT_FINITE, tracking.JUMP, tracking.LOST, tracking.BLANK}
    assert set(first_column("Dropped frames, by reason")) == reasons
