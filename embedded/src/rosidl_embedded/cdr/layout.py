# SPDX-License-Identifier: Apache-2.0
"""What the codecs have in common: fields in wire order, their sizes, functions made of lines."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rosidl_embedded import registry
from rosidl_embedded.definition import STRINGS, FieldType, Message
from rosidl_embedded.source import run_source


class CdrError(ValueError):
    """Bytes that are not a message of the expected type."""


FORMATS = {
    "bool": "?", "byte": "c", "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H",
    "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
SIZES = {name: struct.calcsize(f"<{code}") for name, code in FORMATS.items()}


@dataclass
class Step:
    """One thing to read or write in order; `path` leads from the message to the field's slot."""

    path: tuple[str, ...]
    type: FieldType


def steps_of(message: Message, path: tuple[str, ...] = ()) -> list[Step]:
    """Fields in wire order, nested structures flattened."""
    if not message.fields:
        return [Step((), FieldType("uint8"))]
    steps = []
    for field in message.fields:
        here = (*path, f"_{field.name}")
        if field.type.kind == "scalar" and not field.type.is_primitive:
            steps += steps_of(registry.get_message(field.type.base), here)
        else:
            steps.append(Step(here, field.type))
    return steps


def runs_of(steps: list[Step]) -> list[list[Step]]:
    """Group neighbours of fixed size whose layout follows from the alignment of the first."""
    runs: list[list[Step]] = []
    limit = 0
    for step in steps:
        size = SIZES.get(step.type.base, 0) if step.type.kind == "scalar" else 0
        if size and limit >= size:
            runs[-1].append(step)
        else:
            runs.append([step])
            limit = size
    return runs


def run_format(run: list[Step]) -> tuple[str, int]:
    """`struct` format (without byte order) and alignment of a run."""
    form, position = "", 0
    for step in run:
        size = SIZES[step.type.base]
        form += "x" * (-position % size) + FORMATS[step.type.base]
        position += -position % size + size
    return form, SIZES[run[0].type.base]


def minimum_size(field_type: FieldType) -> int:
    """Least number of bytes that one element can take on the wire."""
    if field_type.base in STRINGS:
        return 5 if field_type.base == "string" else 4
    if field_type.is_primitive:
        return SIZES[field_type.base]
    total = 0
    for step in steps_of(registry.get_message(field_type.base)):
        if step.type.kind == "sequence":
            total += 4
        else:
            count = step.type.size if step.type.kind == "array" else 1
            total += count * minimum_size(FieldType(step.type.base))
    return total


class Source:
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
        run_source("\n".join(self.lines), scope)
        return scope["codec"]


def fixed_layout(base: str) -> tuple[int, int] | None:
    """Alignment and size of elements that all have the same, None where they may differ."""
    if base in SIZES:
        return SIZES[base], SIZES[base]
    if base in STRINGS:
        return None
    runs = runs_of(steps_of(registry.get_message(base)))
    if len(runs) > 1 or runs[0][0].type.kind != "scalar" or runs[0][0].type.base in STRINGS:
        return None
    form, alignment = run_format(runs[0])
    return alignment, struct.calcsize("<" + form)
