# SPDX-License-Identifier: Apache-2.0
"""The command's own hidden node, and what it sees of the graph.

There is no daemon: a command discovers the graph itself, until all that the participants it met
have announced is there and nothing new has shown up for `SETTLED_S`.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.topic_or_service_is_hidden import topic_or_service_is_hidden as is_hidden

SETTLED_S = 0.4
AT_MOST_S = 5.0
POLL_S = 0.05

NamesAndTypes = list[tuple[str, list[str]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all verbs that look at the graph."""
    parser.add_argument(
        "--spin-time",
        type=float,
        default=None,
        help="Spin time in seconds to wait for discovery (default: until the graph is settled)",
    )
    parser.add_argument(
        "-s", "--use-sim-time", action="store_true", help="Enable ROS simulation time"
    )
    parser.add_argument(
        "--no-daemon", action="store_true", help="Accepted; this runtime has no daemon"
    )


def add_node_argument(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add the arguments of a verb that asks one node, or all without one."""
    add_arguments(parser)
    parser.add_argument("node_name", help="Name of the ROS node", **options)
    parser.add_argument(
        "--include-hidden-nodes", action="store_true", help="Consider hidden nodes as well"
    )


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a verb that lists nodes, for `print_nodes`."""
    add_arguments(parser)
    parser.add_argument(
        "-a", "--all", action="store_true", help="Display all nodes even hidden ones"
    )
    parser.add_argument(
        "-c",
        "--count-nodes",
        action="store_true",
        help="Only display the number of nodes discovered",
    )


@contextmanager
def hidden_node(args: argparse.Namespace, name: str | None = None) -> Iterator[Node]:
    """Run rclpy with a node that the tools do not list; SIGTERM ends the block quietly.

    Raises:
        KeyboardInterrupt: at Ctrl-C, also where the block saw the shutdown first.
        ValueError: the user's name of a topic, service or node does not keep the rules.
    """
    interrupted = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)  # which rclpy's handler calls after its own work
    rclpy.init()
    overrides = [
        rclpy.parameter.Parameter("use_sim_time", value=getattr(args, "use_sim_time", False))
    ]
    node = None
    try:
        node = rclpy.create_node(
            name or f"_ros2cli_{os.getpid()}",
            start_parameter_services=False,
            parameter_overrides=overrides,
        )
        with suppress(ExternalShutdownException, RCLError):
            yield node
        if interrupted:
            raise KeyboardInterrupt
    except NameValidationException as error:
        raise ValueError(str(error)) from error
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def spin_while(node: Node, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
    """Spin while the condition holds; False when time ran out first.

    Raises:
        ExternalShutdownException: at Ctrl-C.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while condition():
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            return False
        if not rclpy.ok():
            raise ExternalShutdownException
        rclpy.spin_once(node, timeout_sec=POLL_S if remaining is None else min(remaining, POLL_S))
    return True


def discover(
    node: Node, args: argparse.Namespace, found: Callable[[], bool] = lambda: False
) -> None:
    """Wait until the graph is known: `--spin-time` seconds, or until it stops changing.

    Ends early once `found` holds.
    """
    if args.spin_time is None:
        settle(node, found)
    else:
        spin_while(node, lambda: not found(), args.spin_time)


def settle(node: Node, found: Callable[[], bool] = lambda: False) -> None:
    """Wait until the graph is complete and stops changing, or `found` holds.

    Another rclpy does not tell when it is complete: there it has stopped changing.
    """
    is_complete = node._ros_graph.is_complete if hasattr(node, "_ros_graph") else lambda: True
    start = changed = time.monotonic()
    seen: Any = None
    while not found():
        now = time.monotonic()
        if now - changed >= SETTLED_S or now - start >= AT_MOST_S:
            break
        snapshot = (
            node.get_topic_names_and_types(),
            node.get_service_names_and_types(),
            node.get_node_names_and_namespaces(),
        )
        if snapshot != seen or not is_complete():
            seen, changed = snapshot, now
        rclpy.spin_once(node, timeout_sec=POLL_S)


def topics(node: Node, include_hidden: bool) -> NamesAndTypes:
    """Return names and types of topics, sorted."""
    return sorted(_visible(node.get_topic_names_and_types(), include_hidden))


def services(node: Node, include_hidden: bool) -> NamesAndTypes:
    """Return names and types of services, sorted."""
    return sorted(_visible(node.get_service_names_and_types(), include_hidden))


def _visible(names_and_types: NamesAndTypes, include_hidden: bool) -> NamesAndTypes:
    return [(n, list(t)) for n, t in names_and_types if include_hidden or not is_hidden(n)]


def node_names(node: Node, include_hidden: bool) -> list[str]:
    """Return full names of nodes, sorted, with repetitions."""
    names = [
        f"{namespace.rstrip('/')}/{name}"
        for name, namespace in node.get_node_names_and_namespaces()
    ]
    return sorted(name for name in names if include_hidden or not is_hidden(name))


def print_nodes(names: list[str], args: argparse.Namespace) -> None:
    """Print names of nodes, or how many there are."""
    if args.count_nodes:
        print(len(names))
    elif names:
        print("\n".join(names))


def absolute(name: str) -> str:
    """Return a name with its leading slash."""
    return name if name.startswith("/") else f"/{name}"


def split_node_name(full_name: str) -> tuple[str, str]:
    """Return ("name", "/namespace") of "/namespace/name"."""
    namespace, _, name = full_name.rpartition("/")
    return name, namespace or "/"


def require_node(node: Node, args: argparse.Namespace, name: str) -> str:
    """Return the full name of a node that is there; RuntimeError "Node not found" otherwise."""
    full_name = absolute(name)

    def found() -> bool:
        return full_name in node_names(node, include_hidden=True)

    discover(node, args, found)
    if not found():
        raise RuntimeError("Node not found")
    return full_name


def call(node: Node, service_type: Any, name: str, request: Any) -> Any:
    """Call a service and return its response, however long the node takes: it may load a model.

    Raises:
        RuntimeError: it is not there.
        ExternalShutdownException: at Ctrl-C.
    """
    client = node.create_client(service_type, name)
    try:
        if not client.wait_for_service(timeout_sec=AT_MOST_S):
            if not rclpy.ok():
                raise ExternalShutdownException
            raise RuntimeError(f"Service '{name}' is not available")
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future)
        if not future.done():
            raise ExternalShutdownException
        return future.result()
    finally:
        node.destroy_client(client)
