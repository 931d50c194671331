# SPDX-License-Identifier: Apache-2.0
"""Declares `zipmap_ros.parameters` on a node, and checks what is set while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node
from rclpy.parameter import Parameter

from zipmap_ros.parameters import SPECS, ParameterError, Parameters, Spec

# What to do about a value of another type, by the type that is wanted.
ADVICE = {
    "bool": "in a parameter file, true and false want no quotes",
    "int": "in a parameter file, whole numbers want no decimal point and no quotes",
    "double": "in a parameter file, numbers want a decimal point here, as 4.0, and no quotes",
    "string": "in a parameter file, text that looks like a number, on or off wants quotes",
    "string_array": "in a parameter file, names want brackets around them, as [front, left]",
}
_TYPES = {
    "bool": Parameter.Type.BOOL,
    "int": Parameter.Type.INTEGER,
    "double": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
    "string_array": Parameter.Type.STRING_ARRAY,
}


class NodeParameters:
    """The parameters of one node: ``values`` is always a whole, checked set.

    ``on_change(old, new)`` is called after a live change, on the thread that sets it.
    """

    def __init__(self, node: Node, on_change: Callable[[Parameters, Parameters], None]) -> None:
        """Declare every parameter. Raises ParameterError for a start value that is refused."""
        self._on_change = on_change
        self._lock = threading.Lock()  # services set parameters too, on threads of their own
        given: dict[str, Any] = {}
        for spec in SPECS.values():
            # rclpy cannot tell the type of an empty array, and where one parameter has no value
            # nobody can read the others along with it (ros2 param dump, rqt_reconfigure).
            default = [""] if spec.default == () else spec.default
            try:
                given[spec.name] = node.declare_parameter(spec.name, default, describe(spec)).value
            except InvalidParameterTypeException as error:
                raise ParameterError(f"{error}: {ADVICE[spec.type_name]}") from error
        self.values = Parameters().updated(given)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        ours = {change.name: change.value for change in changes if change.name in SPECS}
        with self._lock:
            try:
                new = self.values.updated(ours)
            except ParameterError as error:
                return SetParametersResult(successful=False, reason=str(error))
            old, self.values = self.values, new
            if ours:
                self._on_change(old, new)
        return SetParametersResult(successful=True)


def describe(spec: Spec) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows of a parameter."""
    descriptor = ParameterDescriptor(
        name=spec.name,
        type=_TYPES[spec.type_name].value,
        description=spec.description,
        additional_constraints="" if spec.low is not None else spec.constraint,
        read_only=spec.read_only,
    )
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=0)
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=spec.low, to_value=spec.high, step=0.0)
            ]
    return descriptor
