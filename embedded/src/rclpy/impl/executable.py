# SPDX-License-Identifier: Apache-2.0
"""What an executor runs: subscriptions, timers, services, clients, guard conditions, events."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.node import Node


async def await_or_execute(callback: Callable[..., Any] | Any, *args: Any) -> Any:
    """Await a coroutine function, or call a plain one."""
    outcome = callback(*args)
    return await outcome if inspect.iscoroutinefunction(callback) else outcome


def awaitable(callback: Callable[..., Any] | Any, outcome: Any) -> Any:
    """The coroutine of a coroutine function, None for what plain functions return."""
    if outcome is None or not inspect.iscoroutinefunction(callback):
        return None
    return outcome


class Executable:
    """An entity with a callback.

    `_handle` is the DDS entity that wakes a waitset, 0: none. `_takes_s` is how long its callback
    took of late on average, infinite before the first and where that says nothing about the next.
    """

    callback_group: CallbackGroup | None = None
    _node: Node | None = None
    _logger_name = ""
    _handle = 0
    _is_regular = False
    _takes_s = math.inf

    def _took(self, seconds: float) -> None:
        """Remember how long the callback took."""
        if self._is_regular:
            known = math.isfinite(self._takes_s)
            self._takes_s = 0.9 * self._takes_s + 0.1 * seconds if known else seconds

    def _take(self) -> Any:
        """Take what makes it ready; None where there is nothing after all."""
        raise NotImplementedError()

    def _execute(self, taken: Any) -> Any:
        """Run the callback with what was taken; what it returns is awaited, if anything."""
        raise NotImplementedError()
