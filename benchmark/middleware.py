# SPDX-License-Identifier: Apache-2.0
"""How fast the ROS 2 under us is: a Markdown table, and one line of JSON at the end.

    python benchmark/middleware.py [--seconds 5] [--only NAME ...] [--long]

Every measurement takes two processes on one machine: this one and a copy of this file in another
role. Uses rclpy's public API only, but for `copies`. Takes a minute; `--long` adds two, for
1,000,000 damaged messages and 10,000 endpoints made and destroyed. Writes no file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import String
from std_srvs.srv import Trigger

WIDTH, HEIGHT = 640, 480
POINT_BYTES = 16
CLOUD_POINTS, MAP_POINTS = 300_000, 1_250_000  # 4.8 MB, 20 MB
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
    "idle_cpu_percent": 1.0, "start_s": 0.8,
}  # fmt: skip
SMALL_HZ = 10_000
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
     "{fuzz_refused:,} refused, the rest read; {fuzz_per_s:,.0f} a second, memory grows by "
     "{fuzz_grown_mb:.2f} MB", "-"),
)  # fmt: skip


def make_image() -> Image:
    """A colour image of 0.9 MB."""
    data = np.random.default_rng(0).integers(0, 256, WIDTH * HEIGHT * 3, np.uint8)
    return Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=WIDTH * 3, data=data)


def make_cloud(points: int) -> PointCloud2:
    """A cloud of 16 bytes a point."""
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(("x", "y", "z", "rgb"))
    ]
    data = np.random.default_rng(0).integers(0, 256, points * POINT_BYTES, np.uint8)
    return PointCloud2(
        height=1, width=points, fields=fields, point_step=POINT_BYTES,
        row_step=points * POINT_BYTES, data=data, is_dense=True,
    )  # fmt: skip


STREAMS: dict[str, tuple[type, Callable[[], Any], float]] = {
    # kind: type, maker, rate in Hz
    "images": (Image, make_image, 30.0),
    "clouds": (PointCloud2, lambda: make_cloud(CLOUD_POINTS), 10.0),
    "map": (PointCloud2, lambda: make_cloud(MAP_POINTS), 0.5),
}

# Sends one message as soon as there is somebody to take it, and imports nothing else.
STARTER = """
import rclpy
from std_msgs.msg import String

rclpy.init(args=[])
node = rclpy.create_node("starter")
publisher = node.create_publisher(String, "start", 10)
while not publisher.get_subscription_count():
    rclpy.spin_once(node, timeout_sec=0.01)
publisher.publish(String(data="here"))
publisher.wait_for_all_acked()
rclpy.shutdown()
"""


# The other process


def stream(kind: str, count: int) -> None:
    """Publish `count` messages at the kind's rate, stamped with the monotonic clock."""
    message_type, make, rate = STREAMS[kind]
    node = rclpy.create_node("source")
    publisher = node.create_publisher(message_type, "stream", 10)
    message = make()
    while not publisher.get_subscription_count():
        rclpy.spin_once(node, timeout_sec=0.01)
    start = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, start + index / rate - time.monotonic()))
        now = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(message)
    time.sleep(8.0 if kind == "map" else 1.5)


def small(count: int) -> None:
    """Publish small messages at SMALL_HZ, ten at a time."""
    node = rclpy.create_node("source")
    publisher = node.create_publisher(String, "stream", QoSProfile(depth=20_000))
    while not publisher.get_subscription_count():
        rclpy.spin_once(node, timeout_sec=0.01)
    start = time.monotonic()
    for index in range(count):
        if index % 10 == 0:
            time.sleep(max(0.0, start + index / SMALL_HZ - time.monotonic()))
        publisher.publish(String(data=str(time.monotonic_ns())))
    time.sleep(1.5)


def serve(count: int) -> None:
    """Answer requests."""
    node = rclpy.create_node("server")
    node.create_service(Trigger, "call", lambda request, response: response)
    rclpy.spin(node)


