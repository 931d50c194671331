# SPDX-License-Identifier: Apache-2.0
"""Launches the node with a camera and a web view, listens as any other process would, and reports.

    python scripts/demo.py [--video CLIP] [--checkpoint FILE] [--seconds 20] [--out demo]

Prints what it sees, asks ``query_view`` once, and after 20 seconds (--seconds) writes
``report.png`` (images, depth, the queried view, the map from above with the path) and ``map.ply``.
In a terminal and without --seconds it then goes on for the web view, and writes both again at
Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path as PathMessage
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2

from zipmap_ros.geometry import pose
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.status import STATE_NAMES
from zipmap_ros.sources import SourceError, open_source
from zipmap_ros.srv import QueryView

START_S = 120.0  # patience until the first depth image; weights load meanwhile
REPORT_AFTER_S = 20.0  # the report is written this long after the first depth image
VIEWER_PORTS = range(8080, 8100)  # the first that is free
QUERY_STEP = 0.15  # the queried view is this share of the median depth to the right
SHOWN = 5  # images in the report
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Demo(Node):
    """Listens, asks once, keeps what the report shows."""

    def __init__(self) -> None:
        super().__init__("demo")
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self.view: QueryView.Response | None = None
        self.map: PointCloud2 | None = None
        self.path: PathMessage | None = None
        self.status: Status | None = None
        self._asked: Any = None
        self._images: dict[int, Image] = {}
        self._pose: PoseStamped | None = None
        self.create_subscription(Image, "image", self._on_image, qos_profile_sensor_data)
        self.create_subscription(Image, "zipmap/depth/image", self._on_depth, 5)
        self.create_subscription(PoseStamped, "zipmap/pose", self._on_pose, 10)
        self.create_subscription(PointCloud2, "zipmap/map", self._on_map, LATCHED)
        self.create_subscription(PathMessage, "zipmap/path", self._on_path, LATCHED)
        self.create_subscription(Status, "zipmap/status", self._on_status, LATCHED)
        self._query = self.create_client(QueryView, "zipmap/query_view")

    def ask(self) -> None:
        """Ask, once, for a view a step to the right of the camera's present one."""
        if self._asked or not self._pose or not self.pairs or not self._query.service_is_ready():
            return
        step = QUERY_STEP * percentile(self.pairs[-1][1], 50)
        if not np.isfinite(step):
            return
        map_T_camera = convert.pose_to_matrix(self._pose.pose)
        moved = map_T_camera @ pose(np.eye(3), [step, 0.0, 0.0])
        request = QueryView.Request(want_rgb=True, want_cloud=True)
        request.pose.header.frame_id = self._pose.header.frame_id
        request.pose.pose = convert.matrix_to_pose(moved)
        self._asked = self._query.call_async(request)
        self._asked.add_done_callback(self._on_view)

    def _on_view(self, future: Any) -> None:
        self.view = future.result()
        source = "the memory of the scene" if self.view.source == self.view.NETWORK else "the map"
        if not self.view.success:
            print(f"query_view failed: {self.view.message}", flush=True)
            return
        depth = convert.image_to_depth(self.view.depth)
        print(
            f"query_view: {depth.shape[1]}x{depth.shape[0]} from {source} in "
            f"{self.view.duration * 1e3:.0f} ms, median depth {percentile(depth, 50):.2f}, "
            f"{self.view.cloud.width} points {self.view.message}",
            flush=True,
        )

    def _on_image(self, message: Image) -> None:
        self._images[convert.stamp_to_ns(message.header.stamp)] = message
        while len(self._images) > 60:
            self._images.pop(next(iter(self._images)))

    def _on_depth(self, message: Image) -> None:
        image = self._images.get(convert.stamp_to_ns(message.header.stamp))
        if image is not None:
            self.pairs.append((convert.image_to_rgb(image), convert.image_to_depth(message)))
            if len(self.pairs) > 40 * SHOWN:  # a long demo keeps every other one
                del self.pairs[1:-1:2]

    def _on_pose(self, message: PoseStamped) -> None:
        self._pose = message

    def _on_map(self, message: PointCloud2) -> None:
        self.map = message

    def _on_path(self, message: PathMessage) -> None:
        self.path = message

    def _on_status(self, message: Status) -> None:
        self.status = message

    def has_failed(self) -> bool:
        """Whether the node has said that it cannot start."""
        s = self.status
        return s is not None and s.state == Status.UNCONFIGURED and "cannot" in s.hint

    def line(self) -> str:
        """What the status says, in a line."""
        s = self.status
        if s is None:
            return "waiting for the node"
        return (
            f"{STATE_NAMES[s.state]:<13} {s.input_rate:4.1f} Hz in, {s.output_rate:4.1f} Hz out, "
            f"{s.latency_p50 * 1e3:4.0f} ms, {s.map_points} points {s.hint}"
        )

    def summary(self) -> str:
        """What the status says, in full."""
        s = self.status
        if s is None:
            return "no status"
        rows = {
            "state": STATE_NAMES[s.state],
            "checkpoint": f"{s.checkpoint} ({s.variant}, {s.device})",
            "input": f"{s.input_rate:.1f} Hz",
            "output": f"{s.output_rate:.1f} Hz",
            "latency": f"p50 {s.latency_p50 * 1e3:.0f} ms, p95 {s.latency_p95 * 1e3:.0f} ms",
            "frames": f"{s.frames_received} received, {s.frames_used} used, {s.frames_gated} gated",
            "dropped": ", ".join(f"{d.key} {d.value}" for d in s.frames_dropped) or "none",
            "map": f"{s.map_points} points, {s.map_mb:.0f} MB",
            "scale": f"{s.scale:.3f} {'metric' if s.metric else 'not metric'}",
            "memory": f"{s.process_mb:.0f} MB, GPU {s.gpu_mb:.0f} MB",
        }
        return "\n".join(f"{name:<10} {value}" for name, value in rows.items())


