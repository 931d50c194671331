# SPDX-License-Identifier: Apache-2.0
"""Damaged messages, and what it costs to look at good ones first."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

from footprint import resident_mb
from geometry_msgs.msg import TransformStamped
from peer import make_cloud
from rclpy.serialization import deserialize_message, serialize_message
from rosidl_embedded.cdr.reading import reader
from sensor_msgs.msg import JointState
from shape_msgs.msg import Mesh, MeshTriangle
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

_BATCH = 2_000
_random = random.Random(0)


def _sources() -> list[tuple[bytes, type]]:
    """Good messages: numbers, strings, and lists of many small parts."""
    messages: list[Any] = [
        make_cloud(4), String(data="x" * 30), String(data="x" * 300 + "\U0001f600"),
        JointState(name=["joint"] * 60), TFMessage(transforms=[TransformStamped()] * 10),
        Mesh(triangles=[MeshTriangle()] * 60),
    ]  # fmt: skip
    return [(serialize_message(message), type(message)) for message in messages]


def _damaged(count: int) -> list[tuple[bytes, type]]:
    sources, made = _sources(), []
    for index in range(count):
        wire, kind = sources[index % len(sources)]
        raw = bytearray(wire)
        for _ in range(_random.randrange(1, 6)):
            raw[_random.randrange(4, len(raw))] = _random.randrange(256)
        if _random.random() < 0.75:
            del raw[_random.randrange(4, len(raw) + 1) :]
        made.append((bytes(raw), kind))
    return made


def _is_refused(raw: bytes, kind: type) -> bool:
    """Refused with ValueError or read: anything else ends the benchmark."""
    try:
        deserialize_message(raw, kind)
    except ValueError:
        return True
    return False


def _cost(raw: bytes, kind: type) -> float:
    """Memory that a refused message takes at its peak, in multiples of its bytes beyond 4 kB."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    _is_refused(raw, kind)
    return (tracemalloc.get_traced_memory()[1] - before - 4096) / len(raw)


def measure_fuzz(count: int) -> dict[str, float]:
    """Damaged messages: how many are refused, how fast, at which cost in memory."""
    refused, seconds, worst, before = 0, 0.0, 0.0, 0.0
    for _, kind in _sources():
        reader(kind, "<"), reader(kind, ">")  # a codec is made once
    for number in range(count // _BATCH):
        inputs = _damaged(_BATCH)
        begin = time.perf_counter()
        outcomes = [_is_refused(*pair) for pair in inputs]
        seconds += time.perf_counter() - begin
        refused += sum(outcomes)
        tracemalloc.start()
        costs = [_cost(*pair) for pair, is_bad in zip(inputs, outcomes, strict=True) if is_bad]
        tracemalloc.stop()
        worst = max(worst, *costs)
        if number == 1:  # from here on a batch takes the place of another
            before = resident_mb()
    return {
        "fuzz_inputs": count, "fuzz_refused": refused, "fuzz_per_s": count / seconds,
        "fuzz_grown_mb": resident_mb() - before, "fuzz_cost": worst,
    }  # fmt: skip


def measure_lists() -> dict[str, float]:
    """Time to read 100 transforms, and the part of it that looks for damage first."""
    message = TFMessage(transforms=[TransformStamped()] * 100)
    body = memoryview(serialize_message(message))[4:]
    read, walk = reader(TFMessage, "<")
    assert walk is not None
    return {
        "lists_read_us": _best_us(lambda: (walk(body, 0, len(body)), read(body, 0, len(body)))),
        "lists_walk_us": _best_us(lambda: walk(body, 0, len(body))),
    }


def _best_us(action: Any) -> float:
    """Microseconds that the fastest of many goes takes."""
    times = []
    for _ in range(300):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return 1e6 * min(times)
