# SPDX-License-Identifier: Apache-2.0
"""Parameters of other nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)

from rclpy.callback_groups import CallbackGroup
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file
from rclpy.qos import QoSProfile, qos_profile_parameter_events, qos_profile_services_default
from rclpy.task import Future

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

_Callback = Callable[[Future], None] | None
_SERVICES: dict[str, Any] = {
    "get_parameters": GetParameters,
    "set_parameters": SetParameters,
    "list_parameters": ListParameters,
    "describe_parameters": DescribeParameters,
    "get_parameter_types": GetParameterTypes,
    "set_parameters_atomically": SetParametersAtomically,
}


class AsyncParameterClient:
    """Calls the six parameter services of a node; every call returns a Future."""

    def __init__(
        self,
        node: Node,
        remote_node_name: str,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> None:
        self.remote_node_name = remote_node_name
        self.node = node
        self._clients = {
            name: node.create_client(
                kind,
                f"{remote_node_name}/{name}",
                qos_profile=qos_profile,
                callback_group=callback_group,
            )
            for name, kind in _SERVICES.items()
        }

    def services_are_ready(self) -> bool:
        """Whether all six are there."""
        return all(client.service_is_ready() for client in self._clients.values())

    def wait_for_services(self, timeout_sec: float | None = None) -> bool:
        """Wait for all six; returns whether they are there, in time (s)."""
        end = None if timeout_sec is None else time.monotonic() + timeout_sec
        return all(
            client.wait_for_service(None if end is None else max(0.0, end - time.monotonic()))
            for client in self._clients.values()
        )

    def _call(self, service: str, callback: _Callback, **fields: Any) -> Future:
        client = self._clients[service]
        future = client.call_async(client.srv_type.Request(**fields))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def list_parameters(
        self,
        prefixes: list[str] | None = None,
        depth: int | None = None,
        callback: _Callback = None,
    ) -> Future:
        """Names of its parameters."""
        return self._call("list_parameters", callback, prefixes=prefixes or [], depth=depth or 0)

    def get_parameters(self, names: list[str], callback: _Callback = None) -> Future:
        """Values of parameters."""
        return self._call("get_parameters", callback, names=names)

    def set_parameters(
        self, parameters: Sequence[Parameter | Any], callback: _Callback = None
    ) -> Future:
        """Set parameters, each by itself."""
        return self._call("set_parameters", callback, parameters=_messages(parameters))

    def describe_parameters(self, names: list[str], callback: _Callback = None) -> Future:
        """Descriptors of parameters."""
        return self._call("describe_parameters", callback, names=names)

    def get_parameter_types(self, names: list[str], callback: _Callback = None) -> Future:
        """Types of parameters."""
        return self._call("get_parameter_types", callback, names=names)

    def set_parameters_atomically(
        self, parameters: Sequence[Parameter | Any], callback: _Callback = None
    ) -> Future:
        """Set all parameters or none."""
        return self._call("set_parameters_atomically", callback, parameters=_messages(parameters))

    def delete_parameters(self, names: list[str], callback: _Callback = None) -> Future:
        """Unset parameters."""
        return self.set_parameters([Parameter(name=name) for name in names], callback)

    def load_parameter_file(
        self, parameter_file: str | Path, use_wildcard: bool = False, callback: _Callback = None
    ) -> Future:
        """Set what a file says of the node."""
        return self.set_parameters(self._read(parameter_file, use_wildcard), callback)

    def load_parameter_file_atomically(
        self, parameter_file: str | Path, use_wildcard: bool = False, callback: _Callback = None
    ) -> Future:
        """Set what a file says of the node, all or none."""
        return self.set_parameters_atomically(self._read(parameter_file, use_wildcard), callback)

    def on_parameter_event(
        self,
        callback: Callable[..., Any],
        qos_profile: QoSProfile = qos_profile_parameter_events,
        **options: Any,
    ) -> Subscription:
        """Call back with the changes of all nodes; the options are `create_subscription`'s."""
        return self.node.create_subscription(
            ParameterEvent, "/parameter_events", callback, qos_profile, **options
        )

    def _read(self, parameter_file: str | Path, use_wildcard: bool) -> list[Any]:
        found = parameter_dict_from_yaml_file(
            str(parameter_file), use_wildcard, target_nodes=[self.remote_node_name]
        )
        return list(found.values())


def _messages(parameters: Sequence[Parameter | Any]) -> list[Any]:
    return [p.to_parameter_msg() if isinstance(p, Parameter) else p for p in parameters]
