# SPDX-License-Identifier: Apache-2.0
"""Python classes of messages and services, which behave as those that ROS 2 generates.

Two things differ, for speed. A numeric sequence keeps what it is given (`array.array`, a 1-D numpy
array of the field's dtype, and for uint8 also bytes), without a copy. Sequences of one-byte numbers
that came from the network are read-only views: see `byte_view`.
"""

from __future__ import annotations

import array
from collections import UserList, UserString
from collections.abc import Callable, Sequence, Set
from typing import Any, ClassVar, cast

import numpy as np

from rosidl_embedded import registry
from rosidl_embedded.definition import Field, FieldType, Message, Service
from rosidl_embedded.source import run_source

TYPE_CODES = {
    "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i",
    "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
DTYPES = {name: np.dtype(code) for name, code in TYPE_CODES.items()}
_BUFFERS = (np.ndarray, array.array, bytes, bytearray, memoryview)
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Check = Callable[[Any], Any]


class MessageBase:
    """What every message has; fields are properties over slots named `_<field>`."""

    __slots__: tuple[str, ...] = ()
    _interface_name = ""
    _fields_and_field_types: ClassVar[dict[str, str]] = {}

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        """Field name -> type as ROS writes it, in order."""
        return dict(cls._fields_and_field_types)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return False
        return all(_equal(getattr(self, s), getattr(other, s)) for s in type(self).__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={_plain_repr(getattr(self, name))}" for name in self._fields_and_field_types
        )
        return f"{type(self).__module__}.{type(self).__qualname__}({fields})"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, _BUFFERS) and isinstance(b, _BUFFERS):
        return np.array_equal(_numbers(a), _numbers(b))
    return a == b


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(memoryview(value))


def _plain_repr(value: object) -> str:
    if isinstance(value, (array.array, np.ndarray)):
        return repr(value.tolist())
    return repr(list(value)) if isinstance(value, bytes) and len(value) > 1 else repr(value)


def make_message_class(message: Message) -> type:
    """Class of a message or service half, with defaults, checked fields and constants."""
    package, kind, name = message.name.split("/")
    namespace: dict[str, Any] = {
        "__slots__": tuple(f"_{field.name}" for field in message.fields),
        "__module__": f"{package}.{kind}",
        "__qualname__": name,
        "__doc__": f"Message class '{name}'.",
        "__init__": _make_init(message),
        "_interface_name": message.name,
        "_fields_and_field_types": {field.name: str(field.type) for field in message.fields},
    }
    namespace.update({constant.name: constant.value for constant in message.constants})
    for field in message.fields:
        namespace[field.name] = _make_property(field)
    return type(name, (MessageBase,), namespace)


def make_service_class(service: Service) -> type:
    """Class of a service: `Request` and `Response`, and no instances."""
    package, kind, name = service.name.split("/")

    def refuse(self: object) -> None:
        raise NotImplementedError("Service classes can not be instantiated")

    namespace = {
        "__module__": f"{package}.{kind}",
        "__doc__": f"Service class '{name}'.",
        "__init__": refuse,
        "Request": registry.get_class(f"{service.name}_Request"),
        "Response": registry.get_class(f"{service.name}_Response"),
        "_interface_name": service.name,
    }
    return type(name, (), namespace)


def _make_init(message: Message) -> Callable:
    lines = ["def __init__(self, **kwargs):", "    if kwargs:"]
    known = {field.name for field in message.fields}
    scope: dict[str, Any] = {"known": known}
    lines.append(
        "        assert kwargs.keys() <= known, "
        "f'Invalid arguments passed to constructor: {sorted(kwargs.keys() - known)}'"
    )
    for field in message.fields:
        scope[f"default_{field.name}"] = _default_factory(field)
        lines.append(f"    if '{field.name}' in kwargs: self.{field.name} = kwargs['{field.name}']")
        lines.append(f"    else: self._{field.name} = default_{field.name}()")
    run_source("\n".join(lines), scope)
    return scope["__init__"]


def _default_factory(field: Field) -> Callable[[], Any]:
    kind, base, default = field.type.kind, field.type.base, field.default
    if kind == "scalar":
        if field.type.is_primitive:
            value = default if default is not None else _ZEROS.get(base, 0)
            return lambda: value
        return registry.get_class(base)
    values = list(cast(list, default)) if default is not None else []
    if base in DTYPES:
        if kind == "array":
            dtype, start = DTYPES[base], values or [0] * field.type.size
            return lambda: np.array(start, dtype=dtype)
        code = TYPE_CODES[base]
        return lambda: array.array(code, values)
    if kind == "sequence" or values:
        return lambda: list(values)
    if field.type.is_primitive:
        return lambda: [_ZEROS[base]] * field.type.size
    element = registry.get_class(base)
    return lambda: [element() for _ in range(field.type.size)]


_ZEROS: dict[str, Any] = {
    "bool": False, "byte": b"\0", "float32": 0.0, "float64": 0.0, "string": "", "wstring": "",
}  # fmt: skip


