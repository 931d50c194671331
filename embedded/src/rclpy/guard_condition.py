# SPDX-License-Identifier: Apache-2.0
"""Guard conditions: callbacks that any thread can trigger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.exceptions import destroyed
from rclpy.impl.dds.waitset import Trigger
from rclpy.impl.executable import Executable, awaitable
from rclpy.utilities import get_default_context

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.context import Context


class GuardCondition(Executable):
    """Calls back once after each (series of) `trigger`."""

    def __init__(
        self,
        callback: Callable | None,
        callback_group: CallbackGroup | None,
        context: Context | None = None,
    ) -> None:
        self._context = get_default_context() if context is None else context
        self._trigger = Trigger(self._context.participant)
        self._handle = self._trigger.handle
        self.callback = callback
        self.callback_group = callback_group

    def trigger(self) -> None:
        """Have the callback run; raises InvalidHandle once destroyed."""
        if not self._handle:
            raise destroyed()
        self._trigger.set()

    def destroy(self) -> None:
        """Free it."""
        self._handle = 0
        self._trigger.delete()

    def _take(self) -> bool | None:
        return self._trigger.take() or None

    def _execute(self, taken: bool) -> Any:
        return None if self.callback is None else awaitable(self.callback, self.callback())
