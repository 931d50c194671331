# SPDX-License-Identifier: Apache-2.0
"""Publishes one static transform until stopped: `ros2 run tf2_ros static_transform_publisher`.

    --x 1 --yaw 1.57 --frame-id base --child-frame-id camera
    x y z yaw pitch roll frame_id child_frame_id              the old form, or with qx qy qz qw

Metres and radians; roll, pitch, yaw are turns about the fixed axes x, y, z, in that order.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException
from rclpy.utilities import remove_ros_args
from tf2_py.buffer_core import transform_message
from tf2_py.rigid import Quaternion, multiply, normalized

from tf2_ros.static_transform_broadcaster import StaticTransformBroadcaster

NUMBERS = ("x", "y", "z", "qx", "qy", "qz", "qw", "roll", "pitch", "yaw")
OLD_FORMS = {
    8: ("x", "y", "z", "yaw", "pitch", "roll", "frame_id", "child_frame_id"),
    9: ("x", "y", "z", "qx", "qy", "qz", "qw", "frame_id", "child_frame_id"),
}


def quaternion_from_rpy(roll: float, pitch: float, yaw: float) -> Quaternion:
    """Return (x, y, z, w) of turns about the fixed axes x, y, z, in radians."""
    about_x = (math.sin(roll / 2), 0.0, 0.0, math.cos(roll / 2))
    about_y = (0.0, math.sin(pitch / 2), 0.0, math.cos(pitch / 2))
    about_z = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    return multiply(about_z, multiply(about_y, about_x))


def transform_from_arguments(words: Sequence[str]) -> TransformStamped:
    """Return the transform of a command line; SystemExit where it cannot be read."""
    if len(words) in OLD_FORMS and not any(word.startswith("--") for word in words):
        names = OLD_FORMS[len(words)]
        words = [f"--{n.replace('_', '-')}={w}" for n, w in zip(names, words, strict=True)]
    parser = argparse.ArgumentParser(prog="static_transform_publisher")
    for name in NUMBERS:
        parser.add_argument(f"--{name}", type=float, default=1.0 if name == "qw" else 0.0)
    parser.add_argument("--frame-id", required=True)
    parser.add_argument("--child-frame-id", required=True)
    args = parser.parse_args(words)
    quaternion: Quaternion = (args.qx, args.qy, args.qz, args.qw)
    if args.roll or args.pitch or args.yaw:
        if quaternion != (0.0, 0.0, 0.0, 1.0):
            parser.error("give a quaternion, or roll, pitch and yaw, not both")
        quaternion = quaternion_from_rpy(args.roll, args.pitch, args.yaw)
    if not any(quaternion):
        parser.error("the quaternion must not be zero")
    message = TransformStamped(child_frame_id=args.child_frame_id)
    message.header.frame_id = args.frame_id
    message.transform = transform_message((args.x, args.y, args.z, *normalized(quaternion)))
    return message


def main() -> None:
    """Publish the transform of the command line until stopped."""
    transform = transform_from_arguments(remove_ros_args(sys.argv)[1:])
    rclpy.init()
    node = rclpy.create_node(f"static_transform_publisher_{os.getpid()}")
    try:
        transform.header.stamp = node.get_clock().now().to_msg()
        broadcaster = StaticTransformBroadcaster(node)
        broadcaster.sendTransform(transform)
        node.get_logger().info(
            "Spinning until stopped - publishing transform "
            f"from '{transform.header.frame_id}' to '{transform.child_frame_id}'"
        )
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
