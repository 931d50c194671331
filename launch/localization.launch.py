# SPDX-License-Identifier: Apache-2.0
"""A robot in a place that it has mapped: a saved session is loaded, and stays as it is.

ros2 service call /zipmap/save_map zipmap_ros/srv/SaveMap "{name: office}"  # after mapping
ros2 launch zipmap_ros localization.launch.py session:=office image:=/camera/image_raw

Every argument of stream.launch.py may be given as well. The robot may start anywhere from where it
sees what was mapped; `initialpose` moves the map, not the robot in it, and is refused until then.
"""

import json
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))
LOCALIZATION = 1  # of zipmap_ros/srv/SetMode


def load(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Call ~/load_map as soon as the node offers it."""
    namespace, session = (
        LaunchConfiguration(name).perform(context) for name in ("namespace", "session")
    )
    service = "/".join(["", *namespace.strip("/").split(), "zipmap", "load_map"])
    # In quotes, or 2024_01_15 would be a number.
    request = f"{{name: {json.dumps(session)}, mode: {LOCALIZATION}}}"
    command = ["ros2", "service", "call", service, "zipmap_ros/srv/LoadMap", request]
    return [ExecuteProcess(cmd=command, output="screen")]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("session", description="Name of a session in map_directory"),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "localization.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
            OpaqueFunction(function=load),
        ]
    )
