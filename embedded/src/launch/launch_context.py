# SPDX-License-Identifier: Apache-2.0
"""LaunchContext: what entities see and change while a description is launched."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from .event import Event
    from .event_handler import BaseEventHandler
    from .substitution import Substitution


class _Locals:
    """Attribute access to the local variables of a context."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self.__dict__.update(variables)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"context.locals has no variable '{name}'")


class LaunchContext:
    """Launch configurations, environment, local variables, event queue and handlers."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self.argv = list(argv or [])
        self.noninteractive = noninteractive
        self.launch_configurations: dict[str, Any] = {}
        self._event_queue: collections.deque[Event] = collections.deque()
        self._event_handlers: tuple[BaseEventHandler, ...] = ()
        self._completion_futures: list[asyncio.Future[Any]] = []
        self._wake: Callable[[], None] = lambda: None
        self.__handlers_lock = threading.Lock()
        self.__configuration_stack: list[dict[str, Any]] = []
        self.__environment_stack: list[dict[str, str]] = []
        self.__initial_environment = dict(os.environ)
        self.__locals: dict[str, Any] = {}
        self.__globals: dict[str, Any] = {}
        self.__locals_stack: list[dict[str, Any]] = []
        self.__is_shutdown = False
        self.__asyncio_loop: asyncio.AbstractEventLoop | None = None

    # ---- where we are in the life of the launch

    @property
    def is_shutdown(self) -> bool:
        """True from the first Shutdown event on."""
        return self.__is_shutdown

    def _set_is_shutdown(self, state: bool) -> None:
        self.__is_shutdown = state

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which the launch runs. RuntimeError while it does not run."""
        if self.__asyncio_loop is None:
            raise RuntimeError("the launch service is not running: there is no asyncio loop")
        return self.__asyncio_loop

    def _set_asyncio_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.__asyncio_loop = loop

    def add_completion_future(self, completion_future: asyncio.Future[Any]) -> None:
        """The launch is not idle before `completion_future` is done."""
        self._completion_futures.append(completion_future)

    # ---- local variables, as seen through `context.locals`

    @property
    def locals(self) -> Any:
        """Local and global variables as attributes: `context.locals.event` in a handler."""
        return _Locals(self.get_locals_as_dict())

    def get_locals_as_dict(self) -> dict[str, Any]:
        """Local variables over global ones."""
        return {**self.__globals, **self.__locals}

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        """Set variables until the end of the current event handler."""
        self.__locals.update(extensions)

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        """Set variables for the rest of the launch."""
        self.__globals.update(extensions)

    def _push_locals(self) -> None:
        self.__locals_stack.append(dict(self.__locals))

    def _pop_locals(self) -> None:
        self.__locals = _popped(self.__locals_stack, "locals")

    # ---- launch configurations and environment

    def _push_launch_configurations(self) -> None:
        self.__configuration_stack.append(dict(self.launch_configurations))

    def _pop_launch_configurations(self) -> None:
        restored = _popped(self.__configuration_stack, "launch configurations")
        self.launch_configurations.clear()
        self.launch_configurations.update(restored)

    @property
    def environment(self) -> MutableMapping[str, str]:
        """The environment of this process, which every process launched inherits."""
        return os.environ

    def _push_environment(self) -> None:
        self.__environment_stack.append(dict(os.environ))

    def _pop_environment(self) -> None:
        self._restore_environment(_popped(self.__environment_stack, "environment"))

    def _reset_environment(self) -> None:
        self._restore_environment(self.__initial_environment)

    @staticmethod
    def _restore_environment(environment: dict[str, str]) -> None:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)

    def perform_substitution(self, substitution: Substitution) -> str:
        """The text of a substitution in this context."""
        return substitution.perform(self)

    # ---- events

    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Add a handler before all others (behind them with `append`). Thread-safe."""
        with self.__handlers_lock:
            if append:
                self._event_handlers = (*self._event_handlers, event_handler)
            else:
                self._event_handlers = (event_handler, *self._event_handlers)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        """Remove a handler; ValueError where it is not registered. Thread-safe."""
        with self.__handlers_lock:
            handlers = list(self._event_handlers)
            handlers.remove(event_handler)
            self._event_handlers = tuple(handlers)

    def would_handle_event(self, event: Event) -> bool:
        """Whether any registered handler takes `event`."""
        return any(handler.matches(event) for handler in self._event_handlers)

    def emit_event_sync(self, event: Event) -> None:
        """Queue an event; it is handled after those already queued. Thread-safe."""
        self._event_queue.append(event)
        self._wake()

    async def emit_event(self, event: Event) -> None:
        """`emit_event_sync` for coroutines."""
        self.emit_event_sync(event)


def _popped(stack: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if not stack:
        raise RuntimeError(f"the stack of {what} is empty: more pops than pushes")
    return stack.pop()