def idle(count: int) -> None:
    """Do nothing, as most nodes do most of the time."""
    node = rclpy.create_node("idler")
    node.create_subscription(String, "silence", lambda message: None, 10)
    rclpy.spin(node)


ROLES: dict[str, Callable[[int], None]] = {
    "small": small, "serve": serve, "idle": idle,
    **{kind: partial(stream, kind) for kind in STREAMS},
}  # fmt: skip


class Other:
    """This file in another role, in another process."""

    def __init__(self, role: str, count: int = 0) -> None:
        command = [sys.executable, __file__, "--role", role, "--count", str(count)]
        self.process = subprocess.Popen(command)

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def cpu_seconds(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# This process


def measure_copies() -> dict[str, float]:
    """Time to serialise and write, and to take and deserialise, between two nodes of a process."""
    results = {}
    for name, message in (("image", make_image()), ("cloud", make_cloud(CLOUD_POINTS))):
        node = rclpy.create_node("copies")
        received: list[Any] = []
        publisher = node.create_publisher(type(message), "copies", 1)
        subscription = node.create_subscription(type(message), "copies", received.append, 1)
        while not publisher.get_subscription_count():
            rclpy.spin_once(node, timeout_sec=0.01)
        send, receive = [], []
        for _ in range(60):
            begin = time.perf_counter()
            publisher.publish(message)
            middle = time.perf_counter()
            taken = subscription._take()
            receive.append(time.perf_counter() - middle)
            send.append(middle - begin)
            assert taken is not None and len(taken[0].data) == len(message.data)
        results[f"{name}_send_ms"] = 1e3 * statistics.median(send[10:])
        results[f"{name}_receive_ms"] = 1e3 * statistics.median(receive[10:])
        node.destroy_node()
    return results


def measure_stream(kind: str, count: int) -> dict[str, float]:
    """Latency from publish to callback, and messages lost."""
    message_type, _, rate = STREAMS[kind]
    node = rclpy.create_node("sink")
    latencies: list[float] = []

    def take(message: Any) -> None:
        sent = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        latencies.append((time.monotonic_ns() - sent) * 1e-6)

    node.create_subscription(message_type, "stream", take, 10)
    with Other(kind, count):
        end = time.monotonic() + count / rate + 15
        while len(latencies) < count and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    ordered = sorted(latencies) or [float("nan")]
    return {
        f"{kind}_median_ms": statistics.median(ordered),
        f"{kind}_p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        f"{kind}_max_ms": ordered[-1],
        f"{kind}_lost": count - len(latencies),
    }


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
    }


def measure_small(seconds: float) -> dict[str, float]:
    """Small messages at SMALL_HZ."""
    count = int(SMALL_HZ * seconds)
    node = rclpy.create_node("sink")
    times: list[float] = []
    node.create_subscription(
        String, "stream", lambda _: times.append(time.monotonic()), QoSProfile(depth=20_000)
    )
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with Other("small", count):
        end = time.monotonic() + seconds + 10
        while len(times) < count and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    return {"small_per_s": rate, "small_lost": count - len(times)}


def measure_service() -> dict[str, float]:
    """Round trip of a service call."""
    node = rclpy.create_node("caller")
    client = node.create_client(Trigger, "call")
    trips = []
    with Other("serve"):
        assert client.wait_for_service(10.0), "no server"
        for _ in range(1000):
            begin = time.perf_counter()
            future = client.call_async(Trigger.Request())
            rclpy.spin_until_future_complete(node, future, timeout_sec=5.0)
            assert future.done(), "no response"
            trips.append(1e3 * (time.perf_counter() - begin))
    node.destroy_node()
    ordered = sorted(trips[20:])
    return {
        "service_median_ms": statistics.median(ordered),
        "service_p99_ms": ordered[int(0.99 * len(ordered))],
    }


