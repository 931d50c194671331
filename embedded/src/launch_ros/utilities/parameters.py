# SPDX-License-Identifier: Apache-2.0
"""Parameters of a node: dictionaries, single values and files.

Values keep their types. A value made of substitutions gets the type that a node gives its text;
wrap it into `ParameterValue(..., value_type=str)` to say the type. Nested dictionaries become
names with dots.
"""

from __future__ import annotations

import json
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import coerce_to_type, is_substitution

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

Name = tuple[Substitution, ...]

# What YAML takes only escaped: controls, line separators, the byte order mark, surrogates.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def normalize_parameter_dict(
    parameters: Mapping[Any, Any], *, _prefix: Name = ()
) -> dict[Name, Any]:
    """Flat, names as substitutions; values checked as far as they are known. TypeError, if not."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f"expected a dictionary of parameters, got {parameters!r}")
    normalized: dict[Name, Any] = {}
    for key, value in parameters.items():
        name = _prefix + tuple(normalize_to_list_of_substitutions(key))
        if isinstance(value, Mapping):
            dotted = (*name, *normalize_to_list_of_substitutions("."))
            normalized.update(normalize_parameter_dict(value, _prefix=dotted))
        else:
            normalized[name] = _normalize_value(value)
    return normalized


def _normalize_value(value: Any) -> Any:
    if isinstance(value, bool | int | float | str | ParameterValue):
        return value
    if is_substitution(value):
        return tuple(normalize_to_list_of_substitutions(value))
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise TypeError(f"unexpected type of parameter value {value!r}: {type(value).__name__}")
    if len(value) == 0:
        raise TypeError("a parameter cannot be an empty list: its type would be unknown")
    if all(type(item) in (int, float) for item in value):
        is_int = all(type(item) is int for item in value)
        return [item if is_int else float(item) for item in value]
    return [
        item if isinstance(item, bool | int | float | str) else _normalize_value(item)
        for item in value
    ]


def evaluate_parameter_dict(
    context: LaunchContext, parameters: Mapping[Name, Any]
) -> dict[str, Any]:
    """Names to values (scalars, and tuples of one scalar type) out of a normalized dictionary."""
    evaluated = {}
    for key, value in parameters.items():
        name = perform_substitutions(context, key)
        evaluated[name] = _evaluate_value(context, name, value)
    return evaluated


def _evaluate_value(context: LaunchContext, name: str, value: Any) -> Any:
    if isinstance(value, ParameterValue):
        result = value.evaluate(context)
    elif isinstance(value, tuple):
        result = _typed(context, name, value)
    elif isinstance(value, list):
        result = [_typed(context, name, i) if isinstance(i, tuple) else i for i in value]
    else:
        result = value
    if not isinstance(result, list | tuple):
        return result
    if not result or len({type(item) for item in result}) > 1:
        raise TypeError(
            f"parameter '{name}' must be a non-empty list of items of one type, got {result!r}"
        )
    return tuple(result)


def _typed(context: LaunchContext, name: str, parts: Iterable[Substitution]) -> Any:
    text = perform_substitutions(context, parts)
    try:
        return coerce_to_type(text)
    except ValueError as error:
        raise TypeError(
            f"parameter '{name}': {error}. If it is meant to be a string, wrap it into "
            "launch_ros.parameter_descriptions.ParameterValue(value, value_type=str)"
        ) from error


def normalize_parameters(parameters: Sequence[Any]) -> list[Any]:
    """A list whose items are normalized dictionaries, `Parameter`s and `ParameterFile`s."""
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f"parameters must be a list of files and dictionaries, got {parameters!r}")
    normalized: list[Any] = []
    for item in parameters:
        if isinstance(item, Mapping):
            normalized.append(normalize_parameter_dict(item))
        elif isinstance(item, Parameter | ParameterFile):
            normalized.append(item)
        else:
            normalized.append(ParameterFile(item))
    return normalized


def evaluate_parameters(
    context: LaunchContext, parameters: Iterable[Any]
) -> list[dict[str, Any] | pathlib.Path | Parameter]:
    """Dictionaries of values, paths of files and `Parameter`s out of normalized parameters."""
    evaluated: list[dict[str, Any] | pathlib.Path | Parameter] = []
    for item in parameters:
        if isinstance(item, ParameterFile):
            evaluated.append(item.evaluate(context))
        elif isinstance(item, Mapping):
            evaluated.append(evaluate_parameter_dict(context, item))
        else:
            evaluated.append(item)
    return evaluated


def to_yaml(value: Any) -> str:
    """A parameter value as YAML on one line; strings are quoted, so that "1" stays a string."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_yaml(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 takes 1e-05 for a string.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
