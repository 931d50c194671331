# SPDX-License-Identifier: Apache-2.0
"""A bag, played in its own time into the node zipmap.

ros2 launch zipmap_ros bag.launch.py bag:=/path/run image:=/camera/image_raw
ros2 launch zipmap_ros bag.launch.py bag:=/path/run tf_mode:=camera loop:=true viewer:=true

Every argument of stream.launch.py may be given as well. Frames that the network has no time for are
dropped: `zipmap reconstruct` takes every one.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    TimerAction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """`ros2 bag play` as the arguments say.

    The delay is ours: with its own, Humble's has /clock run meanwhile and jump back when the bag
    starts, which forgets a session that was loaded, and waits again before each round of a loop.
    """
    bag, rate, delay, loop = (
        LaunchConfiguration(name).perform(context) for name in ("bag", "rate", "delay", "loop")
    )
    bag = os.path.expanduser(bag)  # shells leave the ~ of bag:=~/run
    command = ["ros2", "bag", "play", bag, "--clock", "--rate", rate]
    if loop.lower() == "true":
        command.append("--loop")
    player = ExecuteProcess(cmd=command, output="screen")
    return [TimerAction(period=float(delay), actions=[player])]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Folder or file of the bag"),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the bag"),
            DeclareLaunchArgument(
                "delay",
                default_value="10.0",
                description="Seconds before the bag starts: the weights take that long to load",
            ),
            DeclareLaunchArgument(
                "image", default_value="/camera/image_raw", description="Topic of the images"
            ),
            DeclareLaunchArgument(
                "camera_info",
                default_value="/camera/camera_info",
                description="Topic of the calibration",
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="true", description="Follow the bag's /clock"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "bag.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
            OpaqueFunction(function=play),
        ]
    )
