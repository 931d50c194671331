# SPDX-License-Identifier: Apache-2.0
"""Substitution: a text whose value is known only while launching."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Substitution:
    """Base of all substitutions."""

    def describe(self) -> str:
        """How a person would write this substitution."""
        return f"{type(self).__name__}()"

    def perform(self, context: LaunchContext) -> str:
        """The text this stands for in `context`."""
        raise NotImplementedError(f"{type(self).__name__}.perform() is not defined")
