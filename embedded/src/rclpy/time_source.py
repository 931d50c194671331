# SPDX-License-Identifier: Apache-2.0
"""Where a node's clock gets its time: the system, or /clock where use_sim_time is true."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rosgraph_msgs.msg import Clock as ClockMessage

from rclpy.clock import ROSClock
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import ClockType, Time

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

CLOCK_TOPIC = "/clock"
USE_SIM_TIME_NAME = "use_sim_time"


class TimeSource:
    """Follows the parameter use_sim_time of a node, and sets clocks from /clock."""

    def __init__(self, *, node: Node | None = None) -> None:
        self._clock_sub: Subscription | None = None
        self._node_weak_ref: Any = None
        self._associated_clocks: list[ROSClock] = []
        self._last_time_set = Time(clock_type=ClockType.ROS_TIME)
        self._ros_time_is_active = False
        if node is not None:
            self.attach_node(node)

    @property
    def ros_time_is_active(self) -> bool:
        """Whether clocks follow /clock."""
        return self._ros_time_is_active

    @ros_time_is_active.setter
    def ros_time_is_active(self, enabled: bool) -> None:
        if self._ros_time_is_active == enabled:
            return
        self._ros_time_is_active = enabled
        for clock in self._associated_clocks:
            clock._set_ros_time_is_active(enabled)
        if enabled:
            self._subscribe_to_clock_topic()
        elif self._clock_sub is not None:
            node = self._get_node()
            if node is not None:
                node.destroy_subscription(self._clock_sub)
            self._clock_sub = None

    def _get_node(self) -> Node | None:
        return None if self._node_weak_ref is None else self._node_weak_ref()

    def _subscribe_to_clock_topic(self) -> None:
        node = self._get_node()
        if self._clock_sub is None and node is not None:
            profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._clock_sub = node.create_subscription(
                ClockMessage, CLOCK_TOPIC, self.clock_callback, profile
            )

    def attach_node(self, node: Node) -> None:
        """Follow a node's parameter, which is declared here if it is not yet."""
        self._node_weak_ref = weakref.ref(node)
        if not node.has_parameter(USE_SIM_TIME_NAME):
            node.declare_parameter(USE_SIM_TIME_NAME, False, ParameterDescriptor())
        parameter = node.get_parameter(USE_SIM_TIME_NAME)
        if parameter.type_ is Parameter.Type.BOOL:
            self.ros_time_is_active = parameter.value
        else:
            node.get_logger().error(
                f"Invalid type for parameter '{USE_SIM_TIME_NAME}' {parameter.type_!r} "
                "should be bool"
            )
        node.add_on_set_parameters_callback(self._on_parameter_event)

    def detach_node(self) -> None:
        """Stop following the node."""
        node = self._get_node()
        if node is None:
            raise RuntimeError("Unable to detach node from time source: none attached.")
        self.ros_time_is_active = False
        node.remove_on_set_parameters_callback(self._on_parameter_event)
        self._node_weak_ref = None

    def attach_clock(self, clock: ROSClock) -> None:
        """Set this clock, too; raises ValueError for one that is no ROSClock."""
        if not isinstance(clock, ROSClock):
            raise ValueError("Only clocks with type ROS_TIME can be attached.")
        clock.set_ros_time_override(self._last_time_set)
        clock._set_ros_time_is_active(self.ros_time_is_active)
        self._associated_clocks.append(clock)

    def clock_callback(self, msg: ClockMessage) -> None:
        """Set all clocks."""
        self._last_time_set = Time.from_msg(msg.clock)
        for clock in self._associated_clocks:
            clock.set_ros_time_override(self._last_time_set)

    def _on_parameter_event(self, parameter_list: list[Parameter]) -> SetParametersResult:
        for parameter in parameter_list:
            if parameter.name == USE_SIM_TIME_NAME:
                if parameter.type_ is not Parameter.Type.BOOL:
                    return SetParametersResult(
                        successful=False, reason=f"'{USE_SIM_TIME_NAME}' must be a bool"
                    )
                self.ros_time_is_active = parameter.value
        return SetParametersResult(successful=True)
