# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera, turned into Frames; what cannot be used is dropped with a reason."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import (
    QoSCompatibility,
    QoSProfile,
    qos_check_compatible,
    qos_profile_sensor_data,
    qos_profile_system_default,
)
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera, names_rectified
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.convert import ConvertError
from zipmap_ros.parameters import Parameters

QOS = {
    "sensor_data": qos_profile_sensor_data,
    "reliable": QoSProfile(depth=5),
    "system_default": qos_profile_system_default,
}
# A depth image belongs to an image whose stamp is this close, and may come so much later.
DEPTH_TOLERANCE_NS, DEPTH_DELAY_NS = 20_000_000, 500_000_000
NO_INFO = "no calibration"
MOST_KINDS, LONGEST_TEXT = 100, 1000  # of what is warned of
# So many images of one new size in a row are a camera that was set to it, not a hiccup.
RESIZED_AFTER = 10
# Depth images that are further in the median are taken for millimetres.
FARTHEST_M = 250.0
# So many images in a row without a depth of theirs are a trouble to be told, not a slow sensor.
DEPTH_MISSED_AFTER = 30


class CameraInput:
    """Subscribes to one camera, ``name`` "" where it is the only one.

    submit  takes each Frame; drop takes the reason for each image that gave none. Both are called
            on the executor, one image at a time.
    problem  why the last image gave no Frame; "" when it did
    """

    def __init__(
        self,
        node: Node,
        name: str,
        parameters: Parameters,
        submit: Callable[[Frame], None],
        drop: Callable[[str], None],
    ) -> None:
        self.name = name
        self.last_image_s = time.monotonic()
        self.images = 0
        self.problem = ""
        self._node, self._submit, self._drop = node, submit, drop
        self._said: set[str] = set()
        self._camera: Camera | None = None
        self._size: tuple[int, int] | None = None
        self._other_sizes: deque[tuple[int, int]] = deque(maxlen=RESIZED_AFTER)
        self._depths = _recent()
        self._waiting: deque[Frame] = deque()
        self._without_depth = 0
        self._wants_depth = False
        self._has_base = parameters.tf_mode != "camera"
        self._group = MutuallyExclusiveCallbackGroup()
        self._qos = QOS[parameters.qos_image]
        self.subscriptions: list[Subscription] = []
        # Last, as another thread may run a callback before the next line.
        if parameters.image_transport == "compressed":
            images = self._subscribe(CompressedImage, "image/compressed", self._on_image)
        else:
            images = self._subscribe(Image, "image", self._on_image)
        self._image_topic = images.topic_name
        self._infos = self._subscribe(CameraInfo, "camera_info", self._on_info)
        self.want_depth(parameters.scale_source == "depth")

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self.subscriptions:
            self._node.destroy_subscription(subscription)
        self.subscriptions.clear()

    def want_depth(self, wanted: bool) -> None:
        """Subscribe to depth, or no longer."""
        if wanted == self._wants_depth:
            return
        self._wants_depth, self._without_depth = wanted, 0
        if wanted:
            self._subscribe(Image, "depth", self._on_depth)
        else:
            self._node.destroy_subscription(self.subscriptions.pop())

    def forget(self, reason: str) -> None:
        """Drop what waits for its depth, counted under ``reason``: any stamp may come next."""
        waiting, self._waiting = self._waiting, deque()  # another thread may be reading the old one
        for _ in range(len(waiting)):
            self._drop(reason)
        self._depths = _recent()  # as above
        self._without_depth = 0

    def silence(self) -> str:
        """Why there may be no images: each topic, its publishers, whether their QoS fits."""
        return "; ".join(self._publishers(subscription) for subscription in self.subscriptions)

    def _subscribe(self, kind: type, topic: str, callback: Callable) -> Subscription:
        topic = f"{self.name}/{topic}" if self.name else topic
        subscription = self._node.create_subscription(
            kind, topic, callback, self._qos, callback_group=self._group
        )
        self.subscriptions.append(subscription)
        return subscription

    def _publishers(self, subscription: Subscription) -> str:
        topic = subscription.topic_name
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return f"{topic} has no publisher"
        unfit = [
            f"{p.node_name} ({reason})"
            for p in publishers
            for compatibility, reason in [qos_check_compatible(p.qos_profile, self._qos)]
            if compatibility == QoSCompatibility.ERROR
        ]
        if unfit:
            return (
                f"{topic} has publishers whose QoS does not fit, {', '.join(unfit)}: "
                "set qos_image to sensor_data"
            )
        return f"{topic} has {len(publishers)} publisher(s) with fitting QoS"

    def _on_info(self, message: CameraInfo) -> None:
        try:
            rectified = names_rectified(self._image_topic)
            self._camera = convert.camera_info_to_camera(message, rectified)
        except ConvertError as error:
            self._camera = None
            self._say(f"{self._where('camera_info')}: {error}; going on without calibration")
            return
        if self._camera is None:
            self._say(f"{self._where('camera_info')} is uncalibrated (k[0] is 0)")
        elif rectified and any(message.d):
            self._say(
                f"images of {self._image_topic} are rectified by their name: "
                f"p of {self._where('camera_info')} is used, and not its distortion"
            )

    def _on_depth(self, message: Image) -> None:
        self._depths.append(message)
        self._pair()

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.last_image_s = time.monotonic()
        self.images += 1
        try:
            frame = self._to_frame(message)
        except ConvertError as error:
            self.problem = f"{self._where('image')}: {error}"
            self._drop(error.reason)
            self._say(self.problem, key=error.reason + _kind(message))
            return
        except Exception as error:  # what no check has foreseen costs this image alone
            self.problem = f"{self._where('image')}: {type(error).__name__}: {error}"
            self._drop("error")
            self._say(f"{self.problem}\n{traceback.format_exc()}", key=type(error).__name__)
            return
        self.problem = ""
        self._waiting.append(frame)
        self._pair()

    def _to_frame(self, message: Image | CompressedImage) -> Frame:
        if isinstance(message, CompressedImage):
            rgb = convert.compressed_to_rgb(message)
        else:
            rgb = convert.image_to_rgb(message)
        stamp_ns = convert.stamp_to_ns(message.header.stamp)
        convert.check_stamp(stamp_ns)
        height, width = rgb.shape[:2]
        self._check_size((width, height))
        frame_id = message.header.frame_id.lstrip("/")
        if not frame_id and self._has_base:
            self._say(
                f"{self._where('image')} has no frame_id, 'camera' is taken: "
                "let the driver name the optical frame of the camera"
            )
        return Frame(
            stamp_ns=stamp_ns,
            rgb=rgb,
            frame_id=frame_id or "camera",
            camera=self._camera_for(width, height),
            source=self.name,
        )

    def _check_size(self, size: tuple[int, int]) -> None:
        if self._size is None or size == self._size:
            self._size = size
            self._other_sizes.clear()
            return
        self._other_sizes.append(size)
        if self._other_sizes.count(size) == RESIZED_AFTER:
            said = f"{self._where('image')}: images are now {size[0]}x{size[1]}"
            self._node.get_logger().info(said)
            self._size = size
            return
        old = "{}x{}".format(*self._size)
        raise ConvertError("resolution", f"an image of {size[0]}x{size[1]} among images of {old}")

    def _camera_for(self, width: int, height: int) -> Camera | None:
        camera = self._camera
        if camera is None:
            if self.images > RESIZED_AFTER and NO_INFO not in self._said:
                why = self._publishers(self._infos)
                said = f"no calibration: {why}: the network's own focal length is used"
                self._say(said, key=NO_INFO)
            return None
        if (camera.width, camera.height) == (width, height):
            return camera
        if camera.width * height != camera.height * width:
            raise ConvertError(
                "camera_info_size",
                f"camera_info is for {camera.width}x{camera.height} pixels, the image has "
                f"{width}x{height}: publish the calibration that belongs to it",
            )
        return camera.resized(width, height)

    def _pair(self) -> None:
        """Submit what waits, in order: with the depth of its stamp, or once none will come."""
        while waiting := self._waiting:  # submitting a frame may forget the rest
            frame = waiting[0]
            offsets = {
                convert.stamp_to_ns(d.header.stamp) - frame.stamp_ns: d for d in self._depths
            }
            nearest_ns = min(offsets, key=abs, default=None)
            if nearest_ns is not None and abs(nearest_ns) <= DEPTH_TOLERANCE_NS:
                self._without_depth = 0
                frame = replace(frame, depth=self._to_depth(offsets[nearest_ns], frame))
            elif self._wants_depth:
                if self._may_come(waiting, max(offsets, default=None)):
                    return
                self._count_without_depth(nearest_ns)
            if waiting is self._waiting:  # else it was forgotten meanwhile
                waiting.popleft()
                self._submit(frame)

    def _may_come(self, waiting: deque[Frame], latest_ns: int | None) -> bool:
        """Whether depth of the first that waits may still come, the latest being so much newer.

        Where depth comes late, but comes, it may be DEPTH_DELAY_NS behind the last image.
        """
        if latest_ns is not None and latest_ns > DEPTH_TOLERANCE_NS:
            return False
        if len(waiting) == 1 or latest_ns is None:
            return len(waiting) == 1
        newer_ns = waiting[-1].stamp_ns - waiting[0].stamp_ns
        return 0 < newer_ns <= latest_ns + DEPTH_DELAY_NS

    def _count_without_depth(self, nearest_ns: int | None) -> None:
        """One more image whose depth never came: it is mapped, but no scale is found from it."""
        self._without_depth += 1
        if self._without_depth % DEPTH_MISSED_AFTER == 0:
            nearest = "" if nearest_ns is None else f" (nearest {nearest_ns / 1e6:+.0f} ms)"
            self._say(
                f"{self._where('depth')}: none within {DEPTH_TOLERANCE_NS // 1_000_000} ms of "
                f"{DEPTH_MISSED_AFTER} images in a row{nearest}: "
                f"{self._publishers(self.subscriptions[-1])}",
                key="missed",
            )

    def _to_depth(self, message: Image, frame: Frame) -> NDArray[np.float32] | None:
        try:
            depth = convert.image_to_depth(message)
        except ConvertError as error:
            self._say(f"{self._where('depth')}: {error}", key=error.reason)
            return None
        (height, width), (rows, columns) = depth.shape, frame.rgb.shape[:2]
        frame_id = message.header.frame_id.lstrip("/") or frame.frame_id
        if frame_id != frame.frame_id:
            self._say(
                f"{self._where('depth')} is of {frame_id!r}, the image of {frame.frame_id!r}: "
                "register depth to it, or the scale is off",
                key="frame of depth",
            )
        if (height, width) != (rows, columns):
            if frame_id != frame.frame_id or height * columns != width * rows:
                self._say(
                    f"{self._where('depth')} is {width}x{height}, the image is not: "
                    "register depth to it"
                )
                return None
            row, column = np.arange(rows) * height // rows, np.arange(columns) * width // columns
            depth = depth[row[:, None], column]
        some = depth[::8, ::8]
        known = some[np.isfinite(some)]
        if known.size and (far := float(np.median(known))) > FARTHEST_M:
            self._say(
                f"{self._where('depth')} is {far:.0f} m in the median, which is not believed: "
                "32FC1 is in metres, millimetres are 16UC1",
                key="far",
            )
            return None
        return depth

    def _where(self, topic: str) -> str:
        return f"{self.name}/{topic}" if self.name else topic

    def _say(self, text: str, key: str = "") -> None:
        """Warn once of each kind of trouble; a publisher may name ever new ones, at any length."""
        key = (key or text)[:LONGEST_TEXT]
        if key not in self._said and len(self._said) < MOST_KINDS:
            self._said.add(key)
            self._node.get_logger().warning(text[:LONGEST_TEXT])


def _recent() -> deque[Image]:
    """Where the last few depth images wait for their image."""
    return deque(maxlen=5)


def _kind(message: Image | CompressedImage) -> str:
    """What tells one stream of bad images from another."""
    return message.encoding if isinstance(message, Image) else message.format
