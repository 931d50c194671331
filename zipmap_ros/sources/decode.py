# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays, of a bag and of the node alike, without anything of ROS."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from zipmap_ros.sources.source import SourceError

# ROS names the first two pixels of the first row, OpenCV the second and third of the second.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
# encoding -> (dtype, channels, how OpenCV turns it into RGB); of 16 bits the high ones are taken
ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    **{f"bayer_{pattern}8": ("u1", 1, code) for pattern, code in _BAYER.items()},
    **{f"bayer_{pattern}16": ("u2", 1, code) for pattern, code in _BAYER.items()},
}
COMPRESSED_FORMATS = ("JPEG", "PNG")  # of a topic, by PIL's names
MOST_PIXELS = 1 << 26  # of a compressed image: a few KB of PNG may claim gigabytes
# encoding -> (dtype, metres of a unit)
DEPTH_ENCODINGS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 0.001), "mono16": ("u2", 0.001)}


class DecodeError(SourceError):
    """An image that cannot be used. ``reason`` is the short word it is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/Image to (H, W, 3) uint8 RGB; rgb8 stays a view of the message.

    Padded rows and big-endian pixels are honoured. Raises DecodeError for an encoding not in
    ``ENCODINGS``, an empty image, or a step or data that is too short.
    """
    if message.encoding not in ENCODINGS:
        raise DecodeError(
            "encoding",
            f"images with encoding {message.encoding!r} cannot be used: publish one of "
            + ", ".join(ENCODINGS),
        )
    kind, channels, conversion = ENCODINGS[message.encoding]
    pixels = _pixels(message, kind, channels)
    if kind == "u2":
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    except cv2.error as error:  # an odd width with two pixels to a colour, as one
        size = f"{message.width}x{message.height} {message.encoding}"
        raise DecodeError("image", f"an image of {size} could not be converted: {error}") from error


def compressed_to_rgb(message: Any) -> NDArray[np.uint8]:
    """A JPEG or PNG sensor_msgs/CompressedImage, colour or grey, to (H, W, 3) uint8 RGB.

    Raises DecodeError where the bytes are neither, or claim more than MOST_PIXELS.
    """
    data = _bytes(message)
    bgr = decoded(data, COMPRESSED_FORMATS)
    if bgr is None:
        raise DecodeError(
            "image",
            f"a compressed image ({message.format!r}, {data.size} bytes) could not be decoded",
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def decoded(
    data: NDArray[np.uint8], formats: tuple[str, ...], flags: int = cv2.IMREAD_COLOR
) -> NDArray | None:
    """An encoded image as OpenCV decodes it, None where it breaks off or is none of ``formats``
    (PIL's names). Raises DecodeError where it claims more than MOST_PIXELS."""
    try:
        return cv2.imdecode(data, flags) if _is_whole(data, formats) else None
    except cv2.error as error:
        raise DecodeError("image", f"a compressed image is too strange: {error}") from error


def _is_whole(data: NDArray[np.uint8], formats: tuple[str, ...]) -> bool:
    """Whether it is one of ``formats`` and complete, as far as its header tells and, of a PNG, the
    lengths of its chunks. Raises DecodeError for more than MOST_PIXELS."""
    try:
        with PIL.Image.open(io.BytesIO(data.data), formats=formats) as picture:
            width, height = picture.size
    except PIL.Image.DecompressionBombError as error:
        raise DecodeError("image", f"a compressed image is too large: {error}") from error
    except Exception:  # PIL raises what the bytes make it; of what it cannot read, no size is known
        return False
    if width * height > MOST_PIXELS:
        raise DecodeError("image", f"a compressed image of {width}x{height} is too large")
    return picture.format != "PNG" or _has_its_chunks(data)


def _has_its_chunks(png: NDArray[np.uint8]) -> bool:
    """Whether every chunk ends within the bytes: OpenCV allocates what the length of one claims."""
    at = 8
    while at + 12 <= png.size:
        length, name = struct.unpack_from(">I4s", png.data, at)
        at += 12 + length
        if name == b"IEND":
            break
    return at <= png.size


def image_to_depth(message: Any) -> NDArray[np.float32]:
    """A depth Image, 32FC1 in metres or 16UC1 (mono16) in millimetres, to (H, W) float32 metres.

    What is not a positive finite number becomes NaN (REP-117). Raises DecodeError.
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise DecodeError(
            "depth_encoding",
            f"depth with encoding {message.encoding!r} cannot be used: publish 32FC1 or 16UC1",
        )
    kind, metres = DEPTH_ENCODINGS[message.encoding]
    depth = _pixels(message, kind, 1).astype(np.float32) * np.float32(metres)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def _pixels(message: Any, kind: str, channels: int) -> NDArray:
    """(H, W) or (H, W, channels) view of an image message's pixels, in its byte order. The last row
    may lack its padding."""
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise DecodeError("empty", f"an image of {width}x{height} pixels has nothing to see")
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    data, pixel = _bytes(message), channels * dtype.itemsize
    if step < width * pixel or data.size < step * (height - 1) + width * pixel:
        raise DecodeError(
            "step",
            f"an image of {width}x{height} {message.encoding} with step {step} and {data.size} "
            f"bytes is not whole: each row needs {width * pixel} bytes",
        )
    shape, strides = (height, width, channels), (step, pixel, dtype.itemsize)
    pixels: NDArray = np.ndarray(shape, dtype, data, strides=strides)
    return pixels if channels > 1 else pixels[..., 0]


def _bytes(message: Any) -> NDArray[np.uint8]:
    return np.frombuffer(message.data, np.uint8) if len(message.data) else np.zeros(0, np.uint8)
