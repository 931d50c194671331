# SPDX-License-Identifier: Apache-2.0
"""Short forms for tests that launch something."""

import sys
import textwrap

from launch import LaunchDescription, LaunchService
from launch.actions import ExecuteProcess, OpaqueFunction, SetLaunchConfiguration


def python(code, *arguments, **options):
    """A process that runs a piece of Python, its output on the screen and kept."""
    command = [sys.executable, "-u", "-c", textwrap.dedent(code), *arguments]
    options = {"name": "talker", "output": "screen", "cached_output": True, **options}
    return ExecuteProcess(cmd=command, **options)


def run(*entities, **arguments):
    """Launch entities with launch arguments given; the return code.

    Unless told otherwise, processes may take a minute to obey a signal.
    """
    arguments = {"sigterm_timeout": "60", "sigkill_timeout": "60", **arguments}
    given = [SetLaunchConfiguration(name, value) for name, value in arguments.items()]
    service = LaunchService()
    service.include_launch_description(LaunchDescription([*given, *entities]))
    return service.run()


def seen(store, *names):
    """An action that stores the values of launch configurations in a list."""

    def look(context):
        store.append(tuple(context.launch_configurations.get(name) for name in names))

    return OpaqueFunction(function=look)
