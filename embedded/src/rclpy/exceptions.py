# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names are rclpy's
"""Exceptions, with rclpy's names, arguments and bases."""

from __future__ import annotations

from typing import Any

from rclpy._rclpy_pybind11 import InvalidHandle as InvalidHandle


class NotInitializedException(Exception):
    """Raised when the context is not initialised."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            "rclpy.init() has not been called." + (f" msg:{message}" if message else "")
        )


class NoTypeSupportImportedException(Exception):
    """Raised when an interface has no type support."""

    def __init__(self) -> None:
        super().__init__("no type_support imported")


class NameValidationException(Exception):
    """Raised when a name does not keep the rules."""

    def __init__(self, name_type: str, name: str, error_msg: str, invalid_index: int) -> None:
        super().__init__(
            f"Invalid {name_type}: {error_msg}:\n  '{name}'\n   {' ' * invalid_index}^"
        )


class InvalidNamespaceException(NameValidationException):
    """Raised when a namespace is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int) -> None:
        super().__init__("namespace", name, error_msg, invalid_index)


class InvalidNodeNameException(NameValidationException):
    """Raised when a node name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int) -> None:
        super().__init__("node name", name, error_msg, invalid_index)


class InvalidTopicNameException(NameValidationException):
    """Raised when a topic name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int) -> None:
        super().__init__("topic name", name, error_msg, invalid_index)


class InvalidServiceNameException(NameValidationException):
    """Raised when a service name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int) -> None:
        super().__init__("service name", name, error_msg, invalid_index)


class ParameterException(Exception):
    """Base of what can go wrong with parameters."""

    def __init__(self, error_msg: str, parameters: object) -> None:
        super().__init__(f"{error_msg}: {parameters}")


class ParameterNotDeclaredException(ParameterException):
    """Raised when an undeclared parameter is used."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Invalid access to undeclared parameter(s)", parameters)


class ParameterAlreadyDeclaredException(ParameterException):
    """Raised when a parameter is declared twice."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Parameter(s) already declared", parameters)


class InvalidParameterException(ParameterException):
    """Raised when a parameter name is invalid."""

    def __init__(self, parameter_name: str) -> None:
        super().__init__("Invalid parameter name", parameter_name)


class InvalidParameterTypeException(ParameterException):
    """Raised when a parameter is given a value of another type than declared."""

    def __init__(self, desired_parameter: Any, expected_type: str) -> None:
        name = desired_parameter.name
        super().__init__(
            f"Trying to set parameter '{name}' to '{desired_parameter.value}' of type "
            f"'{desired_parameter.type_.name}', expecting type '{expected_type}'",
            name,
        )


class InvalidParameterValueException(ParameterException):
    """Raised when a parameter value is rejected; the message holds the reason."""

    def __init__(self, parameter: str, value: object, reason: str) -> None:
        super().__init__(
            f"Invalid parameter value ({value}) for parameter. Reason: {reason}", parameter
        )


class ParameterImmutableException(ParameterException):
    """Raised when a read-only parameter is set or undeclared."""

    def __init__(self, parameter_name: str) -> None:
        super().__init__("Attempted to modify read-only parameter", parameter_name)


class ParameterUninitializedException(ParameterException):
    """Raised when a statically typed parameter is read before it has a value."""

    def __init__(self, parameter_name: str) -> None:
        super().__init__(f"The parameter '{parameter_name}' is not initialized", parameter_name)


class ROSInterruptException(Exception):
    """Raised when an operation is interrupted by a shutdown."""

    def __init__(self) -> None:
        super().__init__("rclpy.shutdown() has been called")


def destroyed() -> InvalidHandle:
    """The error for everything that is asked of what was destroyed."""
    return InvalidHandle("cannot use Destroyable because destruction was requested")


def needs_full_ros(what: str) -> NotImplementedError:
    """The error for everything that this runtime does not have."""
    return NotImplementedError(f"{what} is not in the embedded runtime: it needs a full ROS 2")
