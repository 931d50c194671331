# SPDX-License-Identifier: Apache-2.0
"""Publishes transforms that never change on /tf_static, for late listeners too."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Sends static transforms. A late listener hears the last message only: send all in one."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)

    def sendTransform(self, transform: TransformStamped | list[TransformStamped]) -> None:
        """Publish one transform, or all of a list in one message."""
        transforms = list(transform) if hasattr(transform, "__iter__") else [transform]
        self.pub_tf.publish(TFMessage(transforms=transforms))
