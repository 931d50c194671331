# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names are rclpy's
"""The base of executors: waiting for what is ready, one turn after another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from rclpy.context import Context
from rclpy.impl.dds.library import DdsError
from rclpy.impl.dds.waitset import Trigger, WaitSet
from rclpy.impl.executable import Executable
from rclpy.task import Future, Task
from rclpy.utilities import get_default_context, timeout_sec_to_nsec

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.timer import Timer


# A task to go on with, or an entity whose callback may begin and what was taken for it.
_Work = tuple[Task | None, Executable | None, Any]
# Candidates that get another turn before timers are looked at again.
_ENCORES = 16


class TimeoutException(Exception):
    """Raised when nothing was ready in time."""


class ShutdownException(Exception):
    """Raised when the executor was shut down."""


class ExternalShutdownException(Exception):
    """Raised when the context was shut down while waiting."""

    def __init__(self) -> None:
        super().__init__("context has been shutdown")


class ConditionReachedException(Exception):
    """Raised when a condition to wait for holds."""


class _CallbackTask(Task):
    """Runs a callback, and the coroutine that it returns where there is more to do."""

    def _complete(self, outcome: Any) -> None:
        if outcome is None:
            super()._complete(None)
        else:
            self._handler = outcome
            self._step(outcome)


class Executor:
    """Base of the executors; spins in the thread that calls it."""

    def __init__(self, *, context: Context | None = None) -> None:
        self._context = get_default_context() if context is None else context
        self._nodes: set[Node] = set()
        self._nodes_lock = threading.RLock()
        self._pending: deque[Task] = deque()
        self._candidates: deque[Executable] = deque()
        self._encores = 0
        self._held_up: set[Executable] = set()
        self._is_shutdown = False
        self._lookers: list[None] = []
        self._last_wake = object()
        participant = self._context.participant
        self._guard = Trigger(participant)
        self._waitset = WaitSet(participant)
        self._wait_lock = threading.Lock()
        self._context.on_shutdown(self.wake)
        self._context._add_waker(self.wake)

    @property
    def context(self) -> Context:
        """The context whose nodes are spun."""
        return self._context

    def create_task(self, callback: Callable[..., Any] | Any, *args: Any, **kwargs: Any) -> Task:
        """Run a function or coroutine in this executor; returns a Future of its result."""
        task = Task(callback, args, kwargs, executor=self)
        self._enqueue(task)
        return task

    def create_future(self) -> Future:
        """A Future whose done callbacks run here."""
        return Future(executor=self)

    def _enqueue(self, task: Task) -> None:
        self._pending.append(task)
        self.wake()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop; waits for running callbacks. Returns whether all ended in time (s)."""
        self._is_shutdown = True
        self.wake()
        if not self._wait_for_callbacks(timeout_sec):
            return False
        with self._nodes_lock:
            nodes, self._nodes = self._nodes, set()
        for node in nodes:
            if node.executor is self:
                node._ros_executor_weakref = None
        with self._wait_lock:
            self._context._remove_waker(self.wake)
            self._free()
        return True

    def _free(self) -> None:
        self._guard.delete()
        self._waitset.delete()

    def __del__(self) -> None:
        if hasattr(self, "_waitset"):  # not where the context was not initialised
            self._free()

    def _wait_for_callbacks(self, timeout_sec: float | None) -> bool:
        """Wait until no callback runs; returns whether that is so, in time (s)."""
        return True

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def add_node(self, node: Node) -> bool:
        """Spin a node's callbacks; False where it already was."""
        with self._nodes_lock:
            if node in self._nodes:
                return False
            self._nodes.add(node)
            node.executor = self
        self.wake()
        return True

    def remove_node(self, node: Node) -> None:
        """Stop spinning a node's callbacks."""
        with self._nodes_lock:
            self._nodes.discard(node)
        if node._ros_executor_weakref is not None and node.executor is self:
            node._ros_executor_weakref = None
        self.wake()

    def get_nodes(self) -> list[Node]:
        """The nodes that are spun."""
        with self._nodes_lock:
            return list(self._nodes)

    def wake(self) -> None:
        """Look again at what there is to wait for.

        Whoever does not look yet, as the thread that runs a callback, will do so anyway: to wake it
        beforehand would cost an idle turn.
        """
        self._last_wake = object()
        if self._lookers:
            self._guard.set()

    def spin(self) -> None:
        """Run callbacks until the context is shut down (ExternalShutdownException) or we are."""
        while self._context.ok() and not self._is_shutdown:
            self.spin_once()

    def spin_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """Run callbacks until a future is done, or the time (s) is over."""
        future._wake_when_done(self.wake)
        end = None if timeout_sec is None or timeout_sec < 0 else time.monotonic() + timeout_sec
        while self._context.ok() and not future.done() and not future.cancelled():
            if self._is_shutdown:
                return
            left = None if end is None else end - time.monotonic()
            if left is not None and left < 0:
                return
            self._spin_once_impl(left, lambda: future.done() or future.cancelled())

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, for at most `timeout_sec` seconds."""
        self._spin_once_impl(timeout_sec, None)

    def spin_once_until_future_complete(
        self, future: Future, timeout_sec: float | None = None
    ) -> None:
        """Run one callback, or return because the future is done."""
        future._wake_when_done(self.wake)
        self._spin_once_impl(timeout_sec, future.done)

    def _spin_once_impl(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        raise NotImplementedError()

    def can_execute(self, entity: Executable) -> bool:
        """Whether a callback of the entity may begin."""
        return entity.callback_group is not None and entity.callback_group.can_execute(entity)

    def wait_for_ready_callbacks(
        self,
        timeout_sec: float | None = None,
        nodes: list[Node] | None = None,
        condition: Callable[[], bool] = lambda: False,
    ) -> tuple[Task, Executable | None, Node | None]:
        """Next thing to run.

        Raises TimeoutException, ShutdownException, ExternalShutdownException, or
        ConditionReachedException once `condition()` holds.
        """
        task, entity, taken = self._wait_for_work(timeout_sec, nodes, condition)
        if entity is None:
            assert task is not None
            return task, None, None
        return self._task(entity, taken), entity, entity._node

    def _task(self, entity: Executable, taken: Any) -> Task:
        return _CallbackTask(self._run_callback, (entity, taken), executor=self)

    def _wait_for_work(
        self,
        timeout_sec: float | None,
        nodes: list[Node] | None,
        condition: Callable[[], bool] | None,
    ) -> _Work:
        """What `wait_for_ready_callbacks` returns and raises, without a task for an entity."""
        self._lookers.append(None)  # before anything is looked at: see `wake`
        try:
            return self._look_for_work(timeout_sec, nodes, condition)
        finally:
            self._lookers.pop()

    def _look_for_work(
        self,
        timeout_sec: float | None,
        nodes: list[Node] | None,
        condition: Callable[[], bool] | None,
    ) -> _Work:
        timeout_ns = timeout_sec_to_nsec(timeout_sec)
        end = None if timeout_ns is None else time.monotonic_ns() + timeout_ns
        polled = False
        while True:
            seen = self._last_wake  # before all that a wake may be about
            if self._is_shutdown:
                raise ShutdownException()
            if not self._context.ok():
                raise ExternalShutdownException()
            if condition is not None and condition():
                raise ConditionReachedException()
            work = self._next_work()
            if work is not None:
                return work
            left = None if end is None else end - time.monotonic_ns()
            if left is not None and left <= 0 and polled:
                raise TimeoutException()
            polled = True
            self._wait(left, nodes, seen)

    def _next_work(self) -> _Work | None:
        while self._pending:
            try:
                task = self._pending.popleft()
            except IndexError:
                break
            if not task.done() and not task.cancelled():
                return task, None, None
        while self._candidates:
            try:
                entity = self._candidates.popleft()
            except IndexError:
                break
            group = entity.callback_group
            if group is None or not group.beginning_execution(entity):
                continue
            taken = entity._take()
            if taken is None:
                self._end(entity)
                continue
            if self._encores and entity._handle:
                # There may be more of it: looking is cheaper than waiting again.
                self._encores -= 1
                self._candidates.append(entity)
            return None, entity, taken
        return None

    def _run_callback(self, entity: Executable, taken: Any) -> Any:
        """Run a callback; for an async one return the coroutine that ends the group's turn."""
        try:
            outcome = entity._execute(taken)
        except BaseException:
            self._end(entity)
            raise
        if outcome is None:
            self._end(entity)
            return None

        async def finish() -> Any:
            try:
                return await outcome
            finally:
                self._end(entity)

        return finish()

    def _end(self, entity: Executable) -> None:
        if entity.callback_group is not None:
            entity.callback_group.ending_execution(entity)
        if self._held_up:
            self.wake()

    def _is_awaited(self, entity: Executable) -> bool:
        return entity.callback_group is not None and entity not in self._held_up

    def _wait(self, timeout_ns: int | None, nodes: list[Node] | None, seen: object) -> None:
        """Sleep until something is ready or a wake comes after the one ``seen``.

        Fills the candidates.

        What is not ready yet is waited for even while its group is busy, as most callbacks end
        before: to leave it out, and to be woken for it at their end, would cost two idle turns.
        Only what has become ready too early is left out until then.
        """
        nodes = self.get_nodes() if nodes is None else nodes
        with self._wait_lock:
            if self._is_shutdown:
                return
            if self._last_wake is not seen:
                timeout_ns = 0
            # A callback that ends from here on finds what it holds up, and wakes us: see `_end`.
            self._held_up = {e for e in self._held_up if not self.can_execute(e)}
            timers = [t for node in nodes for t in list(node._timers) if self._is_awaited(t)]
            entities = [e for node in nodes for e in node._ros_executables() if self._is_awaited(e)]
            handles = {entity._handle: entity for entity in entities}
            triggered = self._sleep(timeout_ns, timers, handles)
            ready: list[Executable] = [timer for timer in timers if timer._is_due()]
            ready += [entity for handle, entity in handles.items() if handle in triggered]
            self._held_up |= {entity for entity in ready if not self.can_execute(entity)}
            self._encores = _ENCORES
            self._candidates += ready

    def _sleep(
        self, timeout_ns: int | None, timers: list[Timer], handles: Collection[int]
    ) -> set[int]:
        """Until a timer or handle is ready, or somebody wakes us; the handles that are ready."""
        delays = [delay for timer in timers if (delay := timer._delay_ns()) is not None]
        if timeout_ns is not None:
            delays.append(timeout_ns)
        self._waitset.attach_only({*handles, self._guard.handle})
        try:
            triggered = self._waitset.wait(min(delays, default=None))
        except DdsError:
            if self._context.ok():
                raise
            return set()
        if self._guard.handle in triggered:
            self._guard.take()
        return triggered
