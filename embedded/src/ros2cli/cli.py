# SPDX-License-Identifier: Apache-2.0
"""Entry point of `ros2`: finds the command's module, parses, runs, ends quietly at Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module

COMMANDS = {
    "bag": "Various rosbag related sub-commands",
    "interface": "Show information about ROS interfaces",
    "launch": "Run a launch file",
    "lifecycle": "Various lifecycle related sub-commands",
    "node": "Various node related sub-commands",
    "param": "Various param related sub-commands",
    "run": "Run a package specific executable",
    "service": "Various service related sub-commands",
    "topic": "Various topic related sub-commands",
}
NOT_BUILT = (
    "action", "component", "control", "daemon", "doctor", "extensions", "multicast", "pkg",
    "plugin", "security", "trace", "wtf",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one `ros2` command line; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # for pipes
    if argv and argv[0] in NOT_BUILT:
        print(f"`ros2 {argv[0]}` needs a full ROS 2", file=sys.stderr)
        return 1
    try:
        parser = _make_parser(argv[0] if argv else "")
        args = parser.parse_args(argv)
        if not hasattr(args, "main"):
            getattr(args, "parser", parser).print_help()
            return 0
        result = args.main(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return int(signal.SIGINT)
    except BrokenPipeError:  # `ros2 topic list | head -1`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RuntimeError, ValueError) as error:
        result = str(error)
    if isinstance(result, str):
        print(result, file=sys.stderr)
        return 1
    return result or 0


def _make_parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ros2", description="ros2 is an extensible command-line tool for ROS 2."
    )
    commands = parser.add_subparsers(
        title="Commands", metavar="Call `ros2 <command> -h` for more detailed usage."
    )
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(parser=sub)
        if name == command:
            import_module(f"ros2cli.{name}").add_arguments(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
