# SPDX-License-Identifier: Apache-2.0
"""A RealSense camera: its driver, with depth registered to colour, and the node zipmap, in metres.

ros2 launch zipmap_ros realsense.launch.py
ros2 launch zipmap_ros realsense.launch.py viewer:=true device:=cuda

Every argument of stream.launch.py may be given as well.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))
CAMERA = "/camera/camera"
TOPICS = {
    "image": "color/image_raw",
    "camera_info": "color/camera_info",
    "depth": "aligned_depth_to_color/image_raw",
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name, default_value=f"{CAMERA}/{topic}", description=f"Topic of {name}"
                )
                for name, topic in TOPICS.items()
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "realsense.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
            Node(
                package="realsense2_camera",
                executable="realsense2_camera_node",
                namespace="camera",
                name="camera",
                parameters=[
                    {
                        "enable_sync": True,
                        "align_depth.enable": True,
                        "rgb_camera.color_profile": "640x480x30",
                        "depth_module.depth_profile": "640x480x30",
                    }
                ],
                output="screen",
            ),
        ]
    )
