# SPDX-License-Identifier: Apache-2.0
"""Parameters: a name and a typed value."""

from __future__ import annotations

import array
from enum import Enum
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue

PARAMETER_SEPARATOR_STRING = "."

_FIELDS = {
    ParameterType.PARAMETER_BOOL: "bool_value",
    ParameterType.PARAMETER_INTEGER: "integer_value",
    ParameterType.PARAMETER_DOUBLE: "double_value",
    ParameterType.PARAMETER_STRING: "string_value",
    ParameterType.PARAMETER_BYTE_ARRAY: "byte_array_value",
    ParameterType.PARAMETER_BOOL_ARRAY: "bool_array_value",
    ParameterType.PARAMETER_INTEGER_ARRAY: "integer_array_value",
    ParameterType.PARAMETER_DOUBLE_ARRAY: "double_array_value",
    ParameterType.PARAMETER_STRING_ARRAY: "string_array_value",
}


class Parameter:
    """A parameter; its type follows from its value unless given."""

    class Type(Enum):
        """Types of values."""

        NOT_SET = ParameterType.PARAMETER_NOT_SET
        BOOL = ParameterType.PARAMETER_BOOL
        INTEGER = ParameterType.PARAMETER_INTEGER
        DOUBLE = ParameterType.PARAMETER_DOUBLE
        STRING = ParameterType.PARAMETER_STRING
        BYTE_ARRAY = ParameterType.PARAMETER_BYTE_ARRAY
        BOOL_ARRAY = ParameterType.PARAMETER_BOOL_ARRAY
        INTEGER_ARRAY = ParameterType.PARAMETER_INTEGER_ARRAY
        DOUBLE_ARRAY = ParameterType.PARAMETER_DOUBLE_ARRAY
        STRING_ARRAY = ParameterType.PARAMETER_STRING_ARRAY

        @classmethod
        def from_parameter_value(cls, parameter_value: Any) -> Parameter.Type:
            """Type of a Python value; raises TypeError where there is none.

            An empty list is a BYTE_ARRAY, as in ROS.
            """
            if parameter_value is None:
                return cls.NOT_SET
            for scalar, name in ((bool, "BOOL"), (int, "INTEGER"), (float, "DOUBLE"),
                               (str, "STRING")):  # fmt: skip
                if isinstance(parameter_value, scalar):
                    return cls[name]
            if isinstance(parameter_value, (list, tuple, array.array)):
                for kind, name in ((bytes, "BYTE"), (bool, "BOOL"), (int, "INTEGER"),
                                   (float, "DOUBLE"), (str, "STRING")):  # fmt: skip
                    if all(isinstance(value, kind) for value in parameter_value):
                        return cls[f"{name}_ARRAY"]
                raise TypeError(
                    "The given value is not a list of one of the allowed types "
                    f"'{parameter_value}'."
                )
            raise TypeError(f"The given value is not one of the allowed types '{parameter_value}'.")

        def check(self, parameter_value: Any) -> bool:
            """Whether a value is of this type."""
            if self is Parameter.Type.INTEGER:
                return isinstance(parameter_value, int)
            if self is Parameter.Type.BYTE_ARRAY or not isinstance(
                parameter_value, (list, tuple, array.array)
            ):
                try:
                    return Parameter.Type.from_parameter_value(parameter_value) == self
                except TypeError:
                    return False
            kinds = {"BOOL_ARRAY": bool, "INTEGER_ARRAY": int, "DOUBLE_ARRAY": float,
                     "STRING_ARRAY": str}  # fmt: skip
            kind = kinds.get(self.name)
            return kind is not None and all(isinstance(v, kind) for v in parameter_value)

    @classmethod
    def from_parameter_msg(cls, param_msg: ParameterMsg) -> Parameter:
        """From rcl_interfaces/Parameter."""
        return cls(
            param_msg.name,
            Parameter.Type(param_msg.value.type),
            parameter_value_to_python(param_msg.value),
        )

    def __init__(self, name: str, type_: Parameter.Type | None = None, value: Any = None) -> None:
        if type_ is None:
            type_ = Parameter.Type.from_parameter_value(value)
        if not isinstance(type_, Parameter.Type):
            raise TypeError(f"type must be an instance of '{Parameter.Type!r}'")
        if not type_.check(value):
            raise ValueError(f"Type '{type_}' and value '{value}' do not agree")
        self._type_ = type_
        self._name = name
        self._value = value

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def type_(self) -> Parameter.Type:
        """The type."""
        return self._type_

    @property
    def value(self) -> Any:
        """The value."""
        return self._value

    def get_parameter_value(self) -> ParameterValue:
        """As rcl_interfaces/ParameterValue."""
        message = ParameterValue(type=self.type_.value)
        if self.type_ is not Parameter.Type.NOT_SET:
            value = self.value
            setattr(message, _FIELDS[self.type_.value], list(value) if _is_array(value) else value)
        return message

    def to_parameter_msg(self) -> ParameterMsg:
        """As rcl_interfaces/Parameter."""
        return ParameterMsg(name=self.name, value=self.get_parameter_value())

    def __repr__(self) -> str:
        return f"Parameter(name={self.name!r}, type_={self.type_}, value={self.value!r})"


def _is_array(value: Any) -> bool:
    return isinstance(value, (list, tuple, array.array))


def parameter_value_to_python(parameter_value: ParameterValue) -> Any:
    """Python value of a rcl_interfaces/ParameterValue; raises RuntimeError for an unknown type."""
    if parameter_value.type == ParameterType.PARAMETER_NOT_SET:
        return None
    try:
        value = getattr(parameter_value, _FIELDS[parameter_value.type])
    except KeyError:
        raise RuntimeError(f"unexpected parameter type {parameter_value.type}") from None
    return value if isinstance(value, (bool, int, float, str)) else [*_plain(value)]


def _plain(values: Any) -> list:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def get_parameter_value(string_value: str) -> ParameterValue:
    """Read a value as command lines write it: YAML."""
    from rclpy.impl.yaml_text import load_yaml

    try:
        value = load_yaml(string_value)
        return Parameter("", value=value).get_parameter_value()
    except Exception:
        return Parameter("", value=string_value).get_parameter_value()


def parameter_dict_from_yaml_file(
    parameter_file: str,
    use_wildcard: bool = False,
    target_nodes: list[str] | None = None,
    namespace: str = "",
) -> dict[str, ParameterMsg]:
    """Parameters of a file by name, for the given nodes (all by default).

    Raises RuntimeError where the file has none for them, or values that no parameter can have.
    """
    from rclpy.impl.arguments import matches, read_parameter_file
    from rclpy.impl.parameter_checks import given_parameter
    from rclpy.impl.yaml_text import load_yaml

    found: dict[str, ParameterMsg] = {}
    hit = False
    for pattern, parameters in read_parameter_file(Path(parameter_file), load_yaml):
        if pattern == "/**":
            wanted = use_wildcard
        else:
            wanted = not target_nodes or any(matches(pattern, node) for node in target_nodes)
        if not wanted:
            continue
        hit = True
        for name, value in parameters.items():
            full = f"{namespace}{PARAMETER_SEPARATOR_STRING}{name}" if namespace else name
            found[full] = given_parameter(full, value).to_parameter_msg()
    if target_nodes and not hit:
        raise RuntimeError(f"Param file does not contain any valid parameters for {target_nodes}")
    return found
