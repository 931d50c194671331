# SPDX-License-Identifier: Apache-2.0
"""Publishes moving transforms on /tf."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

DEPTH = 100


class TransformBroadcaster:
    """Sends transforms, one or many at a time."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=DEPTH)
        self.pub_tf = node.create_publisher(TFMessage, "/tf", qos)

    def sendTransform(self, transform: TransformStamped | list[TransformStamped]) -> None:
        """Publish one transform, or all of a list in one message."""
        transforms = list(transform) if hasattr(transform, "__iter__") else [transform]
        self.pub_tf.publish(TFMessage(transforms=transforms))
