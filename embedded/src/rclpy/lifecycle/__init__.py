# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes: configured, activated, deactivated, cleaned up, shut down."""

from rclpy.lifecycle.managed_entity import ManagedEntity, SimpleManagedEntity
from rclpy.lifecycle.node import LifecycleNode, LifecycleNodeMixin
from rclpy.lifecycle.node import Node as Node
from rclpy.lifecycle.node import NodeMixin as NodeMixin
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.lifecycle.publisher import Publisher as Publisher
from rclpy.lifecycle.state_machine import LifecycleState
from rclpy.lifecycle.state_machine import State as State
from rclpy.lifecycle.state_machine import TransitionCallbackReturn as TransitionCallbackReturn

# What rclpy's `import *` brings: no other Node, for one.
__all__ = [
    "LifecycleNode",
    "LifecycleNodeMixin",
    "LifecyclePublisher",
    "LifecycleState",
    "ManagedEntity",
    "SimpleManagedEntity",
]
