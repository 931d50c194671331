# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can check: who imports whom, and what no file may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "zipmap_ros"
EMBEDDED = ROOT / "embedded" / "src"
INTERFACES_OF_ROS = EMBEDDED / "rosidl_embedded" / "share"

INTERFACES = {"msg", "srv"}
BASICS = {"geometry", "frame", "parameters", "threads"}
# The viewer is a node of its own: it knows the others by their topics and services only.
VIEWER = {f"nodes.{path.stem}" for path in (PACKAGE / "nodes").glob("viewer_*.py")}
# room -> the other rooms it may import; the only place where this is written as code.
MAY_IMPORT = {
    "geometry": set(),
    "frame": {"geometry"},
    "parameters": set(),
    "threads": set(),
    "model": {"geometry"},
    "mapping": {"model", *BASICS},
    "synthetic": {"geometry"},
    "sources": {"geometry", "frame", "synthetic"},
    "training": {"model", "synthetic", "geometry", "evaluation.metrics"},
    "evaluation": {"model", "mapping", "sources", "synthetic", "geometry", "frame"},
    "nodes": {"mapping", "sources", *BASICS, *INTERFACES},
    **{name: {"nodes.convert", "nodes.spin", "geometry", *VIEWER, *INTERFACES} for name in VIEWER},
    "cli": {"model", "mapping", "sources", "synthetic", "training", "evaluation", *BASICS},
}
ROS = {"rclpy", "tf2_ros", "cv_bridge", "launch", "launch_ros", "sensor_msgs", "geometry_msgs"}
# room -> outside packages that it must do without.
NEVER = {
    "geometry": {"torch", "cv2", *ROS},
    "frame": {"torch", "cv2", *ROS},
    "parameters": {"torch", "cv2", *ROS},
    "threads": {"torch", "cv2", *ROS},
    "model": {"cv2", "threading", *ROS},
    "mapping": ROS,
    "synthetic": ROS,
    "sources": ROS,
    "training": {"rosbags", *ROS},
    "evaluation": ROS,
    **{name: {"torch"} for name in VIEWER},
    "cli": ROS,
}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _room(path: Path) -> str:
    """The room of a file below zipmap_ros/; a file with rules of its own is its own room."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    own = ".".join(parts)
    return own if own in MAY_IMPORT else parts[0]


def _type_checking_only(tree: ast.Module) -> set[ast.AST]:
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.body:
                guarded.update(ast.walk(statement))
    return guarded


def _imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports at run time, wherever in the file."""
    tree = ast.parse(path.read_text())
    guarded = _type_checking_only(tree)
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(path, node)
            # `from zipmap_ros import geometry` names the room only in the alias.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that `from ... import` means, dots resolved."""
    if node.level == 0:
        return str(node.module)
    root = EMBEDDED if path.is_relative_to(EMBEDDED) else PACKAGE.parent
    parents = path.relative_to(root).parts[: -node.level]
    return ".".join([*parents, *filter(None, [node.module])])


def _broken_rules(path: Path) -> list[str]:
    room = _room(path)
    broken = []
    for name in _imports(path):
        package, *target = name.split(".")
        if package in NEVER.get(room, set()):
            broken.append(f"{room} must do without {package}")
        if package != "zipmap_ros" or not target or target[0] == room:
            continue
        if not {target[0], ".".join(target[:2])} & MAY_IMPORT[room]:
            broken.append(f"{room} may not import {name}")
    return broken


def test_every_room_is_in_the_table() -> None:
    rooms = {_room(p) for p in _files(PACKAGE)} - {"__init__"}
    assert rooms <= set(MAY_IMPORT), f"rooms that the house does not know: {rooms}"


