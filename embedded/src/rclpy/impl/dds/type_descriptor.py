# SPDX-License-Identifier: Apache-2.0
"""What Cyclone DDS needs to know of a type: its name and a program that checks its CDR.

The program is Cyclone's marshalling bytecode. Samples are never turned into C structures, but the
library validates every sample that arrives with it, so that damaged ones are dropped in C.
"""

from __future__ import annotations

import ctypes as ct
from functools import cache

from rosidl_embedded.definition import EMPTY_MEMBER, STRINGS, Field, FieldType, Message
from rosidl_embedded.registry import get_message

from rclpy.impl.dds.library import TopicDescriptor

_ADR = 1 << 24
_STRING, _SEQUENCE, _ARRAY, _STRUCT = 5, 7, 8, 10
_RETURN = 0
# Opcode of a number of 1, 2, 4, 8 bytes.
_NUMBER = {1: 1, 2: 2, 4: 3, 8: 4}
_SIZES = {
    "bool": 1, "byte": 1, "char": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
_POINTER_SIZE, _SEQUENCE_SIZE = 8, 24
# Client id and sequence number, in front of each half of a service.
_SERVICE_HEADER = (Field("client_id", FieldType("uint64")), Field("number", FieldType("int64")))


def dds_type_name(name: str) -> str:
    """`std_msgs/msg/String` -> `std_msgs::msg::dds_::String_`."""
    package, kind, short = name.split("/")
    return f"{package}::{kind}::dds_::{short}_"


def ros_type_name(dds_name: str) -> str:
    """`std_msgs::msg::dds_::String_` -> `std_msgs/msg/String`; other names stay as they are."""
    parts = dds_name.split("::")
    if len(parts) == 4 and parts[2] == "dds_" and parts[3].endswith("_"):
        return f"{parts[0]}/{parts[1]}/{parts[3][:-1]}"
    return dds_name


@cache
def topic_descriptor(name: str, service: bool = False) -> TopicDescriptor:
    """Descriptor of a message, or of a service half with its header."""
    message = get_message(name)
    if service:
        members = message.fields or (Field(EMPTY_MEMBER, FieldType("uint8")),)
        message = Message(name, _SERVICE_HEADER + members)
    program = _Program()
    size, _ = program.compile(message)
    words = program.link()
    ops = (ct.c_uint32 * len(words))(*words)
    return TopicDescriptor(
        size, 8, 0, 0, dds_type_name(name).encode(), None, len(words), ops, b"", None, 0, None, 0, 0
    )


class _Program:
    """Instructions of a type and of the structures in its sequences and arrays."""

    def __init__(self) -> None:
        self._routines: list[list[int | _Jump]] = []

    def compile(self, message: Message) -> tuple[int, int]:
        """Add a routine for a structure; returns the size and alignment of its C structure."""
        words: list[int | _Jump] = []
        self._routines.append(words)
        size, alignment = self._members(message, 0, words)
        words.append(_RETURN)
        return size + -size % alignment, alignment

    def link(self) -> list[int]:
        """All routines one after another, jumps resolved."""
        starts, position = [], 0
        for routine in self._routines:
            starts.append(position)
            position += len(routine)
        linked: list[int] = []
        for start, routine in zip(starts, self._routines, strict=True):
            for index, word in enumerate(routine):
                if isinstance(word, _Jump):
                    origin = start + index - word.back
                    word = (word.length << 16) | (starts[word.routine] - origin)
                linked.append(word)
        return linked

    def _members(self, message: Message, offset: int, words: list) -> tuple[int, int]:
        """Instructions of the members from `offset` on; returns end and largest alignment."""
        largest = 1
        for field in message.fields or (Field(EMPTY_MEMBER, FieldType("uint8")),):
            if field.type.kind == "scalar" and not field.type.is_primitive:
                nested = get_message(field.type.base)
                alignment = _alignment(nested)
                offset += -offset % alignment
                offset, _ = self._members(nested, offset, words)
                offset += -offset % alignment
            else:
                alignment, size = self._member(field.type, offset, words)
                offset += -offset % alignment + size
            largest = max(largest, alignment)
        return offset, largest

    def _member(self, field_type: FieldType, offset: int, words: list) -> tuple[int, int]:
        """One instruction; returns alignment and size of the member in its C structure."""
        opcode, element_size, alignment = self._element(field_type)
        if field_type.base == "wstring":
            # On the wire a wstring is what a sequence of uint32 would be.
            words += [_ADR | _SEQUENCE << 16 | _NUMBER[4] << 8, offset + -offset % 8]
            return 8, _SEQUENCE_SIZE
        if field_type.kind == "scalar":
            words += [_ADR | opcode << 16, offset + -offset % alignment]
            return alignment, element_size
        if field_type.kind == "sequence":
            words += [_ADR | _SEQUENCE << 16 | opcode << 8, offset + -offset % 8]
            if opcode == _STRUCT:
                words += [element_size, _Jump(len(self._routines), 4, 3)]
                self.compile(get_message(field_type.base))
            return 8, _SEQUENCE_SIZE
        words += [_ADR | _ARRAY << 16 | opcode << 8, offset + -offset % alignment, field_type.size]
        if opcode == _STRUCT:
            words += [_Jump(len(self._routines), 5, 3), element_size]
            self.compile(get_message(field_type.base))
        return alignment, element_size * field_type.size

    @staticmethod
    def _element(field_type: FieldType) -> tuple[int, int, int]:
        """Opcode, size and alignment of one element."""
        if field_type.base in STRINGS:
            return _STRING, _POINTER_SIZE, _POINTER_SIZE
        if field_type.is_primitive:
            size = _SIZES[field_type.base]
            return _NUMBER[size], size, size
        nested = get_message(field_type.base)
        size, alignment = _Program().compile(nested)
        return _STRUCT, size, alignment


class _Jump:
    """A word that holds the length of its instruction and the way to a routine."""

    def __init__(self, routine: int, length: int, back: int) -> None:
        self.routine, self.length, self.back = routine, length, back


def _alignment(message: Message) -> int:
    return _Program().compile(message)[1]
