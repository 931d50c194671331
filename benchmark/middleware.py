# SPDX-License-Identifier: Apache-2.0
"""How fast the ROS 2 under us is: a Markdown table, and one line of JSON at the end.

    python benchmark/middleware.py [--seconds 5] [--only NAME ...] [--long] [--save FILE]

Every measurement takes two processes on one machine: this one and `peer.py`. Uses rclpy's public
API only, but for `copies`, `fuzz` and `lists`. Takes a minute; `--long` adds some more, for
1,000,000 damaged messages and 10,000 endpoints made and destroyed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import rclpy
from damage import measure_fuzz, measure_lists
from footprint import measure_churn, measure_idle, measure_start
from peer import SMALL_HZ
from traffic import measure_copies, measure_service, measure_small, measure_stream

# What a kernel grants that nobody has tuned.
STOCK_BUFFERS = (
    "<CycloneDDS><Domain><Internal>"
    '<SocketReceiveBufferSize min="default" max="212992B"/>'
    "</Internal></Domain></CycloneDDS>"
)
LIMITS = {
    "image_send_ms": 0.5, "image_receive_ms": 0.3, "cloud_send_ms": 2.5, "cloud_receive_ms": 1.5,
    "images_p99_ms": 20.0, "images_lost": 0, "clouds_lost": 0, "map_lost": 0, "map_stock_lost": 0,
    "small_lost": 0, "service_median_ms": 2.0, "service_p99_ms": 2.0,
    "idle_cpu_percent": 1.0, "start_s": 0.8, "fuzz_cost": 4.0,
}  # fmt: skip
# Figure, what was measured, its limit: rows of the table in embedded/README.md.
ROWS = (
    ("serialise and write a 0.9 MB image / a 4.8 MB cloud",
     "{image_send_ms:.2f} ms / {cloud_send_ms:.2f} ms", "0.5 / 2.5"),
    ("take and deserialise them",
     "{image_receive_ms:.2f} ms / {cloud_receive_ms:.2f} ms", "0.3 / 1.5"),
    ("images at 30 Hz between two processes: median / p99",
     "{images_median_ms:.1f} ms / {images_p99_ms:.1f} ms, {images_lost} lost", "p99 20, 0 lost"),
    ("clouds at 10 Hz",
     "{clouds_median_ms:.1f} ms / {clouds_p99_ms:.1f} ms, {clouds_lost} lost", "0 lost"),
    ("a 20 MB map: median / slowest of 3",
     "{map_median_ms:.0f} ms / {map_max_ms:.0f} ms, {map_lost} lost", "0 lost"),
    ("clouds at 10 Hz, receive buffers of 208 KB: median / p99",
     "{clouds_stock_median_ms:.1f} ms / {clouds_stock_p99_ms:.1f} ms, {clouds_stock_lost} lost",
     "-"),
    ("a 20 MB map, receive buffers of 208 KB: median / slowest of 3",
     "{map_stock_median_ms:.0f} ms / {map_stock_max_ms:.0f} ms, {map_stock_lost} lost", "0 lost"),
    ("service call, round trip: median / p99",
     "{service_median_ms:.2f} ms / {service_p99_ms:.2f} ms", "2 / 2"),
    ("small messages offered at 10,000 a second",
     "{small_per_s:,.0f} a second, {small_lost} lost", "10,000, 0 lost"),
    ("processor time of an idle node", "{idle_cpu_percent:.2f} % of a core", "1 %"),
    ("process start to first message received: wall / processor time",
     "{start_s:.2f} s / {start_cpu_s:.2f} s", "0.8 s wall"),
    ("publisher and subscription made and destroyed, {churn_count:,} times",
     "{churn_ms:.1f} ms each, memory grows by {churn_grown_mb:.2f} MB", "-"),
    ("{fuzz_inputs:,} damaged messages",
     "{fuzz_refused:,} refused for at most {fuzz_cost:.1f} times their bytes and 4 kB, "
     "the rest read; {fuzz_per_s:,.0f} a second, memory grows by {fuzz_grown_mb:.2f} MB",
     "4 times"),
    ("read 100 transforms: in all / the walk that looks for damage first",
     "{lists_read_us:.0f} µs / {lists_walk_us:.0f} µs", "-"),
)  # fmt: skip


def measure_stock(seconds: float) -> dict[str, float]:
    """The clouds and the map again, with the receive buffers of a kernel nobody has tuned.

    In a process of its own: a DDS domain is configured once per process.
    """
    command = [sys.executable, __file__, "--seconds", str(seconds), "--only", "clouds", "map"]
    environment = {**os.environ, "CYCLONEDDS_URI": STOCK_BUFFERS}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    return {
        name.replace("clouds", "clouds_stock").replace("map", "map_stock"): value
        for name, value in figures.items()
        if name.startswith(("clouds", "map"))
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each stream")
    parser.add_argument("--only", nargs="*", default=None, help="measurements to make")
    parser.add_argument("--long", action="store_true", help="add the long runs")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    measurements: dict[str, Callable[[], dict[str, float]]] = {
        "start": measure_start,
        "copies": measure_copies,
        "images": lambda: measure_stream("images", int(30 * seconds)),
        "clouds": lambda: measure_stream("clouds", int(10 * seconds)),
        "map": lambda: measure_stream("map", 3),
        "stock": lambda: measure_stock(seconds),
        "small": lambda: measure_small(seconds),
        "service": measure_service,
        "idle": lambda: measure_idle(seconds),
        "fuzz": lambda: measure_fuzz(1_000_000 if arguments.long else 20_000),
        "lists": measure_lists,
        "churn": lambda: measure_churn(10_000 if arguments.long else 500),
    }
    unknown = set(arguments.only or ()) - measurements.keys()
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: there are {', '.join(measurements)}")
    results: dict[str, float] = {}
    rclpy.init(args=[])
    for name, measure in measurements.items():
        if not arguments.only or name in arguments.only:
            results.update(measure())
    rclpy.try_shutdown()
    print_table(results)
    record = json.dumps(described(results))
    print(record)
    if arguments.save:
        arguments.save.write_text(record + "\n")


def described(results: dict[str, float]) -> dict[str, object]:
    """The results with the machine, the commit and the date."""
    import torch  # only now: what is measured does without
    from measure import machine

    rounded = {name: round(value, 4) for name, value in results.items()}
    return {"question": "middleware", **machine(torch.device("cpu")), **rounded}


def print_table(results: dict[str, float]) -> None:
    """The rows that were measured, and what misses its limit."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average {load:.1f} at the end\n")
    print("| figure | measured | limit |\n|---|---|---|")
    for figure, measured, limit in ROWS:
        with suppress(KeyError):  # --only
            print(f"| {figure.format(**results)} | {measured.format(**results)} | {limit} |")
    missed = [name for name, limit in LIMITS.items() if results.get(name, limit) > limit]
    if results.get("small_per_s", SMALL_HZ) < 0.99 * SMALL_HZ:
        missed.append("small_per_s")
    print(f"\nMissed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