@pytest.mark.parametrize("path", _files(PACKAGE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_keep_to_the_table(path: Path) -> None:
    assert _broken_rules(path) == []


def test_the_walk_sees_a_broken_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zipmap_ros"
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    bad = package / "model" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text(
        "def f():\n    from zipmap_ros import mapping\n    from ..nodes import convert\n"
        "    import cv2\n    from . import layers\n"
    )
    assert len(_broken_rules(bad)) == 3


def test_the_embedded_runtime_knows_neither_us_nor_torch() -> None:
    for path in _files(EMBEDDED):
        roots = {name.split(".")[0] for name in _imports(path)}
        assert not roots & {"zipmap_ros", "torch"}, path


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("zipmap_ros.model", {"rclpy", "cv2"}),
        ("zipmap_ros.geometry", {"torch", "rclpy", "cv2"}),
        ("zipmap_ros.parameters", {"torch", "rclpy", "cv2"}),
        ("rclpy", {"torch"}),
    ],
)
def test_importing_brings_in_nothing_more(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def _product_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: the product's files cannot be listed")
    # These two name the places they look at or forbid.
    known = {"test/test_house.py", ".ci/run"}
    return [ROOT / name for name in listed.stdout.split("\0") if name and name not in known]


def test_no_file_speaks_of_the_place_it_was_written_in() -> None:
    places = r"(?<![\w.])/work/|\.\./shared|(?<!\w)\.library/"
    words = re.compile(places + r"|\bissues (show|resolved|note)\b")
    found = []
    for path in _product_files():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in words.finditer(text)]
    assert found == []


def test_every_python_file_starts_with_its_licence_and_a_docstring() -> None:
    for path in _product_files():
        if path.suffix != ".py" or not path.exists():
            continue
        text = path.read_text()
        assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n"), path
        assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"


def test_files_and_functions_stay_readable() -> None:
    for path in [*_files(PACKAGE), *_files(EMBEDDED)]:
        text = path.read_text()
        assert text.count("\n") <= 450, f"{path} has {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 70, f"{path}:{node.lineno} {node.name} has {lines} lines"


def test_no_folder_hides_the_generated_interfaces() -> None:
    for name in INTERFACES:
        assert not (PACKAGE / name).exists(), f"zipmap_ros/{name} would replace the generated one"
    init = ast.parse((PACKAGE / "__init__.py").read_text())
    assert len(init.body) == 1, "zipmap_ros/__init__.py is a docstring and no more"


def test_every_interface_is_built_by_cmake() -> None:
    listed = set(re.findall(r"^\s+((?:msg|srv)/\w+\.(?:msg|srv))$", _cmake(), re.MULTILINE))
    there = {str(p.relative_to(ROOT)) for d in INTERFACES for p in (ROOT / d).iterdir()}
    assert listed == there


def _cmake() -> str:
    return (ROOT / "CMakeLists.txt").read_text()


# Import names that are not those of pip.
NAMES_OF_PIP = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
COMES_WITH_TORCH = {"triton"}


def _needed(files: list[Path]) -> tuple[set[str], set[str]]:
    """Packages that files import: those of ROS 2, and those of pip by the names it has for them."""
    names = {name.split(".")[0] for path in files for name in _imports(path)}
    names -= {"zipmap_ros", *sys.stdlib_module_names}
    ros = {n for n in names if (EMBEDDED / n).is_dir() or (INTERFACES_OF_ROS / n).is_dir()}
    return ros, {NAMES_OF_PIP.get(n, n) for n in names - ros}


def test_every_import_is_declared_to_ros_and_to_pip() -> None:
    manifest = (ROOT / "package.xml").read_text()
    running = set(re.findall(r"<(?:exec_)?depend>(\w+)</", manifest))
    testing = set(re.findall(r"<test_depend>(\w+)</", manifest))
    required = re.search(r"install_requires=\[(.*?)\]", (ROOT / "setup.py").read_text(), re.DOTALL)
    assert required is not None
    ros, pip = _needed([*_files(PACKAGE), *_files(ROOT / "launch")])
    assert ros - running == set()
    assert pip - COMES_WITH_TORCH - set(re.findall(r'"([\w-]+)', required[1])) == set()
    ros, _ = _needed(_files(ROOT / "test"))
    assert ros - running - testing == set()


def test_each_distribution_has_the_licence() -> None:
    assert (ROOT / "embedded" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_versions_agree() -> None:
    """setup.py takes its own from package.xml."""
    places = {
        "package.xml": r"<version>(.+)</version>",
        "embedded/pyproject.toml": r'(?m)^version = "(.+)"$',
        "CHANGELOG.md": r"(?m)^## (\S+)",
    }
    said = {name: re.findall(text, (ROOT / name).read_text())[0] for name, text in places.items()}
    assert len(set(said.values())) == 1, said


def test_nodes_without_ros_say_what_they_need() -> None:
    code = "import sys; sys.modules['rclpy'] = None; import zipmap_ros.nodes.stream_node"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "nodes need ROS 2" in done.stderr.splitlines()[-1]
