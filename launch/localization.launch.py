# SPDX-License-Identifier: Apache-2.0
"""A robot in a place that it has mapped: a saved session is loaded, and stays as it is.

ros2 service call /zipmap/save_map zipmap_ros/srv/SaveMap "{name: office}"  # after mapping
ros2 launch zipmap_ros localization.launch.py session:=office image:=/camera/image_raw

Every argument of stream.launch.py may be given as well. The robot may start anywhere from where it
sees what was mapped; `initialpose` moves the map, not the robot in it, and is refused until then.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("session", description="Name of a session in map_directory"),
            DeclareLaunchArgument("mode", default_value="localization"),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "localization.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
        ]
    )
