# SPDX-License-Identifier: Apache-2.0
"""Events of a launch; those of processes are in `launch.events.process`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..event import Event

if TYPE_CHECKING:
    from ..action import Action
    from ..actions import ExecuteLocal, TimerAction
    from ..launch_description import LaunchDescription


class Shutdown(Event):
    """The launch ends: no new processes, running ones are asked to stop."""

    name = "launch.events.Shutdown"

    def __init__(self, *, reason: str = "reason not given", due_to_sigint: bool = False) -> None:
        self.reason = reason
        self.due_to_sigint = due_to_sigint


class IncludeLaunchDescription(Event):
    """A launch description is to be visited."""

    name = "launch.events.IncludeLaunchDescription"

    def __init__(self, launch_description: LaunchDescription) -> None:
        self.launch_description = launch_description


class ExecutionComplete(Event):
    """An action has ended: a process has exited for good, a timer has fired."""

    name = "launch.events.ExecutionComplete"

    def __init__(self, *, action: Action) -> None:
        self.action = action


class TimerEvent(Event):
    """The period of a TimerAction is over."""

    name = "launch.events.TimerEvent"

    def __init__(self, *, timer_action: TimerAction) -> None:
        self.timer_action = timer_action


def matches_action(target_action: ExecuteLocal) -> Callable[[ExecuteLocal], bool]:
    """A matcher that accepts one action, for events that address processes."""
    return lambda action: action is target_action


from . import process  # noqa: E402

__all__ = [
    "ExecutionComplete",
    "IncludeLaunchDescription",
    "Shutdown",
    "TimerEvent",
    "matches_action",
    "process",
]
