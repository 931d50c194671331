# SPDX-License-Identifier: Apache-2.0
"""Fills a message from plain values, as they are given in YAML."""

from __future__ import annotations

import array
from typing import Any

import numpy as np

from rosidl_runtime_py.utilities import get_message

TIME = "builtin_interfaces/Time"
HEADER = "std_msgs/Header"


def set_message_fields(
    msg: Any,
    values: dict[str, Any],
    expand_header_auto: bool = False,
    expand_time_now: bool = False,
) -> list[Any]:
    """Set fields of `msg` from a dictionary.

    Args:
        msg: the message, changed in place.
        values: field name -> plain value, dictionary, or list.
        expand_header_auto: take "auto" as a Header stamped when published.
        expand_time_now: take "now" as the Time when published.

    Returns:
        functions of a Time message, to call before each publication: they set those stamps.

    Raises:
        AttributeError: no such field. TypeError, ValueError, OverflowError, AssertionError: not of
        its type.
    """
    if not isinstance(values, dict):
        raise TypeError(
            f"Value '{values}' is expected to be a dictionary but is a {type(values).__name__}"
        )
    types = msg.get_fields_and_field_types()
    stamps: list[Any] = []
    for name, value in values.items():
        if name not in types:
            raise AttributeError(f"'{type(msg).__name__}' object has no attribute '{name}'")
        current = getattr(msg, name)
        if expand_header_auto and types[name] == HEADER and value == "auto":
            stamps.append(lambda now, header=current: setattr(header, "stamp", now))
        elif expand_time_now and types[name] == TIME and value == "now":
            stamps.append(lambda now, owner=msg, name=name: setattr(owner, name, now))
        elif hasattr(current, "get_fields_and_field_types"):
            stamps += set_message_fields(current, value, expand_header_auto, expand_time_now)
        elif "/" in types[name]:
            items, item_stamps = _messages(types[name], value, expand_header_auto, expand_time_now)
            setattr(msg, name, items)
            stamps += item_stamps
        else:
            setattr(msg, name, _as_type_of(current, value, types[name]))
    return stamps


def _messages(
    field_type: str, values: list[Any], expand_header_auto: bool, expand_time_now: bool
) -> tuple[list[Any], list[Any]]:
    """Return the messages of an array field, e.g. "sequence<geometry_msgs/Pose>"."""
    element = field_type.removeprefix("sequence<").split("[")[0].split(",")[0].rstrip(">")
    message_class = get_message(element)
    items, stamps = [], []
    for value in values:
        item = message_class()
        stamps += set_message_fields(item, value, expand_header_auto, expand_time_now)
        items.append(item)
    return items, stamps


def _byte(value: Any) -> Any:
    """A byte of a number, or of the character that `message_to_yaml` prints for it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return bytes([value])
    return value.encode("latin-1") if isinstance(value, str) else value


def _as_type_of(current: Any, value: Any, field_type: str) -> Any:
    if isinstance(current, array.array):
        return array.array(current.typecode, value)
    if isinstance(current, np.ndarray):
        return np.array(value, dtype=current.dtype)
    if isinstance(current, bool) and not isinstance(value, bool):
        raise TypeError(f"'{value}' is not true or false")
    if isinstance(current, bytes):
        return _byte(value)
    if "octet" in field_type and not isinstance(value, (list, bytes)):
        raise TypeError(f"'{value}' is no list of bytes")
    if isinstance(current, list):
        return [*map(_byte, value)] if "octet" in field_type else list(value)
    return type(current)(value)
