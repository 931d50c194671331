# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the mapper: a bounded queue of frames, and requests between chunks.

Callbacks only `submit` frames, which prepares them while others are computed, or `request` a call,
which waits with a time limit. When the network is slower than the camera the oldest frame goes, so
that what is published is never older than the queue is long.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zipmap_ros.frame import Estimate, Frame

if TYPE_CHECKING:
    from zipmap_ros.mapping import StreamMapper

T = TypeVar("T")
_RATE_WINDOW_S = 3.0
# What is computed while the queue is emptied for these is not handed over: on TF a stamp of before
# would keep all of the new time away, and a node that is not active is not on it.
OFF_TF = {"time_jump", "inactive"}


class WorkerError(RuntimeError):
    """A request that was not carried out."""


@dataclass
class Counts:
    """What the worker has seen so far, and how fast; a copy taken at one moment.

    dropped  frames that never reached the mapper, by reason
    """

    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    queue_length: int = 0
    input_rate_hz: float = 0.0
    output_rate_hz: float = 0.0
    latency_p50_s: float = 0.0
    latency_p95_s: float = 0.0
    latency_max_s: float = 0.0


class _Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def tick(self) -> None:
        self._times.append(time.monotonic())

    def hz(self) -> float:
        now = time.monotonic()
        while self._times and now - self._times[0] > _RATE_WINDOW_S:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(now - self._times[0], 1e-3)


