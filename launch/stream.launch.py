# SPDX-License-Identifier: Apache-2.0
"""The node zipmap and, unless images come from a topic, a camera that publishes a source.

ros2 launch zipmap_ros stream.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
ros2 launch zipmap_ros stream.launch.py source:=synthetic viewer:=true
ros2 launch zipmap_ros stream.launch.py source:=synthetic rviz:=true
ros2 launch zipmap_ros stream.launch.py source:=video path:=/path/to/clip.mp4
ros2 launch zipmap_ros stream.launch.py --show-args
"""

import re
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from zipmap_ros.sources import KINDS

SHARE = Path(get_package_share_directory("zipmap_ros"))
RESPAWN_DELAY_S = 2.0
BOOLEANS = ["true", "false", "True", "False"]
ARGUMENTS = [
    DeclareLaunchArgument(
        "source",
        default_value="topic",
        choices=["topic", *KINDS],
        description="Where images come from; topic: a camera that runs already",
    ),
    DeclareLaunchArgument("path", default_value="", description="File, folder or device of source"),
    DeclareLaunchArgument(
        "topic", default_value="", description="Image topic of a bag; empty: its only one"
    ),
    DeclareLaunchArgument(
        "pace",
        default_value="realtime",
        choices=["realtime", "consumed"],
        description="Speed of the source: realtime, or as fast as its frames are used",
    ),
    DeclareLaunchArgument("rate_hz", default_value="0.0", description="0: as the source says"),
    DeclareLaunchArgument(
        "loop", default_value="false", choices=BOOLEANS, description="Start the source again"
    ),
    DeclareLaunchArgument("image", default_value="image", description="Topic of the images"),
    DeclareLaunchArgument(
        "camera_info", default_value="camera_info", description="Topic of the calibration"
    ),
    DeclareLaunchArgument("depth", default_value="depth", description="Topic of measured depth"),
    DeclareLaunchArgument("odom", default_value="odom", description="Topic of the odometry"),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="Weights; empty: the small model that ships"
    ),
    DeclareLaunchArgument(
        "device", default_value="", description="cpu, cuda, cuda:N, auto; empty: see params_file"
    ),
    DeclareLaunchArgument(
        "tf_mode",
        default_value="",
        description="See docs/parameters.md; empty: camera for a source of ours, else params_file",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "stream.yaml"),
        description="Parameters of the node zipmap; arguments that are given win",
    ),
    DeclareLaunchArgument(
        "session",
        default_value="",
        description="Session in map_directory to begin with; empty: as params_file says, or none",
    ),
    DeclareLaunchArgument(
        "mode",
        default_value="",
        choices=["", "mapping", "localization"],
        description="Whether the map grows or is only located in; empty: as params_file says",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes"),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", *BOOLEANS],
        description="Follow /clock; empty: as params_file says, RViz no",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the nodes log",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=BOOLEANS,
        description="Start zipmap and the web view again if they end; see session",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=BOOLEANS, description="Also start RViz"
    ),
    DeclareLaunchArgument(
        "viewer", default_value="false", choices=BOOLEANS, description="Also start the web view"
    ),
    DeclareLaunchArgument(
        "viewer_host",
        default_value="",
        description="Address of the web view; any but a loopback address: open to the network; "
        "empty: as params_file says, or 127.0.0.1",
    ),
    DeclareLaunchArgument(
        "viewer_port",
        default_value="",
        description="Port of the web view; empty: as params_file says, or 8080",
    ),
    DeclareLaunchArgument(
        "viewer_camera",
        default_value="",
        description="Which of several cameras web view and RViz show; empty: see params_file (web)",
    ),
]
FLAGS = ("loop", "respawn", "rviz", "viewer")


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes that the arguments ask for."""
    given: dict[str, Any] = {
        a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS
    }
    given |= {name: given[name].lower() == "true" for name in FLAGS}
    given["params_file"] = existing_file(given, "params_file")
    given["sim_time"] = {}
    if given["use_sim_time"]:
        given["sim_time"] = {"use_sim_time": given["use_sim_time"].lower() == "true"}
    started: list[LaunchDescriptionEntity] = [stream(given)]
    if given["source"] != "topic":
        started.append(camera(given))
    if given["viewer"]:
        started.append(viewer(given))
    if given["rviz"]:
        started.append(rviz(given))
    return started


def stream(given: dict[str, Any]) -> Node:
    """The node zipmap; an argument that is empty leaves its parameter to the file."""
    own_source = given["source"] != "topic"
    overrides = {
        "checkpoint": given["checkpoint"],
        "device": given["device"],
        "tf_mode": given["tf_mode"] or ("camera" if own_source else ""),
        "mode": given["mode"],
        # With its type: YAML makes a number of 2024_01_15.
        "session": given["session"] and ParameterValue(given["session"], value_type=str),
    }
    return ours(
        given,
        "stream_node",
        "zipmap",
        parameters=[given["params_file"], *those_given(overrides, given["sim_time"])],
        remappings=remapped(given, "image", "camera_info", "depth", "odom"),
        respawn=given["respawn"],
        respawn_delay=RESPAWN_DELAY_S,
    )


def camera(given: dict[str, Any]) -> Node:
    """A source of ours as a camera."""
    source = {name: given[name] for name in ("source", "path", "topic", "pace", "loop")}
    return ours(
        given,
        "camera_node",
        "camera",
        parameters=[{**source, "rate_hz": number(given, "rate_hz"), "waits_for": "zipmap"}],
        remappings=[
            *remapped(given, "image", "camera_info", "depth"),
            ("consumed", "zipmap/pose"),
        ],
    )


def viewer(given: dict[str, Any]) -> Node:
    """The web view."""
    page = {name: given[name] for name in ("viewer_host", "viewer_port", "viewer_camera")}
    if page["viewer_port"]:
        page["viewer_port"] = int(number(given, "viewer_port"))
    return ours(
        given,
        "viewer_node",
        "viewer",
        parameters=[given["params_file"], *those_given(page, given["sim_time"])],
        remappings=remapped(given, "image"),
        respawn=given["respawn"],
        respawn_delay=RESPAWN_DELAY_S,
    )


def rviz(given: dict[str, Any]) -> Node:
    """RViz. Its file has the topics of a node without a namespace; here they may be elsewhere."""
    config = SHARE / "config" / "zipmap.rviz"
    namespace = "".join(f"/{part}" for part in given["namespace"].split("/") if part)
    topics = {t: f"{namespace}{t}" for t in re.findall(r"Value: (/\S+)", config.read_text())}
    image = given["image"]
    topics["/image"] = image if image.startswith("/") else f"{namespace}/{image}"
    if camera := given["viewer_camera"]:
        topics["/image"] = f"{namespace}/{camera}/image"
        for name in ("image", "confidence"):
            topics[f"/zipmap/depth/{name}"] = f"{namespace}/zipmap/{camera}/depth/{name}"
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(config)],
        parameters=those_given(given["sim_time"]),
        remappings=[(name, topic) for name, topic in topics.items() if name != topic],
        output="screen",
    )


def ours(given: dict[str, Any], executable: str, name: str, **rest: Any) -> Node:
    """A node of this package."""
    return Node(
        package="zipmap_ros",
        executable=executable,
        name=name,
        namespace=given["namespace"],
        output="screen",
        ros_arguments=["--log-level", given["log_level"]],
        **rest,
    )


def those_given(*values: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters whose arguments are not empty, as a list of one dictionary, or of none."""
    merged = {k: v for each in values for k, v in each.items() if v != ""}
    return [merged] if merged else []


def number(given: dict[str, Any], name: str) -> float:
    """The number that an argument gives. Raises ValueError that names it."""
    try:
        return float(given[name])
    except ValueError:
        raise ValueError(f"{name}:={given[name]} is no number") from None


def existing_file(given: dict[str, Any], name: str) -> str:
    """The path that an argument gives. Raises ValueError where there is no file: launch would go
    on without it."""
    path = Path(given[name]).expanduser()  # shells leave the ~ of params_file:=~/mine.yaml
    if not path.is_file():
        raise ValueError(f"{name}:={given[name]} is no file: give one like config/stream.yaml")
    return str(path)


def remapped(given: dict[str, Any], *topics: str) -> list[tuple[str, str]]:
    """Those topics that were given another name; with the images also their compressed ones."""
    rules = [(topic, given[topic]) for topic in topics if given[topic] != topic]
    return rules + [
        (f"{topic}/compressed", f"{name}/compressed") for topic, name in rules if topic == "image"
    ]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
