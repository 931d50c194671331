# SPDX-License-Identifier: Apache-2.0
"""The worker: bounded queue, counted drops, requests with a time limit, errors that end nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import Camera
from zipmap_ros.nodes import worker
from zipmap_ros.nodes.worker import Worker, WorkerError

CAMERA = Camera.from_fov(4, 3, 60)
# Only a test that fails waits so long, also on a busy machine.
PATIENCE_S = 60.0


def frame(stamp_ns: int) -> Frame:
    return Frame(stamp_ns, np.zeros((3, 4, 3), np.uint8))


class Mapper:
    """Maps every frame but those with negative stamps; waits while ``gate`` is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun: list[tuple[int, str]] = []
        self.seen: list[int] = []
        self.flushes = 0
        self.given_up: list[str] = []

    def begin(self, frame: Frame) -> Callable[[], list[Estimate]]:
        self.begun.append((frame.stamp_ns, threading.current_thread().name))
        return lambda: self.map(frame)

    def map(self, frame: Frame) -> list[Estimate]:
        self.seen.append(frame.stamp_ns)
        assert self.gate.wait(PATIENCE_S)
        if frame.stamp_ns < 0:
            raise ValueError("no such time")
        flat = np.ones((3, 4), np.float32)
        return [Estimate(frame.stamp_ns, "c", np.eye(4), flat, flat, CAMERA, frame.rgb)]

    def flush(self) -> list[Estimate]:
        self.flushes += 1
        return []

    def drop_pending(self, reason: str) -> None:
        self.given_up.append(reason)


class Bench:
    """A worker with a mapper, and what came out of it."""

    def __init__(self) -> None:
        self.mapper = Mapper()
        self.delivered: list[int] = []
        self.reports: list[str] = []
        self.worker = Worker(
            self.mapper,
            lambda estimates: self.delivered.extend(e.stamp_ns for e in estimates),
            now_ns=lambda: 1000,
            report=self.reports.append,
            queue_frames=3,
            chunk_timeout_s=0.05,
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.mapper.gate.set()
    assert bench.worker.stop(PATIENCE_S)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.002)


def test_the_oldest_frame_goes_when_the_queue_is_full(bench: Bench) -> None:
    bench.mapper.gate.clear()
    bench.worker.submit(frame(0))
    until(lambda: bench.mapper.seen == [0])
    for stamp in range(1, 8):
        bench.worker.submit(frame(stamp))
    assert bench.worker.counts().queue_length == 3
    bench.mapper.gate.set()
    until(lambda: len(bench.delivered) == 4)
    assert bench.delivered == [0, 5, 6, 7]
    counts = bench.worker.counts()
    assert (counts.received, counts.dropped) == (8, {"queue_full": 4})


@pytest.mark.parametrize(
    ("reason", "delivered"), [("time_jump", [2]), ("inactive", [2]), ("paused", [1, 2])]
)
def test_what_is_mapped_while_time_jumps_back_or_the_node_is_stopped_is_shown_to_nobody(
    bench: Bench, reason: str, delivered: list[int]
) -> None:
    bench.mapper.gate.clear()
    bench.worker.submit(frame(1))
    until(lambda: bench.mapper.seen == [1])
    bench.worker.drop_queued(reason)
    bench.mapper.gate.set()
    bench.worker.submit(frame(2))
    until(lambda: bench.delivered[-1:] == [2])
    assert bench.delivered == delivered


def test_frames_are_prepared_by_who_brings_them_while_others_are_mapped(bench: Bench) -> None:
    bench.mapper.gate.clear()
    for stamp in range(3):
        bench.worker.submit(frame(stamp))
    here = threading.current_thread().name
    assert bench.mapper.begun == [(stamp, here) for stamp in range(3)]
    assert bench.mapper.seen in ([], [0])


def test_submit_returns_at_once_while_the_network_is_busy(bench: Bench) -> None:
    bench.mapper.gate.clear()
    began = time.monotonic()
    for stamp in range(50):
        bench.worker.submit(frame(stamp))
    assert time.monotonic() - began < PATIENCE_S / 2
    assert bench.mapper.seen in ([], [0])


