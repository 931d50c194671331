# SPDX-License-Identifier: Apache-2.0
"""`ros2 lifecycle`: get, list, nodes, set."""

from __future__ import annotations

import argparse
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rclpy.node import Node

from ros2cli import graph
from ros2cli.verbs import Verbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = Verbs(parser)
    verb = verbs.add("nodes", nodes)
    graph.add_list_arguments(verb)
    verb = verbs.add("get", get)
    graph.add_node_argument(verb, nargs="?")
    verb = verbs.add("set", set_state)
    graph.add_node_argument(verb)
    verb.add_argument("transition", help="The lifecycle transition")
    verb = verbs.add("list", list_transitions)
    graph.add_node_argument(verb)
    verb.add_argument("-a", "--all", action="store_true", help="Display all existing transitions")


def _lifecycle_nodes(node: Node, include_hidden: bool) -> list[str]:
    serving = dict(graph.services(node, include_hidden=True))
    names = dict.fromkeys(graph.node_names(node, include_hidden))
    return [
        name
        for name in names
        if "lifecycle_msgs/srv/GetState" in serving.get(f"{name}/get_state", [])
    ]


def nodes(args: argparse.Namespace) -> None:
    """Output a list of nodes with lifecycle."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        names = _lifecycle_nodes(node, args.all)
        graph.print_nodes(names, args)


def get(args: argparse.Namespace) -> None:
    """Get lifecycle state for one or more nodes."""
    with graph.hidden_node(args) as node:
        if args.node_name:
            names = [graph.require_node(node, args, args.node_name)]
        else:
            graph.discover(node, args)
            names = _lifecycle_nodes(node, args.include_hidden_nodes)
        for name in names:
            state = graph.call(
                node, GetState, f"{name}/get_state", GetState.Request()
            ).current_state
            prefix = "" if args.node_name else f"{name}: "
            print(f"{prefix}{state.label} [{state.id}]")


def set_state(args: argparse.Namespace) -> str | None:
    """Trigger lifecycle state transition."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        transitions = [item.transition for item in _transitions(node, name, False)]
        wanted = [t for t in transitions if args.transition in (t.label, str(t.id))]
        if not wanted:
            return "Unknown transition requested, available ones are:" + "".join(
                f"\n- {t.label} [{t.id}]" for t in transitions
            )
        request = ChangeState.Request(transition=Transition(id=wanted[0].id, label=wanted[0].label))
        service = f"{name}/change_state"
        if not graph.call(node, ChangeState, service, request).success:
            return "Transitioning failed"
        print("Transitioning successful")
    return None


def list_transitions(args: argparse.Namespace) -> None:
    """Output a list of available transitions."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        for item in _transitions(node, name, args.all):
            print(
                f"- {item.transition.label} [{item.transition.id}]\n"
                f"\tStart: {item.start_state.label}\n"
                f"\tGoal: {item.goal_state.label}"
            )


def _transitions(node: Node, name: str, everything: bool) -> list[Any]:
    service = "get_transition_graph" if everything else "get_available_transitions"
    request = GetAvailableTransitions.Request()
    response = graph.call(node, GetAvailableTransitions, f"{name}/{service}", request)
    return list(response.available_transitions)