def measure_idle(seconds: float) -> dict[str, float]:
    """Processor time of a node that does nothing, while another is there."""
    node = rclpy.create_node("watcher")
    with Other("idle") as other:
        assert node.wait_for_node("/idler", 10.0), "no idle node"
        time.sleep(1.0)
        before, begin = other.cpu_seconds(), time.monotonic()
        time.sleep(max(5.0, seconds))
        used = other.cpu_seconds() - before
        percent = 100 * used / (time.monotonic() - begin)
    node.destroy_node()
    return {"idle_cpu_percent": percent}


def measure_start() -> dict[str, float]:
    """From starting a process to its first message here, the best of five; processor time of one.

    Python may keep its byte code, as it does by default: the first start compiles.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times, used = [], []
    for _ in range(5):
        node = rclpy.create_node("waiter")
        received: list[Any] = []
        node.create_subscription(String, "start", received.append, 10)
        before, begin = os.times(), time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", STARTER], env=environment)
        while not received and time.monotonic() < begin + 20:
            rclpy.spin_once(node, timeout_sec=0.5)
        times.append(time.monotonic() - begin)
        process.wait(10)
        after = os.times()
        used.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
        node.destroy_node()
    return {"start_s": min(times), "start_cpu_s": min(used)}


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_fuzz(count: int) -> dict[str, float]:
    """Damaged messages: each is refused with ValueError or read, never anything else."""
    generator = random.Random(0)
    source = [serialize_message(m) for m in (make_cloud(4), String(data="x" * 30))]
    kinds = [PointCloud2, String]
    refused = 0
    before, begin = resident_mb(), time.perf_counter()
    for index in range(count):
        raw = bytearray(source[index % 2])
        for _ in range(generator.randrange(1, 6)):
            raw[generator.randrange(4, len(raw))] = generator.randrange(256)
        if index % 3:
            del raw[generator.randrange(4, len(raw) + 1) :]
        try:
            deserialize_message(bytes(raw), kinds[index % 2])
        except ValueError:
            refused += 1
    seconds = time.perf_counter() - begin
    return {
        "fuzz_inputs": count, "fuzz_refused": refused, "fuzz_per_s": count / seconds,
        "fuzz_grown_mb": resident_mb() - before,
    }  # fmt: skip


def measure_churn(count: int) -> dict[str, float]:
    """Endpoints made and destroyed: time for each, and memory that is left behind."""
    node = rclpy.create_node("churn")

    def churn(times: int) -> None:
        for _ in range(times):
            publisher = node.create_publisher(String, "churn", 10)
            subscription = node.create_subscription(String, "churn", lambda _: None, 10)
            node.destroy_publisher(publisher)
            node.destroy_subscription(subscription)

    churn(count // 10)
    before, begin = resident_mb(), time.perf_counter()
    churn(count)
    seconds = time.perf_counter() - begin
    grown = resident_mb() - before
    node.destroy_node()
    return {"churn_count": count, "churn_ms": 1e3 * seconds / count, "churn_grown_mb": grown}


def run_role(role: str, count: int) -> None:
    """Be the other process."""
    rclpy.init(args=[])
    try:
        ROLES[role](count)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each stream")
    parser.add_argument("--only", nargs="*", default=None, help="measurements to make")
    parser.add_argument("--long", action="store_true", help="add the long runs")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        run_role(arguments.role, arguments.count)
        return
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
        "churn": lambda: measure_churn(10_000 if arguments.long else 500),
    }
    results: dict[str, float] = {}
    rclpy.init(args=[])
    for name, measure in measurements.items():
        if not arguments.only or name in arguments.only:
            results.update(measure())
    rclpy.try_shutdown()
    print_table(results)


def print_table(results: dict[str, float]) -> None:
    """The rows that were measured, what misses its limit, then all as JSON."""
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
    print(json.dumps({name: round(value, 4) for name, value in results.items()}))


if __name__ == "__main__":
    main()
