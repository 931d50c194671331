# SPDX-License-Identifier: Apache-2.0
"""Bytes to messages; whatever does not fit raises.

Sequences of numbers are of `array.array` and arrays of numpy, as in ROS. Those of one-byte numbers,
which may be large, are read-only views on the bytes.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from rosidl_embedded import registry
from rosidl_embedded.byte_view import ByteView
from rosidl_embedded.cdr.layout import CdrError, Source, run_format, runs_of, steps_of
from rosidl_embedded.cdr.walking import (
    emit_alignment,
    emit_count,
    get_count,
    make_walker,
    makes_objects,
    pass_string,
)
from rosidl_embedded.definition import STRINGS, FieldType, Message
from rosidl_embedded.message_class import DTYPES, TYPE_CODES

_BYTES = [bytes([i]) for i in range(256)]
_readers: dict[tuple[type, str], tuple[Callable, Callable | None]] = {}


def reader(
    message_class: Any, order: str
) -> tuple[Callable[[memoryview, int, int], tuple[Any, int]], Callable | None]:
    """What reads a message, and what walks it first where objects are made of its bytes."""
    found = _readers.get((message_class, order))
    if found is None:
        name = message_class._interface_name
        walk = make_walker(name, order) if makes_objects(name) else None
        found = _readers[message_class, order] = _make_reader(message_class, order), walk
    return found


def _make_reader(message_class: Any, order: str) -> Callable:
    """`codec(d, o, end)`: body bytes, offset, length of the body -> message, next offset."""
    source = Source("def codec(d, o, end):")
    source.add("m = object.__new__(" + source.name("cls", message_class) + ")")
    message = registry.get_message(message_class._interface_name)
    _emit_nested(source, message, "m")
    for run in runs_of(steps_of(message)):
        first = run[0]
        target = ".".join(("m", *first.path)) if first.path else "_"
        if first.type.kind == "scalar" and first.type.base not in STRINGS:
            form, alignment = run_format(run)
            codec = struct.Struct(order + form)
            targets = "".join((".".join(("m", *s.path)) if s.path else "_") + ", " for s in run)
            emit_alignment(source, alignment)
            source.add(f"{targets}= {source.name('unpack', codec.unpack_from)}(d, o)")
            source.add(f"o += {codec.size}")
        elif first.type.kind == "scalar":
            for line in _get_text(source, first.type.base, target, order):
                source.add(line)
        else:
            _emit_collection_reader(source, first.type, target, order)
    source.add("return m, o")
    return source.compile()


def _emit_nested(source: Source, message: Message, variable: str) -> None:
    """Make the objects of nested structures, outermost first."""
    for field in message.fields:
        if field.type.kind == "scalar" and not field.type.is_primitive:
            nested = f"{variable}._{field.name}"
            cls = source.name("cls", registry.get_class(field.type.base))
            source.add(f"{nested} = object.__new__({cls})")
            _emit_nested(source, registry.get_message(field.type.base), nested)


def _emit_collection_reader(source: Source, field_type: FieldType, target: str, order: str) -> None:
    base, count = field_type.base, emit_count(source, field_type, order)
    if base in DTYPES:
        get = source.name("get", _number_reader(field_type, order))
        source.add(f"{target}, o = {get}(d, o, end, {count})")
    elif base in ("bool", "byte"):
        table = source.name("table", [False, *[True] * 255] if base == "bool" else _BYTES)
        source.add(f"if o + {count} > end: raise IndexError('values are missing')")
        source.add(f"{target} = [{table}[i] for i in d[o:o + {count}]]")
        source.add(f"o += {count}")
    else:
        if base in STRINGS:
            lines = _get_text(source, base, "item", order)
        else:
            read, _ = reader(registry.get_class(base), order)
            lines = [f"item, o = {source.name('get', read)}(d, o, end)"]
        source.add("items = []")
        source.add(f"for _ in range({count}):")
        for line in (*lines, "items.append(item)"):
            source.add(f"    {line}")
        source.add(f"{target} = items")


def _get_text(source: Source, base: str, target: str, order: str) -> list[str]:
    """Lines that read a string of either kind."""
    if base == "string":
        return [*pass_string(source, order), f"{target} = str(d[a:o - 1], 'utf-8', 'replace')"]
    return [f"{target}, o = {source.name('get', _get_wstring)}(d, o, end, '{order}')"]


def _get_wstring(d: memoryview, o: int, end: int, order: str) -> tuple[str, int]:
    count, o = get_count(d, o, end, order, 4, 2**32)
    units = np.frombuffer(d, f"{order}u4", count, o) if count else np.zeros(0, np.uint32)
    return units.astype("<u2").tobytes().decode("utf-16-le", "replace"), o + 4 * count


def _number_reader(field_type: FieldType, order: str) -> Callable:
    """`get(d, o, end, count)`: the numbers, next offset."""
    code, dtype = TYPE_CODES[field_type.base], DTYPES[field_type.base]
    wire_order: Any = order
    size, foreign = dtype.itemsize, dtype.newbyteorder(wire_order)
    is_array, is_foreign = field_type.kind == "array", not foreign.isnative

    def get_sequence(d: memoryview, o: int, end: int, count: int) -> tuple[Any, int]:
        numbers = array.array(code)
        if count:
            o, stop = _span(o, end, count, size)
            numbers.frombytes(d[o:stop])
            o = stop
            if is_foreign:
                numbers.byteswap()
        return numbers, o

    def get_array(d: memoryview, o: int, end: int, count: int) -> tuple[Any, int]:
        o, stop = _span(o, end, count, size)
        numbers = np.frombuffer(d, foreign, count, o)
        return numbers if size == 1 else numbers.astype(dtype), stop

    def get_bytes(d: memoryview, o: int, end: int, count: int) -> tuple[Any, int]:
        if not count:
            return _empty(dtype), o
        o, stop = _span(o, end, count, 1)
        return np.frombuffer(d, dtype, count, o).view(ByteView), stop

    return get_array if is_array else get_bytes if size == 1 else get_sequence


def _span(o: int, end: int, count: int, size: int) -> tuple[int, int]:
    """Where numbers begin and end; raises CdrError where some are missing."""
    o = o + size - 1 & -size
    if o + count * size > end:
        raise CdrError(f"{count} numbers at byte {o} do not fit")
    return o, o + count * size


@cache
def _empty(dtype: np.dtype) -> np.ndarray:
    """The one read-only sequence without numbers: a list of messages may hold it many times."""
    return np.frombuffer(b"", dtype).view(ByteView)
