# SPDX-License-Identifier: Apache-2.0
"""`ros2 node`: info, list."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from ros2cli import graph
from ros2cli.verbs import Verbs

INDENT = "    "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = Verbs(parser)
    verb = verbs.add("list", list_nodes)
    graph.add_list_arguments(verb)
    verb = verbs.add("info", info)
    graph.add_arguments(verb)
    verb.add_argument("node_name", help="Fully qualified node name to request information")
    verb.add_argument(
        "--include-hidden",
        action="store_true",
        help="Display hidden topics, services, and actions as well",
    )


def list_nodes(args: argparse.Namespace) -> None:
    """Output a list of available nodes."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        names = graph.node_names(node, args.all)
        if any(count > 1 for count in Counter(names).values()):
            print(
                "WARNING: Be aware that there are nodes in the graph that share an exact name, "
                "which can have unintended side effects.",
                file=sys.stderr,
            )
        graph.print_nodes(names, args)


def info(args: argparse.Namespace) -> str | None:
    """Output information about a node."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        full_name = graph.absolute(args.node_name)
        count = graph.node_names(node, include_hidden=True).count(full_name)
        if count == 0:
            return f"Unable to find node '{args.node_name}'"
        if count > 1:
            print(
                f'There are {count} nodes in the graph with the exact name "{full_name}". '
                "You are seeing information about only one of them.",
                file=sys.stderr,
            )
        name = graph.split_node_name(full_name)
        print(full_name)
        for title, query in (
            ("Subscribers", node.get_subscriber_names_and_types_by_node),
            ("Publishers", node.get_publisher_names_and_types_by_node),
            ("Service Servers", node.get_service_names_and_types_by_node),
            ("Service Clients", node.get_client_names_and_types_by_node),
        ):
            print(f"  {title}:")
            for endpoint, types in sorted(query(*name)):
                if args.include_hidden or not graph.is_hidden(endpoint):
                    print(f"{INDENT}{endpoint}: {', '.join(types)}")
        print("  Action Servers:\n\n  Action Clients:\n")
    return None
