# SPDX-License-Identifier: Apache-2.0
"""Sets of messages, one of each topic, whose stamps agree: exactly, or nearly."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration

from message_filters.simple_filter import SimpleFilter, stamp_of

Queue = dict[int, Any]  # stamp in nanoseconds -> message


class TimeSynchronizer(SimpleFilter):
    """Signals (msg1, ..., msgN) when all N filters gave a message of one stamp.

    Each filter's last `queue_size` messages wait for the others.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take messages from the filters `fs`."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one filter."""
        stamp = stamp_of(msg, False, "message_filters_sync")
        if stamp is None:
            return
        with self.lock:
            self._enqueue(my_queue, stamp.nanoseconds, msg)
            common = sorted(set.intersection(*(set(queue) for queue in self.queues)))
            complete = [[queue.pop(t) for queue in self.queues] for t in common]
        for messages in complete:
            self.signalMessage(*messages)

    def _enqueue(self, queue: Queue, stamp_ns: int, message: Any) -> None:
        queue[stamp_ns] = message
        while len(queue) > self.queue_size:
            del queue[min(queue)]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Signals (msg1, ..., msgN) when N messages lie within `slop` seconds.

    A new message is matched with the nearest of each other filter; a message is used once.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one filter."""
        stamp = stamp_of(msg, self.allow_headerless, "message_filters_approx")
        if stamp is None:
            return
        now = stamp.nanoseconds
        with self.lock:
            self._enqueue(my_queue, now, msg)
            stamps = self._match(now, my_queue)
            if stamps is None:
                return
            messages = [queue.pop(t) for queue, t in zip(self.queues, stamps, strict=True)]
        self.signalMessage(*messages)

    def _match(self, now: int, my_queue: Queue) -> tuple[int, ...] | None:
        """Return one stamp per queue that agree with `now`, the nearest first; None if none do."""
        slop = self.slop.nanoseconds
        candidates = []
        for queue in self.queues:
            if queue is my_queue:
                candidates.append([now] if now in queue else [])
            else:
                near = [t for t in queue if abs(t - now) <= slop]
                candidates.append(sorted(near, key=lambda t: abs(t - now)))
        for stamps in itertools.product(*candidates):
            if max(stamps) - min(stamps) < slop:
                return stamps
        return None
