# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags (mcap and sqlite3), read without ROS through rosbags."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import (
    Array,
    Camera,
    GeometryError,
    camera_from_info,
    names_rectified,
)
from zipmap_ros.sources.bag_frames import FrameTree, odometry_from_tf, stamp_ns, to_matrix
from zipmap_ros.sources.decode import compressed_to_rgb, image_to_depth, image_to_rgb
from zipmap_ros.sources.source import (
    NS,
    RecordedSource,
    SourceError,
    read_or,
    registered,
    without_pixels,
)

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, POSE = "sensor_msgs/msg/CameraInfo", "geometry_msgs/msg/PoseStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
TF, TF_STATIC = "/tf", "/tf_static"
TRUTH_TOPIC = "/ground_truth/pose"
MAX_GAP_NS = 20_000_000


class BagSource(RecordedSource):
    """Every image of one topic of a bag, in recorded order, with what belongs to it.

    The camera comes from the ``camera_info`` beside the image topic, registered depth from
    ``depth`` beside it (or beside its parent), true poses of the camera (optical axes) from
    ``/ground_truth/pose``; each where the bag has it. A camera_info or pose that cannot be used,
    and depth of another size than the image, are left out with a warning. A damaged bag ends, with
    a warning, where it cannot be read on; one without an image before that is refused.
    """

    def __init__(self, path: str, topic: str = "") -> None:
        """``topic`` may be left out when the bag has one image topic. Raises SourceError."""
        self._path = Path(path)
        self.name = self._path.name
        with self._reader() as reader:
            types = {name: info.msgtype or "" for name, info in reader.topics.items()}
            self.topic = topic or _only_image_topic(path, types)
            if types.get(self.topic) not in (IMAGE, COMPRESSED):
                raise SourceError(
                    f"{path} has no images on {self.topic}: its image topics are "
                    f"{', '.join(_image_topics(types)) or 'none'}"
                )
            self._odometry_topics = sorted(n for n, kind in types.items() if kind == ODOMETRY)
            self._count = reader.topics[self.topic].msgcount
            self._next(self._raw(reader, self.topic), self.topic, 0)
            seconds = reader.duration / NS
        self.fps = (self._count - 1) / seconds if self._count > 1 and seconds > 0 else 30.0
        base = self.topic.removesuffix("/compressed").rpartition("/")[0]
        nearby = (base, base.rpartition("/")[0])
        self._info_topic = _first(types, CAMERA_INFO, [f"{b}/camera_info" for b in nearby])
        depths = [f"{b}/{name}" for b in nearby for name in ("depth", "depth/image_raw")]
        self._depth_topic = _first(types, IMAGE, [d for d in depths if d != self.topic])
        self._truth_topic = _first(types, POSE, [TRUTH_TOPIC])
        self.has_truth = bool(self._truth_topic)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        with self._reader() as reader:
            camera = self._first_camera(reader)
            depths = _Nearest(self._messages(reader, self._depth_topic), image_to_depth)
            truths = _Nearest(self._messages(reader, self._truth_topic), _pose_to_matrix)
            for message in self._messages(reader, self.topic):
                time_ns = stamp_ns(message)
                decode = image_to_rgb if hasattr(message, "encoding") else compressed_to_rgb
                rgb = read_or(without_pixels(), partial(decode, message))
                yield Frame(
                    time_ns,
                    rgb,
                    frame_id=message.header.frame_id,
                    camera=camera,
                    depth=read_or(None, partial(self._depth, depths, time_ns, rgb)),
                    map_T_camera=read_or(None, partial(truths.at, time_ns)),
                )

    def mount(self, base_frame: str) -> Array | None:
        """(4, 4) base_T_camera of the images from ``/tf_static``; None where that has none."""
        with self._reader() as reader:
            tree = FrameTree(self._messages(reader, TF_STATIC))
            first = next(self._messages(reader, self.topic), None)
        return None if first is None else tree.find(base_frame, first.header.frame_id.lstrip("/"))

    def odometry(self, topic: str = "", base_frame: str = "") -> Iterator[tuple[int, Array]]:
        """Stamp (ns) and (4, 4) odom_T_base of each nav_msgs/Odometry of a topic.

        ``topic`` may be left out when the bag has one of them. What is of another part of the robot
        than ``base_frame`` is brought there by ``/tf_static``, if that knows both, else it is taken
        for it. Raises SourceError.
        """
        found = self._odometry_topics
        if (topic and topic not in found) or (not topic and len(found) != 1):
            raise SourceError(
                f"{self._path} has the odometry topics {', '.join(found) or 'none'}: name one of "
                "them, or set another scale_source"
            )
        return self._odometry(topic or found[0], base_frame)

    def odometry_from_tf(self, odom_frame: str, base_frame: str) -> Iterator[tuple[int, Array]]:
        """As `odometry`, from ``/tf``; nothing where it does not have the two frames."""
        with self._reader() as reader:
            tree = FrameTree(self._messages(reader, TF_STATIC))
            yield from odometry_from_tf(tree, self._messages(reader, TF), odom_frame, base_frame)

    def _odometry(self, topic: str, base_frame: str) -> Iterator[tuple[int, Array]]:
        with self._reader() as reader:
            tree = FrameTree(self._messages(reader, TF_STATIC))
            for message in self._messages(reader, topic):
                odom_T_child = read_or(None, partial(_pose_to_matrix, message.pose))
                if odom_T_child is not None:
                    child_T_base = tree.find(message.child_frame_id.lstrip("/"), base_frame)
                    known = odom_T_child if child_T_base is None else odom_T_child @ child_T_base
                    yield stamp_ns(message), known

    def _first_camera(self, reader: AnyReader) -> Camera | None:
        first = next(self._messages(reader, self._info_topic), None)
        rectified = names_rectified(self.topic)
        return None if first is None else read_or(None, partial(_camera, first, rectified))

    def _depth(
        self, depths: _Nearest, time_ns: int, rgb: NDArray[np.uint8]
    ) -> NDArray[np.float32] | None:
        """That of an image. Raises SourceError for one that does not fit."""
        depth: NDArray[np.float32] | None = depths.at(time_ns)
        return None if depth is None else registered(depth, rgb, f"on {self._depth_topic}")

    def _messages(self, reader: AnyReader, topic: str) -> Iterator[Any]:
        raw = self._raw(reader, topic)
        for before in count():
            one = read_or(None, partial(self._next, raw, topic, before))
            if one is None:
                return
            connection, _, data = one
            message = read_or(None, partial(_deserialized, reader, data, connection))
            if message is not None:
                yield message

    def _raw(self, reader: AnyReader, topic: str) -> Iterator[Any]:
        connections = [c for c in reader.connections if c.topic == topic]
        return reader.messages(connections) if connections else iter(())

    def _next(self, raw: Iterator[Any], topic: str, before: int) -> Any:
        try:
            return next(raw, None)
        except Exception as error:  # rosbags raises what the bytes make it
            raise SourceError(
                f"{self._path} is damaged after {before} messages on {topic}: {error!r}"
            ) from error

    def _reader(self) -> AnyReader:
        try:
            reader = AnyReader([self._path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            with reader:
                _ = reader.topics, reader.duration
        except Exception as error:  # as above
            raise SourceError(f"{self._path} cannot be read as a bag: {error!r}") from error
        return reader


class _Nearest:
    """Values of a stamped stream, asked for in order of time: the nearest within 20 ms."""

    def __init__(self, messages: Iterator[Any], decode: Any) -> None:
        self._messages, self._decode = messages, decode
        self._before: Any = None
        self._after: Any = next(messages, None)

    def at(self, time_ns: int) -> Any:
        while self._after is not None and stamp_ns(self._after) <= time_ns:
            self._before, self._after = self._after, next(self._messages, None)
        near = [m for m in (self._before, self._after) if m is not None]
        best = min(near, key=lambda m: abs(stamp_ns(m) - time_ns), default=None)
        if best is None or abs(stamp_ns(best) - time_ns) > MAX_GAP_NS:
            return None
        return self._decode(best)


def _deserialized(reader: AnyReader, data: bytes, connection: Any) -> Any:
    try:
        return reader.deserialize(data, connection.msgtype)
    except Exception as error:  # as above
        raise SourceError(f"a message on {connection.topic} cannot be read: {error!r}") from error


def _camera(info: Any, rectified: bool) -> Camera | None:
    try:
        return camera_from_info(info, rectified)
    except GeometryError as error:
        raise SourceError(f"{error}; going on without calibration") from error


def _pose_to_matrix(message: Any) -> Array:
    return to_matrix(message.pose.position, message.pose.orientation)


def _image_topics(types: dict[str, str]) -> list[str]:
    """Image topics that may be pictures; depth is named so by convention."""
    images = [name for name, kind in types.items() if kind in (IMAGE, COMPRESSED)]
    return sorted(name for name in images if "depth" not in name)


def _only_image_topic(path: str, types: dict[str, str]) -> str:
    images = _image_topics(types)
    if len(images) != 1:
        found = ", ".join(images) or "none"
        raise SourceError(f"{path} has {len(images)} image topics ({found}): name one as the topic")
    return images[0]


def _first(types: dict[str, str], kind: str, names: list[str]) -> str:
    return next((name for name in names if types.get(name) == kind), "")
