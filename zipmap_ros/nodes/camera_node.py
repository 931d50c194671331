# SPDX-License-Identifier: Apache-2.0
"""Publishes any source as a camera: image and, where the source knows them, camera_info and depth.

A source is no live camera: it starts when there is a subscriber, the node named ``waits_for`` where
others may be earlier. It runs in real time, or, with ``pace: consumed``, waits after each frame for
a message on ``consumed`` with its stamp. In real time recorded frames are stamped when they were
due, as evenly as by a camera, others when they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image

from zipmap_ros.frame import Frame
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.spin import run

# How long ``pace: consumed`` waits for a frame that was dropped on the way.
CONSUMED_TIMEOUT_S = 2.0
PACES = ("realtime", "consumed")


class CameraNode(Node):
    """One source as one camera. ``finished`` is done when the source has ended.

    Raises the sources' error when the source cannot be opened, ValueError for a bad parameter.
    """

    def __init__(self, **kwargs: Any) -> None:
        from zipmap_ros.sources import RecordedSource, open_source

        super().__init__("camera", **kwargs)
        kind = self._parameter("source", "synthetic", "what to publish, see zipmap_ros.sources")
        path = self._parameter("path", "", "file, folder or device of the source")
        topic = self._parameter("topic", "", "image topic of a bag; empty: its only one")
        self._frame_id = self._parameter("frame_id", "camera_optical_frame", "frame of the images")
        self._loop = self._parameter("loop", False, "whether to start again at the end")
        pace = self._parameter("pace", PACES[0], "realtime, or consumed: wait for each frame")
        rate_hz = self._parameter("rate_hz", 0.0, "frames a second; 0: as the source says")
        self._waits_for = self._parameter(
            "waits_for", "", "node of this namespace that must subscribe first; empty: any"
        )
        if pace not in PACES or rate_hz < 0:
            raise ValueError(f"pace {pace!r}, rate_hz {rate_hz}: use {' or '.join(PACES)}, >= 0")
        self._source = open_source(kind, path, topic)
        self._frames = self._readable()
        self._published = 0
        self._last_ns = self._period_ns = 0
        self.finished: Future = Future()
        qos = QoSProfile(depth=5)
        self._image = self.create_publisher(Image, "image", qos)
        self._info = self.create_publisher(CameraInfo, "camera_info", qos)
        self._depth = self.create_publisher(Image, "depth", qos)
        if pace == "consumed":
            self.create_subscription(PoseStamped, "consumed", self._on_consumed, 10)
            self.create_timer(0.25, self._on_wait)
        else:
            period_s = 1.0 / (rate_hz or self._source.fps)
            if isinstance(self._source, RecordedSource):
                self._period_ns = round(period_s * convert.NS)
            self.create_timer(period_s, self._publish_next)

    def _parameter(self, name: str, default: Any, description: str) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        return self.declare_parameter(name, default, descriptor).value

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_consumed(self, message: PoseStamped) -> None:
        if convert.stamp_to_ns(message.header.stamp) >= self._last_ns > 0:
            self._publish_next()

    def _on_wait(self) -> None:
        if self._now_ns() - self._last_ns > CONSUMED_TIMEOUT_S * convert.NS:
            self._publish_next()

    def _publish_next(self) -> None:
        if self.finished.done() or not self._is_listened_to():
            return
        frame = next(self._frames, None)
        if frame is None and self._loop and self._published:
            self._frames = self._readable()
            frame = next(self._frames, None)
        if frame is None:
            self.get_logger().info(f"the source has ended after {self._published} frames")
            self.finished.set_result(None)
            return
        self._publish(frame)

    def _is_listened_to(self) -> bool:
        if self._waits_for:
            heard_by = self.get_subscriptions_info_by_topic(self._image.topic_name)
            nodes = [(info.node_namespace, info.node_name) for info in heard_by]
            if (self.get_namespace(), self._waits_for) not in nodes:
                return False
            self._waits_for = ""
        return self._image.get_subscription_count() > 0

    def _readable(self) -> Iterator[Frame]:
        """From the start, without frames whose image could not be read."""
        return (frame for frame in self._source if frame.rgb.size)

    def _stamp_ns(self) -> int:
        """When the next frame was due, if it is late by less than a period; else now."""
        now, due = self._now_ns(), self._last_ns + self._period_ns
        return due if 0 <= now - due < self._period_ns else now

    def _publish(self, frame: Frame) -> None:
        self._last_ns = self._stamp_ns()
        header = convert.make_header(self._last_ns, self._frame_id)
        if frame.camera is not None:
            self._info.publish(convert.camera_to_camera_info(frame.camera, header))
        if frame.depth is not None and self._depth.get_subscription_count():
            self._depth.publish(convert.depth_to_image(frame.depth, header))
        self._image.publish(convert.rgb_to_image(frame.rgb, header))
        self._published += 1


def main() -> None:
    """Run the node until SIGINT or the end of the source."""
    run(CameraNode)