def percentile(depth: np.ndarray, q: float) -> float:
    """The q-th percentile of the depths that are known; NaN when none is."""
    known = depth[np.isfinite(depth)]
    return float(np.percentile(known, q)) if known.size else float("nan")


def write_report(demo: Demo, path: Path) -> None:
    """Draw images over their depth; below, the queried view and the map with the path."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    chosen = np.linspace(0, len(demo.pairs) - 1, SHOWN).astype(int)
    far = percentile(np.concatenate([demo.pairs[i][1].ravel() for i in chosen]), 98)
    turbo = colormaps["turbo_r"].with_extremes(bad="0.6")
    heat: dict[str, Any] = {"cmap": turbo, "vmin": 0.0, "vmax": far if np.isfinite(far) else 1.0}
    figure = Figure(figsize=(17, 9), layout="constrained")
    axes = figure.subplots(3, SHOWN)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, i in enumerate(chosen):
        axes[0, column].imshow(demo.pairs[i][0])
        axes[1, column].imshow(demo.pairs[i][1], **heat)
    axes[0, 0].set_title("images", loc="left")
    axes[1, 0].set_title("depth (red: near, blue: far, grey: not confident)", loc="left")
    if demo.view is not None and demo.view.success:
        axes[2, 0].imshow(convert.image_to_rgb(demo.view.rgb))
        axes[2, 1].imshow(convert.image_to_depth(demo.view.depth), **heat)
        axes[2, 0].set_title("query_view: from where no camera was", loc="left")
    _draw_map(axes[2, 2], demo, 1, "map and path from above")
    _draw_map(axes[2, 3], demo, 2, "from the side")
    axes[2, 4].text(0, 1, demo.summary(), va="top", family="monospace", fontsize=9)
    figure.savefig(path, dpi=100)


def _draw_map(axis: Any, demo: Demo, vertical: int, title: str) -> None:
    """Draw x (forward) against y or z of the map's points, and of the path."""
    axis.set_title(title, loc="left")
    if demo.map is not None:
        points, colors, _ = convert.cloud_to_points(demo.map)
        order = np.argsort(points[:, 2])
        axis.scatter(*points[order][:, (0, vertical)].T, s=0.5, c=colors[order] / 255)
    if demo.path is not None:
        places = np.array([convert.pose_to_matrix(p.pose)[:3, 3] for p in demo.path.poses])
        axis.plot(places[:, 0], places[:, vertical], "r-", linewidth=1)
    axis.set_aspect("equal")


