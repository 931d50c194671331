# SPDX-License-Identifier: Apache-2.0
"""EventHandler: which events to react to, and with which entities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from .event import Event
    from .launch_context import LaunchContext
    from .launch_description_entity import LaunchDescriptionEntity


class BaseEventHandler:
    """Reacts to the events that `matcher` accepts; with `handle_once` only to the first."""

    def __init__(self, *, matcher: Callable[[Event], bool], handle_once: bool = False) -> None:
        self.__matcher = matcher
        self.__handle_once = handle_once

    @property
    def handle_once(self) -> bool:
        """Whether the handler goes away after its first event."""
        return self.__handle_once

    @property
    def handler_description(self) -> str | None:
        """What the handler does, as text."""
        return None

    @property
    def matcher_description(self) -> str | None:
        """Which events it takes, as text."""
        return None

    def matches(self, event: Event) -> bool:
        """Whether this handler takes `event`."""
        return self.__matcher(event)

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        """A text for a person, and the entities the handler may bring in."""
        return f"{type(self).__name__}({self.matcher_description})", []

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        """React; `context.locals.event` is the event. Entities returned are visited next."""
        context.extend_locals({"event": event})
        if self.handle_once:
            context.unregister_event_handler(self)
        return None


class EventHandler(BaseEventHandler):
    """A handler whose reaction is a fixed set of entities."""

    def __init__(
        self,
        *,
        matcher: Callable[[Event], bool],
        entities: SomeEntitiesType | None = None,
        handle_once: bool = False,
    ) -> None:
        super().__init__(matcher=matcher, handle_once=handle_once)
        self.__entities = as_entities(entities)

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """The entities visited for every event taken."""
        return self.__entities

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        text, _ = super().describe()
        return text, list(self.__entities)

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return self.__entities


def as_entities(entities: SomeEntitiesType | None) -> list[LaunchDescriptionEntity]:
    """One, several or no entities as a list."""
    if entities is None:
        return []
    return list(entities) if isinstance(entities, Iterable) else [entities]