def test_an_error_is_reported_and_the_next_frame_is_mapped(bench: Bench) -> None:
    bench.worker.submit(frame(-1))
    bench.worker.submit(frame(2))
    until(lambda: bench.delivered == [2])
    assert "no such time" in bench.reports[0]


def test_a_partial_chunk_goes_ahead_once_after_the_timeout(bench: Bench) -> None:
    bench.worker.submit(frame(0))
    until(lambda: bench.mapper.flushes == 1)
    time.sleep(0.15)  # three more timeouts: nothing waits, nothing is flushed
    assert bench.mapper.flushes == 1


def test_a_chunk_goes_ahead_when_nothing_has_come_for_the_timeout(bench: Bench) -> None:
    """Not so long after its first frame: a slow camera would never fill one."""
    bench.worker.chunk_timeout_s = PATIENCE_S
    flush_at: list[float | None] = []
    for stamp in range(2):
        bench.worker.submit(frame(stamp))
        until(lambda wanted=stamp + 1: len(bench.delivered) == wanted)
        flush_at.append(bench.worker._flush_at)
    assert flush_at[0] < flush_at[1]


def test_requests_run_on_the_mapper_thread_and_go_before_frames(bench: Bench) -> None:
    bench.mapper.gate.clear()
    for stamp in range(3):
        bench.worker.submit(frame(stamp))
    until(lambda: bench.mapper.seen == [0])
    seen: list[object] = []

    def ask(mapper: Mapper) -> str:
        seen.extend([threading.current_thread().name, list(mapper.seen)])
        return "answer"

    waiting = threading.Thread(target=lambda: seen.append(bench.worker.request(ask, PATIENCE_S)))
    waiting.start()
    until(lambda: len(bench.worker._requests) == 1)
    bench.mapper.gate.set()
    waiting.join(PATIENCE_S)
    assert seen == ["mapper", [0], "answer"]


def test_a_request_times_out_and_is_then_never_begun(bench: Bench) -> None:
    bench.mapper.gate.clear()
    bench.worker.submit(frame(0))
    until(lambda: bench.mapper.seen == [0])
    ran: list[int] = []
    with pytest.raises(WorkerError, match=r"no answer within 0\.05 s"):
        bench.worker.request(lambda mapper: ran.append(1), 0.05)
    bench.mapper.gate.set()
    bench.worker.submit(frame(2))
    until(lambda: bench.delivered == [0, 2])
    assert ran == []


