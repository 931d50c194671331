# SPDX-License-Identifier: Apache-2.0
"""Futures and the tasks that an executor runs."""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.executors import Executor


class Future:
    """An outcome that may not be there yet; it can be awaited in callbacks."""

    def __init__(self, *, executor: Executor | None = None) -> None:
        self._done = False
        self._cancelled = False
        self._result: Any = None
        self._exception: BaseException | None = None
        self._exception_fetched = False
        self._callbacks: list[Callable[[Any], None]] = []
        self._lock = threading.Lock()
        self._executor: weakref.ref | None = None
        if executor is not None:
            self._set_executor(executor)

    def __del__(self) -> None:
        if self._exception is not None and not self._exception_fetched:
            print(
                f"The following exception was never retrieved: {self._exception}", file=sys.stderr
            )

    def __await__(self) -> Generator[Future, None, Any]:
        while not self._done and not self._cancelled:
            yield self
        return self.result()

    def cancel(self) -> None:
        """Request cancellation of what runs."""
        with self._lock:
            if not self._done:
                self._cancelled = True
        self._call_callbacks()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def result(self) -> Any:
        """The result, None before there is one. Raises the exception that was set."""
        if self._exception is not None:
            raise self.exception()  # type: ignore[misc]
        return self._result

    def exception(self) -> BaseException | None:
        """The exception that was set, or None."""
        self._exception_fetched = True
        return self._exception

    def set_result(self, result: Any) -> None:
        """Make it done with a result."""
        with self._lock:
            self._result = result
            self._done = True
            self._cancelled = False
        self._call_callbacks()

    def set_exception(self, exception: BaseException) -> None:
        """Make it done with an exception."""
        with self._lock:
            self._exception = exception
            self._exception_fetched = False
            self._done = True
            self._cancelled = False
        self._call_callbacks()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call `callback(future)` when done: by the executor if there is one, else at once.

        What it raises comes out of here where it is done already and there is no executor.
        """
        with self._lock:
            if not self._done and not self._cancelled:
                self._callbacks.append(callback)
                return
        if not self._hand_over(callback):
            callback(self)

    def remove_done_callback(self, callback: Callable[[Any], None]) -> bool:
        """Do not call back after all; False where nobody would have."""
        with self._lock:
            try:
                self._callbacks.remove(callback)
            except ValueError:
                return False
            return True

    def _set_executor(self, executor: Executor | None) -> None:
        self._executor = None if executor is None else weakref.ref(executor)

    def _get_executor(self) -> Executor | None:
        return None if self._executor is None else self._executor()

    def _call_callbacks(self) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            if not self._hand_over(callback):
                try:
                    callback(self)
                except Exception as error:  # whatever it is, the others are called too
                    warnings.warn(f"Unhandled exception in done callback: {error}", stacklevel=3)

    def _hand_over(self, callback: Callable[[Any], None]) -> bool:
        """Have the executor call back; whether there is one and it may."""
        executor = self._get_executor()
        if executor is None or getattr(callback, "_immediate", False):
            return False
        executor.create_task(callback, self)
        return True

    def _wake_when_done(self, wake: Callable[[], None]) -> None:
        """Call `wake()` in the thread that completes the future; it must not block."""

        def call(_: Future) -> None:
            wake()

        call._immediate = True  # type: ignore[attr-defined]
        self.add_done_callback(call)


class Task(Future):
    """A function or coroutine to be run by an executor; calling it runs it or goes on with it."""

    def __init__(
        self,
        handler: Callable[..., Any] | Any,
        args: tuple | None = None,
        kwargs: dict | None = None,
        executor: Executor | None = None,
    ) -> None:
        super().__init__(executor=executor)
        if inspect.iscoroutinefunction(handler):
            handler = handler(*(args or ()), **(kwargs or {}))
        self._handler = handler
        self._args, self._kwargs = args or (), kwargs or {}
        self._task_lock = threading.Lock()
        self._executing = False

    def __call__(self) -> None:
        if self._done or self._cancelled or not self._task_lock.acquire(blocking=False):
            return
        try:
            if self._done:
                return
            self._executing = True
            if inspect.iscoroutine(self._handler):
                self._step(self._handler)
                return
            self._complete(self._handler(*self._args, **self._kwargs))
        except Exception as error:
            self.set_exception(error)
        finally:
            self._executing = False
            self._task_lock.release()

    def _complete(self, outcome: Any) -> None:
        self.set_result(outcome)

    def _step(self, coroutine: Any) -> None:
        try:
            awaited = coroutine.send(None)
        except StopIteration as end:
            self.set_result(end.value)
            return
        executor = self._get_executor()
        if executor is None:
            return
        if isinstance(awaited, Future):
            awaited._wake_when_done(lambda: executor._enqueue(self))
        else:
            executor._enqueue(self)

    def executing(self) -> bool:
        """Whether it runs right now."""
        return self._executing

    def cancel(self) -> None:
        """Do not run it (further)."""
        if inspect.iscoroutine(self._handler):
            self._handler.close()
        super().cancel()
