# SPDX-License-Identifier: Apache-2.0
"""What an interface is: fields, constants, and the reader of .msg and .srv text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword

PRIMITIVES = frozenset(
    (
        "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16",
        "int32", "uint32", "int64", "uint64", "string", "wstring",
    )
)  # fmt: skip
STRINGS = frozenset(("string", "wstring"))
# An empty structure has this member on the wire, and nowhere else.
EMPTY_MEMBER = "structure_needs_at_least_one_member"

_TYPE = re.compile(
    r"(?P<base>[A-Za-z][\w/]*)(?:<=(?P<bound>\d+))?(?:\[(?P<upto><=)?(?P<size>\d*)\])?"
)
_NAME = re.compile(r"([A-Za-z]\w*)\s*(.*)", re.DOTALL)
# A value of an array and the comma after it; one inside quotation marks belongs to the value.
_ITEM = re.compile(r"""((?:[^,"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|["'])*),""")
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class InterfaceError(Exception):
    """A definition that cannot be read, found or used."""


@dataclass(frozen=True)
class FieldType:
    """Type of a field: a primitive or `package/msg/Name`, alone, in an array or in a sequence."""

    base: str
    string_bound: int = 0  # 0: unbounded
    kind: str = "scalar"  # scalar, array, sequence
    size: int = 0  # elements of an array, upper bound of a sequence (0: unbounded)

    @property
    def is_primitive(self) -> bool:
        """Whether the element is a number, a bool, a byte or a string."""
        return self.base in PRIMITIVES

    def __str__(self) -> str:
        """The type as ROS writes it: `sequence<uint8>`, `double[9]`, `std_msgs/Header`."""
        base = _IDL_NAMES.get(self.base) or self.base.replace("/msg/", "/").replace("/srv/", "/")
        if self.string_bound:
            base = f"{base}<{self.string_bound}>"
        if self.kind == "array":
            return f"{base}[{self.size}]"
        if self.kind == "sequence":
            return f"sequence<{base}, {self.size}>" if self.size else f"sequence<{base}>"
        return base


_IDL_NAMES = {
    "bool": "boolean", "byte": "octet", "char": "uint8", "float32": "float", "float64": "double",
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field; `default` is None where the definition gives none."""

    name: str
    type: FieldType
    default: object = None


@dataclass(frozen=True)
class Constant:
    """One constant of a message."""

    name: str
    type: str
    value: object


@dataclass(frozen=True)
class Message:
    """A message, or one half of a service; `name` is `package/msg/Name`."""

    name: str
    fields: tuple[Field, ...]
    constants: tuple[Constant, ...] = ()


@dataclass(frozen=True)
class Service:
    """A service; its halves are named `package/srv/Name_Request` and `..._Response`."""

    name: str
    request: Message
    response: Message


def parse_message(name: str, text: str) -> Message:
    """Read .msg text. `name` is `package/kind/Name`; raises InterfaceError with the line."""
    package = name.split("/")[0]
    fields: list[Field] = []
    constants: list[Constant] = []
    for number, line in enumerate(text.splitlines(), 1):
        content = _strip_comment(line).replace("\t", " ").strip()
        if not content:
            continue
        try:
            item = _parse_line(package, content)
        except ValueError as error:
            raise InterfaceError(
                f"{name}, line {number}: cannot read '{line}' ({error})"
            ) from error
        if isinstance(item, Constant):
            constants.append(item)
        else:
            fields.append(item)
    return Message(name, tuple(fields), tuple(constants))


def parse_service(name: str, text: str) -> Service:
    """Read .srv text: a request, a line of three dashes, a response."""
    halves = re.split(r"^---[ \t]*$", text, flags=re.MULTILINE)
    if len(halves) != 2:
        raise InterfaceError(f"{name}: a service needs exactly one line '---'")
    request, response = halves
    return Service(
        name, parse_message(f"{name}_Request", request), parse_message(f"{name}_Response", response)
    )


def _strip_comment(line: str) -> str:
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#":
            return line[:index]
    return line.partition("#")[0] if quote else line


def _parse_line(package: str, content: str) -> Field | Constant:
    type_text, _, rest = content.partition(" ")
    field_type = parse_type(package, type_text)
    match = _NAME.fullmatch(rest.strip())
    if match is None:
        raise ValueError("no field name")
    name, value = match.groups()
    if iskeyword(name):
        raise ValueError(f"'{name}' is a word of Python")
    if value and not field_type.is_primitive:
        raise ValueError("a value for what is not a primitive")
    if value.startswith("="):
        return Constant(name, field_type.base, _parse_value(field_type.base, value[1:].strip()))
    if not value:
        return Field(name, field_type)
    if field_type.kind == "scalar":
        return Field(name, field_type, _parse_value(field_type.base, value))
    return Field(name, field_type, _parse_values(field_type, value))


def parse_type(package: str, text: str) -> FieldType:
    """Read a type as .msg files write it; a bare message name belongs to `package`."""
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"no type: {text}")
    base = match["base"]
    if base not in PRIMITIVES:
        parts = base.split("/")
        owner = {"Header": "std_msgs"}.get(base, package) if len(parts) == 1 else parts[0]
        base = f"{owner}/msg/{parts[-1]}"
    bound = int(match["bound"] or 0)
    if match["size"] is None:
        return FieldType(base, bound)
    if match["size"] and not match["upto"]:
        return FieldType(base, bound, "array", int(match["size"]))
    return FieldType(base, bound, "sequence", int(match["size"] or 0))


def _parse_values(field_type: FieldType, text: str) -> list[object]:
    if text[0] != "[" or text[-1] != "]":
        raise ValueError("no values in brackets")
    inner = text[1:-1].strip()
    items = _ITEM.findall(f"{inner},") if inner else []
    size = field_type.size
    if size and (len(items) > size or (field_type.kind == "array" and len(items) < size)):
        raise ValueError(f"{len(items)} values for {size}")
    return [_parse_value(field_type.base, item.strip()) for item in items]


def _parse_value(base: str, text: str) -> object:
    if base in STRINGS:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1].replace(f"\\{text[0]}", text[0]) if quoted else text
    if base == "bool":
        if text.lower() not in _BOOLS:
            raise ValueError(f"neither true nor false: '{text}'")
        return _BOOLS[text.lower()]
    if base.startswith("float"):
        return float(text)
    number = int(text, 0)
    bits = 8 if base in ("byte", "char") else int(base.strip("uint"))
    lowest = -(1 << (bits - 1)) if base.startswith("int") else 0
    if not lowest <= number < lowest + (1 << bits):
        raise ValueError(f"{number} is no {base}")
    return bytes([number]) if base == "byte" else number
