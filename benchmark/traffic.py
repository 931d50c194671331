# SPDX-License-Identifier: Apache-2.0
"""Messages and calls between two processes: how long they take, and what is lost."""

from __future__ import annotations

import statistics
import time
from typing import Any

import rclpy
from peer import CLOUD_POINTS, SMALL_HZ, STREAMS, Other, make_cloud, make_image
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger


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
