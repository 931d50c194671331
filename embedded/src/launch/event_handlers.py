# SPDX-License-Identifier: Apache-2.0
"""Event handlers for what launch files usually wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .action import Action
from .event import Event
from .event_handler import BaseEventHandler, EventHandler, as_entities
from .events import ExecutionComplete, IncludeLaunchDescription, Shutdown
from .events.process import ProcessExited, ProcessIO, ProcessStarted
from .some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from .launch_context import LaunchContext

# Entities, or a function of the event and the context that gives some.
Reaction = SomeEntitiesType | Callable[..., SomeEntitiesType | None] | None

__all__ = [
    "OnActionEventBase",
    "OnExecutionComplete",
    "OnIncludeLaunchDescription",
    "OnProcessExit",
    "OnProcessIO",
    "OnProcessStart",
    "OnShutdown",
    "event_named",
]


def event_named(event_name: str) -> Callable[[Event], bool]:
    """A matcher for events of a given `Event.name`."""
    return lambda event: event.name == event_name


class _Reacting(BaseEventHandler):
    """Reacts with entities, or with those that a function of the event and the context gives."""

    def __init__(self, *, reaction: Reaction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__reaction = reaction if callable(reaction) else as_entities(reaction)

    @property
    def handler_description(self) -> str:
        return "<callable>" if callable(self.__reaction) else "<actions>"

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        text, _ = super().describe()
        return text, [] if callable(self.__reaction) else list(self.__reaction)

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        if callable(self.__reaction):
            return self.__reaction(event, context)
        return self.__reaction


class OnActionEventBase(_Reacting):
    """Reacts to events of one action, of those a predicate accepts, or of any."""

    def __init__(
        self,
        *,
        action_matcher: Action | Callable[[Action], bool] | None,
        on_event: Reaction,
        target_event_cls: type[Event],
        target_action_cls: type[Action] = Action,
        **kwargs: Any,
    ) -> None:
        if action_matcher is not None and not callable(action_matcher):
            if not isinstance(action_matcher, target_action_cls):
                raise TypeError(
                    f"{type(self).__name__} needs an action of type {target_action_cls.__name__} "
                    f"or a function that accepts one, got {action_matcher!r}"
                )
            wanted = action_matcher
            accepts: Callable[[Any], bool] = lambda action: action is wanted  # noqa: E731
        else:
            accepts = action_matcher or (lambda action: True)
        super().__init__(
            matcher=lambda event: isinstance(event, target_event_cls) and accepts(event.action),  # type: ignore[attr-defined]
            reaction=on_event,
            **kwargs,
        )
        self.__target_event_cls = target_event_cls

    @property
    def matcher_description(self) -> str:
        return f"event == {self.__target_event_cls.__name__}"


def _execute_local() -> type[Action]:
    from .actions import ExecuteLocal

    return ExecuteLocal


class OnProcessStart(OnActionEventBase):
    """When a process has started."""

    def __init__(self, *, target_action: Any = None, on_start: Reaction, **kwargs: Any) -> None:
        super().__init__(
            action_matcher=target_action,
            on_event=on_start,
            target_event_cls=ProcessStarted,
            target_action_cls=_execute_local(),
            **kwargs,
        )


class OnProcessExit(OnActionEventBase):
    """When a process has ended; all its output has been handled by then."""

    def __init__(self, *, target_action: Any = None, on_exit: Reaction, **kwargs: Any) -> None:
        super().__init__(
            action_matcher=target_action,
            on_event=on_exit,
            target_event_cls=ProcessExited,
            target_action_cls=_execute_local(),
            **kwargs,
        )


class OnProcessIO(OnActionEventBase):
    """When a process writes, or is to be written to. The functions take the event alone."""

    def __init__(
        self,
        *,
        target_action: Any = None,
        on_stdin: Callable[[ProcessIO], SomeEntitiesType | None] | None = None,
        on_stdout: Callable[[ProcessIO], SomeEntitiesType | None] | None = None,
        on_stderr: Callable[[ProcessIO], SomeEntitiesType | None] | None = None,
        **kwargs: Any,
    ) -> None:
        reactions = (on_stdin, on_stdout, on_stderr)

        def on_event(event: ProcessIO, _: LaunchContext) -> SomeEntitiesType | None:
            reaction = reactions[event.fd]
            return None if reaction is None else reaction(event)

        super().__init__(
            action_matcher=target_action,
            on_event=on_event,
            target_event_cls=ProcessIO,
            target_action_cls=_execute_local(),
            **kwargs,
        )


class OnExecutionComplete(OnActionEventBase):
    """When an action of any kind has ended."""

    def __init__(
        self, *, target_action: Any = None, on_completion: Reaction, **kwargs: Any
    ) -> None:
        super().__init__(
            action_matcher=target_action,
            on_event=on_completion,
            target_event_cls=ExecutionComplete,
            **kwargs,
        )


class OnShutdown(_Reacting):
    """When the launch begins to end."""

    def __init__(self, *, on_shutdown: Reaction, **kwargs: Any) -> None:
        super().__init__(
            matcher=lambda event: isinstance(event, Shutdown), reaction=on_shutdown, **kwargs
        )

    @property
    def matcher_description(self) -> str:
        return "event is launch.events.Shutdown"


class OnIncludeLaunchDescription(EventHandler):
    """Visits descriptions that are handed to the launch service."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            matcher=lambda event: isinstance(event, IncludeLaunchDescription), **kwargs
        )

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        assert isinstance(event, IncludeLaunchDescription)
        return event.launch_description
