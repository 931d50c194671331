# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes: configured, activated, deactivated, cleaned up, shut down."""

from rclpy.lifecycle.managed_entity import ManagedEntity, SimpleManagedEntity
from rclpy.lifecycle.node import LifecycleNode, LifecycleNodeMixin, Node, NodeMixin
from rclpy.lifecycle.publisher import LifecyclePublisher, Publisher
from rclpy.lifecycle.state_machine import (
    LifecycleState,
    State,
    TransitionCallbackReturn,
)

__all__ = [
    "LifecycleNode",
    "LifecycleNodeMixin",
    "LifecyclePublisher",
    "LifecycleState",
    "ManagedEntity",
    "Node",
    "NodeMixin",
    "Publisher",
    "SimpleManagedEntity",
    "State",
    "TransitionCallbackReturn",
]
