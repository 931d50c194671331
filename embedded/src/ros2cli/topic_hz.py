# SPDX-License-Identifier: Apache-2.0
"""`ros2 topic hz`: measures how often messages arrive."""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from typing import Any

from ros2cli import graph, qos
from ros2cli.message_type import message_class, message_filter
from ros2cli.verbs import positive_int

DEFAULT_WINDOW_SIZE = 10000
PRINT_EVERY_S = 1.0


class Rate:
    """The intervals between the last `window` arrivals, in seconds."""

    def __init__(self, window: int) -> None:
        self._intervals: deque[float] = deque(maxlen=window)
        self._last: float | None = None

    def arrived(self, now: float) -> None:
        """Note an arrival; a clock that went back starts the window again."""
        if self._last is not None:
            if now >= self._last:
                self._intervals.append(now - self._last)
            else:
                self._intervals.clear()
        self._last = now

    def text(self) -> str:
        """Return the two lines that `ros2 topic hz` prints; empty before the second arrival."""
        n = len(self._intervals)
        if n == 0:
            return ""
        mean = sum(self._intervals) / n
        deviation = math.sqrt(sum((x - mean) ** 2 for x in self._intervals) / n)
        rate = 1.0 / mean if mean > 0 else 0.0
        return (
            f"average rate: {rate:.3f}\n"
            f"\tmin: {min(self._intervals):.3f}s max: {max(self._intervals):.3f}s "
            f"std dev: {deviation:.5f}s window: {n}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    graph.add_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to listen to (e.g. '/chatter')")
    parser.add_argument(
        "-w",
        "--window",
        dest="window_size",
        metavar="WINDOW",
        type=positive_int,
        default=DEFAULT_WINDOW_SIZE,
        help="window size, in # of messages, for calculating rate "
        f"(default: {DEFAULT_WINDOW_SIZE})",
    )
    parser.add_argument(
        "--filter",
        metavar="EXPR",
        help="only measure messages matching the specified Python expression",
    )
    parser.add_argument(
        "--wall-time",
        action="store_true",
        help="calculates rate using wall time which can be helpful when clock is not published "
        "during simulation",
    )
    qos.add_arguments(parser, "subscribe", "sensor_data")


def main(args: argparse.Namespace) -> None:
    """Print the average receiving rate to screen."""
    rate = Rate(args.window_size)
    accept = message_filter(args.filter)
    with graph.hidden_node(args) as node:
        topic = graph.absolute(args.topic_name)
        type_ = message_class(node, args, topic, None, wait=True)
        clock = node.get_clock()
        printed_at = time.monotonic()

        def callback(message: Any) -> None:
            nonlocal printed_at
            if not accept(message):
                return
            now = time.time() if args.wall_time else clock.now().nanoseconds / 1e9
            rate.arrived(now)
            if time.monotonic() - printed_at >= PRINT_EVERY_S and rate.text():
                printed_at = time.monotonic()
                print(rate.text())

        graph.discover(node, args)
        profile = qos.profile_for(node, topic, args)
        node.create_subscription(type_, topic, callback, profile, raw=args.filter is None)
        graph.spin_while(node, lambda: True)
