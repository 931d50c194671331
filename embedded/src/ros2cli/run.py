# SPDX-License-Identifier: Apache-2.0
"""`ros2 run`: replaces itself by an executable of a package."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix


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
    if path is None:
        return "No executable found"
    command = [*shlex.split(args.prefix or ""), str(path), *args.argv]
    return os.execvp(command[0], command)


def find_executable(package: str, name: str) -> Path | None:
    """Return `<prefix>/lib/<package>/<name>`, or `scripts/<name>` of a source checkout."""
    prefix = Path(get_package_prefix(package))
    for folder in (prefix / "lib" / package, prefix / "scripts"):
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None
