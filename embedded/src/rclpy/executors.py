# SPDX-License-Identifier: Apache-2.0
"""Executors: they sleep until something is ready, then run its callback."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.context import Context
from rclpy.impl.executable import Executable, await_or_execute
from rclpy.impl.executor import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy.task import Future, Task

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

# Callbacks that took less on average run in the thread that looks for work; where one takes longer
# than the second after all, another thread looks meanwhile.
_BRIEF_S, _STUCK_S = 0.005, 0.05


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
            if outcome is None:
                return
            task = Task(outcome, executor=self)
        assert task is not None
        task()
        error = task.exception()
        if error is not None:
            raise error


class _Lead:
    """The right to look for work, which one thread of a pool has at a time.

    While its holder runs a callback another thread may `take` it; whoever does not get it back with
    `resume` has lost it.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._since: deque[float] = deque()  # of one callback at most; to pop is to have the lead

    def lend(self) -> None:
        """Let others take it, while a callback runs."""
        self._since.append(time.monotonic())

    def resume(self) -> bool:
        """Have it back after the callback; whether nobody took it."""
        try:
            self._since.pop()
        except IndexError:
            return False
        return True

    def take(self) -> bool:
        """Take it from a callback that has run for too long; whether there was one."""
        try:
            return time.monotonic() - self._since[0] > _STUCK_S and self.resume()
        except IndexError:
            return False


class MultiThreadedExecutor(Executor):
    """Runs callbacks in a pool of threads, as their callback groups allow.

    While it spins a thread of the pool looks for work. What is brief it does itself: to hand each
    callback to another thread, and to be woken at its end, disturbs whoever computes in the same
    process. Before anything that may take long, another thread goes on looking.

    Unlike a `SingleThreadedExecutor` it does not raise ExternalShutdownException.

    Its threads are started one by one, as there is work for them, and end with the executor: while
    they wait for work they know nothing of it.

    The pool is a queue implemented in C and no `ThreadPoolExecutor`: a KeyboardInterrupt in the
    spinning thread can leave the locks of that one locked, and the process would never end.
    """

    def __init__(self, num_threads: int | None = None, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        if num_threads is None:
            num_threads = max(2, os.cpu_count() or 2)
        if num_threads < 1:
            raise ValueError("num_threads must be greater than 0")
        self._failed: deque[BaseException] = deque()
        self._spinning: list[Callable[[], None]] = []  # wakes each thread that spins
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(
                target=_work, args=(self._jobs,), name=f"ros-callback-{index}", daemon=True
            )
            for index in range(num_threads)
        ]
        self._not_started = deque(self._threads)

    def spin(self) -> None:
        """Run callbacks until the context is shut down or we are."""
        self._spin_until(Future(), None)

    def spin_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """Run callbacks until a future is done, or the time (s) is over."""
        self._spin_until(future, None if timeout_sec is None or timeout_sec < 0 else timeout_sec)

    def _spin_until(self, future: Future, timeout_sec: float | None) -> None:
        """Have the pool run callbacks, and see to it that one of its threads looks for them."""
        if not self._context.ok():
            return
        end = math.inf if timeout_sec is None else time.monotonic() + timeout_sec
        lead, news = _Lead(), SimpleQueue[None]()
        wake = partial(news.put, None)
        future._wake_when_done(wake)
        self._context._add_waker(wake)
        self._spinning.append(wake)
        try:
            self._hand_over(partial(self._look, lead))
            while not self._is_over(future) and (left := end - time.monotonic()) >= 0:
                with suppress(Empty):
                    news.get(timeout=min(left, _STUCK_S))
                if lead.take():
                    self._hand_over(partial(self._look, lead))
        finally:
            lead.is_over = True
            self._spinning.remove(wake)
            self._context._remove_waker(wake)
            self.wake()

    def _is_over(self, future: Future) -> bool:
        """Whether to spin no more; raises what says why, where it is not the future."""
        self._raise_failure()
        over = self._is_shutdown or not self._context.ok()
        return over or future.done() or future.cancelled()

    def _spin_once_impl(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        try:
            task, entity, taken = self._wait_for_work(
                timeout_sec, None, lambda: bool(self._failed) or (until is not None and until())
            )
        except (
            ConditionReachedException, ExternalShutdownException, ShutdownException,
            TimeoutException,
        ):  # fmt: skip
            self._raise_failure()
            return
        self._hand_over(partial(self._run, task if entity is None else self._task(entity, taken)))
        self._raise_failure()

    def _hand_over(self, job: Callable[[], None]) -> None:
        """Have a thread of the pool do something."""
        self._jobs.put(job)
        with suppress(IndexError):  # all are started, perhaps since this moment
            self._not_started.popleft().start()

    def _look(self, lead: _Lead) -> None:
        """Find work and do it, until another thread has the lead."""
        while True:
            try:
                task, entity, taken = self._wait_for_work(None, None, lambda: lead.is_over)
            except (ShutdownException, ExternalShutdownException, ConditionReachedException):
                return
            except Exception as error:  # for whoever spins
                self._fail(error)
                return
            is_brief = entity is not None and entity._takes_s < _BRIEF_S
            if is_brief:
                lead.lend()
            else:
                self._hand_over(partial(self._look, lead))
            self._run(task if entity is None else self._task(entity, taken))
            if not (is_brief and lead.resume()):
                return

    def _run(self, handler: Task | None) -> None:
        assert handler is not None
        try:
            handler()
            error = handler.exception()
        except BaseException as raised:  # a callback may want to end the program
            error = raised
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Have the error raised where we spin."""
        self._failed.append(error)
        self.wake()
        self._wake_spinning()

    def _wake_spinning(self) -> None:
        for wake in list(self._spinning):
            wake()

    def _run_callback(self, entity: Executable, taken: Any) -> Any:
        began = time.monotonic()
        outcome = super()._run_callback(entity, taken)
        if outcome is None:  # of a coroutine nobody knows
            entity._took(time.monotonic() - began)
        return outcome

    def _raise_failure(self) -> None:
        if self._failed:
            raise self._failed.popleft()

    def _wait_for_callbacks(self, timeout_sec: float | None) -> bool:
        self._wake_spinning()
        self._end_threads()
        end = None if timeout_sec is None else time.monotonic() + timeout_sec
        others = [t for t in self._threads if t.is_alive() and t is not threading.current_thread()]
        for thread in others:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in others)

    def _end_threads(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

    def __del__(self) -> None:
        if hasattr(self, "_threads"):
            self._end_threads()
        super().__del__()


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    """What a thread of a pool does."""
    while (job := jobs.get()) is not None:
        job()
        del job  # and with it the executor, where nobody else has that
