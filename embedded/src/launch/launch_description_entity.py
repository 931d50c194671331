# SPDX-License-Identifier: Apache-2.0
"""LaunchDescriptionEntity: anything that may stand in a launch description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """Base of actions and launch descriptions: visited once, may give further entities."""

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Take effect; the entities returned are visited next, in order."""
        raise NotImplementedError(f"{type(self).__name__}.visit() is not defined")

    def get_asyncio_future(self) -> asyncio.Future[None] | None:
        """A future that is done when this entity has ended; None where it ends at once."""
        return None

    def describe(self) -> str:
        """A short text for a person."""
        return repr(self)

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Entities this one brings in always."""
        return []

    def describe_conditional_sub_entities(
        self,
    ) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Entities this one brings in under a condition, each with the condition's text."""
        return []
