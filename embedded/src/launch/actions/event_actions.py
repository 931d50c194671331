# SPDX-License-Identifier: Apache-2.0
"""Actions on events: emit one, react to some, wait, shut down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event_handler import EventHandler
from ..event_handlers import OnShutdown
from ..events import Shutdown as ShutdownEvent
from ..events import TimerEvent
from ..events.process import ProcessExited
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import is_a, normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

if TYPE_CHECKING:
    import asyncio

    from ..event import Event
    from ..event_handler import BaseEventHandler
    from ..launch_context import LaunchContext
    from ..launch_description_entity import LaunchDescriptionEntity


class EmitEvent(Action):
    """Emit an event."""

    def __init__(self, *, event: Event, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__event = event

    @property
    def event(self) -> Event:
        """The event."""
        return self.__event

    def execute(self, context: LaunchContext) -> None:
        context.emit_event_sync(self.__event)


class Shutdown(EmitEvent):
    """End the launch; as `on_exit` of a process it makes that process a required one."""

    def __init__(self, *, reason: str = "reason not given", **kwargs: Any) -> None:
        super().__init__(event=ShutdownEvent(reason=reason), **kwargs)

    def execute(self, context: LaunchContext) -> None:
        event = context.get_locals_as_dict().get("event")
        if isinstance(event, ProcessExited):
            get_logger("launch").info(
                f"process[{event.process_name}] was required: shutting down launched system"
            )
        super().execute(context)


class RegisterEventHandler(Action):
    """React to events from now on."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        """The handler."""
        return self.__event_handler

    def execute(self, context: LaunchContext) -> None:
        context.register_event_handler(self.__event_handler)

    def describe_conditional_sub_entities(
        self,
    ) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        text, entities = self.__event_handler.describe()
        return [(text, entities)] if entities else []  # type: ignore[list-item]


class UnregisterEventHandler(Action):
    """Stop reacting to events."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        """The handler."""
        return self.__event_handler

    def execute(self, context: LaunchContext) -> None:
        context.unregister_event_handler(self.__event_handler)


class TimerAction(Action):
    """Visit actions after `period` seconds of wall time, unless cancelled before.

    A shutdown cancels it, unless `cancel_on_shutdown` is false.
    """

    def __init__(
        self,
        *,
        period: float | SomeSubstitutionsType,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: bool | SomeSubstitutionsType = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_number = isinstance(period, int | float)
        self.__period = normalize_to_list_of_substitutions(str(period) if is_number else period)  # type: ignore[arg-type]
        self.__actions = list(actions)
        self.__cancel_on_shutdown = normalize_typed_substitution(cancel_on_shutdown, bool)
        self.__future: asyncio.Future[None] | None = None
        self.__handle: asyncio.TimerHandle | None = None
        self.__canceled = False

    @property
    def period(self) -> Any:
        """The substitutions that give the period, in seconds."""
        return self.__period

    @property
    def actions(self) -> list[LaunchDescriptionEntity]:
        """What is visited when the period is over."""
        return self.__actions

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self.__actions

    def cancel(self) -> None:
        """The actions will not be visited; nothing happens where they were already."""
        self.__canceled = True
        if self.__handle is not None:
            self.__handle.cancel()
        if self.__future is not None and not self.__future.done():
            self.__future.set_result(None)

    def execute(self, context: LaunchContext) -> None:
        cancel_on_shutdown = perform_typed_substitution(context, self.__cancel_on_shutdown, bool)
        if self.__canceled or (context.is_shutdown and cancel_on_shutdown):
            return
        self.__future = context.asyncio_loop.create_future()
        context.register_event_handler(
            EventHandler(
                matcher=lambda event: is_a(event, TimerEvent) and event.timer_action is self,  # type: ignore[attr-defined]
                entities=self.__actions,
                handle_once=True,
            )
        )
        if cancel_on_shutdown:
            context.register_event_handler(OnShutdown(on_shutdown=lambda *_: self.cancel()))
        self._start(context, float(perform_substitutions(context, self.__period)))

    def _start(self, context: LaunchContext, period: float) -> None:
        self.__handle = context.asyncio_loop.call_later(period, self._fire, context)

    def _fire(self, context: LaunchContext) -> None:
        if self.__future is not None and not self.__future.done():
            context.emit_event_sync(TimerEvent(timer_action=self))
            self.__future.set_result(None)

    def get_asyncio_future(self) -> asyncio.Future[None] | None:
        return self.__future
