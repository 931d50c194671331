# SPDX-License-Identifier: Apache-2.0
"""XCDR1 codec of messages: straight-line Python made once per type.

Written: a list of buffers to be sent one after another, in which a large array appears as itself,
so nothing is copied here. Read: large arrays are read-only views on the given buffer. Neighbouring
fields of fixed size share one `struct` call. Alignment counts from after the encapsulation header;
a string is its length with the NUL, its bytes and the NUL; a wstring holds four bytes per UTF-16
unit; an empty structure is one zero byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rosidl_embedded import registry
from rosidl_embedded.definition import STRINGS, FieldType, Message
from rosidl_embedded.message_class import DTYPES

HEADER_LE = b"\0\1\0\0"
# Arrays from this size on are sent as they are, not copied into the buffer of small fields.
_LARGE = 4096

_FORMATS = {
    "bool": "?", "byte": "c", "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H",
    "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_SIZES = {name: struct.calcsize(f"<{code}") for name, code in _FORMATS.items()}
_PADDING = {n: [bytes(-i % n) for i in range(n)] for n in (2, 4, 8)}
_U32 = struct.Struct("<I")
_BYTES = [bytes([i]) for i in range(256)]


class CdrError(ValueError):
    """Bytes that are not a message of the expected type."""


def serialize(message: Any, prefix: bytes = b"") -> list[memoryview]:
    """Encapsulated little-endian CDR of a message as buffers to be joined.

    `prefix` comes between the encapsulation and the body; its length is a multiple of 8.
    """
    parts: list[memoryview] = []
    # Four bytes more than are sent, so that alignment is that of len(buffer).
    buffer = bytearray(b"\0\0\0\0" + HEADER_LE + prefix)
    buffer = _writer(type(message))(message, buffer, parts)
    _close(buffer, parts)
    return parts


def deserialize(data: memoryview | bytes, message_class: type, skip: int = 0) -> Any:
    """Message from encapsulated CDR of either byte order, up to 3 bytes of padding tolerated.

    `skip` bytes after the encapsulation are passed over (a multiple of 8). Arrays are views on
    `data`. Raises CdrError for anything that is not such a message.
    """
    data = memoryview(data).toreadonly()
    if len(data) < 4 + skip or data[0] != 0 or data[1] > 1:
        raise CdrError(f"no CDR encapsulation: {bytes(data[:4]).hex() or 'no bytes'}")
    body = data[4 + skip :]
    try:
        message, end = _reader(message_class, "<" if data[1] else ">")(body, 0, len(body))
    except (struct.error, IndexError) as error:
        raise CdrError(f"ends inside a field: {error}") from error
    if len(body) - end > 3:
        raise CdrError(f"{len(body) - end} bytes too many")
    return message


def _close(buffer: bytearray, parts: list[memoryview]) -> None:
    sent = sum(map(len, parts))
    parts.append(memoryview(buffer)[(sent + 4) & 7 :])


@dataclass
class _Step:
    """One thing to read or write in order; `path` leads from the message to the field's slot."""

    path: tuple[str, ...]
    type: FieldType


def _steps(message: Message, path: tuple[str, ...] = ()) -> list[_Step]:
    """Fields in wire order, nested structures flattened."""
    if not message.fields:
        return [_Step((), FieldType("uint8"))]
    steps = []
    for field in message.fields:
        here = (*path, f"_{field.name}")
        if field.type.kind == "scalar" and not field.type.is_primitive:
            steps += _steps(registry.get_message(field.type.base), here)
        else:
            steps.append(_Step(here, field.type))
    return steps


def _runs(steps: list[_Step]) -> list[list[_Step]]:
    """Group neighbours of fixed size whose layout follows from the alignment of the first."""
    runs: list[list[_Step]] = []
    limit = 0
    for step in steps:
        size = _SIZES.get(step.type.base, 0) if step.type.kind == "scalar" else 0
        if size and limit >= size:
            runs[-1].append(step)
        else:
            runs.append([step])
            limit = size
    return runs


def _run_format(run: list[_Step]) -> tuple[str, int]:
    """`struct` format (without byte order) and alignment of a run."""
    form, position = "", 0
    for step in run:
        size = _SIZES[step.type.base]
        form += "x" * (-position % size) + _FORMATS[step.type.base]
        position += -position % size + size
    return form, _SIZES[run[0].type.base]


