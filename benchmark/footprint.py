# SPDX-License-Identifier: Apache-2.0
"""What a node costs that has nothing to do, that starts, or that makes and destroys endpoints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from peer import Other
from std_msgs.msg import String

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
