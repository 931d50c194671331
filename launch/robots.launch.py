# SPDX-License-Identifier: Apache-2.0
"""Several robots on one network: a node zipmap for each, in its namespace, with frames of its own.

ros2 launch zipmap_ros robots.launch.py
ros2 launch zipmap_ros robots.launch.py robots:="alpha beta gamma" params_file:=/path/three.yaml

Images of alpha are on /alpha/image, a view is asked for at /alpha/zipmap/query_view. TF is one for
all robots, so each has its own names of frames: see config/robots.yaml.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))


def robots(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """stream.launch.py once for each robot."""
    names = LaunchConfiguration("robots").perform(context).split()
    return [
        GroupAction([IncludeLaunchDescription(STREAM, launch_arguments=[("namespace", name)])])
        for name in names
    ]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for; the arguments of stream.launch.py hold for every robot."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robots", default_value="alpha beta", description="Namespaces, with spaces between"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "robots.yaml"),
                description="Parameters of all nodes zipmap",
            ),
            OpaqueFunction(function=robots),
        ]
    )
