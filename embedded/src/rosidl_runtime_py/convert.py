# SPDX-License-Identifier: Apache-2.0
"""Messages as YAML, CSV and ordered dictionaries, in the form that ROS 2 tools print.

Long arrays are cut before they are converted, so that an image costs no more than its first
values.
"""

from __future__ import annotations

import array
import re
import sys
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import yaml

SEQUENCES = (list, tuple, array.array, np.ndarray)


class _Options(NamedTuple):
    """What the functions below share."""

    truncate_length: int | None
    no_arr: bool
    no_str: bool
    bytes_as_text: bool


class _Dumper(yaml.SafeDumper):
    """Mappings in block style always; sequences as `flow_style` says."""

    def represent_text(self, text: str) -> yaml.Node:
        """Escape the line breaks that PyYAML prints as they are, and does not read back."""
        style = '"' if _LINE_BREAKS.search(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(
    OrderedDict,
    lambda dumper, data: yaml.MappingNode(
        "tag:yaml.org,2002:map",
        [(dumper.represent_data(key), dumper.represent_data(value)) for key, value in data.items()],
    ),
)


def message_to_yaml(
    msg: Any,
    *,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
    flow_style: bool = False,
) -> str:
    """Return a message as YAML.

    Args:
        msg: any message.
        truncate_length: cut arrays, strings and bytes here, with "..." after; None: never.
        no_arr: say type and length of arrays instead of their values.
        no_str: say the length of strings instead of their text.
        flow_style: arrays on one line.
    """
    values = message_to_ordereddict(
        msg, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str
    )
    text: str = yaml.dump(
        values,
        Dumper=_Dumper,
        allow_unicode=True,
        width=sys.maxsize,
        default_flow_style=flow_style,
        sort_keys=False,
    )
    return text


def message_to_ordereddict(
    msg: Any,
    *,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
) -> OrderedDict[str, Any]:
    """Return the fields of a message, nested ones too, as plain values; arguments as for YAML.

    Bytes are the characters of their numbers.
    """
    return _fields(msg, _Options(truncate_length, no_arr, no_str, bytes_as_text=True))


def message_to_csv(
    msg: Any,
    *,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
) -> str:
    """Return the fields of a message, nested ones too, on one line; arguments as for YAML."""
    values = _fields(msg, _Options(truncate_length, no_arr, no_str, bytes_as_text=False))
    return ",".join(_leaves(values))


def _leaves(value: Any) -> list[str]:
    if isinstance(value, OrderedDict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [str(value)]


def _fields(msg: Any, options: _Options) -> OrderedDict[str, Any]:
    return OrderedDict(
        (name, _plain(getattr(msg, name), field_type, options))
        for name, field_type in msg.get_fields_and_field_types().items()
    )


def _plain(value: Any, field_type: str, options: _Options) -> Any:
    length = options.truncate_length
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and options.no_str:
        return f"<string length: <{len(value)}>>"
    if isinstance(value, bytes) and not options.bytes_as_text:
        return value
    if isinstance(value, (str, bytes)):
        text = value if isinstance(value, str) else value.decode("latin-1")
        cut = length is not None and len(text) > length
        return text[:length] + "..." if cut else text
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, SEQUENCES):
        return _fields(value, options)
    if options.no_arr:
        return _abbreviated(field_type, len(value))
    cut = length is not None and len(value) > length
    kept = value[:length] if cut else value
    if isinstance(kept, (np.ndarray, array.array)):
        items = kept.tolist()
    else:
        items = [_plain(item, "", options) for item in kept]
    return [*items, "..."] if cut else items


def _abbreviated(field_type: str, length: int) -> str:
    """Say what an array is: "sequence<uint8>", "sequence<double, 3>" or "double[9]"."""
    if field_type.startswith("sequence<"):
        element, _, bound = field_type[len("sequence<") : -1].partition(", ")
        bound = f"[{bound}]" if bound else ""
        return f"<sequence type: {_full_name(element)}{bound}, length: {length}>"
    element, _, size = field_type.partition("[")
    return f"<array type: {_full_name(element)}[{size}>"


def _full_name(element: str) -> str:
    return element.replace("/", "/msg/")
