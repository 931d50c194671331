# SPDX-License-Identifier: Apache-2.0
"""Action: an entity that does something, under an optional condition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .condition import Condition
    from .launch_context import LaunchContext


class Action(LaunchDescriptionEntity):
    """Base of all actions: a subclass defines `execute`."""

    def __init__(self, *, condition: Condition | None = None) -> None:
        self.__condition = condition

    @property
    def condition(self) -> Condition | None:
        """The condition under which the action takes effect."""
        return self.__condition

    def describe(self) -> str:
        return f"{type(self).__name__}({hex(id(self))})"

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Entities the action brings in when executed."""
        return []

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return [] if self.__condition is not None else self.get_sub_entities()

    def describe_conditional_sub_entities(
        self,
    ) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        if self.__condition is None:
            return []
        return [(f"Conditionally included by {self.describe()}", self.get_sub_entities())]

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        from .events import ExecutionComplete

        if self.__condition is not None and not self.__condition.evaluate(context):
            return None
        try:
            return self.execute(context)
        finally:
            event = ExecutionComplete(action=self)
            if context.would_handle_event(event):
                future = self.get_asyncio_future()
                if future is None:
                    context.emit_event_sync(event)
                else:
                    future.add_done_callback(lambda _: context.emit_event_sync(event))

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do it; the entities returned are visited next."""
        raise NotImplementedError(f"{type(self).__name__}.execute() is not defined")
