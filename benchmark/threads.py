# SPDX-License-Identifier: Apache-2.0
"""How a process that computes should wait for its threads: alone, and beside another busy process.

    python benchmark/threads.py           # two minutes

Frames a second of `zipmap reconstruct` on rendered frames of 320x240, in a process of its own, for
each way to start it and each neighbour:

default    torch's choice: a thread for each core, which wait spinning
passive    the same with OMP_WAIT_POLICY=PASSIVE: threads that wait sleep
one        OMP_NUM_THREADS=1

nobody     nothing else runs
default    another such process, started as torch chooses (as `zipmap train` is)
alike      another such process, started in the same way
core       a process that keeps one core busy and waits for nobody

worst is the least of a row: what a user gets who knows nothing of this.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path

from zipmap_ros.frame import Frame

WAYS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one": {"OMP_NUM_THREADS": "1"},
}
READY = "ready"
RENDERED = 24
PERIOD_NS = 100_000_000
START_S = 120.0


class EnoughError(Exception):
    """The time is over."""


def work(seconds: float) -> None:
    """Reconstruct for a while: say when it begins, then, before the report is drawn, the frames a
    second."""
    from zipmap_ros.mapping import StreamMapper, load_network
    from zipmap_ros.mapping.reconstruct import reconstruct
    from zipmap_ros.parameters import Parameters
    from zipmap_ros.sources import open_source

    model, _ = load_network(Parameters())
    there = list(islice(open_source("synthetic"), RENDERED))
    walk = [*there, *there[-2:0:-1]]
    for frame in walk[:3]:
        StreamMapper(model).add_frame(frame)
    print(READY, flush=True)
    with suppress(EnoughError):
        reconstruct(StreamMapper(model), _for_a_while(walk, seconds), tempfile.mkdtemp())


def _for_a_while(walk: Sequence[Frame], seconds: float) -> Iterator[Frame]:
    """The walk again and again; at the end it prints how many frames were taken a second."""
    start = time.perf_counter()
    for i, frame in zip(count(1), cycle(walk)):
        yield replace(frame, stamp_ns=i * PERIOD_NS)
        if (taken := time.perf_counter() - start) > seconds:
            print(i / taken, flush=True)
            raise EnoughError


def _start(way: str, folder: str, seconds: float) -> subprocess.Popen:
    """A worker, once it has begun."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    process = subprocess.Popen(
        [sys.executable, __file__, "--work", str(seconds)],
        env={**kept, **WAYS[way], "TMPDIR": folder},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != READY:
        raise SystemExit(f"error: a worker ended with {process.wait()} before its first frame")
    return process


@contextmanager
def busy(process: subprocess.Popen | None) -> Iterator[None]:
    """Within it a neighbour runs; it is ended afterwards."""
    if process is None:
        yield
        return
    try:
        yield
        if process.poll() is not None:
            raise SystemExit(f"error: the neighbour ended with {process.returncode} too early")
    finally:
        process.kill()
        process.wait()


def measured(way: str, folder: str, seconds: float) -> float:
    """Frames a second of a worker started in one way."""
    process = _start(way, folder, seconds)
    try:
        rate, _ = process.communicate(timeout=seconds + START_S)
    finally:
        process.kill()
    if process.returncode:
        raise SystemExit(f"error: a worker ended with {process.returncode}")
    return float(rate)


def rates(seconds: float) -> Iterator[tuple[str, str, float]]:
    """Way, neighbour, frames a second."""
    with tempfile.TemporaryDirectory() as folder:

        def another(way: str) -> subprocess.Popen:
            return _start(way, folder, float("inf"))

        for way in WAYS:
            yield way, "nobody", measured(way, folder, seconds)
        with busy(another("default")):
            for way in WAYS:
                yield way, "default", measured(way, folder, seconds)
        for way in WAYS:
            with busy(another(way)):
                yield way, "alike", measured(way, folder, seconds)
        with busy(subprocess.Popen([sys.executable, "-c", "while True: pass"])):
            for way in WAYS:
                yield way, "core", measured(way, folder, seconds)


def rows(seconds: float) -> Iterator[dict[str, object]]:
    """A row for each way, a column for each neighbour, all frames a second."""
    table: dict[str, dict[str, float]] = {way: {} for way in WAYS}
    for way, neighbour, rate in rates(seconds):
        table[way][f"{neighbour}_fps"] = rate
    for way, found in table.items():
        yield {"way": way, **found, "worst_fps": min(found.values())}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    parser.add_argument("--work", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work is not None:
        work(args.work)
        return
    import torch
    from measure import report

    report("threads", torch.device("cpu"), {"seconds": args.seconds}, rows(args.seconds), args.save)


if __name__ == "__main__":
    main()