def write_map(demo: Demo, path: Path) -> int:
    """Write the last map as PLY; the number of its points."""
    from zipmap_ros.mapping import Cloud
    from zipmap_ros.mapping.ply import write_ply

    if demo.map is None:
        return 0
    write_ply(path, Cloud(*convert.cloud_to_points(demo.map)))
    return demo.map.width


def free_port() -> int:
    """The first port for the web view that nobody listens on; 0 where all are taken."""
    for port in VIEWER_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return 0


def launch(video: str, checkpoint: str) -> subprocess.Popen:
    """Start the launch file as a user would, in a process of its own."""
    source = ["source:=synthetic", "loop:=true"]
    if video:
        source = ["source:=auto", f"path:={Path(video).expanduser().resolve()}"]
    if checkpoint:
        source.append(f"checkpoint:={Path(checkpoint).expanduser().resolve()}")
    port = free_port()
    if port:
        source += ["viewer:=true", f"viewer_port:={port}"]
        print(f"\n    open http://127.0.0.1:{port} in a browser\n", flush=True)
    command = ["ros2", "launch", "zipmap_ros", "stream.launch.py", *source]
    print("$", *command, flush=True)
    return subprocess.Popen(command, start_new_session=True)


def watch(demo: Demo, launched: subprocess.Popen, seconds: float) -> None:
    """Spin until ``seconds`` after the first depth image, or until nothing more can come."""
    began = said = time.monotonic()
    first = None
    while launched.poll() is None and not demo.has_failed():
        rclpy.spin_once(demo, timeout_sec=0.1)
        now = time.monotonic()
        if first is None and demo.pairs:
            first = now
        if first is None and now > began + START_S:
            return
        if first is not None and now > first + min(seconds, REPORT_AFTER_S) / 2:
            demo.ask()
        if first is not None and now > first + seconds:
            return
        if now > said + 2.0:
            said = now
            print(f"[{now - began:5.1f} s] {demo.line()}", flush=True)


def on_hangup(*_: Any) -> None:
    """The terminal was closed: end as at Ctrl-C, and print no more to what is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a shell sends it once more
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    raise KeyboardInterrupt


def stop(launched: subprocess.Popen) -> None:
    """End the launch as Ctrl-C would."""
    if launched.poll() is None:
        launched.send_signal(signal.SIGINT)
    try:
        launched.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(launched.pid, signal.SIGKILL)
        print("the launch did not end within 10 s", file=sys.stderr)


def main() -> int:
    """Run the demo; 1 when nothing came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", default="", help="video, image folder or /dev/video0")
    parser.add_argument("--checkpoint", default="", help="default: the small model that ships")
    parser.add_argument("--seconds", type=float, help="end so long after the first depth image")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the report")
    args = parser.parse_args()
    if args.video and not Path(args.video).expanduser().exists():
        print(f"there is no {args.video}: check the path", file=sys.stderr)
        return 2
    if args.video and not args.video.startswith("/dev/"):
        try:
            open_source("auto", str(Path(args.video).expanduser()))
        except SourceError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, on_hangup)
    rclpy.init()
    demo = Demo()
    launched = launch(args.video, args.checkpoint)
    try:
        watch(demo, launched, args.seconds or REPORT_AFTER_S)
        if args.seconds is None and demo.pairs and sys.stdout.isatty():
            finish(demo, args.out)
            print("the web view stays open until Ctrl-C", flush=True)
            watch(demo, launched, math.inf)
    except (KeyboardInterrupt, ExternalShutdownException):
        print("stopped; reporting what came until now", flush=True)
    finally:
        stop(launched)
    code = finish(demo, args.out)
    demo.destroy_node()
    rclpy.try_shutdown()
    return code


def finish(demo: Demo, out: Path) -> int:
    """Write the report and the map, and say where."""
    if not demo.pairs:
        print(f"no depth came: {demo.line()}", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    points = write_map(demo, out / "map.ply")
    write_report(demo, out / "report.png")
    print(demo.summary())
    print(f"{out / 'report.png'}, {out / 'map.ply'} ({points} points)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
