# SPDX-License-Identifier: Apache-2.0
"""Typed values out of substitutions: what a node would make of the text, then checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args, get_origin

from ..substitution import Substitution
from . import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

SCALAR_TYPES = (bool, int, float, str)


def extract_type(data_type: Any) -> tuple[type, bool]:
    """(item type, is a list) of `int`, `float`, `bool`, `str` or `List[...]` of one of them."""
    is_list = get_origin(data_type) is list
    item = get_args(data_type)[0] if is_list else data_type
    if item not in SCALAR_TYPES:
        raise ValueError(
            f"data type must be bool, int, float, str or a List of one of them, got {data_type}"
        )
    return item, is_list


def is_instance_of_valid_type(value: object) -> bool:
    """Whether `value` is a parameter value: a scalar, or a list of one scalar type."""
    if isinstance(value, list):
        return len({type(item) for item in value}) <= 1 and all(
            isinstance(item, SCALAR_TYPES) for item in value
        )
    return isinstance(value, SCALAR_TYPES)


def coerce_to_type(value: str, data_type: Any = None) -> Any:
    """A text as `data_type`, None: as nodes read it. ValueError where it is neither."""
    if data_type is not None:
        item_type, is_list = extract_type(data_type)
        if item_type is str and not is_list:
            return value
        if item_type in (int, float) and not is_list:
            return item_type(value)
    from rclpy.impl.yaml_text import load_parameters

    try:
        output = load_parameters(value) if value.strip() else value
    except ValueError as error:
        raise ValueError(f"'{value}' is not valid YAML: {error}") from error
    if data_type is None:
        accepted = is_instance_of_valid_type(output)
    elif is_list:
        accepted = isinstance(output, list)
        if accepted and item_type is float:
            output = [float(i) if type(i) is int else i for i in output]
        accepted = accepted and all(type(i) is item_type for i in output)
    else:
        accepted = type(output) is item_type
    if not accepted:
        raise ValueError(f"cannot convert '{value}' to {data_type or 'a parameter value'}")
    return output


def normalize_typed_substitution(value: Any, data_type: Any = None) -> Any:
    """A value kept as it is, or a list of substitutions that gives one later.

    In a list the items may be values or substitutions. TypeError for a value of another type.
    """
    if isinstance(value, str) and data_type not in (None, str):
        raise TypeError(f"value '{value}' is not of type {data_type}")
    if isinstance(value, SCALAR_TYPES):
        if data_type is not None and not _fits(value, data_type):
            raise TypeError(f"value '{value}' is not of type {data_type}")
        return value
    if is_substitution(value):
        return normalize_to_list_of_substitutions(value)
    if not isinstance(value, Iterable):
        raise TypeError(f"expected a scalar, a list or a substitution, got {value!r}")
    return [
        item if isinstance(item, SCALAR_TYPES) else _Item(normalize_to_list_of_substitutions(item))
        for item in value
    ]


def perform_typed_substitution(context: LaunchContext, value: Any, data_type: Any = None) -> Any:
    """The value of what `normalize_typed_substitution` gave. ValueError where it does not fit."""
    if isinstance(value, list) and value and isinstance(value[0], Substitution):
        return coerce_to_type(perform_substitutions(context, value), data_type)
    if isinstance(value, list):
        item_type = extract_type(data_type)[0] if data_type is not None else None
        items = [
            coerce_to_type(perform_substitutions(context, i.parts), item_type)
            if isinstance(i, _Item)
            else i
            for i in value
        ]
        if not is_instance_of_valid_type(items):
            raise ValueError(f"the items of a list must be of one type, got {items}")
        return items
    return value


def is_substitution(value: object) -> bool:
    """Whether `value` is a substitution, or a sequence of str with at least one."""
    if isinstance(value, Substitution):
        return True
    return (
        isinstance(value, list | tuple)
        and all(isinstance(item, str | Substitution) for item in value)
        and any(isinstance(item, Substitution) for item in value)
    )


class _Item:
    """Substitutions that together give one item of a list."""

    def __init__(self, parts: list[Substitution]) -> None:
        self.parts = parts


def _fits(value: object, data_type: Any) -> bool:
    item_type, is_list = extract_type(data_type)
    if is_list:
        return False
    return type(value) is item_type or (item_type is float and type(value) is int)
