# SPDX-License-Identifier: Apache-2.0
"""A USB camera in the hand: the driver usb_cam and the node zipmap.

ros2 launch zipmap_ros usb_cam.launch.py video_device:=/dev/video2 calibration:=file:///path/cam.yaml

Every argument of stream.launch.py may be given as well.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "video_device", default_value="/dev/video0", description="Device of the camera"
            ),
            DeclareLaunchArgument(
                "calibration",
                default_value="",
                description="URL of the calibration, file:///...; empty: not calibrated",
            ),
            DeclareLaunchArgument(
                "image", default_value="image_raw", description="Topic of the images"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "usb_cam.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
            Node(
                package="usb_cam",
                executable="usb_cam_node_exe",
                name="usb_cam",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        "video_device": LaunchConfiguration("video_device"),
                        "camera_info_url": LaunchConfiguration("calibration"),
                        "frame_id": "camera_optical_frame",
                        "image_width": 640,
                        "image_height": 480,
                        "brightness": -1,  # as the camera has it, not the driver's 50
                    }
                ],
                output="screen",
            ),
        ]
    )
