# SPDX-License-Identifier: Apache-2.0
"""`ros2 topic pub`: publishes a message written in YAML."""

from __future__ import annotations

import argparse
import time
from typing import Any

from rclpy.node import Node

from ros2cli import graph, qos
from ros2cli.message_type import message_class, populate, values_from
from ros2cli.verbs import non_negative_int, positive_float, positive_int

DEFAULT_KEEP_ALIVE_S = 0.1
REMIND_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    graph.add_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to publish to (e.g. '/chatter')")
    parser.add_argument("message_type", help="Type of the ROS message (e.g. 'std_msgs/String')")
    parser.add_argument(
        "values",
        nargs="?",
        default="{}",
        help="Values to fill the message with in YAML format (e.g. 'data: Hello World'), "
        "otherwise the message will be published with default values",
    )
    parser.add_argument("--stdin", action="store_true", help="Read values from standard input")
    parser.add_argument(
        "-r",
        "--rate",
        metavar="N",
        type=positive_float,
        default=1.0,
        help="Publishing rate in Hz (default: 1)",
    )
    parser.add_argument(
        "-p",
        "--print",
        metavar="N",
        type=non_negative_int,
        default=1,
        help="Only print every N-th published message (default: 1)",
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument("-1", "--once", action="store_true", help="Publish one message and exit")
    times.add_argument(
        "-t",
        "--times",
        metavar="TIMES",
        type=positive_int,
        default=0,
        help="Publish this number of times and then exit",
    )
    parser.add_argument(
        "-w",
        "--wait-matching-subscriptions",
        metavar="N",
        type=non_negative_int,
        help="Wait until finding the specified number of matching subscriptions. Defaults to 1 "
        'when using "-1"/"--once"/"--times", otherwise defaults to 0.',
    )
    parser.add_argument(
        "--max-wait-time-secs",
        metavar="S",
        type=positive_float,
        help="Maximum time to wait for matching subscriptions",
    )
    parser.add_argument(
        "--keep-alive",
        metavar="N",
        type=positive_float,
        default=DEFAULT_KEEP_ALIVE_S,
        help="Keep publishing node alive for N seconds after the last msg (default: 0.1)",
    )
    parser.add_argument("-n", "--node-name", help="Name of the created publishing node")
    qos.add_arguments(parser, "publish", "default")


def main(args: argparse.Namespace) -> str | None:
    """Publish a message to a topic."""
    values = values_from(args)
    if not isinstance(values, dict):
        return "The passed value needs to be a dictionary in YAML format"
    with graph.hidden_node(args, args.node_name) as node:
        type_ = message_class(node, args, args.topic_name, args.message_type)
        message = type_()
        stamps = populate(message, values)
        publisher = node.create_publisher(type_, args.topic_name, qos.profile_from(args))
        if not _wait_for_subscriptions(node, publisher, args):
            return f"Timed out waiting for subscribers: only {publisher.get_subscription_count()}"
        _publish(node, publisher, message, stamps, args)
    return None


def _wait_for_subscriptions(node: Node, publisher: Any, args: argparse.Namespace) -> bool:
    limited = args.once or args.times
    wanted = args.wait_matching_subscriptions
    wanted = (1 if limited else 0) if wanted is None else wanted
    start = time.monotonic()
    while publisher.get_subscription_count() < wanted:
        if graph.spin_while(node, lambda: publisher.get_subscription_count() < wanted, REMIND_S):
            break
        print(f"Waiting for at least {wanted} matching subscription(s)...")
        if args.max_wait_time_secs and time.monotonic() - start > args.max_wait_time_secs:
            return False
    return True


def _publish(
    node: Node, publisher: Any, message: Any, stamps: list[Any], args: argparse.Namespace
) -> None:
    times = 1 if args.once else args.times
    count = 0

    def publish() -> None:
        nonlocal count
        now = node.get_clock().now().to_msg()
        for set_stamp in stamps:
            set_stamp(now)
        count += 1
        if args.print and count % args.print == 0:
            print(f"publishing #{count}: {message!r}\n")
        publisher.publish(message)

    print("publisher: beginning loop")
    publish()
    if times != 1:
        node.create_timer(1.0 / args.rate, publish)
        graph.spin_while(node, lambda: times == 0 or count < times)
    graph.spin_while(node, lambda: True, args.keep_alive)
