# SPDX-License-Identifier: Apache-2.0
"""Camera models to rectified images: the distortion models of sensor_msgs/CameraInfo, maps cached.

OpenCV puts pixel centres at integer coordinates, `Camera` at integers plus 0.5: this is the one
place where the two meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import DISTORTION_LENGTHS, Array, Camera
from zipmap_ros.mapping.errors import MappingError

# The widest view that a rectified image may have, from its centre: beyond, pixels only stretch.
MAX_HALF_FOV_DEG = 60.0


@dataclass(frozen=True, eq=False)
class Rectification:
    """A rectified camera and where each of its pixels lies in the distorted image."""

    camera: Camera
    map_x: NDArray[np.float32]
    map_y: NDArray[np.float32]

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) distorted to (H, W, 3) rectified."""
        rectified = cv2.remap(rgb, self.map_x, self.map_y, cv2.INTER_LINEAR)
        return np.asarray(rectified, dtype=np.uint8)

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) depth of the distorted image to that of the rectified one, never mixed."""
        rectified = cv2.remap(
            depth, self.map_x, self.map_y, cv2.INTER_NEAREST, borderValue=float("nan")
        )
        return np.asarray(rectified, dtype=np.float32)


@lru_cache(maxsize=16)
def rectification(camera: Camera) -> Rectification:
    """How to rectify the images of a distorted camera; the same object for the same camera.

    The rectified camera has the same size and principal point, and the widest view that has no
    pixel without image, at most MAX_HALF_FOV_DEG to each side. Raises MappingError for a distortion
    model that is none of DISTORTION_LENGTHS, or has another number of coefficients.
    """
    lengths = DISTORTION_LENGTHS.get(camera.distortion_model)
    if lengths is None:
        raise MappingError(
            f"distortion model {camera.distortion_model!r} is not one of "
            f"{', '.join(DISTORTION_LENGTHS)}: publish rectified images, or set undistort to off"
        )
    if len(camera.distortion) not in lengths:
        counts = " or ".join(map(str, lengths))
        raise MappingError(
            f"distortion model {camera.distortion_model!r} has {counts} coefficients, "
            f"not {len(camera.distortion)}: correct the calibration, or set undistort to off"
        )
    rectified = _widest(camera)
    rays = rectified.rays()
    pixels = distort(camera, rays.reshape(-1, 3)).reshape(*rays.shape[:2], 2).astype(np.float32)
    return Rectification(
        rectified,
        np.ascontiguousarray(pixels[..., 0] - 0.5),
        np.ascontiguousarray(pixels[..., 1] - 0.5),
    )


def distort(camera: Camera, rays: Array) -> Array:
    """(N, 3) directions in the camera, z > 0, to (N, 2) pixels of its distorted image."""
    K = camera.matrix
    K[:2, 2] -= 0.5
    coefficients = np.asarray(camera.distortion, dtype=np.float64)
    still = np.zeros(3)
    points = np.ascontiguousarray(rays, dtype=np.float64).reshape(-1, 1, 3)
    if camera.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(points, still, still, K, coefficients[:4])
    else:
        pixels, _ = cv2.projectPoints(points, still, still, K, coefficients)
    return np.asarray(pixels, dtype=np.float64).reshape(-1, 2) + 0.5


def _widest(camera: Camera) -> Camera:
    """The ideal camera with the shortest focal length all of whose border lies in the image.

    The search widens from a narrow view and stops at the first border pixel outside: polynomials
    come back into the image far beyond the field of view that they were fitted to.
    """
    pinhole = camera.undistorted()
    limit = np.tan(np.deg2rad(MAX_HALF_FOV_DEG))
    narrowest = max(
        camera.width / 2 / camera.fx / limit, camera.height / 2 / camera.fy / limit, 0.3
    )
    widest = None
    for zoom in np.geomspace(4.0, narrowest, 100):
        candidate = replace(pinhole, fx=camera.fx * float(zoom), fy=camera.fy * float(zoom))
        if not _inside(camera, distort(camera, _border_rays(candidate))):
            break
        widest = candidate
    if widest is None:
        raise MappingError(
            f"the {camera.distortion_model} coefficients {camera.distortion} map no view into the "
            f"{camera.width}x{camera.height} image: check the calibration, or set undistort to off"
        )
    return widest


def _border_rays(camera: Camera) -> Array:
    u, v = np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5
    edges = [
        np.stack([u, np.full_like(u, 0.5)], axis=1),
        np.stack([u, np.full_like(u, camera.height - 0.5)], axis=1),
        np.stack([np.full_like(v, 0.5), v], axis=1),
        np.stack([np.full_like(v, camera.width - 0.5), v], axis=1),
    ]
    pixels = np.concatenate(edges)
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return rays


def _inside(camera: Camera, pixels: Array) -> bool:
    """Whether all pixels have image on every side to interpolate between."""
    furthest = [camera.width - 0.5, camera.height - 0.5]
    return bool((pixels >= 0.5).all() and (pixels <= furthest).all())
