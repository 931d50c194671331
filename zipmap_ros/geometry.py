# SPDX-License-Identifier: Apache-2.0
"""Rigid and similarity transforms, quaternions and cameras, on numpy arrays.

Transforms are 4x4 float64 matrices named ``target_T_source``: ``map_T_camera`` maps camera
coordinates into ``map``. Camera axes are OpenCV's (x right, y down, z forward), body axes REP-103's
(x forward, y left, z up). Quaternions are (x, y, z, w), as in ROS messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Rotates optical axes into body axes: z forward -> x, x right -> -y, y down -> -z (REP-103).
BODY_T_OPTICAL: Array = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


# How many coefficients a distortion model of sensor_msgs/CameraInfo may have. The first two are one
# model of OpenCV's, cut off where the rest is 0 or filled up with it: Orbbec gives plumb_bob 8.
_OPENCV_LENGTHS = (4, 5, 8, 12, 14)
DISTORTION_LENGTHS = {
    "plumb_bob": _OPENCV_LENGTHS,
    "rational_polynomial": _OPENCV_LENGTHS,
    "equidistant": (4,),
}
# Of the longer side of the image: no lens has a shorter focal length, but a k of ones or in mm.
SHORTEST = 0.02


class GeometryError(ValueError):
    """A transform, quaternion or camera that cannot be used."""


@dataclass(frozen=True)
class Camera:
    """A central camera: image size in pixels, focal lengths and principal point in pixels.

    Pixel (u, v) has its centre at integer coordinates plus 0.5 (so cx is width / 2 for a centred
    camera). ``distortion_model`` is ``""`` for an ideal pinhole, else the name that
    sensor_msgs/CameraInfo uses (``plumb_bob``, ``rational_polynomial``, ``equidistant``), with its
    coefficients in OpenCV's order.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()

    @property
    def matrix(self) -> Array:
        """The (3, 3) intrinsic matrix K, float64, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines are bent: an equidistant lens does that without coefficients."""
        return any(self.distortion) or self.distortion_model == "equidistant"

    @property
    def is_usable(self) -> bool:
        """Whether its numbers are finite and its focal lengths above 0."""
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        return bool(np.isfinite(numbers).all() and self.fx > 0 and self.fy > 0)

    @classmethod
    def from_matrix(cls, K: ArrayLike, width: int, height: int) -> Camera:
        """An ideal pinhole from a (3, 3) intrinsic matrix in pixels."""
        K = np.asarray(K, dtype=np.float64).reshape(3, 3)
        return cls(width, height, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_deg: float) -> Camera:
        """A centred pinhole with square pixels and the given horizontal field of view."""
        focal = width / 2 / np.tan(np.deg2rad(horizontal_fov_deg) / 2)
        return cls(width, height, float(focal), float(focal), width / 2, height / 2)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for an image scaled to (width, height) pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The same camera for the window of the image that starts at pixel (left, top).

        A negative start pads the image instead.
        """
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def undistorted(self) -> Camera:
        """The ideal pinhole with the same intrinsics."""
        return replace(self, distortion_model="", distortion=())

    def rays(self) -> Array:
        """(height, width, 3) float64 directions at depth 1 through the pixel centres (z is 1).

        Distortion is ignored: undistort the image first.
        """
        u = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        v = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        rays = np.ones((self.height, self.width, 3))
        rays[..., 0] = u
        rays[..., 1] = v[:, None]
        return rays

    def unproject(self, depth: ArrayLike) -> Array:
        """(height, width) depth along z to (height, width, 3) float64 points in the camera."""
        return self.rays() * np.asarray(depth, dtype=np.float64)[..., None]

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """(..., 3) points in the camera frame to (..., 2) pixel coordinates and (...) depths.

        Points with depth <= 0 get NaN pixels.
        """
        points = np.asarray(points, dtype=np.float64)
        z = points[..., 2]
        safe = np.where(z > 0, z, np.nan)
        u = self.fx * points[..., 0] / safe + self.cx
        v = self.fy * points[..., 1] / safe + self.cy
        return np.stack([u, v], axis=-1), z


def names_rectified(topic: str) -> bool:
    """Whether images of that topic are rectified, as image_proc and drivers name them."""
    return re.search(r"(/|_)rect(ified)?(/|_|$)", topic) is not None


def camera_from_info(info: Any, rectified: bool = False) -> Camera | None:
    """A sensor_msgs/CameraInfo, of ROS or of a bag, as the camera of the image as published.

    ``rectified`` images have the intrinsics P, where it is given, and no distortion. Binning and
    region are applied. None when it is uncalibrated (k[0] is 0, as the message defines). Raises
    GeometryError for intrinsics that cannot be true, an unknown distortion model or a wrong number
    of coefficients.
    """
    K = np.asarray(info.k, dtype=np.float64).reshape(3, 3)
    if K[0, 0] == 0:
        return None
    distortion = tuple(float(d) for d in np.asarray(info.d, dtype=np.float64))
    if rectified:
        P = np.asarray(info.p, dtype=np.float64).reshape(3, 4)
        K, distortion = P[:, :3] if P[0, 0] else K, ()
    shortest = SHORTEST * max(info.width, info.height)
    is_short = min(K[0, 0], K[1, 1]) <= shortest
    if not np.isfinite([*K.flat, *distortion]).all() or is_short:
        raise GeometryError(f"camera_info has k {K.ravel().tolist()} and d {distortion}: calibrate")
    if not info.width or not info.height:
        raise GeometryError("camera_info has no width and height")
    model = "" if rectified else info.distortion_model
    if model in ("equidistant", "fisheye"):  # as OpenCV calls it
        model = "equidistant"
        while len(distortion) > 4 and not distortion[-1]:
            distortion = distortion[:-1]
        distortion = distortion or (0.0,) * 4
    elif not any(distortion):
        model, distortion = "", ()
    if distortion and len(distortion) not in DISTORTION_LENGTHS.get(model, ()):
        raise GeometryError(
            f"distortion model {model!r} with {len(distortion)} coefficients "
            "cannot be used: plumb_bob has 5, rational_polynomial 8, equidistant 4"
        )
    fx, fy, cx, cy = (float(K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    # ROS counts pixel centres from 0, Camera from 0.5.
    camera = Camera(info.width, info.height, fx, fy, cx + 0.5, cy + 0.5, model, distortion)
    # k is that of the full sensor image.
    roi = info.roi
    if roi.width and roi.height:
        camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    binning_x, binning_y = max(info.binning_x, 1), max(info.binning_y, 1)
    if binning_x == binning_y == 1:
        return camera
    width, height = camera.width // binning_x, camera.height // binning_y
    if not width or not height:
        raise GeometryError(
            f"camera_info has a binning of {binning_x}x{binning_y}, more than its "
            f"{camera.width}x{camera.height} pixels"
        )
    return camera.resized(width, height)


def pose(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """A (4, 4) transform from a (3, 3) rotation and a (3,) translation."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def invert(T: ArrayLike) -> Array:
    """The inverse of (..., 4, 4) or (..., 3, 4) rigid transforms, (..., 4, 4)."""
    T = np.asarray(T, dtype=np.float64)
    R_inverse = np.swapaxes(T[..., :3, :3], -1, -2)
    inverse = np.zeros((*T.shape[:-2], 4, 4))
    inverse[..., :3, :3] = R_inverse
    inverse[..., :3, 3] = -(R_inverse @ T[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def rigid(T: ArrayLike) -> Array:
    """The nearest rigid transforms to (..., 3, 4) or (..., 4, 4), of the same shape.

    Float32 rotations are rigid to seven digits only, and a long chain of products does not stay so.
    """
    T = np.array(T, dtype=np.float64)
    U, _, Vt = np.linalg.svd(T[..., :3, :3])
    T[..., :3, :3] = U @ Vt
    return T


def along_the_ground(T: ArrayLike, to: ArrayLike) -> Array:
    """A (4, 4) pose moved and turned on the ground (z up) to another: height and tilt stay."""
    T, to = np.array(T, dtype=np.float64), np.asarray(to, dtype=np.float64)
    yaw = np.arctan2(to[1, 0], to[0, 0]) - np.arctan2(T[1, 0], T[0, 0])
    T[:3, :3] = se3_exp([0, 0, 0, 0, 0, yaw])[:3, :3] @ T[:3, :3]
    T[:2, 3] = to[:2, 3]
    return T


def se3_exp(twist: ArrayLike) -> Array:
    """The (4, 4) rigid transform of a (6,) twist: translation, then rotation vector in radians."""
    twist = np.asarray(twist, dtype=np.float64)
    v, w = twist[:3], twist[3:]
    angle = float(np.linalg.norm(w))
    W = _skew(w)
    if angle < 1e-6:
        a, b, c = 1.0, 0.5, 1 / 6
    else:
        a, b = np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2
        c = (1 - a) / angle**2
    WW = W @ W
    return pose(np.eye(3) + a * W + b * WW, v + b * (W @ v) + c * (WW @ v))


def se3_log(T: ArrayLike) -> Array:
    """The (6,) twist of a (4, 4) rigid transform that turns by less than 180 degrees."""
    T = np.asarray(T, dtype=np.float64)
    R, t = T[:3, :3], T[:3, 3]
    axis = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    sine = float(np.linalg.norm(axis))
    angle = float(np.arctan2(sine, 0.5 * (np.trace(R) - 1)))
    w = axis * (angle / sine if sine > 1e-9 else 1.0)
    half = angle / 2
    k = 1 / 12 if angle < 1e-4 else (1 - half / np.tan(half)) / angle**2
    W = _skew(w)
    turned = W @ t
    return np.concatenate([t - 0.5 * turned + k * (W @ turned), w])


def adjoint(T: ArrayLike) -> Array:
    """(6, 6) of a (4, 4) a_T_b, which takes twists (translation, rotation) in b to those in a."""
    T = np.asarray(T, dtype=np.float64)
    result = np.zeros((6, 6))
    result[:3, :3] = result[3:, 3:] = T[:3, :3]
    result[:3, 3:] = _skew(T[:3, 3]) @ T[:3, :3]
    return result


def _skew(w: Array) -> Array:
    return np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])


