# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names are rclpy's
"""Exceptions, with rclpy's names, arguments and bases."""

from __future__ import annotations


class NotInitializedException(Exception):
    """Raised when the context is not initialised."""

    def __init__(self, *args: object) -> None:
        super().__init__("rclpy.init() has not been called", *args)


class InvalidHandle(RuntimeError):
    """Raised when something destroyed is used."""


class NoTypeSupportImportedException(Exception):
    """Raised when an object is used as a type that is no interface."""


class InvalidTypeSupport(TypeError, AttributeError):
    """Raised when a class is no interface class."""


class NameValidationException(Exception):
    """Raised when a name does not keep the rules."""

    def __init__(
        self, name_type: str, name: str, error_msg: str, invalid_index: int, *args: object
    ) -> None:
        msg = f"Invalid {name_type}: {error_msg}:\n  '{name}'\n   {' ' * (invalid_index or 0)}^"
        super().__init__(msg)
        self.name_type = name_type
        self.name = name
        self.error_msg = error_msg
        self.invalid_index = invalid_index


class InvalidNamespaceException(NameValidationException):
    """Raised when a namespace is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int, *args: object) -> None:
        super().__init__("namespace", name, error_msg, invalid_index)


class InvalidNodeNameException(NameValidationException):
    """Raised when a node name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int, *args: object) -> None:
        super().__init__("node name", name, error_msg, invalid_index)


class InvalidTopicNameException(NameValidationException):
    """Raised when a topic name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int, *args: object) -> None:
        super().__init__("topic name", name, error_msg, invalid_index)


class InvalidServiceNameException(NameValidationException):
    """Raised when a service name is invalid."""

    def __init__(self, name: str, error_msg: str, invalid_index: int, *args: object) -> None:
        super().__init__("service name", name, error_msg, invalid_index)


class ParameterException(Exception):
    """Base of what can go wrong with parameters."""

    def __init__(self, error_msg: str, parameters: object, *args: object) -> None:
        super().__init__(f"{error_msg}: {parameters}", *args)


class ParameterNotDeclaredException(ParameterException):
    """Raised when an undeclared parameter is used."""

    def __init__(self, parameters: object, *args: object) -> None:
        super().__init__("Invalid access to undeclared parameter(s)", parameters, *args)


class ParameterAlreadyDeclaredException(ParameterException):
    """Raised when a parameter is declared twice."""

    def __init__(self, parameters: object, *args: object) -> None:
        super().__init__("Parameter(s) already declared", parameters, *args)


class InvalidParameterException(ParameterException):
    """Raised when a parameter name is invalid."""

    def __init__(self, parameter: object, *args: object) -> None:
        super().__init__("Invalid parameter name", parameter, *args)


class InvalidParameterTypeException(ParameterException):
    """Raised when a parameter is given a value of another type than declared."""

    def __init__(self, desired_parameter: object, expected_type: object, *args: object) -> None:
        self.param_name = desired_parameter.name  # type: ignore[attr-defined]
        Exception.__init__(
            self,
            f"Trying to set parameter '{self.param_name}' to "
            f"'{desired_parameter.value}' of type "  # type: ignore[attr-defined]
            f"'{desired_parameter.type_.name}', "  # type: ignore[attr-defined]
            f"expecting type '{getattr(expected_type, 'name', expected_type)}'",
            *args,
        )


class InvalidParameterValueException(ParameterException):
    """Raised when a parameter value is rejected; the message holds the reason."""

    def __init__(self, parameter: object, value: object, reason: object, *args: object) -> None:
        Exception.__init__(
            self,
            f"Invalid parameter value ({value}) for parameter. Reason: {reason}"
            if not parameter
            else f"Parameter {parameter} has an invalid value: {value}. Reason: {reason}",
            *args,
        )


class ParameterImmutableException(ParameterException):
    """Raised when a read-only parameter is set or undeclared."""

    def __init__(self, parameter: object, *args: object) -> None:
        Exception.__init__(self, f"Attempted to modify read-only parameter: {parameter}", *args)


class ParameterUninitializedException(ParameterException):
    """Raised when a statically typed parameter is read before it has a value."""

    def __init__(self, parameter: object, *args: object) -> None:
        Exception.__init__(self, f"The parameter '{parameter}' is not initialized", *args)


class ROSInterruptException(Exception):
    """Raised when an operation is interrupted by a shutdown."""

    def __init__(self, *args: object) -> None:
        super().__init__("rclpy.shutdown() has been called", *args)


def needs_full_ros(what: str) -> NotImplementedError:
    """The error for everything that this runtime does not have."""
    return NotImplementedError(f"{what} is not in the embedded runtime: it needs a full ROS 2")