def minimum_size(field_type: FieldType) -> int:
    """Least number of bytes that one element can take on the wire."""
    if field_type.base in STRINGS:
        return 5 if field_type.base == "string" else 4
    if field_type.is_primitive:
        return _SIZES[field_type.base]
    total = 0
    for step in _steps(registry.get_message(field_type.base)):
        if step.type.kind == "sequence":
            total += 4
        else:
            count = step.type.size if step.type.kind == "array" else 1
            total += count * minimum_size(FieldType(step.type.base))
    return total


class _Source:
    """Lines of one function and the names that it uses."""

    def __init__(self, signature: str) -> None:
        self.lines = [signature]
        self.scope: dict[str, Any] = {}

    def add(self, line: str) -> None:
        self.lines.append(f"    {line}")

    def name(self, prefix: str, value: object) -> str:
        label = f"{prefix}{len(self.scope)}"
        self.scope[label] = value
        return label

    def compile(self) -> Callable:
        scope = dict(self.scope)
        exec("\n".join(self.lines), scope)
        return scope["codec"]


# Writing


_writers: dict[type, Callable] = {}
_readers: dict[tuple[type, str], Callable] = {}


def _writer(message_class: type) -> Callable[[Any, bytearray, list[memoryview]], bytearray]:
    writer = _writers.get(message_class)
    if writer is None:
        writer = _writers[message_class] = _make_writer(message_class)
    return writer


def _make_writer(message_class: Any) -> Callable:
    source = _Source("def codec(m, b, parts):")
    for run in _runs(_steps(registry.get_message(message_class._interface_name))):
        first = run[0]
        value = ".".join(("m", *first.path))
        if first.type.kind == "scalar" and first.type.base not in STRINGS:
            form, alignment = _run_format(run)
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


def _emit_padding(source: _Source, alignment: int) -> None:
    if alignment > 1:
        padding = source.name("padding", _PADDING[alignment])
        source.add(f"b += {padding}[len(b) & {alignment - 1}]")


def _emit_collection_writer(source: _Source, field_type: FieldType, value: str) -> None:
    if field_type.kind == "array":
        if field_type.base not in DTYPES:
            source.add(f"assert len({value}) == {field_type.size}, 'wrong number of elements'")
    elif field_type.base not in DTYPES:
        _emit_padding(source, 4)
        source.add(f"b += {source.name('u32', _U32.pack)}(len({value}))")
    if field_type.base in DTYPES:
        put = source.name("put", _put_numbers)
        counted = field_type.kind == "sequence"
        source.add(f"b = {put}(b, parts, {value}, {_SIZES[field_type.base]}, {counted})")
    elif field_type.base == "bool":
        source.add(f"b += bytes({value})")
    elif field_type.base == "byte":
        source.add(f"b += b''.join({value})")
    elif field_type.base in STRINGS:
        put = source.name("put", _put_string if field_type.base == "string" else _put_wstring)
        source.add(f"for item in {value}: {put}(b, item)")
    else:
        put = source.name("put", _writer(registry.get_class(field_type.base)))
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
    _close(b, parts)
    parts.append(raw.cast("B"))
    return bytearray((sum(map(len, parts)) + 4) & 7)


# Reading


def _reader(message_class: type, order: str) -> Callable[[memoryview, int, int], tuple[Any, int]]:
    reader = _readers.get((message_class, order))
    if reader is None:
        reader = _readers[message_class, order] = _make_reader(message_class, order)
    return reader


def _make_reader(message_class: Any, order: str) -> Callable:
    """`codec(d, o, end)`: body bytes, offset, length of the body -> message, next offset."""
    source = _Source("def codec(d, o, end):")
    source.add("m = object.__new__(" + source.name("cls", message_class) + ")")
    message = registry.get_message(message_class._interface_name)
    _emit_nested(source, message, "m")
    for run in _runs(_steps(message)):
        first = run[0]
        target = ".".join(("m", *first.path)) if first.path else "_"
        if first.type.kind == "scalar" and first.type.base not in STRINGS:
            form, alignment = _run_format(run)
            codec = struct.Struct(order + form)
            targets = "".join((".".join(("m", *s.path)) if s.path else "_") + ", " for s in run)
            _emit_alignment(source, alignment)
            source.add(f"{targets}= {source.name('unpack', codec.unpack_from)}(d, o)")
            source.add(f"o += {codec.size}")
        elif first.type.kind == "scalar":
            get = source.name("get", _get_string if first.type.base == "string" else _get_wstring)
            source.add(f"{target}, o = {get}(d, o, end, '{order}')")
        else:
            _emit_collection_reader(source, first.type, target, order)
    source.add("return m, o")
    return source.compile()


