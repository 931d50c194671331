# SPDX-License-Identifier: Apache-2.0
"""Small pictures of images, depth and confidence, for the viewer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def palette(level: NDArray[np.floating], colormap: int) -> NDArray[np.uint8]:
    """Levels of any shape, clipped to 0..1, to RGB (..., 3) uint8 in an OpenCV colour map."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], colormap)[:, 0, ::-1]
    return np.asarray(table[(np.clip(level, 0.0, 1.0) * 255).astype(np.uint8)], np.uint8)


def shrink(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """(H, W, 3) with its longer side at most ``longest`` pixels."""
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def fit(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """(H, W, 3) at most ``width`` pixels wide; small ones are made of larger pixels."""
    image = shrink(image, 4 * width)
    factor = min(-(-width // image.shape[1]), -(-4 * width // image.shape[0]))
    return shrink(image.repeat(factor, axis=0).repeat(factor, axis=1), width)


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) depth to RGB: near is warm, far is cold, unknown is dark."""
    known = np.isfinite(depth)
    picture = np.full((*depth.shape, 3), 30, np.uint8)
    if known.any():
        near, far = np.percentile(depth[known], [2, 98])
        level = 1 - (depth[known] - near) / max(far - near, 1e-6)
        picture[known] = palette(level, cv2.COLORMAP_TURBO)
    return picture


def beside(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures side by side, both as high as the left one."""
    height, width = left.shape[:2]
    if right.shape[:2] != (height, width):
        fitted = cv2.resize(right, (width, height), interpolation=cv2.INTER_NEAREST)
        right = fitted.astype(np.uint8)
    return np.concatenate([left, right], axis=1)


def confidence_picture(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) confidence to RGB, dark is 1, bright is the most in the picture."""
    level = np.log(np.maximum(np.nan_to_num(confidence, nan=1.0), 1.0))
    return palette(level / max(float(level.max()), 1e-6), cv2.COLORMAP_VIRIDIS)
