# SPDX-License-Identifier: Apache-2.0
"""Executors: they sleep until something is ready, then run its callback."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from rclpy.context import Context
from rclpy.impl.executable import Executable
from rclpy.impl.executor import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy.task import Task

__all__ = [
    "ConditionReachedException",
    "Executor",
    "ExternalShutdownException",
    "MultiThreadedExecutor",
    "ShutdownException",
    "SingleThreadedExecutor",
    "TimeoutException",
    "await_or_execute",
]

# A callback that takes less is not worth another thread; one that took longer than the second after
# all has a thread of its own from then on, and another one spins meanwhile.
_BRIEF_S, _STUCK_S = 0.002, 0.05


class SingleThreadedExecutor(Executor):
    """Runs callbacks in the thread that spins."""

    def _spin_once_impl(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        try:
            task, entity, taken = self._wait_for_work(timeout_sec, None, until)
        except (ShutdownException, TimeoutException, ConditionReachedException):
            return
        if entity is not None:
            # Most callbacks are plain functions, which need no task.
            outcome = self._run_callback(entity, taken)
            if not hasattr(outcome, "__await__"):
                return
            task = Task(outcome, executor=self)
        assert task is not None
        task()
        error = task.exception()
        if error is not None:
            raise error


class MultiThreadedExecutor(Executor):
    """Runs callbacks in a pool of threads, as their callback groups allow.

    Timers and subscriptions whose callbacks were brief of late run in the thread that spins: to
    hand each to another thread, and to be woken by it, cost a thread that computes in the same
    process a sixth of its speed. Where one takes long after all, a stand-in spins.

    The pool is a queue implemented in C and no `ThreadPoolExecutor`: a KeyboardInterrupt in the
    spinning thread can leave the locks of that one locked, and the process would never end.
    """

    def __init__(self, num_threads: int | None = None, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        if num_threads is None:
            num_threads = max(2, os.cpu_count() or 2)
        self._failed: deque[BaseException] = deque()
        self._work_queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"ros-callback-{index}", daemon=True)
            for index in range(num_threads)
        ]
        self._closing = threading.Event()
        self._here_since: dict[int, float] = {}  # callbacks in threads that spin, by thread
        self._threads.append(
            threading.Thread(target=self._stand_in, name="ros-stand-in", daemon=True)
        )
        for thread in self._threads:
            thread.start()

    def _callback_ended(self) -> None:
        self.wake()

    def _spin_once_impl(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        self._spin_turn(
            timeout_sec,
            lambda: bool(self._failed) or (until is not None and until()),
            self._run_here,
        )
        if self._failed:
            raise self._failed.popleft()

    def _spin_turn(
        self,
        timeout_sec: float | None,
        until: Callable[[], bool],
        run_brief: Callable[[Task], None],
    ) -> None:
        try:
            task, entity, taken = self._wait_for_work(timeout_sec, None, until)
        except (ShutdownException, TimeoutException, ConditionReachedException):
            return
        if entity is None:
            self._work_queue.put(task)
        else:
            run = run_brief if entity._takes_s < _BRIEF_S else self._work_queue.put
            run(self._task(entity, taken))

    def _run_callback(self, entity: Executable, taken: Any) -> Any:
        began = time.monotonic()
        try:
            return super()._run_callback(entity, taken)
        finally:
            entity._took(time.monotonic() - began)

    def _run_here(self, handler: Task) -> None:
        me = threading.get_ident()
        self._here_since[me] = time.monotonic()
        try:
            self._run(handler)
        finally:
            del self._here_since[me]
            self.wake()  # the stand-in, if there is one

    def _is_stuck(self) -> bool:
        """Whether a thread that should spin is held by a callback."""
        now = time.monotonic()
        return any(now - since > _STUCK_S for since in list(self._here_since.values()))

    def _stand_in(self) -> None:
        while not self._closing.wait(_STUCK_S):
            while self._is_stuck() and not self._is_shutdown and self._context.ok():
                with suppress(ExternalShutdownException):
                    self._spin_turn(None, lambda: not self._is_stuck(), self._work_queue.put)

    def _work(self) -> None:
        while (handler := self._work_queue.get()) is not None:
            self._run(handler)

    def _run(self, handler: Task) -> None:
        handler()
        error = handler.exception()
        if error is not None:
            self._failed.append(error)
            self.wake()

    def _wait_for_callbacks(self, timeout_sec: float | None) -> bool:
        self._closing.set()
        for _ in self._threads:
            self._work_queue.put(None)
        end = None if timeout_sec is None else time.monotonic() + timeout_sec
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(
            thread.is_alive() and thread is not threading.current_thread()
            for thread in self._threads
        )


async def await_or_execute(callback: Callable[..., Any] | Any, *args: Any) -> Any:
    """Await a coroutine function, or call a plain one."""
    outcome = callback(*args)
    return await outcome if hasattr(outcome, "__await__") else outcome
