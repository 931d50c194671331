# SPDX-License-Identifier: Apache-2.0
"""Writes a ROS 2 bag from any source of frames, without ROS.

    python test/make_bag.py synthetic:3 OUT --frames 60
    python test/make_bag.py path/to/kitchen OUT --compressed --storage sqlite3

Topics: /camera/image_raw (or /camera/image_raw/compressed), /camera/camera_info, /camera/depth,
/ground_truth/pose (the camera's optical frame in ``map``) and /tf_static (base_link to the camera);
with --odometry also /odom and /tf (odom to base_link), both without error. What a frame lacks is
left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, Camera, invert, pose, quaternion_from_matrix
from zipmap_ros.sources import open_source

NS = 1_000_000_000
FRAME_ID = "camera_optical_frame"
IMAGE, COMPRESSED = "/camera/image_raw", "/camera/image_raw/compressed"
CAMERA_INFO, DEPTH, TRUTH = "/camera/camera_info", "/camera/depth", "/ground_truth/pose"
BASE_T_CAMERA = pose(BODY_T_OPTICAL[:3, :3], (0.2, 0.0, 0.5))
# Static transforms are latched, in a bag as in life: who plays it again offers the same.
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)
STORES = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORES.types


class BagWriter:
    """One camera's bag, open for writing: a context manager."""

    def __init__(
        self,
        path: Path | str,
        storage: str = "mcap",
        compressed: bool = False,
        odometry: bool = False,
    ) -> None:
        """Make the bag folder ``path``; ``storage`` is mcap or sqlite3."""
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        self._writer = Writer(path, version=9, storage_plugin=plugin)
        self._compressed, self._odometry = compressed, odometry
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Write any message; its topic is added when it is new."""
        kind = message.__msgtype__
        if topic not in self._connections:
            added = self._writer.add_connection(
                topic,
                kind,
                typestore=STORES,
                offered_qos_profiles=[LATCHED] if topic == "/tf_static" else [],
            )
            self._connections[topic] = added
        self._writer.write(self._connections[topic], stamp_ns, STORES.serialize_cdr(message, kind))

    def write_frame(self, frame: Frame) -> None:
        """Write all that one frame knows."""
        stamp = frame.stamp_ns
        if self._compressed:
            self.write(COMPRESSED, compressed_message(frame.rgb, stamp), stamp)
        else:
            self.write(IMAGE, image_message(frame.rgb, "rgb8", stamp), stamp)
        if frame.camera is not None:
            self.write(CAMERA_INFO, camera_info_message(frame.camera, stamp), stamp)
        if frame.depth is not None:
            self.write(DEPTH, image_message(frame.depth, "32FC1", stamp), stamp)
        if frame.map_T_camera is not None:
            self.write(TRUTH, pose_message(frame.map_T_camera, stamp), stamp)
            if self._odometry:
                odom_T_base = frame.map_T_camera @ invert(BASE_T_CAMERA)
                self.write("/odom", odometry_message(odom_T_base, stamp), stamp)
                moved = transform_message("odom", "base_link", odom_T_base, stamp)
                self.write("/tf", moved, stamp)


def make_bag(
    path: Path | str,
    frames: Iterable[Frame],
    storage: str = "mcap",
    compressed: bool = False,
    odometry: bool = False,
) -> None:
    """Write frames to a new bag folder."""
    with BagWriter(path, storage, compressed, odometry) as bag:
        for index, frame in enumerate(frames):
            if index == 0:
                stamp = frame.stamp_ns
                mount = transform_message("base_link", FRAME_ID, BASE_T_CAMERA, stamp)
                bag.write("/tf_static", mount, stamp)
            bag.write_frame(frame)


def header(stamp_ns: int, frame_id: str = FRAME_ID) -> Any:
    """A std_msgs/Header."""
    stamp = TYPES["builtin_interfaces/msg/Time"](stamp_ns // NS, stamp_ns % NS)
    return TYPES["std_msgs/msg/Header"](stamp, frame_id)


def image_message(
    pixels: np.ndarray, encoding: str, stamp_ns: int = 0, padding: int = 0, big_endian: bool = False
) -> Any:
    """A sensor_msgs/Image of (H, W) or (H, W, C) pixels, rows padded by ``padding`` bytes."""
    pixels = np.ascontiguousarray(pixels)
    if big_endian:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    height, width = pixels.shape[:2]
    rows = pixels.view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return TYPES["sensor_msgs/msg/Image"](
        header(stamp_ns), height, width, encoding, int(big_endian), rows.shape[1], rows.ravel()
    )


def compressed_message(rgb: np.ndarray, stamp_ns: int = 0, kind: str = "jpeg") -> Any:
    """A sensor_msgs/CompressedImage, jpeg or png."""
    _, data = cv2.imencode({"jpeg": ".jpg", "png": ".png"}[kind], rgb[..., ::-1])
    return TYPES["sensor_msgs/msg/CompressedImage"](header(stamp_ns), kind, data.ravel())


def camera_info_message(camera: Camera, stamp_ns: int = 0) -> Any:
    """A sensor_msgs/CameraInfo; ROS counts pixel centres from 0."""
    k = camera.matrix
    k[:2, 2] -= 0.5
    p = np.zeros((3, 4))
    p[:, :3] = k
    roi = TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header(stamp_ns), camera.height, camera.width, camera.distortion_model or "plumb_bob",
        np.array(camera.distortion or (0.0,) * 5), k.ravel(), np.eye(3).ravel(), p.ravel(),
        0, 0, roi,
    )  # fmt: skip


def pose_message(map_T_camera: np.ndarray, stamp_ns: int = 0) -> Any:
    """A geometry_msgs/PoseStamped in ``map``."""
    position = TYPES["geometry_msgs/msg/Point"](*map_T_camera[:3, 3])
    orientation = TYPES["geometry_msgs/msg/Quaternion"](*quaternion_from_matrix(map_T_camera))
    body = TYPES["geometry_msgs/msg/Pose"](position, orientation)
    return TYPES["geometry_msgs/msg/PoseStamped"](header(stamp_ns, "map"), body)


def odometry_message(odom_T_base: np.ndarray, stamp_ns: int = 0) -> Any:
    """A nav_msgs/Odometry of base_link, its covariance and speed left zero."""
    vector = TYPES["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    still = TYPES["geometry_msgs/msg/Twist"](vector, vector)
    return TYPES["nav_msgs/msg/Odometry"](
        header(stamp_ns, "odom"),
        "base_link",
        TYPES["geometry_msgs/msg/PoseWithCovariance"](pose_message(odom_T_base).pose, np.zeros(36)),
        TYPES["geometry_msgs/msg/TwistWithCovariance"](still, np.zeros(36)),
    )


def transform_message(
    parent: str, child: str, parent_T_child: np.ndarray, stamp_ns: int = 0
) -> Any:
    """A tf2_msgs/TFMessage of one transform."""
    transform = TYPES["geometry_msgs/msg/Transform"](
        TYPES["geometry_msgs/msg/Vector3"](*parent_T_child[:3, 3]),
        TYPES["geometry_msgs/msg/Quaternion"](*quaternion_from_matrix(parent_T_child)),
    )
    stamped = TYPES["geometry_msgs/msg/TransformStamped"](
        header(stamp_ns, parent), child, transform
    )
    return TYPES["tf2_msgs/msg/TFMessage"]([stamped])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="as for zipmap: a video, a folder, synthetic:SEED")
    parser.add_argument("out", help="the bag's folder, which must not exist")
    parser.add_argument("--frames", type=int, help="at most so many")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    parser.add_argument("--compressed", action="store_true", help="jpeg instead of raw images")
    parser.add_argument("--odometry", action="store_true", help="also /odom and odom on /tf")
    options = parser.parse_args()
    frames = islice(open_source("auto", options.source), options.frames)
    make_bag(options.out, frames, options.storage, options.compressed, options.odometry)


if __name__ == "__main__":
    main()
