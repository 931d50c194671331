# SPDX-License-Identifier: Apache-2.0
"""`ros2 param`: delete, describe, dump, get, list, load, set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterDescriptor, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.impl.yaml_text import dump_parameters
from rclpy.node import Node
from rclpy.parameter import (
    get_parameter_value,
    parameter_dict_from_yaml_file,
    parameter_value_to_python,
)

from ros2cli import graph
from ros2cli.verbs import Verbs

# Parameter type -> (name, how `get` introduces its value)
TYPES = {
    ParameterType.PARAMETER_NOT_SET: ("not set", "Parameter not set."),
    ParameterType.PARAMETER_BOOL: ("boolean", "Boolean value is:"),
    ParameterType.PARAMETER_INTEGER: ("integer", "Integer value is:"),
    ParameterType.PARAMETER_DOUBLE: ("double", "Double value is:"),
    ParameterType.PARAMETER_STRING: ("string", "String value is:"),
    ParameterType.PARAMETER_BYTE_ARRAY: ("byte array", "Byte values are:"),
    ParameterType.PARAMETER_BOOL_ARRAY: ("boolean array", "Boolean values are:"),
    ParameterType.PARAMETER_INTEGER_ARRAY: ("integer array", "Integer values are:"),
    ParameterType.PARAMETER_DOUBLE_ARRAY: ("double array", "Double values are:"),
    ParameterType.PARAMETER_STRING_ARRAY: ("string array", "String values are:"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = Verbs(parser)
    verb = verbs.add("list", list_parameters)
    graph.add_node_argument(verb, nargs="?")
    verb.add_argument(
        "--param-prefixes",
        nargs="+",
        default=[],
        help="Only list parameters with the provided prefixes",
    )
    verb.add_argument(
        "--param-type", action="store_true", help="Print parameter types with parameter names"
    )
    verb = verbs.add("get", get)
    graph.add_node_argument(verb)
    verb.add_argument("parameter_name", help="Name of the parameter")
    verb.add_argument("--hide-type", action="store_true", help="Hide the type information")
    verb = verbs.add("set", set_parameters)
    graph.add_node_argument(verb)
    verb.add_argument(
        "parameters", nargs="+", metavar="name value", help="Parameter name and value pair(s)"
    )
    verb.add_argument(
        "--atomic", action="store_true", help="Set all parameters atomically, or none"
    )
    verb = verbs.add("describe", describe)
    graph.add_node_argument(verb)
    verb.add_argument("parameter_names", nargs="+", help="Names of the parameters")
    graph.add_node_argument(verbs.add("dump", dump))
    verb = verbs.add("load", load)
    graph.add_node_argument(verb)
    verb.add_argument("parameter_file", help="Parameter file")
    verb.add_argument(
        "--no-use-wildcard",
        action="store_true",
        help="Do not load parameters in the '/**' namespace into the node",
    )
    verb = verbs.add("delete", delete)
    graph.add_node_argument(verb)
    verb.add_argument("parameter_name", help="Name of the parameter")


def list_parameters(args: argparse.Namespace) -> None:
    """Output a list of available parameters."""
    with graph.hidden_node(args) as node:
        graph.discover(node, args)
        if args.node_name:
            names = [graph.require_node(node, args, args.node_name)]
        else:
            serving = dict(graph.services(node, args.include_hidden_nodes))
            known = dict.fromkeys(graph.node_names(node, args.include_hidden_nodes))
            names = [name for name in known if f"{name}/list_parameters" in serving]
        for name in names:
            if not args.node_name:
                print(f"{name}:")
            parameters = _list(node, name, args.param_prefixes)
            types = {}
            if args.param_type:
                types = {d.name: _type_name(d.type) for d in _describe(node, name, parameters)}
            for parameter in parameters:
                suffix = f" (type: {types[parameter]})" if args.param_type else ""
                print(f"  {parameter}{suffix}")


def get(args: argparse.Namespace) -> str | None:
    """Get parameter."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        values = _get(node, name, [args.parameter_name])
        if not values or values[0].type == ParameterType.PARAMETER_NOT_SET:
            return "Parameter not set"
        value = _plain(values[0])
        if args.hide_type:
            print(value)
        else:
            print(TYPES[values[0].type][1], value)
    return None


def set_parameters(args: argparse.Namespace) -> str | None:
    """Set parameter."""
    words = args.parameters
    if len(words) % 2:
        return f"Parameters must be provided as name/value pairs. Got {len(words)} argument(s)."
    parameters = [
        ParameterMessage(name=name, value=get_parameter_value(text))
        for name, text in zip(words[::2], words[1::2], strict=True)
    ]
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        if args.atomic:
            request = SetParametersAtomically.Request(parameters=parameters)
            service = f"{name}/set_parameters_atomically"
            result = graph.call(node, SetParametersAtomically, service, request).result
            return _report(result, "Set parameters atomically", "Setting parameters atomically")
        results = _set(node, name, parameters)
        failed = None
        for parameter, result in zip(parameters, results, strict=True):
            prefix = f"{parameter.name}: " if len(parameters) > 1 else ""
            failed = _report(result, f"{prefix}Set parameter", f"{prefix}Setting parameter")
            if failed and len(parameters) > 1:
                print(failed, file=sys.stderr)
    return failed


