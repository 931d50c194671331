# SPDX-License-Identifier: Apache-2.0
"""`ros2 topic`: echo, find, hz, info, list, pub, type."""

from __future__ import annotations

import argparse
from typing import Any

from ros2cli import graph, topic_echo, topic_hz, topic_pub
from ros2cli.verbs import Verbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    parser.add_argument(
        "--include-hidden-topics", action="store_true", help="Consider hidden topics as well"
    )
    verbs = Verbs(parser)
    topic_echo.add_arguments(verbs.add("echo", topic_echo.main))
    topic_hz.add_arguments(verbs.add("hz", topic_hz.main))
    topic_pub.add_arguments(verbs.add("pub", topic_pub.main))
    verb = verbs.add("list", list_topics)
    graph.add_arguments(verb)
    verb.add_argument(
        "-t", "--show-types", action="store_true", help="Additionally show the topic type"
    )
    verb.add_argument(
        "-c",
        "--count-topics",
        action="store_true",
        help="Only display the number of topics discovered",
    )
    verb.add_argument(
        "-v", "--verbose", action="store_true", help="List full details about each topic"
    )
    verb.add_argument(
        "-a",
        "--include-hidden-topics",
        action="store_true",
        default=argparse.SUPPRESS,
        help="Consider hidden topics as well",
    )
    verb = verbs.add("info", info)
    graph.add_arguments(verb)
    verb.add_argument("topic_name", help="Name of the ROS topic to get info (e.g. '/chatter')")
    verb.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Prints detailed information like the node name, node namespace, topic type, "
        "topic type hash, GUID and QoS Profile of the publishers and subscribers to this topic",
    )
    verb = verbs.add("type", print_type)
    graph.add_arguments(verb)
    verb.add_argument("topic_name", help="Name of the ROS topic to get type (e.g. '/chatter')")
    verb = verbs.add("find", find)
    graph.add_arguments(verb)
    verb.add_argument("topic_type", help="Name of the ROS topic type to filter for")


def list_topics(args: argparse.Namespace) -> None:
    """Output a list of available topics."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        found = graph.topics(node, args.include_hidden_topics)
        if args.count_topics:
            print(len(found))
        elif args.verbose:
            _print_counts("Published", "publisher", found, node.count_publishers)
            _print_counts("Subscribed", "subscriber", found, node.count_subscribers)
        else:
            for name, types in found:
                print(f"{name} [{', '.join(types)}]" if args.show_types else name)


def _print_counts(title: str, noun: str, found: graph.NamesAndTypes, count: Any) -> None:
    print(f"{title} topics:")
    for name, types in found:
        number = count(name)
        if number:
            plural = "s" if number > 1 else ""
            print(f" * {name} [{', '.join(types)}] {number} {noun}{plural}")
    print()


def info(args: argparse.Namespace) -> str | None:
    """Print information about a topic."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        name = graph.absolute(args.topic_name)
        types = dict(graph.topics(node, include_hidden=True)).get(name)
        if types is None:
            return f"Unknown topic '{args.topic_name}'"
        print(f"Type: {types[0] if len(types) == 1 else types}")
        publishers = node.get_publishers_info_by_topic(name)
        subscriptions = node.get_subscriptions_info_by_topic(name)
        blank = "\n" if args.verbose else ""
        for label, endpoints in (("Publisher", publishers), ("Subscription", subscriptions)):
            print(f"{blank}{label} count: {len(endpoints)}{blank}")
            if args.verbose:
                for endpoint in endpoints:
                    print(f"{describe_endpoint(endpoint)}\n")
    return None


def describe_endpoint(endpoint: Any) -> str:
    """Return the lines of `info -v` about one publisher or subscription."""
    qos = endpoint.qos_profile
    history = qos.history.name
    if history == "KEEP_LAST":
        history = f"KEEP_LAST ({qos.depth})"
    return "\n".join(
        (
            f"Node name: {endpoint.node_name}",
            f"Node namespace: {endpoint.node_namespace}",
            f"Topic type: {endpoint.topic_type}",
            f"Topic type hash: {endpoint.topic_type_hash}",
            f"Endpoint type: {endpoint.endpoint_type.name}",
            f"GID: {'.'.join(f'{byte:02x}' for byte in endpoint.endpoint_gid)}",
            "QoS profile:",
            f"  Reliability: {qos.reliability.name}",
            f"  History (Depth): {history}",
            f"  Durability: {qos.durability.name}",
            f"  Lifespan: {_duration(qos.lifespan)}",
            f"  Deadline: {_duration(qos.deadline)}",
            f"  Liveliness: {qos.liveliness.name}",
            f"  Liveliness lease duration: {_duration(qos.liveliness_lease_duration)}",
        )
    )


def _duration(duration: Any) -> str:
    unlimited = duration.nanoseconds in (0, 2**63 - 1) or duration.nanoseconds // 10**9 >= 2**31 - 1
    return "Infinite" if unlimited else f"{duration.nanoseconds} nanoseconds"


def print_type(args: argparse.Namespace) -> int | None:
    """Print a topic's type."""
    with graph.hidden_node(args) as node:
        name = graph.absolute(args.topic_name)
        graph.discover(node, args, lambda: name in dict(graph.topics(node, True)))
        types = dict(graph.topics(node, True)).get(name)
        if not types:
            return 1
        print("\n".join(types))
    return None


def find(args: argparse.Namespace) -> None:
    """Output a list of available topics of a given type."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        for name, types in graph.topics(node, args.include_hidden_topics):
            if args.topic_type in types:
                print(name)
