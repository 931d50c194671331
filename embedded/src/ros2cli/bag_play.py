# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag play`: publishes a bag's messages, as bytes, at the pace they were recorded."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from typing import Any

import rclpy
from builtin_interfaces.msg import Time as TimeMessage
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from rosidl_runtime_py.utilities import get_message

from ros2cli import graph
from ros2cli.bag_info import open_bag, read_messages
from ros2cli.bag_qos import from_stored
from ros2cli.verbs import positive_float, regex

CLOCK_HZ = 40.0
DISCOVERY_S = 0.5  # at least: volatile subscriptions miss what is published before they match
FLUSH_S = 1.0
SLICE_S = 0.1
SECOND_NS = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("bag_path", help="Bag to open")
    parser.add_argument(
        "-r",
        "--rate",
        type=positive_float,
        default=1.0,
        help="rate at which to play back messages. Valid range > 0.0.",
    )
    parser.add_argument(
        "--topics", nargs="+", default=[], help="Space-delimited list of topics to play"
    )
    parser.add_argument(
        "-e", "--regex", type=regex, help="filter topics by regular expression to replay"
    )
    parser.add_argument(
        "-x",
        "--exclude-regex",
        type=regex,
        help="regular expressions to exclude topics from replay",
    )
    parser.add_argument(
        "-m", "--remap", nargs="+", default=[], help="list of topics to be remapped: old:=new"
    )
    parser.add_argument(
        "-l",
        "--loop",
        action="store_true",
        help="enables loop playback when playing a bagfile: it starts back at the beginning on "
        "reaching the end and plays indefinitely",
    )
    parser.add_argument(
        "--clock",
        nargs="?",
        type=positive_float,
        const=CLOCK_HZ,
        default=0.0,
        help="Publish to /clock at a specific frequency in Hz, to act as a ROS Time Source "
        f"(default frequency: {CLOCK_HZ:g})",
    )
    parser.add_argument(
        "-d", "--delay", type=positive_float, default=0.0, help="Sleep SEC before play"
    )
    parser.add_argument(
        "--start-offset",
        type=float,
        default=0.0,
        help="Start the playback player this many seconds into the bag file",
    )
    parser.add_argument(
        "--playback-duration",
        type=float,
        default=-1.0,
        help="Playback duration, in seconds; negative durations play the whole bag",
    )


def main(args: argparse.Namespace) -> str | None:
    """Play back ROS data from a bag."""
    if args.start_offset < 0:
        return f"--start-offset must be 0 or more seconds, got {args.start_offset}"
    with (
        suppress(KeyboardInterrupt),
        open_bag(args.bag_path) as reader,
        graph.hidden_node(args, "rosbag2_player") as node,
    ):
        began = time.monotonic()
        player = Player(node, reader, args)
        graph.settle(node)
        player.wait_until(began + DISCOVERY_S + args.delay)
        try:
            player.play()
            while args.loop:
                player.play()
        except RuntimeError:  # what came before the damage has been played
            player.flush()
            raise
        player.flush()
    return None


class Player:
    """Publishes the chosen topics of a bag, and `/clock` if asked to."""

    def __init__(self, node: Node, reader: Reader, args: argparse.Namespace) -> None:
        self._reader = reader
        self._rate = args.rate
        self._start_ns = reader.start_time + int(args.start_offset * SECOND_NS)
        self._stop_ns: int | None = None
        if args.playback_duration >= 0:
            self._stop_ns = self._start_ns + int(args.playback_duration * SECOND_NS)
        self._publishers: dict[int, Any] = {}
        self._connections = []
        renamed = _renamed(args.remap)
        for connection in reader.connections:
            if not _selected(connection.topic, args):
                continue
            try:
                message_class = get_message(connection.msgtype)
            except (ImportError, AttributeError, ValueError) as error:
                node.get_logger().warning(
                    f"Ignoring topic '{connection.topic}' of unknown type: {error}"
                )
                continue
            topic = renamed.get(connection.topic, connection.topic)
            profile = from_stored(getattr(connection.ext, "offered_qos_profiles", ()))
            self._publishers[connection.id] = node.create_publisher(message_class, topic, profile)
            self._connections.append(connection)
        self._clock = node.create_publisher(Clock, "/clock", 1) if args.clock else None
        self._tick_ns = int(SECOND_NS * self._rate / args.clock) if args.clock else 0

    def play(self) -> None:
        """Play once from start to end."""
        if not self._connections:
            raise RuntimeError("No topics to play")
        began = time.monotonic()
        next_tick = self._start_ns

        def due(stamp_ns: int) -> float:
            return began + (stamp_ns - self._start_ns) / self._rate / SECOND_NS

        messages = read_messages(self._reader, self._connections, self._start_ns, self._stop_ns)
        for connection, stamp_ns, data in messages:
            while self._clock is not None and next_tick <= stamp_ns:
                self.wait_until(due(next_tick))
                sec, nanosec = divmod(next_tick, SECOND_NS)
                self._clock.publish(Clock(clock=TimeMessage(sec=sec, nanosec=nanosec)))
                next_tick += self._tick_ns
            self.wait_until(due(stamp_ns))
            self._publishers[connection.id].publish(bytes(data))

    def flush(self) -> None:
        """Wait until reliable subscriptions have everything, at most `FLUSH_S`."""
        limit = Duration(seconds=FLUSH_S)
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(limit)

    @staticmethod
    def wait_until(deadline: float) -> None:
        """Sleep until a time of time.monotonic(); ExternalShutdownException at Ctrl-C."""
        while (remaining := deadline - time.monotonic()) > 0:
            if not rclpy.ok():
                break
            time.sleep(min(remaining, SLICE_S))
        if not rclpy.ok():
            raise ExternalShutdownException


def _renamed(rules: list[str]) -> dict[str, str]:
    renamed = {}
    for rule in rules:
        old, _, new = rule.partition(":=")
        if not (old and new):
            raise RuntimeError(f"--remap takes rules of the form old:=new, got '{rule}'")
        renamed[graph.absolute(old)] = new
    return renamed


def _selected(topic: str, args: argparse.Namespace) -> bool:
    if args.exclude_regex and args.exclude_regex.search(topic):
        return False
    chosen = topic in {graph.absolute(name) for name in args.topics}
    return (
        chosen or bool(args.regex and args.regex.search(topic)) or not (args.topics or args.regex)
    )
