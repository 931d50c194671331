# SPDX-License-Identifier: Apache-2.0
"""Condition: whether an action takes effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """Holds where `predicate(context)` is true."""

    def __init__(self, *, predicate: Callable[[LaunchContext], bool] | None = None) -> None:
        self._predicate = predicate

    def describe(self) -> str:
        """A short text for a person."""
        return repr(self)

    def evaluate(self, context: LaunchContext) -> bool:
        """Whether the condition holds in `context`."""
        return self._predicate is not None and self._predicate(context)
