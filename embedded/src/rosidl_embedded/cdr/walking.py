# SPDX-License-Identifier: Apache-2.0
"""The end of a message, found without making any object of its bytes.

Objects of Python cost many times their bytes. So a message of a type with strings or lists of
objects is walked from end to end before any is made: what is refused has cost next to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from rosidl_embedded import registry
from rosidl_embedded.cdr.layout import (
    CdrError,
    Source,
    fixed_layout,
    minimum_size,
    run_format,
    runs_of,
    steps_of,
)
from rosidl_embedded.definition import STRINGS, FieldType
from rosidl_embedded.message_class import DTYPES


def makes_objects(name: str) -> bool:
    """Whether a message holds strings or lists of anything but numbers."""
    return any(
        step.type.base in STRINGS if step.type.kind == "scalar" else step.type.base not in DTYPES
        for step in steps_of(registry.get_message(name))
    )


def make_walker(name: str, order: str) -> Callable[[memoryview, int, int], int]:
    """`codec(d, o, end)` to the next offset: it accepts what the reader accepts, and no more."""
    source = Source("def codec(d, o, end):")
    for run in runs_of(steps_of(registry.get_message(name))):
        first = run[0].type
        if first.kind != "scalar":
            _emit_collection_walker(source, first, order)
        elif first.base in STRINGS:
            for line in _pass_text(source, first.base, order):
                source.add(line)
        else:
            form, alignment = run_format(run)
            emit_alignment(source, alignment)
            source.add(f"o += {struct.calcsize('<' + form)}")
    source.add("if o > end: raise IndexError('fields are missing')")
    source.add("return o")
    return source.compile()


def _pass_text(source: Source, base: str, order: str) -> list[str]:
    if base == "string":
        return pass_string(source, order)
    return [f"o = {source.name('pass', _pass_wstring)}(d, o, end, '{order}')"]


def pass_string(source: Source, order: str) -> list[str]:
    """Lines that leave the first byte of a string in `a`, and in `o` what follows its NUL."""
    length = source.name("length", struct.Struct(f"{order}I").unpack_from)
    refused = source.name("refused", _refused_string)
    return [
        "a = (o + 3 & -4) + 4",
        f"o = a + {length}(d, a - 4)[0]",
        f"if o == a or o > end or d[o - 1]: raise {refused}(a, o)",
    ]


def _refused_string(a: int, o: int) -> CdrError:
    return CdrError(f"a string of {o - a} bytes at byte {a} does not fit or does not end")


def _emit_collection_walker(source: Source, field_type: FieldType, order: str) -> None:
    base, count = field_type.base, emit_count(source, field_type, order)
    layout = fixed_layout(base)
    if layout is not None:
        alignment, size = layout
        stride = size + -size % alignment
        source.add(f"if {count}:")
        source.add(f"    o = (o + {alignment - 1} & -{alignment}) + {count} * {stride}")
        source.add(f"    o -= {stride - size}")
    elif base in STRINGS:
        source.add(f"for _ in range({count}):")
        for line in _pass_text(source, base, order):
            source.add(f"    {line}")
    else:
        walk = source.name("walk", make_walker(base, order))
        source.add(f"for _ in range({count}): o = {walk}(d, o, end)")


def emit_alignment(source: Source, alignment: int) -> None:
    if alignment > 1:
        source.add(f"o = o + {alignment - 1} & -{alignment}")


def emit_count(source: Source, field_type: FieldType, order: str) -> object:
    """Number of elements: known, or in `n` after this."""
    if field_type.kind == "array":
        return field_type.size
    counted = source.name("count", get_count)
    least, most = minimum_size(FieldType(field_type.base)), field_type.size or 2**32
    source.add(f"n, o = {counted}(d, o, end, '{order}', {least}, {most})")
    return "n"


def get_count(
    d: memoryview, o: int, end: int, order: str, least: int, most: int
) -> tuple[int, int]:
    o = o + 3 & -4
    count = int.from_bytes(d[o : o + 4], "little" if order == "<" else "big")
    o += 4
    if o > end or count * least > end - o or count > most:
        raise CdrError(f"{count} elements at byte {o} do not fit")
    return count, o


def _pass_wstring(d: memoryview, o: int, end: int, order: str) -> int:
    count, o = get_count(d, o, end, order, 4, 2**32)
    return o + 4 * count
