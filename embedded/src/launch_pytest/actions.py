# SPDX-License-Identifier: Apache-2.0
"""ReadyToTest: the point from which tests may run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from launch.action import Action

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

__all__ = ["ReadyToTest"]


class ReadyToTest(Action):
    """Visited when tests may start; one is added at the end of a description without."""

    def __init__(self) -> None:
        super().__init__()
        self.__callbacks: list[Callable[[], None]] = []

    def _add_callback(self, func: Callable[[], None]) -> None:
        self.__callbacks.append(func)

    def execute(self, context: LaunchContext) -> None:
        for callback in self.__callbacks:
            callback()