def _emit_nested(source: _Source, message: Message, variable: str) -> None:
    """Make the objects of nested structures, outermost first."""
    for field in message.fields:
        if field.type.kind == "scalar" and not field.type.is_primitive:
            nested = f"{variable}._{field.name}"
            cls = source.name("cls", registry.get_class(field.type.base))
            source.add(f"{nested} = object.__new__({cls})")
            _emit_nested(source, registry.get_message(field.type.base), nested)


def _emit_alignment(source: _Source, alignment: int) -> None:
    if alignment > 1:
        source.add(f"o = o + {alignment - 1} & -{alignment}")


def _emit_collection_reader(
    source: _Source, field_type: FieldType, target: str, order: str
) -> None:
    base, element = field_type.base, FieldType(field_type.base)
    count: object = field_type.size
    if field_type.kind == "sequence":
        get_count = source.name("count", _get_count)
        least, most = minimum_size(element), field_type.size or 2**32
        source.add(f"n, o = {get_count}(d, o, end, '{order}', {least}, {most})")
        count = "n"
    if base in DTYPES:
        wire_order: Any = order
        dtype = source.name("dtype", DTYPES[base].newbyteorder(wire_order))
        get = source.name("get", _get_numbers)
        source.add(f"{target}, o = {get}(d, o, end, {dtype}, {count})")
    elif base in ("bool", "byte"):
        table = source.name("table", [False, *[True] * 255] if base == "bool" else _BYTES)
        source.add(f"if o + {count} > end: raise IndexError('values are missing')")
        source.add(f"{target} = [{table}[i] for i in d[o:o + {count}]]")
        source.add(f"o += {count}")
    else:
        if base in STRINGS:
            get = source.name("get", _get_string if base == "string" else _get_wstring)
            call = f"{get}(d, o, end, '{order}')"
        else:
            call = f"{source.name('get', _reader(registry.get_class(base), order))}(d, o, end)"
        source.add("items = []")
        source.add(f"for _ in range({count}):")
        source.add(f"    item, o = {call}")
        source.add("    items.append(item)")
        source.add(f"{target} = items")


def _get_count(
    d: memoryview, o: int, end: int, order: str, least: int, most: int
) -> tuple[int, int]:
    o = o + 3 & -4
    count = int.from_bytes(d[o : o + 4], "little" if order == "<" else "big")
    o += 4
    if o > end or count * least > end - o or count > most:
        raise CdrError(f"{count} elements at byte {o} do not fit")
    return count, o


def _get_string(d: memoryview, o: int, end: int, order: str) -> tuple[str, int]:
    o = o + 3 & -4
    length = int.from_bytes(d[o : o + 4], "little" if order == "<" else "big")
    last = o + 4 + length
    if o + 4 > end or not length or last > end or d[last - 1]:
        raise CdrError(f"a string of {length} bytes at byte {o} does not fit or does not end")
    return str(d[o + 4 : last - 1], "utf-8", "replace"), last


def _get_wstring(d: memoryview, o: int, end: int, order: str) -> tuple[str, int]:
    count, o = _get_count(d, o, end, order, 4, 2**32)
    units = np.frombuffer(d, f"{order}u4", count, o) if count else np.zeros(0, np.uint32)
    return units.astype("<u2").tobytes().decode("utf-16-le", "replace"), o + 4 * count


def _get_numbers(
    d: memoryview, o: int, end: int, dtype: np.dtype, count: int
) -> tuple[np.ndarray, int]:
    if not count:
        return _empty(dtype), o
    size = dtype.itemsize
    o = o + size - 1 & -size
    if o + count * size > end:
        raise CdrError(f"{count} numbers at byte {o} do not fit")
    numbers = np.frombuffer(d, dtype, count, o)
    if not dtype.isnative:
        numbers = numbers.astype(dtype.newbyteorder("="))
        numbers.flags.writeable = False
    return numbers, o + count * size


@cache
def _empty(dtype: np.dtype) -> np.ndarray:
    """The one read-only array without numbers: a list of messages may hold it many times."""
    return np.frombuffer(b"", dtype.newbyteorder("="))
