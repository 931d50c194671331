# SPDX-License-Identifier: Apache-2.0
"""Messages as the user gives them: their type, or that of a topic, and their values."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rosidl_runtime_py import set_message_fields
from rosidl_runtime_py.utilities import get_message

from ros2cli import graph

APPEARANCE_S = 3.0


def message_class(
    node: Node, args: argparse.Namespace, topic: str, type_name: str | None, wait: bool = False
) -> Any:
    """Return the class of the messages of a topic.

    Without a type name it waits for the topic `--spin-time`, or 3 s; with `wait` until Ctrl-C.

    Raises:
        RuntimeError: nobody publishes it, or the type is unknown here.
    """
    types = [type_name] if type_name else _types_in_graph(node, args, topic, wait)
    if len(types) > 1:
        raise RuntimeError(
            f"Cannot echo topic '{topic}', as it contains more than one type: [{', '.join(types)}]"
        )
    try:
        return get_message(types[0])
    except (ImportError, AttributeError, ValueError) as error:
        raise RuntimeError(f"The message type '{types[0]}' is invalid: {error}") from error


def _types_in_graph(node: Node, args: argparse.Namespace, topic: str, wait: bool) -> list[str]:
    def types() -> list[str]:
        return dict(graph.topics(node, include_hidden=True)).get(topic, [])

    limit = APPEARANCE_S if args.spin_time is None else args.spin_time
    graph.spin_while(node, lambda: not types(), limit)
    if not types():
        print(f"WARNING: topic [{topic}] does not appear to be published yet", file=sys.stderr)
        if not wait:
            raise RuntimeError("Could not determine the type for the passed topic")
        graph.spin_while(node, lambda: not types())
    return types()


def values_from(args: argparse.Namespace) -> Any:
    """Return what the YAML on the command line says, or that of standard input.

    Raises:
        RuntimeError: it is no YAML.
    """
    from rclpy.impl.yaml_text import load_standard

    try:
        return load_standard(sys.stdin.read() if args.stdin else args.values)
    except ValueError as error:
        raise RuntimeError(f"Failed to parse the values: {' '.join(str(error).split())}") from error


def populate(message: Any, values: Any) -> list[Any]:
    """Fill a message from such values; return what sets its stamps before each publication.

    Raises:
        RuntimeError: they do not fit it.
    """
    try:
        return set_message_fields(message, values, expand_header_auto=True, expand_time_now=True)
    except (AttributeError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise RuntimeError(f"Failed to populate field: {error}") from error


def message_filter(expression: str | None) -> Callable[[Any], bool]:
    """Return what says whether a message `m` fits the expression of `--filter`; all do without one.

    Raises:
        RuntimeError: it is no Python expression, or one that fails for a message.
    """
    if expression is None:
        return lambda message: True
    try:
        code = compile(expression, "--filter", "eval")
    except (SyntaxError, ValueError) as error:
        raise RuntimeError(f"Invalid filter expression '{expression}': {error}") from error

    def fits(message: Any) -> bool:
        try:
            return bool(eval(code, {"m": message}))
        except Exception as error:  # whatever the expression does
            raise RuntimeError(
                f"The filter expression '{expression}' failed for a message: {error!r}"
            ) from error

    return fits
