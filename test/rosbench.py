# SPDX-License-Identifier: Apache-2.0
"""What tests of nodes share: a third process' eyes and hands, and a tiny checkpoint."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import torch
from known_world import blobs
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from zipmap_ros.geometry import Camera
from zipmap_ros.model import ModelConfig, ZipMap, save_checkpoint
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.stream_node import StreamNode

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SENSOR = qos_profile_sensor_data
CAMERA = Camera.from_fov(56, 42, 70.0)
FRAME = "camera_optical_frame"
# A random network sees wild motion and little confidence: neither is what most tests are about.
WILD = {"max_jump_m": 1e4, "max_turn_deg": 180.0, "map_min_confidence": 1.0, "map_range_m": 1e4}
EVERY_FRAME = {"keyframe_translation_m": 0.0, "keyframe_rotation_deg": 0.0}
# What a test waits for comes at once on a free machine, and late on one that is busy with other
# things: only a test that fails waits so long.
PATIENCE_S = 120.0


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait for a condition to give something true, and return that."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, what or "the condition never came true"
        time.sleep(0.02)
    return found


class Still:
    """True once the first of what ``look`` sees has grown by ``steps`` while the rest stayed.

    Wait for it where something must not happen: what was on its way when the wait began may still
    arrive, and only makes it longer; what goes on happening makes it end in vain.
    """

    def __init__(self, look: Callable[[], tuple[Any, ...]], steps: int) -> None:
        self._look, self._steps = look, steps
        self._begun, *self._held = look()

    def __call__(self) -> bool:
        count, *seen = self._look()
        if seen != self._held:
            self._held, self._begun = seen, count
        return count >= self._begun + self._steps


@contextmanager
def slowdown() -> Iterator[Callable[[], float]]:
    """How many times longer than on a core of its own a thread ran meanwhile, 1 or more."""
    ended = threading.Event()
    spent: list[float] = []

    def spin() -> None:
        while not ended.is_set():
            sum(range(10_000))
        spent.append(time.thread_time())

    thread = threading.Thread(target=spin, daemon=True)
    began = time.monotonic()
    thread.start()
    try:
        yield lambda: max((stopped - began) / spent[0], 1.0)
    finally:
        ended.set()
        thread.join()
        stopped = time.monotonic()


class Bench:
    """A node of the test's own that listens, calls and publishes images."""

    def __init__(self, domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = Node("bench", context=self.context)
        self.executor = MultiThreadedExecutor(2, context=self.context)
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        # In rclpy up to Kilted a timer that one thread cancels, or an entity that it destroys,
        # while it is due on another ends the other's spin.
        while True:
            try:
                return self.executor.spin()
            except (InvalidHandle, RCLError):
                continue

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown(2.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        self._thread.join(5)

    def listen(self, kind: type, topic: str, qos: Any = 10) -> list[Any]:
        """A list that fills with the messages of a topic."""
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def call(self, kind: Any, name: str, request: Any = None) -> Any:
        """The response of a service."""
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(PATIENCE_S), f"there is no service {name}"
            future = client.call_async(request or kind.Request())
            until(future.done, f"{name} did not answer within {PATIENCE_S} s")
            return future.result()
        finally:
            self.node.destroy_client(client)


@contextmanager
def bench(domain_id: int) -> Iterator[Bench]:
    """A Bench that is closed at the end."""
    made = Bench(domain_id)
    try:
        yield made
    finally:
        made.close()


def scene(step: int, width: int = CAMERA.width, height: int = CAMERA.height) -> np.ndarray:
    """(height, width, 3) uint8: a pattern that moves with ``step``."""
    v, u = np.mgrid[:height, :width]
    phase = np.stack([u + step, v + 0.5 * step, u + v - step], axis=-1)
    return (127 + 100 * np.sin(phase / 5.0)).astype(np.uint8)


def image(stamp_ns: int, rgb: np.ndarray, frame_id: str = FRAME) -> Image:
    """An rgb8 message."""
    return convert.rgb_to_image(rgb, convert.make_header(stamp_ns, frame_id))


def tiny_checkpoint(folder: Path, **changes: Any) -> Path:
    """A random network of a few thousand parameters, with every part; ``changes`` of its config."""
    torch.manual_seed(5)
    model = ZipMap(replace(ModelConfig.tiny(), **changes)).eval()
    if model.config.streams:
        with torch.no_grad():
            model.camera_mlp_head.mlp.fc2.bias[-2:] += 1.0  # a field of view of about 1 rad
    path = folder / "tiny.safetensors"
    save_checkpoint(model, path)
    return path


@contextmanager
def stream_nodes(
    domain_id: int, checkpoint: str, **defaults: Any
) -> Iterator[Callable[..., StreamNode]]:
    """Makes active nodes in this process, with parameters, that nobody spins; takes them away."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    nodes = []

    def make(**values: Any) -> StreamNode:
        values = {
            "autostart": False,
            "checkpoint": checkpoint,
            "device": "cpu",
            **defaults,
            **values,
        }
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = StreamNode(context=context, parameter_overrides=overrides)
        nodes.append(node)
        node.trigger_configure()
        node.trigger_activate()
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def launch_file(**arguments: str) -> Any:
    """An action that includes the real launch file with these arguments."""
    path = Path(__file__).resolve().parent.parent / "launch" / "stream.launch.py"
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(path)), launch_arguments=arguments.items()
    )


def parameter_file(folder: Path, node: str = "zipmap", **values: Any) -> Path:
    """A ROS 2 parameter file for one node."""
    lines = [f"/**/{node}:", "  ros__parameters:"]
    lines += [f"    {name}: {json.dumps(value)}" for name, value in values.items()]
    path = folder / f"{node}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Pictures:
    """A camera of the test's own, until stopped: pictures that move, stand still or are wild."""

    def __init__(self, bench: Bench, prefix: str = "", rate_hz: float = 10.0) -> None:
        self.stamps: list[int] = []
        self.moving, self.wild = True, False
        self.offset_ns = 0
        self._bench = bench
        self._image = bench.node.create_publisher(Image, f"{prefix}image", 5)
        self._info = bench.node.create_publisher(CameraInfo, f"{prefix}camera_info", 5)
        self._timer = bench.node.create_timer(1.0 / rate_hz, self._publish)
        self._step = 0

    def stop(self) -> None:
        """No more pictures."""
        self._timer.cancel()

    def burst(self, count: int) -> None:
        """So many pictures at once."""
        for _ in range(count):
            self._publish()

    def publish(self, message: Image) -> None:
        """Publish a message of the test's making."""
        self._image.publish(message)

    def _publish(self) -> None:
        stamp_ns = self._bench.node.get_clock().now().nanoseconds + self.offset_ns
        self._step += self.moving
        header = convert.make_header(stamp_ns, FRAME)
        self._info.publish(convert.camera_to_camera_info(CAMERA, header))
        rgb = scene(self._step)
        if self.wild:
            rgb = blobs(self._step, *rgb.shape[:2])
        self.stamps.append(stamp_ns)
        self._image.publish(image(stamp_ns, rgb))
