# SPDX-License-Identifier: Apache-2.0
"""`ros2 run`: replaces itself by an executable of a package."""

from __future__ import annotations

import argparse
import os
import shlex

from ament_index_python.packages import PackageNotFoundError
from launch.substitutions import SubstitutionFailure
from launch_ros.substitutions.executable_in_package import command_for, find_executable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.set_defaults(main=main)
    parser.add_argument(
        "--prefix",
        help="Prefix command, which should go before the executable. Command must be wrapped in "
        "quotes if it contains spaces (e.g. --prefix 'gdb -ex run --args').",
    )
    parser.add_argument("package_name", help="Name of the ROS package")
    parser.add_argument("executable_name", help="Name of the executable")
    parser.add_argument(
        "argv", nargs=argparse.REMAINDER, help="Pass arbitrary arguments to the executable"
    )


def main(args: argparse.Namespace) -> str | None:
    """Run a package specific executable."""
    try:
        path = find_executable(args.package_name, args.executable_name)
    except PackageNotFoundError:
        return f"Package '{args.package_name}' not found"
    except SubstitutionFailure:
        return "No executable found"
    command = [*shlex.split(args.prefix or ""), *command_for(path), *args.argv]
    return os.execvp(command[0], command)