def test_what_a_request_raises_reaches_whoever_asked(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.worker.request(lambda mapper: 1 / 0, PATIENCE_S)
    assert bench.worker.request(lambda mapper: 7, PATIENCE_S) == 7


def test_who_has_an_answer_finds_the_node_as_it_says(bench: Bench) -> None:
    """set_pose answers with the new gauge_id, get_trajectory after load_map with the new path."""
    delivered: list[str] = []

    def slow(estimates: Sequence[Estimate]) -> None:
        time.sleep(0.05)
        delivered.append("done")

    bench.worker._deliver = slow
    assert bench.worker.request(lambda mapper: len(delivered), PATIENCE_S) == 0
    assert delivered == ["done"]


def test_a_result_that_cannot_be_published_ends_nothing(bench: Bench) -> None:
    def broken(estimates: Sequence[Estimate]) -> None:
        raise RuntimeError("no such topic")

    bench.worker._deliver, whole = broken, bench.worker._deliver
    bench.worker.submit(frame(1))
    until(lambda: bench.reports)
    assert "no such topic" in bench.reports[0]
    bench.worker._deliver = whole
    bench.worker.submit(frame(2))
    until(lambda: bench.delivered == [2])


def test_stopping_answers_those_who_wait(bench: Bench) -> None:
    bench.mapper.gate.clear()
    bench.worker.submit(frame(0))
    until(lambda: bench.mapper.seen == [0])
    failed: list[str] = []

    def ask() -> None:
        try:
            bench.worker.request(lambda mapper: None, PATIENCE_S)
        except WorkerError as error:
            failed.append(str(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    until(lambda: len(bench.worker._requests) == 1)
    threading.Timer(0.05, bench.mapper.gate.set).start()
    assert bench.worker.stop(PATIENCE_S)
    waiting.join(PATIENCE_S)
    assert failed == ["the node is shutting down"]
    with pytest.raises(WorkerError, match="shutting down"):
        bench.worker.request(lambda mapper: None, 1.0)


def test_what_ends_after_the_stop_is_not_delivered(bench: Bench) -> None:
    """The node may have been cleaned up and configured anew by then."""
    bench.mapper.gate.clear()
    bench.worker.submit(frame(0))
    until(lambda: bench.mapper.seen == [0])
    assert not bench.worker.stop(0.01)
    bench.mapper.gate.set()
    assert bench.worker.stop(PATIENCE_S)
    assert bench.delivered == [] and bench.reports == []


def test_dropping_the_queue_counts_each_frame(bench: Bench) -> None:
    bench.mapper.gate.clear()
    for stamp in range(3):
        bench.worker.submit(frame(stamp))
    until(lambda: bench.mapper.seen == [0])
    assert bench.worker.drop_queued("time_jump") == 2
    bench.worker.drop("encoding")
    assert bench.worker.counts().dropped == {"time_jump": 2, "encoding": 1}
    bench.mapper.gate.set()
    until(lambda: bench.mapper.given_up == ["time_jump"])


def test_a_frame_of_before_the_queue_was_emptied_goes_too(bench: Bench) -> None:
    """It waited for TF meanwhile, say."""
    came = bench.worker.emptied
    bench.worker.drop_queued("reset")
    bench.worker.submit(frame(1), came)
    bench.worker.submit(frame(2), bench.worker.emptied)
    until(lambda: bench.delivered == [2])
    assert bench.worker.counts().dropped == {"reset": 1}
    assert bench.worker.counts().received == 2


def test_counts_stay_as_they_were_taken(bench: Bench) -> None:
    bench.worker.drop("encoding")
    before = bench.worker.counts()
    bench.worker.drop("encoding")
    assert before.dropped == {"encoding": 1}


def test_rates_are_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now_s))
    rate = worker._Rate()
    assert rate.hz() == 0.0
    for _ in range(100):
        now_s += 0.1
        rate.tick()
    assert rate.hz() == pytest.approx(10.0)
    now_s += 1.0  # and then nothing
    assert 6 < rate.hz() < 7
    now_s += 10.0
    assert rate.hz() == 0.0


def test_a_frame_that_cannot_be_used_is_input_all_the_same(bench: Bench) -> None:
    bench.worker.drop("encoding")
    bench.worker.drop("encoding")
    assert bench.worker.counts().input_rate_hz > 0


def test_each_frame_of_a_chunk_is_output(bench: Bench) -> None:
    (one,) = bench.mapper.map(frame(1))
    bench.mapper.map = lambda frame: [one, one, one]
    bench.worker.submit(frame(2))
    until(lambda: bench.delivered)
    bench.worker.request(lambda mapper: None, PATIENCE_S)
    assert bench.worker.counts().output_rate_hz > 0


def test_latency_is_stamp_to_the_end_of_delivery(bench: Bench) -> None:
    now_ns = 1000
    bench.worker._now_ns = lambda: now_ns

    def deliver(estimates: Sequence[Estimate]) -> None:
        nonlocal now_ns
        now_ns += 500 * len(estimates)

    bench.worker._deliver = deliver
    bench.worker.submit(frame(400))
    until(lambda: bench.worker.counts().latency_max_s)
    counts = bench.worker.counts()
    assert counts.latency_p50_s == counts.latency_max_s == pytest.approx(1100e-9)


def test_most_frames_are_faster_than_the_95th_percentile(bench: Bench) -> None:
    bench.worker._latencies_s.extend(np.arange(101) / 100)
    counts = bench.worker.counts()
    figures = (counts.latency_p50_s, counts.latency_p95_s, counts.latency_max_s)
    assert figures == pytest.approx((0.5, 0.95, 1.0))
