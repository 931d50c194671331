# SPDX-License-Identifier: Apache-2.0
"""The six services through which others read and set a node's parameters."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)

from rclpy.exceptions import ParameterNotDeclaredException, ParameterUninitializedException
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_parameters

if TYPE_CHECKING:
    from rclpy.node import Node


class ParameterService:
    """Serves a node's parameters."""

    def __init__(self, node: Node) -> None:
        self._node = node
        services: list[tuple[Any, str, Any]] = [
            (DescribeParameters, "describe_parameters", self._describe),
            (GetParameters, "get_parameters", self._get),
            (GetParameterTypes, "get_parameter_types", self._get_types),
            (ListParameters, "list_parameters", self._list),
            (SetParameters, "set_parameters", self._set),
            (SetParametersAtomically, "set_parameters_atomically", self._set_atomically),
        ]
        for kind, name, callback in services:
            node.create_service(kind, f"~/{name}", callback, qos_profile=qos_profile_parameters)

    def _describe(self, request: Any, response: Any) -> Any:
        with suppress(ParameterNotDeclaredException):
            response.descriptors = self._node.describe_parameters(request.names)
        return response

    def _get(self, request: Any, response: Any) -> Any:
        with suppress(ParameterNotDeclaredException, ParameterUninitializedException):
            found = self._node.get_parameters(request.names)
            response.values = [parameter.get_parameter_value() for parameter in found]
        return response

    def _get_types(self, request: Any, response: Any) -> Any:
        with suppress(ParameterNotDeclaredException):
            response.types = self._node.get_parameter_types(request.names)
        return response

    def _list(self, request: Any, response: Any) -> Any:
        response.result = self._node.list_parameters(request.prefixes, request.depth)
        return response

    def _set(self, request: Any, response: Any) -> Any:
        for message in request.parameters:
            try:
                parameter = Parameter.from_parameter_msg(message)
                result = self._node.set_parameters([parameter])[0]
            except (ParameterNotDeclaredException, ValueError, RuntimeError) as error:
                result = SetParametersResult(successful=False, reason=str(error))
            response.results.append(result)
        return response

    def _set_atomically(self, request: Any, response: Any) -> Any:
        try:
            parameters = [Parameter.from_parameter_msg(m) for m in request.parameters]
            response.result = self._node.set_parameters_atomically(parameters)
        except (ParameterNotDeclaredException, ValueError, RuntimeError) as error:
            response.result = SetParametersResult(successful=False, reason=str(error))
        return response
