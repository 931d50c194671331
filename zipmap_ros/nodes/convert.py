# SPDX-License-Identifier: Apache-2.0
"""All conversions between ROS messages and arrays, named x_to_y; no Python loop over pixels.

Array fields of messages are read through numpy only, which is right for every runtime's types.
CameraInfo puts pixel centres at integers, ``geometry.Camera`` at integers + 0.5: cx and cy differ
by 0.5 on the way in (`geometry.camera_from_info`) and out.
"""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from zipmap_ros import geometry
from zipmap_ros.geometry import Camera, GeometryError, camera_from_info

NS = 1_000_000_000
LAST_STAMP_NS = (2**31 - 86_400) * NS  # a day before the seconds of a message are full
_BRIDGE = CvBridge()
# Encodings that are taken, with the bytes of one pixel.
BYTES_PER_PIXEL = {
    "rgb8": 3,
    "bgr8": 3,
    "rgba8": 4,
    "bgra8": 4,
    "mono8": 1,
    "mono16": 2,
    "yuv422": 2,
    "uyvy": 2,
    "yuv422_yuy2": 2,
    "yuyv": 2,
    **{f"bayer_{p}{bits}": bits // 8 for bits in (8, 16) for p in ("rggb", "bggr", "gbrg", "grbg")},
}
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
    """A sensor_msgs/Image to (H, W, 3) uint8 RGB; rgb8 stays a (read-only) view of the message.

    Padded rows and big-endian pixels are honoured. Raises ConvertError for an encoding not in
    ``BYTES_PER_PIXEL``, an empty image, or a step or data that is too short.
    """
    pixel_bytes = BYTES_PER_PIXEL.get(message.encoding)
    if pixel_bytes is None:
        raise ConvertError(
            "encoding",
            f"images with encoding {message.encoding!r} cannot be used: publish one of "
            + ", ".join(BYTES_PER_PIXEL),
        )
    _check_layout(message, pixel_bytes)
    if message.encoding.startswith("bayer_") and pixel_bytes == 2:
        message = _high_bytes(message)
    rgb8 = message.encoding == "rgb8"
    try:
        return _BRIDGE.imgmsg_to_cv2(message, "passthrough" if rgb8 else "rgb8")
    except Exception as error:  # cv_bridge and OpenCV raise several kinds
        raise ConvertError("image", f"an image could not be converted: {error}") from error


def compressed_to_rgb(message: CompressedImage) -> NDArray[np.uint8]:
    """A JPEG or PNG sensor_msgs/CompressedImage, colour or grey, to (H, W, 3) uint8 RGB.

    Raises ConvertError where the bytes are no image.
    """
    data = np.frombuffer(message.data, np.uint8) if len(message.data) else np.zeros(1, np.uint8)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ConvertError("image", f"a compressed image is too strange: {error}") from error
    if bgr is None:
        raise ConvertError(
            "image",
            f"a compressed image ({message.format!r}, {data.size} bytes) could not be decoded",
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def rgb_to_image(rgb: NDArray[np.uint8], header: Header) -> Image:
    """(H, W, 3) uint8 RGB to an rgb8 Image."""
    return _BRIDGE.cv2_to_imgmsg(np.ascontiguousarray(rgb), "rgb8", header)


def image_to_depth(message: Image) -> NDArray[np.float32]:
    """A depth Image, 32FC1 in metres or 16UC1 in millimetres, to (H, W) float32 metres.

    What is not a positive finite number becomes NaN (REP-117). Raises ConvertError.
    """
    pixel_bytes = {"32FC1": 4, "16UC1": 2}.get(message.encoding)
    if pixel_bytes is None:
        raise ConvertError(
            "depth_encoding",
            f"depth with encoding {message.encoding!r} cannot be used: publish 32FC1 or 16UC1",
        )
    _check_layout(message, pixel_bytes)
    raw = _BRIDGE.imgmsg_to_cv2(message, "passthrough")
    depth = raw.astype(np.float32) * np.float32(0.001 if message.encoding == "16UC1" else 1.0)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def depth_to_image(depth: NDArray[np.float32], header: Header) -> Image:
    """(H, W) float32 to a 32FC1 Image (REP-118)."""
    return _BRIDGE.cv2_to_imgmsg(np.ascontiguousarray(depth, dtype=np.float32), "32FC1", header)


def _high_bytes(message: Image) -> Image:
    """The 8-bit Bayer mosaic of a 16-bit one, which cv_bridge does not take."""
    high = np.ndarray(
        (message.height, message.width),
        np.uint8,
        np.frombuffer(message.data, np.uint8),
        offset=0 if message.is_bigendian else 1,
        strides=(message.step, 2),
    )
    return Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=message.encoding.removesuffix("16") + "8",
        step=message.width,
        data=array("B", high.tobytes()),
    )


def _check_layout(message: Image, pixel_bytes: int) -> None:
    """Raise ConvertError where height, width, step and data of an image do not fit."""
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ConvertError("empty", f"an image of {width}x{height} pixels has nothing to see")
    size = len(message.data)
    if step < width * pixel_bytes or size < step * (height - 1) + width * pixel_bytes:
        raise ConvertError(
            "step",
            f"an image of {width}x{height} {message.encoding} with step {step} and {size} bytes "
            f"is not whole: each row needs {width * pixel_bytes} bytes",
        )


def camera_info_to_camera(info: CameraInfo) -> Camera | None:
    """`camera_from_info`, whose GeometryError becomes a ConvertError."""
    try:
        return camera_from_info(info)
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