def _make_property(field: Field) -> property:
    slot = f"_{field.name}"
    check = _make_check(field.name, field.type)
    scope: dict[str, Any] = {"check": check}
    run_source(
        f"def get(self): return self.{slot}\ndef set(self, value): self.{slot} = check(value)",
        scope,
    )
    return property(scope["get"], scope["set"], doc=f"Message field '{field.name}'.")


def _make_check(name: str, field_type: FieldType) -> Check:
    if field_type.kind == "scalar":
        return _scalar_check(name, field_type)
    if field_type.base in DTYPES:
        make = _numeric_array_check if field_type.kind == "array" else _numeric_sequence_check
        return make(name, field_type)
    return _list_check(name, field_type)


def _scalar_check(name: str, field_type: FieldType) -> Check:
    base = field_type.base
    expected: type | tuple[type, ...]
    if not field_type.is_primitive:
        expected, kind = registry.get_class(base), base.rpartition("/")[2]
    elif base in ("string", "wstring"):
        expected, kind = str, "str"
    elif base == "byte":
        expected, kind = (bytes, bytearray), "bytes of length 1"
    elif base == "bool":
        expected, kind = bool, "bool"
    else:
        expected, kind = (float, "float") if base.startswith("float") else (int, "int")
    low, high = _bounds(base, field_type.string_bound)

    def check(value: Any) -> Any:
        assert isinstance(value, expected), (
            f"The '{name}' field must be of type '{kind}', not {type(value).__name__}"
        )
        if high is not None:
            measure: Any = len(value) if isinstance(value, (str, bytes, bytearray)) else value
            assert low <= measure <= high or measure != measure or abs(measure) == _INFINITY, (
                f"The '{name}' field must be in [{low}, {high}] ({base}), not {value!r}"
            )
        return value

    return check


_INFINITY = float("inf")


def _bounds(base: str, string_bound: int) -> tuple[Any, Any]:
    """Smallest and largest value (of strings: length), or None where there is no limit."""
    if base in ("string", "wstring"):
        return 0, string_bound or None
    if base == "byte":
        return 1, 1
    if base == "float32":
        return -_FLOAT32_MAX, _FLOAT32_MAX
    if base in DTYPES and base != "float64":
        info = np.iinfo(DTYPES[base])
        return int(info.min), int(info.max)
    return None, None


def _numeric_array_check(name: str, field_type: FieldType) -> Check:
    dtype, size = DTYPES[field_type.base], field_type.size

    def check(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            assert value.dtype == dtype, (
                f"The '{name}' numpy.ndarray must have the dtype '{dtype}', not '{value.dtype}'"
            )
            result = value
        else:
            result = np.array(_to_type_code(name, field_type, value), dtype=dtype)
        assert result.shape == (size,), (
            f"The '{name}' field must have {size} elements in one dimension, not {result.shape}"
        )
        return result

    return check


def _numeric_sequence_check(name: str, field_type: FieldType) -> Check:
    dtype, code = DTYPES[field_type.base], TYPE_CODES[field_type.base]
    bound = field_type.size

    def check(value: Any) -> Any:
        result: Any
        if isinstance(value, np.ndarray) and value.dtype == dtype:
            assert value.ndim == 1, f"The '{name}' field must have one dimension, not {value.ndim}"
            result = value if value.flags.c_contiguous else np.ascontiguousarray(value)
        elif isinstance(value, array.array):
            assert value.typecode == code, (
                f"The '{name}' array.array must have type code '{code}', not '{value.typecode}'"
            )
            result = value
        elif code == "B" and isinstance(value, (bytes, bytearray, memoryview)):
            result = value
        else:
            result = _to_type_code(name, field_type, value)
        assert not bound or len(result) <= bound, (
            f"The '{name}' field must have at most {bound} elements, not {len(result)}"
        )
        return result

    return check


def _to_type_code(name: str, field_type: FieldType, value: Any) -> array.array:
    _assert_collection(name, value)
    items = value.tolist() if isinstance(value, np.ndarray) else list(value)
    assert not field_type.base.startswith("float") or all(
        isinstance(x, (float, np.floating)) for x in items
    ), f"The '{name}' field must be a sequence of 'float'"
    try:
        return array.array(TYPE_CODES[field_type.base], items)
    except (TypeError, OverflowError) as error:
        raise AssertionError(
            f"The '{name}' field must be a sequence of {field_type.base}: {error}"
        ) from error


def _assert_collection(name: str, value: Any) -> None:
    assert isinstance(value, (Sequence, Set, UserList, np.ndarray, array.array)) and not isinstance(
        value, (str, UserString)
    ), f"The '{name}' field must be a set or sequence, not {type(value).__name__}"


def _list_check(name: str, field_type: FieldType) -> Check:
    element = _scalar_check(name, FieldType(field_type.base, field_type.string_bound))
    size, fixed = field_type.size, field_type.kind == "array"

    def check(value: Any) -> Any:
        _assert_collection(name, value)
        for item in value:
            element(item)
        assert not size or (len(value) == size if fixed else len(value) <= size), (
            f"The '{name}' field must have {'' if fixed else 'at most '}{size} elements, "
            f"not {len(value)}"
        )
        return value

    return check
