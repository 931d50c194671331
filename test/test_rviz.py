# SPDX-License-Identifier: Apache-2.0
"""The RViz files ask for topics that a running node has, with their types, frames and QoS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import launch_pytest
import pytest
import yaml
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from rclpy.duration import Infinite
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.time import Time
from rosbench import (
    FRAME,
    LATCHED,
    WILD,
    Bench,
    Pictures,
    launch_file,
    parameter_file,
    tiny_checkpoint,
    until,
)
from tf2_ros import Buffer, TransformListener

from zipmap_ros.msg import Status

DOMAIN = 61
CONFIG = Path(__file__).resolve().parent.parent / "config"
FILES = sorted(CONFIG.glob("*.rviz"))
# What the classes of RViz take; displays without a topic of their own are not listed.
TYPES = {
    "Camera": "sensor_msgs/msg/Image",
    "Image": "sensor_msgs/msg/Image",
    "Odometry": "nav_msgs/msg/Odometry",
    "Path": "nav_msgs/msg/Path",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Pose": "geometry_msgs/msg/PoseStamped",
    "SetInitialPose": "geometry_msgs/msg/PoseWithCovarianceStamped",
}
NO_TOPIC = {"Grid", "TF", "MoveCamera", "Measure"}
DURABILITY = {
    "Transient Local": DurabilityPolicy.TRANSIENT_LOCAL,
    "Volatile": DurabilityPolicy.VOLATILE,
}
RELIABILITY = {"Reliable": ReliabilityPolicy.RELIABLE, "Best Effort": ReliabilityPolicy.BEST_EFFORT}


@launch_pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchDescription]:
    folder = tmp_path_factory.mktemp("rviz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        yield LaunchDescription(
            [
                launch_file(
                    checkpoint=str(tiny_checkpoint(folder)),
                    device="cpu",
                    tf_mode="camera",
                    params_file=str(parameter_file(folder, **WILD)),
                ),
                ReadyToTest(),
            ]
        )


@pytest.fixture(scope="module")
def status(ros: Bench) -> Iterator[list[Status]]:
    """What the node says of itself while pictures come; wait for more in tests, beside which the
    launch runs, and not in fixtures, before them."""
    pictures = Pictures(ros)
    yield ros.listen(Status, "zipmap/status", LATCHED)
    pictures.stop()


def until_tracking(status: list[Status]) -> None:
    until(lambda: status and status[-1].state == Status.TRACKING, "the node does not track")


def parts(path: Path, what: str) -> list[dict[str, Any]]:
    """Displays or Tools of a file."""
    return yaml.safe_load(path.read_text())["Visualization Manager"][what]


def kind(part: dict[str, Any]) -> str:
    package, _, name = part["Class"].partition("/")
    assert package == "rviz_default_plugins", part["Class"]
    return name


def profile(topic: dict[str, Any]) -> QoSProfile:
    """What RViz asks for or offers, with the defaults written out: `qos_check_compatible` takes
    those of a peer, which come so from the graph, for others than unset ones."""
    return QoSProfile(
        deadline=Infinite,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Infinite,
        depth=topic["Depth"],
        reliability=RELIABILITY[topic["Reliability Policy"]],
        durability=DURABILITY[topic["Durability Policy"]],
    )


def test_there_is_a_file_for_each_use() -> None:
    assert [path.stem for path in FILES] == ["map", "query", "zipmap"]


def test_the_size_of_odometry_is_where_rviz_looks_for_it() -> None:
    """It passes over others: of its displays Odometry alone has sizes below the shape."""
    displays = parts(CONFIG / "zipmap.rviz", "Displays")
    (odometry,) = (display for display in displays if kind(display) == "Odometry")
    assert not [name for name in odometry if name.startswith("Axes")]
    assert odometry["Shape"] == {"Axes Length": 0.3, "Axes Radius": 0.02, "Value": "Axes"}


@pytest.mark.launch(fixture=stream)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_display_finds_its_publisher(path: Path, ros: Bench, status: list[Status]) -> None:
    until_tracking(status)
    shown = 0
    for display in parts(path, "Displays"):
        if kind(display) in NO_TOPIC:
            assert "Topic" not in display
            continue
        topic = display["Topic"]
        infos = until(
            lambda name=topic["Value"]: ros.node.get_publishers_info_by_topic(name),
            f"nobody publishes {topic['Value']}",
        )
        shown += 1
        for info in infos:
            assert info.topic_type == TYPES[kind(display)], topic
            compatibility, why = qos_check_compatible(info.qos_profile, profile(topic))
            assert compatibility == QoSCompatibility.OK, f"{topic['Value']}: {why}"
            # A latched topic that is not asked for as such is empty until it changes.
            latched = info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
            assert latched == (profile(topic).durability == DurabilityPolicy.TRANSIENT_LOCAL), topic
    assert shown


@pytest.mark.launch(fixture=stream)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_tool_is_heard(path: Path, ros: Bench, status: list[Status]) -> None:
    until_tracking(status)
    for tool in parts(path, "Tools"):
        if kind(tool) in NO_TOPIC:
            continue
        topic = tool["Topic"]
        infos = until(
            lambda name=topic["Value"]: ros.node.get_subscriptions_info_by_topic(name),
            f"nobody hears {topic['Value']}",
        )
        for info in infos:
            assert info.topic_type == TYPES[kind(tool)]
            compatibility, why = qos_check_compatible(profile(topic), info.qos_profile)
            assert compatibility == QoSCompatibility.OK, f"{topic['Value']}: {why}"


@pytest.mark.launch(fixture=stream)
def test_the_fixed_frame_is_on_tf(ros: Bench, status: list[Status]) -> None:
    until_tracking(status)
    fixed = {
        yaml.safe_load(path.read_text())["Visualization Manager"]["Global Options"]["Fixed Frame"]
        for path in FILES
    }
    assert fixed == {"map"}
    buffer = Buffer()
    listener = TransformListener(buffer, ros.node)
    until(lambda: buffer.can_transform("map", FRAME, Time()))
    listener.unregister()


def test_the_launch_file_starts_rviz_with_a_file_that_is_there() -> None:
    text = (CONFIG.parent / "launch" / "stream.launch.py").read_text()
    assert '"zipmap.rviz"' in text
