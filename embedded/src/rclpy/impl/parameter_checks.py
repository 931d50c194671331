# SPDX-License-Identifier: Apache-2.0
"""Whether a value fits a parameter and its descriptor, and a name its prefixes."""

from __future__ import annotations

import math
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor

from rclpy.impl.arguments import RCLInvalidROSArgsError
from rclpy.parameter import PARAMETER_SEPARATOR_STRING, Parameter


def given_parameter(name: str, value: Any) -> Parameter:
    """Parameter of a value out of YAML; RCLInvalidROSArgsError where no type of them has it."""
    if value is None:  # which would unset the default, and rcl refuses too
        raise RCLInvalidROSArgsError(
            f"parameter '{name}' has no value: give it one ('' is an empty text), or leave it out"
        )
    try:
        parameter = Parameter(name, value=value)
        parameter.get_parameter_value()
    except (AssertionError, TypeError) as error:
        raise RCLInvalidROSArgsError(
            f"parameter '{name}' cannot be {value!r:.60}: {error}"
        ) from error
    return parameter


def is_listed(name: str, prefixes: list[str], depth: int) -> bool:
    if not prefixes:
        return not depth or name.count(PARAMETER_SEPARATOR_STRING) < depth
    for prefix in prefixes:
        start = prefix + PARAMETER_SEPARATOR_STRING
        if name == prefix:
            return True
        if name.startswith(start) and (
            not depth or name[len(start) :].count(PARAMETER_SEPARATOR_STRING) < depth
        ):
            return True
    return False


def descriptor_violation(parameter: Parameter, descriptor: ParameterDescriptor) -> str:
    """Why a value is outside its range, empty where it is not."""
    if parameter.type_ is Parameter.Type.INTEGER and descriptor.integer_range:
        limits = descriptor.integer_range[0]
        value, low, high, step = parameter.value, limits.from_value, limits.to_value, limits.step
        if value in (low, high):
            return ""
        if not low <= value <= high:
            return (
                f"Parameter {parameter.name} out of range. Min: {low}, Max: {high}, value: {value}"
            )
        if step and (value - low) % step:
            return (
                f"The parameter value for {parameter.name} is not a valid step. "
                f"Min: {low}, max: {high}, value: {value}, step: {step}"
            )
    if parameter.type_ is Parameter.Type.DOUBLE and descriptor.floating_point_range:
        limits = descriptor.floating_point_range[0]
        return _double_violation(parameter, limits.from_value, limits.to_value, limits.step)
    return ""


def _double_violation(parameter: Parameter, low: float, high: float, step: float) -> str:
    value = parameter.value
    if math.isclose(value, low, rel_tol=1e-6) or math.isclose(value, high, rel_tol=1e-6):
        return ""
    if not low <= value <= high:
        return f"Parameter {parameter.name} out of range. Min: {low}, Max: {high}, value: {value}"
    if step:
        steps = (value - low) / step
        if not math.isclose(steps, round(steps), rel_tol=1e-6, abs_tol=1e-6):
            return (
                f"The parameter value for {parameter.name} is not close enough to a valid step. "
                f"Min: {low}, max: {high}, value: {value}, step: {step}"
            )
    return ""
