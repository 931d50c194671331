# SPDX-License-Identifier: Apache-2.0
"""`ros2 service`: call, find, info, list, type."""

from __future__ import annotations

import argparse
import time
from typing import Any

import rclpy
from rosidl_runtime_py.utilities import get_service

from ros2cli import graph
from ros2cli.message_type import populate, values_from
from ros2cli.verbs import Verbs, positive_float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    parser.add_argument(
        "--include-hidden-services", action="store_true", help="Consider hidden services as well"
    )
    verbs = Verbs(parser)
    verb = verbs.add("list", list_services)
    graph.add_arguments(verb)
    verb.add_argument(
        "-t", "--show-types", action="store_true", help="Additionally show the service type"
    )
    verb.add_argument(
        "-c",
        "--count-services",
        action="store_true",
        help="Only display the number of services discovered",
    )
    verb = verbs.add("type", print_type)
    graph.add_arguments(verb)
    verb.add_argument("service_name", help="Name of the ROS service")
    verb = verbs.add("info", info)
    graph.add_arguments(verb)
    verb.add_argument("service_name", help="Name of the ROS service")
    verb = verbs.add("find", find)
    graph.add_arguments(verb)
    verb.add_argument("service_type", help="Name of the ROS service type to filter for")
    verb = verbs.add("call", call)
    graph.add_arguments(verb)
    verb.add_argument("service_name", help="Name of the ROS service to call to")
    verb.add_argument("service_type", help="Type of the ROS service (e.g. 'std_srvs/srv/Empty')")
    verb.add_argument(
        "values",
        nargs="?",
        default="{}",
        help="Values to fill the service request with in YAML format (e.g. '{a: 1, b: 2}'), "
        "otherwise the service request will be published with default values",
    )
    verb.add_argument("--stdin", action="store_true", help="Read values from standard input")
    verb.add_argument(
        "-r", "--rate", metavar="N", type=positive_float, help="Repeat the call at a rate in Hz"
    )


def list_services(args: argparse.Namespace) -> None:
    """Output a list of available services."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        found = graph.services(node, args.include_hidden_services)
        if args.count_services:
            print(len(found))
            return
        for name, types in found:
            print(f"{name} [{', '.join(types)}]" if args.show_types else name)


def print_type(args: argparse.Namespace) -> int | None:
    """Output a service's type."""
    with graph.hidden_node(args) as node:
        name = graph.absolute(args.service_name)
        graph.discover(node, args, lambda: name in dict(graph.services(node, True)))
        types = dict(graph.services(node, True)).get(name)
        if not types:
            return 1
        print("\n".join(types))
    return None


def info(args: argparse.Namespace) -> str | None:
    """Print information about a service."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        name = graph.absolute(args.service_name)
        types = dict(graph.services(node, True)).get(name)
        if types is None:
            return f"Unknown service '{args.service_name}'"
        print(f"Type: {types[0] if len(types) == 1 else types}")
        print(f"Clients count: {node.count_clients(name)}")
        print(f"Services count: {node.count_services(name)}")
    return None


def find(args: argparse.Namespace) -> None:
    """Output a list of available services of a given type."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        for name, types in graph.services(node, args.include_hidden_services):
            if args.service_type in types:
                print(name)


def call(args: argparse.Namespace) -> str | None:
    """Call a service."""
    values = values_from(args) or {}
    try:
        service_class: Any = get_service(args.service_type)
    except (ImportError, AttributeError, ValueError):
        return "The passed service type is invalid"
    request = service_class.Request()
    stamps = populate(request, values)
    with graph.hidden_node(args) as node:
        client = node.create_client(service_class, args.service_name)
        if not client.wait_for_service(timeout_sec=0.5):
            print("waiting for service to become available...")
            graph.spin_while(node, lambda: not client.service_is_ready())
        while True:
            called_at = time.monotonic()
            now = node.get_clock().now().to_msg()
            for set_stamp in stamps:
                set_stamp(now)
            print(f"requester: making request: {request!r}\n")
            future = client.call_async(request)
            rclpy.spin_until_future_complete(node, future)
            if not future.done():
                return None
            print(f"response:\n{future.result()!r}\n")
            if args.rate is None:
                return None
            pause = called_at + 1.0 / args.rate - time.monotonic()
            graph.spin_while(node, lambda: True, max(pause, 0.0))
    return None