def transform_points(T: ArrayLike, points: ArrayLike) -> Array:
    """Apply one (4, 4) rigid or similarity transform to (..., 3) points."""
    T = np.asarray(T, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ T[:3, :3].T + T[:3, 3]


def rotation_angle_deg(R: ArrayLike) -> Array:
    """The angles in degrees, 0..180, of (..., 3, 3) rotations."""
    R = np.asarray(R, dtype=np.float64)[..., :3, :3]
    # atan2 of both parts stays exact near 0 and near 180, where arccos does not.
    skew = np.stack(
        [
            R[..., 2, 1] - R[..., 1, 2],
            R[..., 0, 2] - R[..., 2, 0],
            R[..., 1, 0] - R[..., 0, 1],
        ],
        axis=-1,
    )
    trace = np.trace(R, axis1=-2, axis2=-1)
    return np.rad2deg(np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1.0))


def quaternion_from_matrix(R: ArrayLike) -> Array:
    """A (3, 3) rotation (or the rotation of a (4, 4) transform) to (x, y, z, w), w >= 0."""
    from transforms3d.quaternions import mat2quat

    w, x, y, z = mat2quat(np.asarray(R, dtype=np.float64)[:3, :3])  # w >= 0
    return np.array([x, y, z, w])


def matrix_from_quaternion(quaternion: ArrayLike) -> Array:
    """(x, y, z, w), of any length but 0, to a (3, 3) rotation."""
    from transforms3d.quaternions import quat2mat

    x, y, z, w = quaternion = np.asarray(quaternion, dtype=np.float64)
    if not np.isfinite([x, y, z, w]).all() or x * x + y * y + z * z + w * w < 1e-12:
        raise GeometryError(
            f"quaternion (x, y, z, w) = {tuple(quaternion.tolist())} has no direction: "
            "give a unit quaternion"
        )
    return quat2mat([w, x, y, z])


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """(4, 4) world_T_camera of a camera at ``eye`` looking at ``target``, image top to ``up``."""
    eye = np.asarray(eye, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - eye
    distance = np.linalg.norm(forward)
    if not distance > 0:
        raise GeometryError("there is no direction from eye to target: choose another target")
    forward = forward / distance
    right = np.cross(forward, np.asarray(up, dtype=np.float64))
    length = np.linalg.norm(right)
    if length < 1e-9:
        raise GeometryError("the viewing direction is parallel to up: choose another up")
    right = right / length
    return pose(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


def umeyama(source: ArrayLike, target: ArrayLike, with_scale: bool = True) -> tuple[float, Array]:
    """The similarity that maps (N, 3) source points best onto (N, 3) target points.

    Least squares (Umeyama, PAMI 1991). Returns (scale, T) with ``T[:3, :3]`` the pure rotation, so
    that ``target ~ scale * R @ source + t``; scale is 1 when ``with_scale`` is false.
    """
    x = np.asarray(source, dtype=np.float64)
    y = np.asarray(target, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 2 or x.shape[1] != 3 or len(x) < 3:
        raise GeometryError(
            f"umeyama needs two (N, 3) arrays with N >= 3, got {x.shape} and {y.shape}"
        )
    mean_x, mean_y = x.mean(0), y.mean(0)
    cx, cy = x - mean_x, y - mean_y
    U, singular, Vt = np.linalg.svd(cy.T @ cx / len(x))
    sign = np.ones(3)
    if np.linalg.det(U) * np.linalg.det(Vt) < 0:
        sign[2] = -1.0
    R = (U * sign) @ Vt
    variance = (cx**2).sum() / len(x)
    scale = float((singular * sign).sum() / variance) if with_scale and variance > 0 else 1.0
    return scale, pose(R, mean_y - scale * R @ mean_x)
