# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch`: runs a launch file, or says which arguments it takes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import (
    AnyLaunchDescriptionSource,
    get_launch_description_from_any_launch_file,
)

ASSIGNMENT = ":="


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.set_defaults(main=main)
    parser.add_argument(
        "-n",
        "--noninteractive",
        action="store_true",
        help="Run the launch system non-interactively, with no terminal associated",
    )
    parser.add_argument(
        "-d",
        "--debug",
        action="store_true",
        help="Put the launch system in debug mode, provides more verbose output.",
    )
    parser.add_argument(
        "-s",
        "--show-args",
        "--show-arguments",
        action="store_true",
        help="Show arguments that may be given to the launch file.",
    )
    parser.add_argument(
        "package_name", help="Name of the ROS package which contains the launch file, or its path"
    )
    parser.add_argument("launch_file_name", nargs="?", help="Name of the launch file")
    parser.add_argument(
        "launch_arguments",
        nargs="*",
        help="Arguments to the launch file; '<name>:=<value>' (for duplicates, last one wins)",
    )


def main(args: argparse.Namespace) -> int | str:
    """Run a launch file."""
    words = list(args.launch_arguments)
    if args.launch_file_name is None or ASSIGNMENT in args.launch_file_name:
        path = Path(args.package_name)
        if args.launch_file_name is not None:
            words.insert(0, args.launch_file_name)
        if not path.is_file():
            return f"No launch file at '{path}': give a package and a file name, or a path"
    else:
        try:
            path = find_launch_file(args.package_name, args.launch_file_name)
        except PackageNotFoundError:
            return f"Package '{args.package_name}' not found"
    if args.show_args:
        return _show_arguments(path, args.debug)
    service = LaunchService(argv=words, noninteractive=args.noninteractive, debug=args.debug)
    include = IncludeLaunchDescription(
        AnyLaunchDescriptionSource(str(path)), launch_arguments=parse_arguments(words)
    )
    service.include_launch_description(LaunchDescription([include]))
    return service.run()


def _show_arguments(path: Path, debug: bool) -> int | str:
    try:
        description = get_launch_description_from_any_launch_file(str(path))
    except Exception as error:  # a launch file is a program: it can raise anything
        if debug:
            raise
        return f"Caught exception in launch (see --debug for traceback): {error}"
    print(arguments_text(description))
    return 0


def find_launch_file(package: str, name: str) -> Path:
    """Return the path of a launch file below a package's share directory.

    Raises:
        PackageNotFoundError: no such package.
        RuntimeError: no file of that name in it, or several.
    """
    share = get_package_share_directory(package)
    skipped = {"build", "install", "log", "node_modules"}
    found = []
    for folder, subfolders, files in os.walk(share):
        subfolders[:] = [s for s in subfolders if not s.startswith(".") and s not in skipped]
        if name in files:
            found.append(Path(folder) / name)
    if not found:
        raise RuntimeError(
            f"file '{name}' was not found in the share directory of package '{package}' "
            f"which is at '{share}'"
        )
    if len(found) > 1:
        raise RuntimeError(
            f"file '{name}' was found more than once in the share directory of package "
            f"'{package}': {', '.join(map(str, found))}"
        )
    return found[0]


def parse_arguments(words: list[str]) -> list[tuple[str, str]]:
    """Return (name, value) pairs of "name:=value" words; RuntimeError for anything else."""
    values: dict[str, str] = {}
    for word in words:
        name, assigned, value = word.partition(ASSIGNMENT)
        if not assigned or not name:
            raise RuntimeError(
                f"malformed launch argument '{word}', expected format '<name>:=<value>'"
            )
        values[name] = value
    return list(values.items())


def arguments_text(description: LaunchDescription) -> str:
    """Return the arguments of a launch file as `--show-args` lists them."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    arguments = description.get_launch_arguments()
    if not arguments:
        lines += ["", "  No arguments."]
    for argument in arguments:
        lines += ["", *_argument_lines(argument)]
    return "\n".join(lines)


def _argument_lines(argument: DeclareLaunchArgument) -> list[str]:
    lines = [f"    '{argument.name}':", f"        {argument.description}"]
    if argument.default_value is not None:
        default = " + ".join(part.describe() for part in argument.default_value)
        lines.append(f"        (default: {default or repr('')})")
    return lines
