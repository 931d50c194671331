# SPDX-License-Identifier: Apache-2.0
"""LaunchService: runs launch descriptions until nothing is left to do or a shutdown is asked."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .event_handler import as_entities
from .event_handlers import OnIncludeLaunchDescription, OnShutdown
from .events import IncludeLaunchDescription, Shutdown
from .launch_context import LaunchContext
from .launch_description_entity import LaunchDescriptionEntity
from .logging import get_logger, launch_config, log_launch_config

if TYPE_CHECKING:
    import asyncio

    from .event import Event
    from .launch_description import LaunchDescription

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class LaunchService:
    """Visits descriptions and handles events, one after the other, in one thread.

    An error in a description or handler is logged, shuts the launch down, and makes the return
    code 1; so does SIGTERM, SIGHUP and SIGQUIT. SIGINT shuts down with return code 0. In every
    case the processes are stopped first.
    """

    def __init__(
        self,
        *,
        argv: Iterable[str] | None = None,
        noninteractive: bool = False,
        debug: bool = False,
    ) -> None:
        if debug:
            launch_config.level = 10
        self.__logger = get_logger("launch")
        self.__context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self.__context.register_event_handler(OnIncludeLaunchDescription())
        self.__context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))
        self.__loop: asyncio.AbstractEventLoop | None = None
        self.__loop_lock = threading.RLock()
        self.__task: asyncio.Task[Any] | None = None
        self.__futures: list[asyncio.Future[Any]] = []
        self.__shutdown_emitted = False
        self.__return_code = 0

    @property
    def context(self) -> LaunchContext:
        """The context in which entities are visited."""
        return self.__context

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the running launch, None while it does not run."""
        return self.__loop

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs the launch, None while it does not run."""
        return self.__task

    def emit_event(self, event: Event) -> None:
        """Queue an event, now or for when the launch runs. Thread-safe."""
        self.__context.emit_event_sync(event)

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Visit a description, now or when the launch runs. Thread-safe."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in a loop of its own; the return code. In the main thread signals are handled."""
        import asyncio

        return asyncio.run(self.run_async(shutdown_when_idle=shutdown_when_idle))

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in the current loop; the return code."""
        import asyncio

        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        with self.__loop_lock:
            if self.__loop is not None:
                raise RuntimeError("LaunchService.run() called while it is running already")
            self.__loop, self.__task = loop, asyncio.current_task()
        self.__return_code, self.__shutdown_emitted = 0, False
        self.__context._set_is_shutdown(False)
        self.__context._set_asyncio_loop(loop)
        self.__context._wake = lambda: _wake_up(loop, wake)
        log_launch_config(logger=self.__logger)
        try:
            with self.__signals_handled(loop):
                await self.__handle_events(wake, shutdown_when_idle)
        finally:
            with self.__loop_lock:
                self.__loop = self.__task = None
                self.__context._wake = lambda: None
                self.__context._set_asyncio_loop(None)
        return self.__return_code

    async def __handle_events(self, wake: asyncio.Event, shutdown_when_idle: bool) -> None:
        import asyncio

        context = self.__context
        while True:
            try:
                while context._event_queue:
                    self.__handle(context._event_queue.popleft(), wake)
                self.__watch(context._completion_futures, wake)
                if not self.__busy():
                    if context.is_shutdown:
                        return
                    if shutdown_when_idle:
                        self._shutdown(reason="idle", due_to_sigint=False)
                        continue
                await wake.wait()
                wake.clear()
            except asyncio.CancelledError:
                # Stop the processes before the task ends.
                self.__logger.error("run task was canceled")
                self.__return_code = 1
                self._shutdown(reason="run task was canceled", due_to_sigint=False)
            except Exception as error:
                self.__logger.debug(traceback.format_exc())
                message = f"Caught exception in launch (see debug for traceback): {error}"
                self.__logger.error(message)
                self.__return_code = 1
                self._shutdown(reason=message, due_to_sigint=False)

    def __busy(self) -> bool:
        """Whether something is going on. The exception of a future that failed is raised."""
        done = [future for future in self.__futures if future.done()]
        self.__futures = [future for future in self.__futures if not future.done()]
        errors = [f.exception() for f in done if not f.cancelled()]
        for error in filter(None, errors):
            raise error
        return bool(self.__futures or self.__context._event_queue)

    def __watch(self, futures: list[asyncio.Future[Any]], wake: asyncio.Event) -> None:
        for future in futures:
            future.add_done_callback(lambda _: wake.set())
            self.__futures.append(future)
        futures.clear()

    def __handle(self, event: Event, wake: asyncio.Event) -> None:
        context = self.__context
        self.__logger.debug(f"processing event: '{event.name}'")
        for handler in context._event_handlers:
            if not handler.matches(event):
                continue
            context._push_locals()
            try:
                entities = handler.handle(event, context)
                for entity in as_entities(entities):
                    self.__visit(entity, wake)
            finally:
                context._pop_locals()

    def __visit(self, entity: LaunchDescriptionEntity | None, wake: asyncio.Event) -> None:
        """Visit an entity and, depth first, all that it brings in."""
        if entity is None:
            return
        if not isinstance(entity, LaunchDescriptionEntity):
            raise TypeError(f"expected a launch entity (an Action for instance), got {entity!r}")
        children = entity.visit(self.__context)
        future = entity.get_asyncio_future()
        if future is not None:
            self.__watch([future], wake)
        for child in children or []:
            self.__visit(child, wake)

    # ---- shutdown

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        self.__shutdown_emitted = True
        context._set_is_shutdown(True)

    def _shutdown(self, *, reason: str, due_to_sigint: bool) -> None:
        if not self.__shutdown_emitted:
            self.__shutdown_emitted = True
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))

    def shutdown(self, force_sync: bool = False) -> Coroutine[Any, Any, None] | None:
        """Ask a running launch to end; `run` returns once all processes have. Thread-safe.

        In the loop of the launch itself it gives a coroutine, unless `force_sync`.
        """
        import asyncio

        with self.__loop_lock:
            if self.__loop is None:
                return None
            try:
                in_loop = asyncio.get_running_loop() is self.__loop
            except RuntimeError:
                in_loop = False
            if in_loop and not force_sync:
                return self.__shutdown_async()
            self._shutdown(reason="LaunchService.shutdown() called", due_to_sigint=False)
        return None

    async def __shutdown_async(self) -> None:
        self._shutdown(reason="LaunchService.shutdown() called", due_to_sigint=False)

    @contextlib.contextmanager
    def __signals_handled(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.__on_signal, number)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def __on_signal(self, number: signal.Signals) -> None:
        due_to_sigint = number == signal.SIGINT
        message = f"user interrupted with {'ctrl-c (SIGINT)' if due_to_sigint else number.name}"
        if self.__shutdown_emitted:
            self.__logger.warning(f"{message} again, ignoring...")
            return
        self.__logger.warning(message)
        if not due_to_sigint:
            self.__return_code = 1
        self._shutdown(reason=message, due_to_sigint=due_to_sigint)


def _wake_up(loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> None:
    # A loop that is closed has no launch that could be woken.
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake.set)