class Worker:
    """Runs a mapper on one thread.

    deliver   called on that thread after each frame, flush and request, with the new estimates,
              until `stop`
    now_ns    the node's clock, for the latency from a frame's stamp to its delivery
    report    called with one line for every frame or flush that the mapper threw on
    """

    def __init__(
        self,
        mapper: StreamMapper,
        deliver: Callable[[Sequence[Estimate]], None],
        now_ns: Callable[[], int],
        report: Callable[[str], None],
        queue_frames: int = 4,
        chunk_timeout_s: float = 0.5,
    ) -> None:
        self.queue_frames = queue_frames
        self.chunk_timeout_s = chunk_timeout_s
        self._mapper = mapper
        self._deliver, self._now_ns, self._report = deliver, now_ns, report
        self._wake = threading.Condition()
        self._frames: deque[Callable[[], list[Estimate]]] = deque()
        self._requests: deque[tuple[Callable[[StreamMapper], Any], Future]] = deque()
        self._flush_at: float | None = None
        self._stopping = False
        self._counts = Counts()
        self.emptied, self._emptied_for = 0, ""
        self._inputs, self._outputs = _Rate(), _Rate()
        self._latencies_s: deque[float] = deque(maxlen=300)
        self._thread = threading.Thread(target=self._run, name="mapper", daemon=True)
        self._thread.start()

    def submit(self, frame: Frame, emptied: int | None = None) -> None:
        """Prepare a frame and queue it; when the queue is full the oldest goes, counted as
        ``queue_full``. ``emptied`` as it was when the frame came: when the queue was emptied
        since, the frame goes as well, for the same reason.
        """
        rest = self._mapper.begin(frame)
        with self._wake:
            self._arrived()
            if emptied is not None and emptied != self.emptied:
                self._counts.dropped[self._emptied_for] += 1
                return
            self._frames.append(rest)
            while len(self._frames) > self.queue_frames:
                self._frames.popleft()
                self._counts.dropped["queue_full"] += 1
            self._wake.notify()

    def drop(self, reason: str) -> None:
        """Count a frame that came but cannot be used."""
        with self._wake:
            self._arrived()
            self._counts.dropped[reason] += 1

    def drop_queued(self, reason: str) -> int:
        """Empty the queue, its frames counted under ``reason``; how many there were."""
        with self._wake:
            dropped = len(self._frames)
            self._frames.clear()
            self.emptied, self._emptied_for = self.emptied + 1, reason
            if dropped:
                self._counts.dropped[reason] += dropped
        self.tell(lambda mapper: mapper.drop_pending(reason))  # also a partial chunk
        return dropped

    def post(self, call: Callable[[StreamMapper], T]) -> Future[T]:
        """Run ``call(mapper)`` on the worker, after the frame it is busy with and before others."""
        future: Future[T] = Future()
        with self._wake:
            if self._stopping:
                future.set_exception(WorkerError("the node is shutting down"))
            else:
                self._requests.append((call, future))
                self._wake.notify()
        return future

    def tell(self, call: Callable[[StreamMapper], object]) -> None:
        """`post` without waiting for the end of it: what ``call`` raises is reported."""
        self.post(call).add_done_callback(self._report_failure)

    def request(self, call: Callable[[StreamMapper], T], timeout_s: float) -> T:
        """`post` and wait for the answer.

        Raises WorkerError when it has not been done within ``timeout_s`` or the worker stops,
        and whatever ``call`` raises.
        """
        future = self.post(call)
        if not wait([future], timeout_s).done:
            future.cancel()  # not begun yet: it never will
            raise WorkerError(
                f"no answer within {timeout_s:.3g} s: the network is busy; ask again, or allow more"
            )
        return future.result()

    def counts(self) -> Counts:
        """A copy of all counts and rates."""
        with self._wake:
            copy = Counts(**{**vars(self._counts), "dropped": Counter(self._counts.dropped)})
            copy.queue_length = len(self._frames)
            copy.input_rate_hz, copy.output_rate_hz = self._inputs.hz(), self._outputs.hz()
            latencies = np.array(self._latencies_s)
        if latencies.size:
            p50, p95 = np.percentile(latencies, [50, 95])
            copy.latency_p50_s, copy.latency_p95_s = float(p50), float(p95)
            copy.latency_max_s = float(latencies.max())
        return copy

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Let the call under way end, drop the rest; whether the thread ended in time."""
        with self._wake:
            self._stopping = True
            self._frames.clear()
            for _, future in self._requests:
                if future.set_running_or_notify_cancel():
                    future.set_exception(WorkerError("the node is shutting down"))
            self._requests.clear()
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _arrived(self) -> None:
        self._counts.received += 1
        self._inputs.tick()

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            job()

    def _next_job(self) -> Callable[[], None] | None:
        """The next thing to do, waited for; None when the worker stops."""
        with self._wake:
            while not self._stopping:
                if self._requests:
                    call, future = self._requests.popleft()
                    return partial(self._answer, call, future)
                if self._frames:
                    self._flush_at = time.monotonic() + self.chunk_timeout_s
                    return partial(self._map, self._frames.popleft())
                if self._flush_at is not None and time.monotonic() >= self._flush_at:
                    self._flush_at = None
                    return partial(self._map, self._mapper.flush)
                wait_s = self._flush_at and max(self._flush_at - time.monotonic(), 0.0)
                self._wake.wait(wait_s)
        return None

    def _answer(self, call: Callable[[StreamMapper], Any], future: Future) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            answer, failure = call(self._mapper), None
        except Exception as error:  # handed to whoever asked
            answer, failure = None, error
        self._hand_over([])  # first: who has the answer finds the node as it says
        if failure is None:
            future.set_result(answer)
        else:
            future.set_exception(failure)

    def _report_failure(self, future: Future) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, WorkerError):
            self._report(f"a request was not carried out: {type(error).__name__}: {error}")

    def _map(self, call: Callable[[], list[Estimate]]) -> None:
        emptied = self.emptied
        try:
            estimates = call()
        except Exception as error:  # one bad frame must not end the mapping
            self._report(f"a frame could not be mapped: {type(error).__name__}: {error}")
            estimates = []
        if self.emptied != emptied and self._emptied_for in OFF_TF:
            estimates = []
        self._hand_over(estimates)
        now_ns = self._now_ns()
        with self._wake:
            for estimate in estimates:
                self._outputs.tick()
                self._latencies_s.append((now_ns - estimate.stamp_ns) * 1e-9)

    def _hand_over(self, estimates: Sequence[Estimate]) -> None:
        if self._stopping:  # the node may be configured anew by now, with another worker
            return
        try:
            self._deliver(estimates)
        except Exception as error:  # nor must one that cannot be published
            self._report(f"a result could not be published: {type(error).__name__}: {error}")
