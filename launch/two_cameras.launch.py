# SPDX-License-Identifier: Apache-2.0
"""Two USB cameras on a robot, one looking ahead and one to the left, into one scene.

ros2 launch zipmap_ros two_cameras.launch.py front_device:=/dev/video0 left_device:=/dev/video2

Every argument of stream.launch.py may be given as well. A camera's namespace is its name in the
parameter `cameras`, and its images are on `image` there. Where robot_state_publisher knows where
the cameras are, set mounts:=false.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("zipmap_ros"))
STREAM = PythonLaunchDescriptionSource(str(SHARE / "launch" / "stream.launch.py"))
QUARTER = "1.5707963"
# Optical axes on base_link: x, y, z in metres; roll and yaw turn z forward, or to the left.
MOUNTS = {
    "front": ["--x", "0.2", "--z", "0.3", "--roll", f"-{QUARTER}", "--yaw", f"-{QUARTER}"],
    "left": ["--y", "0.1", "--z", "0.3", "--roll", f"-{QUARTER}"],
}


def camera(name: str) -> list[Node]:
    """The driver and the mount of one camera."""
    frame = f"{name}_optical_frame"
    return [
        Node(
            package="usb_cam",
            executable="usb_cam_node_exe",
            name="usb_cam",
            namespace=PathJoinSubstitution([LaunchConfiguration("namespace"), name]),
            parameters=[
                {
                    "video_device": LaunchConfiguration(f"{name}_device"),
                    "frame_id": frame,
                    "brightness": -1,  # as the camera has it, not the driver's 50
                }
            ],
            # Up to Jazzy image_transport does not take compressed images along by itself.
            remappings=[("image_raw", "image"), ("image_raw/compressed", "image/compressed")],
            output="screen",
        ),
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            arguments=[*MOUNTS[name], "--frame-id", "base_link", "--child-frame-id", frame],
            condition=IfCondition(LaunchConfiguration("mounts")),
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for. An argument declared before the include keeps its default."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "front_device", default_value="/dev/video0", description="Camera that looks ahead"
            ),
            DeclareLaunchArgument(
                "left_device", default_value="/dev/video2", description="Camera that looks left"
            ),
            DeclareLaunchArgument(
                "mounts", default_value="true", description="Publish where the cameras are"
            ),
            DeclareLaunchArgument(
                "viewer_camera",
                default_value="front",
                description="Which of the cameras web view and RViz show",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "two_cameras.yaml"),
                description="Parameters of the node zipmap",
            ),
            IncludeLaunchDescription(STREAM),
            *camera("front"),
            *camera("left"),
        ]
    )
