# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag record`: writes topics into a bag, as bytes, the way they came."""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosidl_embedded import registry
from rosidl_embedded.definition import InterfaceError
from rosidl_embedded.type_hash import type_hash
from rosidl_runtime_py.utilities import get_message

from ros2cli import graph, qos
from ros2cli.bag_qos import to_stored
from ros2cli.verbs import positive_int, regex

BAG_VERSION: Literal[9] = 9
SEPARATOR = "=" * 80
DEPTH = 100
COMMIT_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.set_defaults(spin_time=None)
    parser.add_argument(
        "--use-sim-time", action="store_true", help="Stamp messages with the time of /clock"
    )
    parser.add_argument("topics", nargs="*", metavar="topic", help="Topics to record")
    parser.add_argument(
        "--topics", nargs="+", default=[], dest="more_topics", help="Topics to record"
    )
    parser.add_argument("-a", "--all", action="store_true", help="Record all topics")
    parser.add_argument("--all-topics", action="store_true", dest="all", help="Record all topics")
    parser.add_argument(
        "-e",
        "--regex",
        type=regex,
        help="Record only topics containing provided regular expression",
    )
    parser.add_argument(
        "-x",
        "--exclude-regex",
        type=regex,
        help="Exclude topics containing provided regular expression",
    )
    parser.add_argument(
        "-o",
        "--output",
        help="Destination of the bag to create, defaults to a timestamped folder in the current "
        "directory",
    )
    parser.add_argument(
        "-s",
        "--storage",
        choices=("mcap", "sqlite3"),
        default="mcap",
        help="Storage identifier to be used, defaults to 'mcap'",
    )
    parser.add_argument(
        "--include-hidden-topics", action="store_true", help="Record also hidden topics"
    )
    parser.add_argument(
        "--no-discovery",
        action="store_true",
        help="Disables topic auto discovery during recording: only topics present at startup "
        "will be recorded",
    )
    parser.add_argument(
        "-p",
        "--polling-interval",
        type=positive_int,
        default=100,
        help="Time in ms to wait between querying available topics for recording",
    )
    parser.add_argument(
        "--compression-mode",
        choices=("none", "file", "message"),
        default="none",
        help="Choose mode of compression for the storage",
    )
    parser.add_argument(
        "--compression-format", choices=("zstd",), default="zstd", help="Always zstd here"
    )


def main(args: argparse.Namespace) -> str | None:
    """Record ROS data to a bag."""
    if not (args.topics or args.more_topics or args.all or args.regex):
        return "Invalid choice: Must specify topics, --regex or --all"
    path = Path(args.output or time.strftime("rosbag2_%Y_%m_%d-%H_%M_%S"))
    plugin = StoragePlugin.MCAP if args.storage == "mcap" else StoragePlugin.SQLITE3
    try:
        writer = Writer(path, version=BAG_VERSION, storage_plugin=plugin)
        mode = CompressionMode[args.compression_mode.upper()]
        writer.set_compression(mode, CompressionFormat.ZSTD)
        writer.open()
    except (WriterError, OSError) as error:
        return f"Cannot write bag {path}: {error}"
    try:
        _record(args, writer)
    except (OSError, sqlite3.Error) as error:  # as where the disk is full
        return f"Cannot go on writing bag {path}: {error}"
    return None


def _record(args: argparse.Namespace, writer: Writer) -> None:
    try:
        with suppress(KeyboardInterrupt), graph.hidden_node(args, "rosbag2_recorder") as node:
            recorder = Recorder(node, writer, _selection(args))
            node.get_logger().info(f"Recording to '{writer.path}'...")
            if args.use_sim_time:  # no message has a time before the first of /clock
                node.get_logger().info("Waiting for the first time on /clock...")
                graph.spin_while(node, lambda: not node.get_clock().now().nanoseconds)
            graph.discover(node, args)
            recorder.subscribe_to_new()
            if not args.no_discovery:
                node.create_timer(args.polling_interval / 1000, recorder.subscribe_to_new)
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            node.create_timer(COMMIT_S, recorder.commit, clock=steady)
            graph.spin_while(node, lambda: True)
    finally:
        writer.close()


def _selection(args: argparse.Namespace) -> Callable[[str], bool]:
    named = {graph.absolute(name) for name in (*args.topics, *args.more_topics)}

    def selected(topic: str) -> bool:
        if topic in named:
            return True
        if graph.is_hidden(topic) and not args.include_hidden_topics:
            return False
        if args.exclude_regex and args.exclude_regex.search(topic):
            return False
        return args.all or bool(args.regex and args.regex.search(topic))

    return selected


class Recorder:
    """Subscribes to the selected topics as they appear, and writes what they say."""

    def __init__(self, node: Node, writer: Writer, selected: Callable[[str], bool]) -> None:
        self._node = node
        self._writer = writer
        self._selected = selected
        self._known: set[str] = set()

    def subscribe_to_new(self) -> None:
        """Subscribe to selected topics that have a publisher and were not there before."""
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._known or not self._selected(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if publishers:
                self._known.add(topic)
                self._subscribe(topic, types[0], publishers)

    def commit(self) -> None:
        """Have what SQLite got so far outlast a kill or a power cut; mcap is written in pieces."""
        if isinstance(self._writer.storage, Sqlite3Writer):
            connection = self._writer.storage.conn
            connection.execute("PRAGMA busy_timeout = 100")
            try:
                connection.commit()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):  # by who reads it: the next second is soon enough
                    raise
            finally:
                connection.execute("PRAGMA busy_timeout = 5000")  # for the last one

    def _subscribe(self, topic: str, type_name: str, publishers: list[Any]) -> None:
        logger = self._node.get_logger()
        try:
            message_class = get_message(type_name)
            definition, digest = full_definition(type_name), type_hash(type_name)
        except (ImportError, AttributeError, ValueError, InterfaceError) as error:
            logger.warning(f"Topic '{topic}' has unknown type '{type_name}': {error}")
            return
        connection = self._writer.add_connection(
            topic,
            type_name,
            msgdef=definition,
            rihs01=digest,
            offered_qos_profiles=[to_stored(info.qos_profile) for info in publishers],
        )
        clock = self._node.get_clock()

        def write(data: bytes) -> None:
            self._writer.write(connection, clock.now().nanoseconds, data)

        profile = qos.adapt(QoSProfile(depth=DEPTH), self._node, topic)
        self._node.create_subscription(message_class, topic, write, profile, raw=True)
        logger.info(f"Subscribed to topic '{topic}'")


def full_definition(name: str) -> str:
    """Return the text of a message, followed by those of all messages inside it, as bags do."""
    texts = [registry.definition_text(name)]
    pending, seen = [name], {name}
    while pending:
        for field in registry.get_message(pending.pop(0)).fields:
            inner = field.type.base
            if not field.type.is_primitive and inner not in seen:
                seen.add(inner)
                pending.append(inner)
                short = inner.replace("/msg/", "/")
                texts.append(f"{SEPARATOR}\nMSG: {short}\n{registry.definition_text(inner)}")
    return "\n".join(text.rstrip("\n") for text in texts) + "\n"
