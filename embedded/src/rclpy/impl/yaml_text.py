# SPDX-License-Identifier: Apache-2.0
"""YAML as ROS reads it. Imported by those who meet some: most programs start without."""

from __future__ import annotations

import re
from typing import Any

import yaml

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
# What C's strtol takes whole, in base 0, and its strtod.
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[\da-fA-F]+)|0(?P<oct>[0-7]+)|(?P<dec>\d|[1-9]\d+))", re.ASCII
)
_DOUBLE = re.compile(
    r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_NO_NUMBERS = re.compile(r"(?P<sign>[-+]?)\.(?P<word>inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONG = range(-(2**63), 2**63)
_PLAIN, _TEXT = "!plain", "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """`1e3` is a number, tuples are lists."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node)
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+0123456789."),
)


class _ParameterLoader(_Loader):
    """Types of plain scalars by the rules of rcl, not by those of YAML; keys are text."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and value not in ("", "<<"):
            return _PLAIN
        return super().resolve(kind, value, implicit)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        for key, _ in node.value:
            if key.tag == _PLAIN:
                key.tag = _TEXT
        return super().construct_mapping(node, deep)


_ParameterLoader.add_constructor(_PLAIN, lambda _, node: _typed(node.value))


def _typed(text: str) -> bool | int | float | str:
    """A plain scalar: a word for true or false, else an integer, else a double, else text."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if match := _INTEGER.fullmatch(text):
        base = 16 if match["hex"] else 8 if match["oct"] else 10
        number = int(match["sign"] + (match["hex"] or match["oct"] or match["dec"]), base)
        if number in _LONG:
            return number
    if match := _NO_NUMBERS.fullmatch(text):
        return float(match["sign"] + match["word"]) if match["word"] else float("nan")
    if _DOUBLE.fullmatch(text):
        value = float(text)
        if abs(value) != float("inf") or "inf" in text.lower():
            return value
    return text


def load_yaml(text: str) -> Any:
    """Value of a YAML text, as rclpy and `ros2 param` read it; ValueError where it is none."""
    return _load(text, _Loader)


def load_parameters(text: str) -> Any:
    """Value or file of parameters, as rcl reads what a node is given; ValueError for no YAML."""
    return _load(text, _ParameterLoader)


def _load(text: str, loader: type[yaml.SafeLoader]) -> Any:
    try:
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
