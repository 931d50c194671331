# SPDX-License-Identifier: Apache-2.0
"""The other process of `middleware.py`: what it sends, serves or leaves undone.

python benchmark/peer.py ROLE COUNT
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import String
from std_srvs.srv import Trigger

WIDTH, HEIGHT = 640, 480
POINT_BYTES = 16
CLOUD_POINTS, MAP_POINTS = 300_000, 1_250_000  # 4.8 MB, 20 MB
SMALL_HZ = 10_000


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
    """A role in a process of its own."""

    def __init__(self, role: str, count: int = 0) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, role, str(count)])

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def cpu_seconds(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(role: str, count: int) -> None:
    """Play a role until it is over or a signal comes."""
    rclpy.init(args=[])
    try:
        ROLES[role](count)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
