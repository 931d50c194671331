# SPDX-License-Identifier: Apache-2.0
"""Images as arrays for alignment: pyramids, gradients, values between pixels, pinholes.

Images are (h, w) float32; pixels are (2, N) u, v, whose centres are at 0.5; points are (3, N).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def project(
    points: Image, T: Array, camera: Camera, shape: Sequence[int], hidden: Mask | None = None
) -> tuple[Image, Mask]:
    """(3, N) points, moved by (4, 4), into an image: (2, N) pixels u, v, (N,) which are inside, and
    not where it is ``hidden`` (h, w)."""
    return pinhole(moved(points, T), camera, shape, hidden)


def moved(points: Image, T: Array) -> Image:
    """(3, N) float32 points, moved by (4, 4)."""
    return T[:3, :3].astype(np.float32) @ points + T[:3, 3:].astype(np.float32)


def pinhole(
    points: Image, camera: Camera, shape: Sequence[int], hidden: Mask | None = None
) -> tuple[Image, Mask]:
    """`project` of points that are in the camera's coordinates."""
    x, y, z = points
    front = np.maximum(z, np.float32(1e-6))
    u = np.float32(camera.fx) * x / front + np.float32(camera.cx)
    v = np.float32(camera.fy) * y / front + np.float32(camera.cy)
    h, w = shape
    border = np.float32(1.5)
    seen = (z > 0) & (u >= border) & (v >= border) & (u < w - border) & (v < h - border)
    pixels = np.stack([np.where(seen, u, border), np.where(seen, v, border)])
    return pixels, seen if hidden is None else seen & ~inside(hidden, pixels)


def inside(mask: Mask, pixels: Image) -> Mask:
    """(N,) whether (2, N) pixels of an image are in a mask of it, (h, w)."""
    u, v = pixels.astype(np.int32)
    return mask.take(v * mask.shape[1] + u)


def sample(image: Image, pixels: Image) -> Image:
    """Bilinear values (..., N) at (2, N) pixels inside of images (..., h, w)."""
    *_, h, w = image.shape
    rows = image.reshape(*image.shape[:-2], h * w)
    u, v = pixels - np.float32(0.5)
    x, y = u.astype(np.int32), v.astype(np.int32)
    a, b = u - x.astype(np.float32), v - y.astype(np.float32)

    def between(left: NDArray[np.int32]) -> Image:
        value = rows.take(left, axis=-1)
        return value + a * (rows.take(left + 1, axis=-1) - value)

    above = y * w + x
    top, bottom = between(above), between(above + w)
    return top + b * (bottom - top)


def half(image: Image) -> Image:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    a = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) * np.float32(0.25)


def pyramid(image: Image, levels: int) -> list[Image]:
    """The image and its halves."""
    images = [image]
    while len(images) < levels:
        images.append(half(images[-1]))
    return images


def shrunk(camera: Camera, image: Image) -> Camera:
    """The camera of ``image``, which is one of ``camera`` after some halvings."""
    factor = 0.5 ** round(np.log2(camera.width / image.shape[1]))
    fx, fy, cx, cy = (factor * value for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    return Camera(image.shape[1], image.shape[0], fx, fy, cx, cy)


def backproject(pixels: Image, z: Image, camera: Camera) -> Image:
    """(3, N) float32 points in the camera, of (2, N) pixels u, v and their depth (N,)."""
    x, y = (pixels[0] - camera.cx) / camera.fx, (pixels[1] - camera.cy) / camera.fy
    return np.stack([x * z, y * z, z]).astype(np.float32)


def correlation(a: Image, b: Image) -> float:
    """Pearson's, -1..1, of two (N,) arrays of values 0..1; 0 where one is constant."""
    x, y = a - a.mean(dtype=float), b - b.mean(dtype=float)
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 1e-8 * len(x) else 0.0


def gradient(image: Image) -> tuple[Image, Image]:
    """Central differences along x and y; 0 within two pixels of the border."""
    gx, gy = np.zeros_like(image), np.zeros_like(image)
    gx[2:-2, 2:-2] = (image[2:-2, 3:-1] - image[2:-2, 1:-3]) / 2
    gy[2:-2, 2:-2] = (image[3:-1, 2:-2] - image[1:-3, 2:-2]) / 2
    return gx, gy
