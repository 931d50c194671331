# SPDX-License-Identifier: Apache-2.0
"""Executors: they sleep until something is ready, then run its callback."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from rclpy.context import Context
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
        for thread in self._threads:
            thread.start()

    def _spin_once_impl(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        try:
            task, entity, taken = self._wait_for_work(
                timeout_sec, None, lambda: bool(self._failed) or (until is not None and until())
            )
        except (ShutdownException, TimeoutException, ConditionReachedException):
            self._raise_failure()
            return
        self._work_queue.put(task if entity is None else self._task(entity, taken))
        self._raise_failure()

    def _work(self) -> None:
        while (handler := self._work_queue.get()) is not None:
            handler()
            error = handler.exception()
            if error is not None:
                self._failed.append(error)
                self.wake()

    def _raise_failure(self) -> None:
        if self._failed:
            raise self._failed.popleft()

    def _wait_for_callbacks(self, timeout_sec: float | None) -> bool:
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
