# SPDX-License-Identifier: Apache-2.0
"""How late a robot hears of an image: the real launch file, a 640x480 camera, three processes.

    python benchmark/node.py --rates 5 10 30

The camera shows a walk through a synthetic room, there and back; every frame is kept and makes the
map grow, as if the robot never stood still. For every rate: what the node says of itself in its
status (image stamp to publish), and what a listener measures, from the stamp of the image to having
the message. ``lost`` is the share of the images that gave no pose: at a rate that the network
cannot follow the oldest are dropped, and ``queue_frames`` bounds the latency. Then all of it with
the web view running and a visitor who takes in everything; what a browser draws is not measured.
``--compiled auto`` wants `zipmap compile` to have been run.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import rclpy
import torch
from geometry_msgs.msg import PoseStamped
from measure import milliseconds, report
from nav_msgs.msg import Odometry
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visitor import Visitor

from zipmap_ros.geometry import Camera
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.synthetic import World

DOMAIN = 90
WIDTH, HEIGHT, FOV_DEG = 640, 480, 65.0
FRAME_ID = "camera_optical_frame"
TOPICS = {
    "pose": PoseStamped,
    "odometry": Odometry,
    "depth/image": Image,
    "points": PointCloud2,
}
START_S, SETTLE_S = 90.0, 3.0
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Station(Node):
    """The camera and the listener."""

    def __init__(self, frames: int) -> None:
        super().__init__("station")
        self.camera = Camera.from_fov(WIDTH, HEIGHT, FOV_DEG)
        world = World(3)
        there, _ = world.render(world.trajectory(frames, "hand", 3), self.camera)
        walk = [image.numpy() for image in there]
        # Both ends twice would be a standing camera; none of them is a jump.
        self._walk = cycle([*walk, *walk[-2:0:-1]])
        self.status: Status | None = None
        self.sent = 0
        self.delays_s: dict[str, list[float]] = defaultdict(list)
        self._image = self.create_publisher(Image, "image", 5)
        self._info = self.create_publisher(CameraInfo, "camera_info", 5)
        self.create_subscription(Status, "zipmap/status", self._on_status, LATCHED)
        for topic, kind in TOPICS.items():
            self.create_subscription(
                kind, f"zipmap/{topic}", lambda m, t=topic: self._on_result(t, m), 10
            )

    def _on_status(self, status: Status) -> None:
        self.status = status

    def _on_result(self, topic: str, message: Any) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self.delays_s[topic].append((now_ns - convert.stamp_to_ns(message.header.stamp)) * 1e-9)

    def show(self, rate_hz: float, seconds: float) -> None:
        """Publish images for a while, from the calling thread."""
        period_s = 1.0 / rate_hz
        end_s = next_s = time.monotonic()
        end_s += seconds
        while next_s < end_s:
            time.sleep(max(next_s - time.monotonic(), 0.0))
            next_s += period_s
            header = convert.make_header(self.get_clock().now().nanoseconds, FRAME_ID)
            self._info.publish(convert.camera_to_camera_info(self.camera, header))
            self._image.publish(convert.rgb_to_image(next(self._walk), header))
            self.sent += 1

    def expected(self) -> bool:
        """Whether the node waits for images."""
        return self.status is not None and self.status.state == Status.WAITING_FOR_IMAGE

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for what the node is to do."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                raise SystemExit(f"error: {what} within {timeout_s:g} s; status: {self.status}")
            time.sleep(0.05)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def launched(arguments: dict[str, object], compiled: str, folder: Path) -> Iterator[None]:
    """The real launch file in processes of its own."""
    # Every frame is believed and kept: the most that there is to do.
    values: dict[str, object] = {"tf_mode": "camera", "compiled": f'"{compiled}"'}
    values |= {"max_jump_m": 1e4, "max_turn_deg": 180.0}
    values |= {"keyframe_translation_m": 0.0, "keyframe_rotation_deg": 0.0}
    lines = ["/**:", "  ros__parameters:", *(f"    {k}: {v}" for k, v in values.items())]
    (folder / "node.yaml").write_text("\n".join(lines) + "\n")
    given = {**arguments, "params_file": folder / "node.yaml", "log_level": "warn"}
    process = subprocess.Popen(
        [
            *("ros2", "launch", "zipmap_ros", "stream.launch.py"),
            *(f"{name}:={value}" for name, value in given.items()),
        ],
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)


def at_rate(station: Station, rate_hz: float, seconds: float) -> dict[str, object]:
    """One row: images at this rate for so long, of which the first few do not count."""
    station.show(rate_hz, SETTLE_S)
    station.delays_s.clear()
    station.sent = 0
    station.show(rate_hz, seconds)
    status = station.status
    time.sleep(1.0)  # what is on its way
    assert status is not None
    row: dict[str, object] = {
        "rate_hz": rate_hz,
        "lost_%": 100 * max(1 - len(station.delays_s["pose"]) / station.sent, 0.0),
        "output_hz": status.output_rate,
        "status_p50_ms": 1e3 * status.latency_p50,
        "status_p95_ms": 1e3 * status.latency_p95,
    }
    for topic in TOPICS:
        if station.delays_s[topic]:
            times = milliseconds(station.delays_s[topic])
            row |= {f"{topic}_{q}_ms": times[f"{q}_ms"] for q in ("p50", "p95")}
    return row


def without_and_with_viewer(
    station: Station,
    arguments: dict[str, object],
    compiled: str,
    rates: list[float],
    seconds: float,
) -> list[dict[str, object]]:
    """The rows of all rates, of a node alone and of one that is looked at."""
    port = free_port()
    viewed = {**arguments, "viewer": "true", "viewer_port": port}
    rows: list[dict[str, object]] = []
    for given in (arguments, viewed):
        station.status = None
        with tempfile.TemporaryDirectory() as folder, launched(given, compiled, Path(folder)):
            station.wait(station.expected, START_S, "the node did not become active")
            visitor = Visitor(port, START_S) if given is viewed else None
            for rate in rates:
                row = {"viewer": given is viewed, **at_rate(station, rate, seconds)}
                rows.append(row | ({"viewer_mb": visitor.received_mb} if visitor else {}))
            if visitor:
                if not visitor.connected:
                    raise SystemExit("error: the web view left its visitor")
                visitor.close()
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="", help="weights (default: the small model)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto")
    parser.add_argument(
        "--compiled", choices=("auto", "off"), default="off", help="auto: as by `zipmap compile`"
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[5.0, 10.0, 30.0], metavar="HZ")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each rate")
    parser.add_argument("--frames", type=int, default=60, help="of the walk")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(DOMAIN)
    rclpy.init()
    station = Station(args.frames)
    executor = MultiThreadedExecutor(2)
    executor.add_node(station)
    threading.Thread(target=executor.spin, daemon=True).start()
    arguments: dict[str, object] = {"device": args.device}
    if args.checkpoint:
        arguments["checkpoint"] = args.checkpoint
    rows = without_and_with_viewer(station, arguments, args.compiled, args.rates, args.seconds)
    status = station.status
    assert status is not None
    settings = {
        "image": f"{WIDTH}x{HEIGHT}",
        "node_device": status.device,
        "variant": status.variant,
        "compiled": args.compiled,
        "map_points": status.map_points,
        "process_mb": status.process_mb,
    }
    report("node latency", torch.device("cpu"), settings, rows, args.save)
    executor.shutdown()
    station.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
