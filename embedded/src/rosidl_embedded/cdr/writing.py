# SPDX-License-Identifier: Apache-2.0
"""Messages to bytes. Neighbouring fields of fixed size share one `struct` call."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from rosidl_embedded import registry
from rosidl_embedded.cdr.layout import SIZES, Source, run_format, runs_of, steps_of
from rosidl_embedded.definition import STRINGS, FieldType
from rosidl_embedded.message_class import DTYPES

# Arrays from this size on are sent as they are, not copied into the buffer of small fields.
_LARGE = 4096
_PADDING = {n: [bytes(-i % n) for i in range(n)] for n in (2, 4, 8)}
_U32 = struct.Struct("<I")
_writers: dict[type, Callable] = {}


def writer(message_class: type) -> Callable[[Any, bytearray, list[memoryview]], bytearray]:
    writer = _writers.get(message_class)
    if writer is None:
        writer = _writers[message_class] = _make_writer(message_class)
    return writer


def _make_writer(message_class: Any) -> Callable:
    source = Source("def codec(m, b, parts):")
    for run in runs_of(steps_of(registry.get_message(message_class._interface_name))):
        first = run[0]
        value = ".".join(("m", *first.path))
        if first.type.kind == "scalar" and first.type.base not in STRINGS:
            form, alignment = run_format(run)
            pack = source.name("pack", struct.Struct("<" + form).pack)
            values = ", ".join(".".join(("m", *s.path)) if s.path else "0" for s in run)
            _emit_padding(source, alignment)
            source.add(f"b += {pack}({values})")
        elif first.type.kind == "scalar":
            put = source.name("put", _put_string if first.type.base == "string" else _put_wstring)
            source.add(f"{put}(b, {value})")
        else:
            _emit_collection_writer(source, first.type, value)
    source.add("return b")
    return source.compile()


def _emit_padding(source: Source, alignment: int) -> None:
    if alignment > 1:
        padding = source.name("padding", _PADDING[alignment])
        source.add(f"b += {padding}[len(b) & {alignment - 1}]")


def _emit_collection_writer(source: Source, field_type: FieldType, value: str) -> None:
    if field_type.kind == "array":
        if field_type.base not in DTYPES:
            source.add(f"assert len({value}) == {field_type.size}, 'wrong number of elements'")
    elif field_type.base not in DTYPES:
        _emit_padding(source, 4)
        source.add(f"b += {source.name('u32', _U32.pack)}(len({value}))")
    if field_type.base in DTYPES:
        put = source.name("put", _put_numbers)
        counted = field_type.kind == "sequence"
        source.add(f"b = {put}(b, parts, {value}, {SIZES[field_type.base]}, {counted})")
    elif field_type.base == "bool":
        source.add(f"b += bytes({value})")
    elif field_type.base == "byte":
        source.add(f"b += b''.join({value})")
    elif field_type.base in STRINGS:
        put = source.name("put", _put_string if field_type.base == "string" else _put_wstring)
        source.add(f"for item in {value}: {put}(b, item)")
    else:
        put = source.name("put", writer(registry.get_class(field_type.base)))
        source.add(f"for item in {value}: b = {put}(item, b, parts)")


def _put_string(b: bytearray, value: str) -> None:
    raw = value.encode()
    b += _PADDING[4][len(b) & 3]
    b += _U32.pack(len(raw) + 1)
    b += raw
    b.append(0)


def _put_wstring(b: bytearray, value: str) -> None:
    units = np.frombuffer(value.encode("utf-16-le"), np.uint16)
    b += _PADDING[4][len(b) & 3]
    b += _U32.pack(len(units))
    b += units.astype("<u4").tobytes()


def _put_numbers(
    b: bytearray, parts: list[memoryview], value: Any, size: int, counted: bool
) -> bytearray:
    raw = memoryview(value)
    if counted:
        b += _PADDING[4][len(b) & 3]
        b += _U32.pack(len(value))
        if not raw.nbytes:
            return b
    if size > 1:
        b += _PADDING[size][len(b) & (size - 1)]
    if raw.nbytes < _LARGE:
        b += raw.tobytes()
        return b
    close(b, parts)
    parts.append(raw.cast("B"))
    return bytearray((sum(map(len, parts)) + 4) & 7)


def close(buffer: bytearray, parts: list[memoryview]) -> None:
    sent = sum(map(len, parts))
    parts.append(memoryview(buffer)[(sent + 4) & 7 :])
