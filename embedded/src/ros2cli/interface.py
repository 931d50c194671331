# SPDX-License-Identifier: Apache-2.0
"""`ros2 interface`: list, package, packages, show. Needs no node."""

from __future__ import annotations

import argparse
import sys

from rosidl_embedded import definition, registry
from rosidl_embedded.definition import InterfaceError

from ros2cli.verbs import Verbs

SEPARATOR = "---"
_LICENCE = "# SPDX-License-Identifier:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = Verbs(parser)
    verb = verbs.add("show", show)
    verb.add_argument(
        "type",
        help="Show an interface definition (e.g. 'std_msgs/msg/String'). "
        "Passing '-' reads the argument from stdin",
    )
    comments = verb.add_mutually_exclusive_group()
    comments.add_argument(
        "--all-comments",
        action="store_true",
        help="Show all comments, including for nested interface definitions",
    )
    comments.add_argument(
        "--no-comments", action="store_true", help="Show no comments or whitespace"
    )
    verb = verbs.add("list", list_interfaces)
    verb.add_argument(
        "-m", "--only-msgs", action="store_true", help="Print out only the message types"
    )
    verb.add_argument(
        "-s", "--only-srvs", action="store_true", help="Print out only the service types"
    )
    verb = verbs.add("package", package)
    verb.add_argument("package_name", help="Name of the package")
    verbs.add("packages", packages)


def show(args: argparse.Namespace) -> str | None:
    """Output the interface definition."""
    name = sys.stdin.readline().strip() if args.type == "-" else args.type
    try:
        lines = definition_lines(name, not args.no_comments, args.all_comments)
    except InterfaceError as error:
        return str(error)
    print("\n".join(lines))
    return None


def definition_lines(name: str, comments: bool, nested_comments: bool, depth: int = 0) -> list[str]:
    """Return the text of an interface, nested ones below their field and one tab further in.

    Without the line on the licence that our files of standard interfaces start with.
    """
    lines = []
    owner = name.split("/")[0]
    for text in registry.definition_text(name).rstrip().splitlines():
        content = text.split("#")[0].strip() if "#" in text else text.strip()
        if text.startswith(_LICENCE) or (not comments and not content):
            continue
        shown = text.rstrip() if comments else content
        lines.append(("\t" * depth + shown) if shown else "")
        nested = _nested_type(owner, content)
        if nested:
            lines += definition_lines(nested, nested_comments, nested_comments, depth + 1)
    return lines


def _nested_type(owner: str, content: str) -> str:
    """Return the name of the message that a line's field is of, "" where it is of none."""
    if not content or content == SEPARATOR:
        return ""
    field_type = definition.parse_type(owner, content.split()[0])
    return "" if field_type.is_primitive else field_type.base


def list_interfaces(args: argparse.Namespace) -> None:
    """List all interface types available."""
    chosen = [("Messages:", "msg", args.only_msgs), ("Services:", "srv", args.only_srvs)]
    only = any(flag for _, _, flag in chosen)
    for title, kind, flag in chosen:
        if only and not flag:
            continue
        print(title)
        for name in registry.packages():
            for interface in registry.interface_names(name, kind):
                print(f"    {name}/{kind}/{interface}")


def package(args: argparse.Namespace) -> str | None:
    """Output a list of available interface types within one package."""
    found = [
        f"{args.package_name}/{kind}/{name}"
        for kind in ("msg", "srv")
        for name in registry.interface_names(args.package_name, kind)
    ]
    if not found:
        return f"Unknown package '{args.package_name}'"
    print("\n".join(found))
    return None


def packages(args: argparse.Namespace) -> None:
    """Output a list of packages that provide interfaces."""
    print("\n".join(registry.packages()))
