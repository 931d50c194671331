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
# What aliases may make of a short text, and how deep.
_MOST_VALUES, _DEEPEST = 100_000, 100
_PLAIN, _TEXT = "!plain", "tag:yaml.org,2002:str"


# What PyYAML lets escape for a text that is not what its tag says, or an escape that is no letter.
_ESCAPING = (AttributeError, LookupError, OverflowError, TypeError, ValueError)


class _StandardLoader(yaml.SafeLoader):
    """YAML 1.1, whose errors are those of YAML."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _ESCAPING as error:
            problem = f"{node.value!r} is no value of {node.tag}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def flatten_mapping(self, node: Any) -> None:
        """Take over what is merged from the same mapping several times once."""
        super().flatten_mapping(node)
        last = {id(key): (key, value) for key, value in reversed(node.value)}
        node.value = [*reversed(last.values())]


class _Loader(_StandardLoader):
    """`1e3` is a number, tuples are lists."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node)
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"),
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


class _Dumper(yaml.SafeDumper):
    """Quotes the text that one of the loaders would take for something else."""

    def represent_text(self, text: str) -> Any:
        node = self.represent_str(text)
        if _DOUBLE.fullmatch(text) or not isinstance(_typed(text), str):
            node.style = "'"
        return node


_Dumper.add_representer(str, _Dumper.represent_text)


def dump_parameters(tree: dict[str, Any]) -> str:
    """A file of parameters, which both `load_yaml` and `load_parameters` read back."""
    dumped: str = yaml.dump(tree, Dumper=_Dumper, default_flow_style=False)
    return dumped


def load_yaml(text: str) -> Any:
    """Value of a YAML text, as rclpy and `ros2 param` read it; ValueError where it is none."""
    return _load(text, _Loader)


def load_parameters(text: str) -> Any:
    """Value or file of parameters, as rcl reads what a node is given; ValueError for no YAML."""
    return _load(text, _ParameterLoader)


def load_standard(text: str) -> Any:
    """Value of a YAML text by the rules of YAML alone; ValueError where it is none."""
    return _load(text, _StandardLoader)


def _load(text: str, loader: type[yaml.SafeLoader]) -> Any:
    try:
        value = yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except _ESCAPING as error:
        raise ValueError(f"it cannot be read: {error}") from error
    _check_extent(value, max(len(text), _MOST_VALUES))
    return value


def _check_extent(value: Any, most: int) -> None:
    """ValueError where aliases make more values than `most`, or a value contain itself."""
    count, level = 0, [value]
    for _ in range(_DEEPEST):
        level = [item for item in level if isinstance(item, dict | list | tuple)]
        count += sum(map(len, level))
        if count > most:
            raise ValueError(f"its aliases make more than {most} values")
        level = [
            inner for item in level for inner in (item.values() if type(item) is dict else item)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
