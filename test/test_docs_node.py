# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/node.md are held equal to what an active node hears, publishes and serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbench import stream_nodes, tiny_checkpoint

DOMAIN = 65
DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "node.md").read_text()
# What every lifecycle node has.
COMMON = ("parameter", "rosout", "clock", "transition", "state", "type_description", "tf2_frames")


def table(section: str) -> dict[str, tuple[str, ...]]:
    """The first column's names with the two columns that follow."""
    found = {}
    for line in DOCUMENT.split(f"## {section}\n")[1].split("## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            for name in cells[0].split(", "):
                found[name.strip("` ")] = tuple(cells[1:3])
    return found


def kind(interface: Any) -> str:
    """sensor_msgs.msg._image.Image is sensor_msgs/Image."""
    return f"{interface.__module__.split('.')[0]}/{interface.__name__}"


def described(qos: QoSProfile) -> str:
    """The words of the table."""
    if qos.reliability == ReliabilityPolicy.BEST_EFFORT:
        return "sensor_data"
    latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return f"{'latched' if latched else 'reliable'}, {qos.depth}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def make(checkpoint: str) -> Iterator[Any]:
    with stream_nodes(DOMAIN, checkpoint) as made:
        yield made


def written(name: str) -> str:
    """A full name as the table writes it: private, relative, or one that is the same everywhere."""
    if name.startswith("/zipmap/"):
        return name.replace("/zipmap/", "~/")
    return name if name in ("/tf", "/tf_static", "/diagnostics") else name[1:]


def endpoints(found: Any) -> dict[str, tuple[str, str]]:
    """Type and QoS, by name, of publishers or subscriptions."""
    return {
        written(e.topic_name): (kind(e.msg_type), described(e.qos_profile))
        for e in found
        if not any(word in e.topic_name for word in COMMON)
    }


def in_words(rows: dict[str, tuple[str, ...]], of_images: str) -> dict[str, tuple[str, ...]]:
    """The rows with what `qos_image` stands for."""
    return {n: (k, qos.replace("`qos_image`", of_images)) for n, (k, qos) in rows.items()}


def same(found: dict[str, Any], rows: dict[str, Any]) -> None:
    assert found.keys() == rows.keys()
    for name, (interface, qos) in rows.items():
        assert found[name][0] == interface, name
        assert qos == "as tf2" or found[name][1] == qos, name


def test_subscribed_topics(make: Any) -> None:
    rows = in_words(table("Subscribed topics"), "sensor_data")
    same(
        endpoints(make(scale_source="depth").subscriptions),
        {n: row for n, row in rows.items() if n != "image/compressed"},
    )


def test_subscribed_topics_of_other_choices(make: Any) -> None:
    rows = in_words(table("Subscribed topics"), "reliable, 5")
    node = make(image_transport="compressed", qos_image="reliable", scale_source="depth")
    same(endpoints(node.subscriptions), {n: row for n, row in rows.items() if n != "image"})


def test_published_topics(make: Any) -> None:
    same(endpoints(make().publishers), table("Published topics"))


def test_cameras_have_topics_of_their_own(make: Any) -> None:
    node = make(cameras=["front", "left"])
    heard = {n for n in endpoints(node.subscriptions) if n.endswith(("image", "camera_info"))}
    assert heard == {f"{c}/{t}" for c in ("front", "left") for t in ("image", "camera_info")}
    depth = {n for n in endpoints(node.publishers) if "depth/" in n}
    names = ("image", "confidence", "camera_info")
    assert depth == {f"~/{c}/depth/{t}" for c in ("front", "left") for t in names}


def test_services(make: Any) -> None:
    every = {s.service_name: kind(s.srv_type) for s in make().services}
    ours = {
        written(name): interface
        for name, interface in every.items()
        if not any(word in name for word in COMMON)
    }
    assert ours == {name: interface for name, (interface, _) in table("Services").items()}
