# SPDX-License-Identifier: Apache-2.0
"""What an executor runs: subscriptions, timers, services, clients, guard conditions, events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.node import Node


class Executable:
    """An entity with a callback.

    `_handle` is the DDS entity that wakes a waitset, 0: none. `_takes_s` is how long its callback
    took of late on average, infinite before the first and where that says nothing about the next.
    """

    callback_group: CallbackGroup | None = None
    _node: Node | None = None
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
        """Run the callback with what was taken; a coroutine is awaited by the executor."""
        raise NotImplementedError()
