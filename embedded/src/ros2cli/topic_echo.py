# SPDX-License-Identifier: Apache-2.0
"""`ros2 topic echo`: prints the messages of a topic."""

from __future__ import annotations

import argparse
import re
from typing import Any

from rosidl_runtime_py import message_to_csv, message_to_yaml

from ros2cli import graph, qos
from ros2cli.message_type import message_class, message_filter
from ros2cli.verbs import non_negative_int

DEFAULT_TRUNCATE_LENGTH = 128
_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(-?\d+)\]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    graph.add_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to listen to (e.g. '/chatter')")
    parser.add_argument(
        "message_type", nargs="?", help="Type of the ROS message (e.g. 'std_msgs/msg/String')"
    )
    qos.add_arguments(parser, "subscribe", "sensor_data")
    parser.add_argument(
        "--csv",
        action="store_true",
        help="Output all recursive fields separated by commas (e.g. for plotting)",
    )
    parser.add_argument(
        "--field", metavar="FIELD", help="Echo a selected field of a message, e.g. pose.position.x"
    )
    parser.add_argument(
        "-f",
        "--full-length",
        action="store_true",
        help="Output all elements for arrays, bytes, and string with a length > "
        "'--truncate-length', by default they are truncated",
    )
    parser.add_argument(
        "-l",
        "--truncate-length",
        type=non_negative_int,
        default=DEFAULT_TRUNCATE_LENGTH,
        help=f"The length to truncate to (default: {DEFAULT_TRUNCATE_LENGTH})",
    )
    parser.add_argument("--no-arr", action="store_true", help="Don't print array fields")
    parser.add_argument("--no-str", action="store_true", help="Don't print string fields")
    parser.add_argument(
        "--flow-style",
        action="store_true",
        help="Print collections in the flow style (not available with csv format)",
    )
    parser.add_argument(
        "--no-lost-messages", action="store_true", help="Accepted; losses are not reported here"
    )
    parser.add_argument("--raw", action="store_true", help="Echo the raw binary representation")
    parser.add_argument(
        "--filter",
        metavar="EXPR",
        help="Python expression to filter messages that are printed; the message is 'm'",
    )
    parser.add_argument(
        "--once", action="store_true", help="Print the first message received and then exit"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="N", help="Seconds to wait for messages, then exit"
    )
    parser.add_argument(
        "--include-message-info",
        action="store_true",
        help="Shows the associated message info",
    )


def main(args: argparse.Namespace) -> None:
    """Output messages from a topic."""
    path = field_path(args.field) if args.field else []
    accept = message_filter(args.filter)
    printed = 0

    def callback(message: Any, info: Any) -> None:
        nonlocal printed
        if (args.once and printed) or not accept(message):
            return
        value = field_value(message, path) if path else message
        if args.include_message_info:
            print(_info_text(info), end="---\n")
        _print(args, value)
        printed += 1

    with graph.hidden_node(args) as node:
        topic = graph.absolute(args.topic_name)
        type_ = message_class(node, args, topic, args.message_type)
        if args.message_type is None:
            graph.discover(node, args)  # for the QoS of all its publishers
        node.create_subscription(
            type_, topic, callback, qos.profile_for(node, topic, args), raw=args.raw
        )
        graph.spin_while(node, lambda: not (args.once and printed), args.timeout)


def _print(args: argparse.Namespace, value: Any) -> None:
    if not hasattr(value, "get_fields_and_field_types"):
        print(value, end="\n" if args.csv else "\n---\n")
        return
    options = {
        "truncate_length": None if args.full_length else args.truncate_length,
        "no_arr": args.no_arr,
        "no_str": args.no_str,
    }
    if args.csv:
        print(message_to_csv(value, **options))
    else:
        print(message_to_yaml(value, flow_style=args.flow_style, **options), end="---\n")


def _info_text(info: Any) -> str:
    values = info if isinstance(info, dict) else vars(info)
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def field_path(expression: str) -> list[str | int]:
    """Return the steps of "a.b[3].c"; RuntimeError when it is not of that form."""
    steps: list[str | int] = []
    position = 0
    while position < len(expression):
        match = _STEP.match(expression, position)
        if match is None:
            raise RuntimeError(f"Invalid field '{expression}'")
        steps.append(match[1] if match[1] else int(match[2]))
        position = match.end()
    return steps


def field_value(message: Any, path: list[str | int]) -> Any:
    """Return the field at the end of the path; RuntimeError when there is none."""
    value = message
    for step in path:
        try:
            value = getattr(value, step) if isinstance(step, str) else value[step]
        except (AttributeError, IndexError, TypeError) as error:
            raise RuntimeError(f"Invalid field '{step}': {error}") from error
    return value
