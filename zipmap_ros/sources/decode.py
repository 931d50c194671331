# SPDX-License-Identifier: Apache-2.0
"""Image messages of bags to arrays, with numpy and OpenCV alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from zipmap_ros.sources.source import SourceError

# encoding -> (dtype, channels, how OpenCV turns it into RGB)
ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    # ROS names the first two pixels of the first row, OpenCV the second and third of the second.
    "bayer_rggb8": ("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": ("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": ("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": ("u1", 1, cv2.COLOR_BayerGB2RGB),
}


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/Image, padded rows and big-endian pixels honoured, as (H, W, 3) uint8 RGB.

    Raises SourceError for an encoding that is no image for the eye, or data of another size.
    """
    if message.encoding not in ENCODINGS:
        raise SourceError(
            f"images are encoded {message.encoding!r}: use one of {', '.join(ENCODINGS)}"
        )
    kind, channels, conversion = ENCODINGS[message.encoding]
    pixels = _pixels(message, kind, channels)
    if kind == "u2":
        pixels = (pixels >> 8).astype(np.uint8)
    try:
        rgb = pixels if conversion is None else cv2.cvtColor(pixels, conversion)
    except cv2.error as error:  # an odd width with two pixels to a colour, as one
        size = f"{message.width}x{message.height}"
        raise SourceError(f"an image of {size} cannot be {message.encoding}") from error
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def compressed_to_rgb(message: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/CompressedImage (jpeg or png) as (H, W, 3) uint8 RGB.

    Raises SourceError when it cannot be decoded.
    """
    data = np.asarray(message.data, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise SourceError(f"a compressed image ({message.format!r}) cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def image_to_depth(message: Any) -> NDArray[np.float32]:
    """A depth image, 32FC1 metres or 16UC1 millimetres, as (H, W) float32 metres, NaN unknown."""
    if message.encoding == "32FC1":
        return _pixels(message, "f4", 1).astype(np.float32)
    if message.encoding not in ("16UC1", "mono16"):
        raise SourceError(f"depth is encoded {message.encoding!r}: use 32FC1 or 16UC1")
    raw = _pixels(message, "u2", 1)
    return np.where(raw == 0, np.nan, raw / np.float32(1000)).astype(np.float32)


def _pixels(message: Any, kind: str, channels: int) -> NDArray:
    """The rows of an image message without their padding, in the machine's byte order."""
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    used = message.width * channels * dtype.itemsize
    data = np.asarray(message.data, dtype=np.uint8)
    if message.step < used or data.size < message.step * message.height or not data.size:
        raise SourceError(
            f"an image of {message.width}x{message.height} {message.encoding} has step "
            f"{message.step} and {data.size} bytes: at least {used} a row are needed"
        )
    rows = data[: message.step * message.height].reshape(message.height, message.step)[:, :used]
    pixels = np.ascontiguousarray(rows).view(dtype)
    shape = (message.height, message.width, channels) if channels > 1 else pixels.shape
    return pixels.reshape(shape).astype(dtype.newbyteorder("="))