def describe(args: argparse.Namespace) -> None:
    """Show descriptive information about declared parameters."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        for descriptor in _describe(node, name, args.parameter_names):
            print("\n".join(_descriptor_lines(descriptor)))


def dump(args: argparse.Namespace) -> None:
    """Show all of the parameters of a node in a YAML file format."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        parameters = _list(node, name, [])
        values = _get(node, name, parameters)
        if not values:  # where one of them is not set a node tells none
            values = [v for p in parameters for v in _get(node, name, [p]) or [ParameterValue()]]
        tree: dict[str, Any] = {}
        for parameter, value in zip(parameters, values, strict=True):
            if value.type == ParameterType.PARAMETER_NOT_SET:  # no file can say so
                continue
            _plant(tree, parameter, _plain(value))
        print(dump_parameters({name: {"ros__parameters": tree}}))


def _plant(tree: dict[str, Any], name: str, value: Any) -> None:
    """Put "a.b" below "a", or beside it where that is a parameter of its own."""
    step, _, rest = name.partition(".")
    branch = tree.setdefault(step, {}) if rest else None
    if isinstance(branch, dict):
        _plant(branch, rest, value)
    else:
        tree[name] = value


def load(args: argparse.Namespace) -> str | None:
    """Load parameter file for a node."""
    if not Path(args.parameter_file).is_file():
        return f"No such file: {args.parameter_file}"
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        values = parameter_dict_from_yaml_file(
            args.parameter_file, use_wildcard=not args.no_use_wildcard, target_nodes=[name]
        )
        results = _set(node, name, list(values.values()))
        for parameter, result in zip(values, results, strict=True):
            problem = _report(
                result, f"Set parameter {parameter}", f"Setting parameter {parameter}"
            )
            if problem:
                print(problem, file=sys.stderr)
    return None


def delete(args: argparse.Namespace) -> str | None:
    """Delete parameter."""
    with graph.hidden_node(args) as node:
        name = graph.require_node(node, args, args.node_name)
        nothing = ParameterMessage(name=args.parameter_name, value=ParameterValue())
        (result,) = _set(node, name, [nothing])
        return _report(result, "Deleted parameter", "Deleting parameter")


def _report(result: Any, done: str, doing: str) -> str | None:
    """Print the success; return the failure."""
    reason = f": {result.reason}" if result.reason else ""
    if result.successful:
        print(f"{done} successful{reason}" if done.startswith("Set") else f"{done} successfully")
        return None
    return f"{doing} failed{reason}"


def _list(node: Node, name: str, prefixes: list[str]) -> list[str]:
    request = ListParameters.Request(prefixes=prefixes)
    response = graph.call(node, ListParameters, f"{name}/list_parameters", request)
    return sorted(response.result.names)


def _get(node: Node, name: str, parameters: list[str]) -> list[ParameterValue]:
    request = GetParameters.Request(names=parameters)
    return list(graph.call(node, GetParameters, f"{name}/get_parameters", request).values)


def _describe(node: Node, name: str, parameters: list[str]) -> list[ParameterDescriptor]:
    request = DescribeParameters.Request(names=parameters)
    service = f"{name}/describe_parameters"
    return list(graph.call(node, DescribeParameters, service, request).descriptors)


def _set(node: Node, name: str, parameters: list[ParameterMessage]) -> list[Any]:
    request = SetParameters.Request(parameters=parameters)
    return list(graph.call(node, SetParameters, f"{name}/set_parameters", request).results)


def _plain(value: ParameterValue) -> Any:
    plain = parameter_value_to_python(value)
    return plain.tolist() if hasattr(plain, "tolist") else plain


def _type_name(number: int) -> str:
    return TYPES[number][0] if number in TYPES else f"unknown ({number})"


def _descriptor_lines(descriptor: ParameterDescriptor) -> list[str]:
    lines = [f"Parameter name: {descriptor.name}", f"  Type: {_type_name(descriptor.type)}"]
    if descriptor.description:
        lines.append(f"  Description: {descriptor.description}")
    lines.append("  Constraints:")
    if descriptor.read_only:
        lines.append("    Read only: true")
    for bounds in (*descriptor.floating_point_range, *descriptor.integer_range):
        lines += [f"    Min value: {bounds.from_value}", f"    Max value: {bounds.to_value}"]
        if bounds.step:
            lines.append(f"    Step: {bounds.step}")
    if descriptor.additional_constraints:
        lines.append(f"    Additional constraints: {descriptor.additional_constraints}")
    return lines
