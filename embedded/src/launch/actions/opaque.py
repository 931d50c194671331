# SPDX-License-Identifier: Apache-2.0
"""Actions that call Python: a function, or a coroutine."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event_handlers import OnShutdown

if TYPE_CHECKING:
    import asyncio

    from ..launch_context import LaunchContext
    from ..launch_description_entity import LaunchDescriptionEntity


class OpaqueFunction(Action):
    """Call `function(context, *args, **kwargs)`; the entities it returns are visited."""

    def __init__(
        self,
        *,
        function: Callable[..., list[LaunchDescriptionEntity] | None],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **left_over_kwargs: Any,
    ) -> None:
        super().__init__(**left_over_kwargs)
        if not callable(function):
            raise TypeError(f"OpaqueFunction expects a callable for 'function', got {function!r}")
        self.__function = function
        self.__args = list(args or [])
        self.__kwargs = dict(kwargs or {})

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        return self.__function(context, *self.__args, **self.__kwargs)


class OpaqueCoroutine(Action):
    """Run `coroutine(context, *args, **kwargs)` beside the launch; shutdown cancels it."""

    def __init__(
        self,
        *,
        coroutine: Callable[..., Coroutine[Any, Any, None]],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        ignore_context: bool = False,
        **left_over_kwargs: Any,
    ) -> None:
        super().__init__(**left_over_kwargs)
        self.__coroutine = coroutine
        self.__args = list(args or [])
        self.__kwargs = dict(kwargs or {})
        self.__ignore_context = ignore_context
        self.__future: asyncio.Future[Any] | None = None

    def execute(self, context: LaunchContext) -> None:
        arguments = self.__args if self.__ignore_context else [context, *self.__args]
        task = context.asyncio_loop.create_task(self.__coroutine(*arguments, **self.__kwargs))
        self.__future = task

        def cancel(*_: Any) -> None:
            task.cancel()

        context.register_event_handler(OnShutdown(on_shutdown=cancel))

    def get_asyncio_future(self) -> asyncio.Future[Any] | None:
        return self.__future
