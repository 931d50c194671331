# SPDX-License-Identifier: Apache-2.0
"""All conversions between ROS messages and arrays, named x_to_y; no Python loop over pixels.

Array fields of messages are read through numpy only, which is right for every runtime's types.
CameraInfo puts pixel centres at integers, ``geometry.Camera`` at integers + 0.5: cx and cy differ
by 0.5 on the way in (`geometry.camera_from_info`) and out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from zipmap_ros import geometry
from zipmap_ros.geometry import Camera, GeometryError, camera_from_info
from zipmap_ros.sources import decode
from zipmap_ros.sources.decode import DecodeError
from zipmap_ros.sources.source import LAST_STAMP_NS, NS

T = TypeVar("T")
CLOUD_DTYPE = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<f4"), ("confidence", "<f4")]
)
_CLOUD_FIELDS = [
    PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
    for i, name in enumerate(CLOUD_DTYPE.names or ())
]


class ConvertError(ValueError):
    """A message that cannot be used. ``reason`` is the short word it is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def stamp_to_ns(stamp: Time) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return int(stamp.sec) * NS + int(stamp.nanosec)


def check_stamp(stamp_ns: int) -> None:
    """Raise ConvertError for a stamp before 0, or so late that none can follow it."""
    if not 0 <= stamp_ns <= LAST_STAMP_NS:
        raise ConvertError(
            "stamp", f"its stamp is {stamp_ns / NS:.0f} s: set the clock of whoever stamps it"
        )


def ns_to_stamp(stamp_ns: int) -> Time:
    """Integer nanoseconds to builtin_interfaces/Time."""
    sec, nanosec = divmod(int(stamp_ns), NS)
    return Time(sec=sec, nanosec=nanosec)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    """A Header from integer nanoseconds and a frame."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def image_to_rgb(message: Image) -> NDArray[np.uint8]:
    """`decode.image_to_rgb`, whose errors become ConvertErrors."""
    return _decoded(decode.image_to_rgb, message)


def compressed_to_rgb(message: CompressedImage) -> NDArray[np.uint8]:
    """`decode.compressed_to_rgb`, the same."""
    return _decoded(decode.compressed_to_rgb, message)


def rgb_to_image(rgb: NDArray[np.uint8], header: Header) -> Image:
    """(H, W, 3) uint8 RGB to an rgb8 Image."""
    return _image(rgb, "rgb8", header)


def image_to_depth(message: Image) -> NDArray[np.float32]:
    """`decode.image_to_depth`, the same."""
    return _decoded(decode.image_to_depth, message)


def depth_to_image(depth: NDArray[np.float32], header: Header) -> Image:
    """(H, W) float32 to a 32FC1 Image (REP-118)."""
    return _image(depth.astype("<f4", copy=False), "32FC1", header)


def _image(pixels: NDArray, encoding: str, header: Header) -> Image:
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels.shape[1] * pixels[0, 0].nbytes,
        data=array("B", pixels.tobytes()),
    )


def _decoded(read: Callable[[Any], T], message: Any) -> T:
    try:
        return read(message)
    except DecodeError as error:
        raise ConvertError(error.reason, str(error)) from error


def camera_info_to_camera(info: CameraInfo, rectified: bool = False) -> Camera | None:
    """`camera_from_info`, whose GeometryError becomes a ConvertError."""
    try:
        return camera_from_info(info, rectified)
    except GeometryError as error:
        raise ConvertError("camera_info", str(error)) from error


def camera_to_camera_info(camera: Camera, header: Header) -> CameraInfo:
    """A camera to CameraInfo; an ideal pinhole becomes plumb_bob with zero coefficients."""
    cx, cy = camera.cx - 0.5, camera.cy - 0.5
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model or "plumb_bob",
        d=list(camera.distortion) or [0.0] * 5,
        k=[camera.fx, 0.0, cx, 0.0, camera.fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[camera.fx, 0.0, cx, 0.0, 0.0, camera.fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def points_to_cloud(
    points: NDArray[np.float32],
    colors: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    header: Header,
) -> PointCloud2:
    """(N, 3) points, (N, 3) uint8 RGB and (N,) confidences to a PointCloud2.

    x, y, z, rgb (0xRRGGBB packed into a float) and confidence, 20 bytes a point, in one row.
    """
    array = np.empty(len(points), CLOUD_DTYPE)
    array["x"], array["y"], array["z"] = points[:, 0], points[:, 1], points[:, 2]
    rgb = colors.astype(np.uint32)
    packed = (rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2]
    array["rgb"] = packed.view(np.float32)
    array["confidence"] = confidence
    cloud = point_cloud2.create_cloud(header, _CLOUD_FIELDS, array)
    cloud.is_dense = True
    return cloud


def cloud_to_points(
    cloud: PointCloud2,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """A PointCloud2 as ours to (N, 3) points, (N, 3) uint8 RGB and (N,) confidences."""
    data = np.frombuffer(cloud.data, np.uint8) if cloud.width else np.zeros(0, np.uint8)
    array = data.view(CLOUD_DTYPE)
    points = np.stack([array["x"], array["y"], array["z"]], axis=-1)
    packed = np.ascontiguousarray(array["rgb"]).view(np.uint32)
    colors = np.stack([packed >> 16, packed >> 8, packed], axis=-1).astype(np.uint8)
    return points, colors, np.ascontiguousarray(array["confidence"])


def matrix_to_pose(T: ArrayLike) -> Pose:
    """A (4, 4) transform to geometry_msgs/Pose."""
    T = np.asarray(T, dtype=np.float64)
    x, y, z = T[:3, 3].tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=_matrix_to_quaternion(T))


def matrix_to_transform(T: ArrayLike) -> Transform:
    """A (4, 4) transform to geometry_msgs/Transform."""
    T = np.asarray(T, dtype=np.float64)
    x, y, z = T[:3, 3].tolist()
    return Transform(translation=Vector3(x=x, y=y, z=z), rotation=_matrix_to_quaternion(T))


def pose_to_matrix(pose: Pose) -> geometry.Array:
    """geometry_msgs/Pose to a (4, 4) transform.

    Raises ConvertError for numbers that are not finite or a quaternion without direction.
    """
    return _to_matrix(pose.position, pose.orientation)


def transform_to_matrix(transform: Transform) -> geometry.Array:
    """geometry_msgs/Transform to a (4, 4) transform. Raises ConvertError as `pose_to_matrix`."""
    return _to_matrix(transform.translation, transform.rotation)


def _matrix_to_quaternion(T: geometry.Array) -> Quaternion:
    x, y, z, w = geometry.quaternion_from_matrix(T).tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def _to_matrix(position: Any, q: Quaternion) -> geometry.Array:
    translation = [position.x, position.y, position.z]
    try:
        rotation = geometry.matrix_from_quaternion([q.x, q.y, q.z, q.w])
    except geometry.GeometryError as error:
        raise ConvertError("pose", str(error)) from error
    if not np.isfinite(translation).all():
        raise ConvertError("pose", f"position {translation} is not finite")
    return geometry.pose(rotation, translation)
