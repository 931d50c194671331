# SPDX-License-Identifier: Apache-2.0
"""Callbacks when parameters of any node change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rcl_interfaces.msg import Parameter, ParameterEvent

from rclpy.qos import QoSProfile, qos_profile_parameter_events

if TYPE_CHECKING:
    from rclpy.node import Node


class ParameterCallbackHandle:
    """Keeps a callback for one parameter."""

    def __init__(
        self, parameter_name: str, node_name: str, callback: Callable[[Parameter], None]
    ) -> None:
        self.parameter_name = parameter_name
        self.node_name = node_name
        self.callback = callback


class ParameterEventCallbackHandle:
    """Keeps a callback for every event."""

    def __init__(self, callback: Callable[[ParameterEvent], None]) -> None:
        self.callback = callback


class ParameterEventHandler:
    """Follows /parameter_events."""

    def __init__(self, node: Node, qos_profile: QoSProfile = qos_profile_parameter_events) -> None:
        self.node = node
        self._parameter_callbacks: list[ParameterCallbackHandle] = []
        self._event_callbacks: list[ParameterEventCallbackHandle] = []
        self.parameter_event_subscription = node.create_subscription(
            ParameterEvent, "/parameter_events", self._on_event, qos_profile
        )

    def destroy(self) -> None:
        """Stop following."""
        self.node.destroy_subscription(self.parameter_event_subscription)

    def _on_event(self, event: ParameterEvent) -> None:
        for handle in list(self._parameter_callbacks):
            parameter = self.get_parameter_from_event(
                event, handle.parameter_name, handle.node_name
            )
            if parameter is not None:
                handle.callback(parameter)
        for event_handle in list(self._event_callbacks):
            event_handle.callback(event)

    @staticmethod
    def get_parameter_from_event(
        event: ParameterEvent, parameter_name: str, node_name: str
    ) -> Parameter | None:
        """The new value of a parameter in an event, None where it is not in it."""
        if event.node == node_name:
            for parameter in (*event.new_parameters, *event.changed_parameters):
                if parameter.name == parameter_name:
                    return parameter
        return None

    @staticmethod
    def get_parameters_from_event(event: ParameterEvent) -> list[Parameter]:
        """All new and changed parameters of an event."""
        return [*event.new_parameters, *event.changed_parameters]

    def add_parameter_callback(
        self, parameter_name: str, node_name: str, callback: Callable[[Parameter], None]
    ) -> ParameterCallbackHandle:
        """Call `callback(parameter)` when a node's parameter changes."""
        if not node_name.startswith("/"):
            node_name = f"{self.node.get_namespace().rstrip('/')}/{node_name}"
        handle = ParameterCallbackHandle(parameter_name, node_name, callback)
        self._parameter_callbacks.insert(0, handle)
        return handle

    def remove_parameter_callback(self, handle: ParameterCallbackHandle) -> None:
        """Take it back; raises RuntimeError where it was not added."""
        if handle not in self._parameter_callbacks:
            raise RuntimeError("Callback doesn't exist")
        self._parameter_callbacks.remove(handle)

    def add_parameter_event_callback(
        self, callback: Callable[[ParameterEvent], None]
    ) -> ParameterEventCallbackHandle:
        """Call `callback(event)` on every event."""
        handle = ParameterEventCallbackHandle(callback)
        self._event_callbacks.insert(0, handle)
        return handle

    def remove_parameter_event_callback(self, handle: ParameterEventCallbackHandle) -> None:
        """Take it back; raises RuntimeError where it was not added."""
        if handle not in self._event_callbacks:
            raise RuntimeError("Callback doesn't exist")
        self._event_callbacks.remove(handle)
