# SPDX-License-Identifier: Apache-2.0
"""Image encodings of sensor_msgs: what the bytes of one pixel are, and colour conversions."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np

DTYPES: dict[str, np.dtype[Any]] = {
    "8U": np.dtype(np.uint8),
    "8S": np.dtype(np.int8),
    "16U": np.dtype(np.uint16),
    "16S": np.dtype(np.int16),
    "32S": np.dtype(np.int32),
    "32F": np.dtype(np.float32),
    "64F": np.dtype(np.float64),
}

# Encoding -> (colour space, depth, channels). Bayer spaces carry the names of their first four
# pixels; OpenCV names the same pattern after the second pixels of the second row.
COLORS: dict[str, tuple[str, str, int]] = {
    "mono8": ("GRAY", "8U", 1),
    "mono16": ("GRAY", "16U", 1),
    "yuv422": ("UYVY", "8U", 2),
    "uyvy": ("UYVY", "8U", 2),
    "yuv422_yuy2": ("YUY2", "8U", 2),
    "yuyv": ("YUY2", "8U", 2),
}
for _space, _channels in (("RGB", 3), ("BGR", 3), ("RGBA", 4), ("BGRA", 4)):
    COLORS[f"{_space.lower()}8"] = (_space, "8U", _channels)
    COLORS[f"{_space.lower()}16"] = (_space, "16U", _channels)
BAYER = {"RGGB": "BayerBG", "BGGR": "BayerRG", "GBRG": "BayerGR", "GRBG": "BayerGB"}
for _pattern in BAYER:
    COLORS[f"bayer_{_pattern.lower()}8"] = (_pattern, "8U", 1)
    COLORS[f"bayer_{_pattern.lower()}16"] = (_pattern, "16U", 1)
PLANAR = ("nv21", "nv24")
_NUMBERED = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)C(\d{0,2})", re.ASCII)

SCALES = {("8U", "16U"): 65535.0 / 255.0, ("16U", "8U"): 255.0 / 65535.0}


class CvBridgeError(TypeError):
    """An image has an encoding that is unknown, or that does not fit what was asked for."""


def depth_and_channels(encoding: str) -> tuple[str, int]:
    """Return e.g. ("8U", 3) for "bgr8".

    Raises:
        CvBridgeError: no such encoding.
    """
    if encoding in COLORS:
        return COLORS[encoding][1:]
    if encoding in PLANAR:
        return "8U", 1
    numbered = _NUMBERED.fullmatch(encoding)
    if numbered is None or numbered[2] in ("0", "00"):
        raise CvBridgeError(f"Unrecognized image encoding [{encoding}]")
    return numbered[1], int(numbered[2] or 1)


def convert_color(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return the image (H, W) or (H, W, C) in another encoding, scaled between 8 and 16 bits.

    Raises:
        CvBridgeError: no such encoding, or no meaningful conversion between the two.
    """
    if source == target:
        return image
    depth, channels = depth_and_channels(source)
    target_depth, target_channels = depth_and_channels(target)
    if source in PLANAR or target in PLANAR:
        raise NotImplementedError(
            f"cv_bridge conversion [{source}] to [{target}] needs a full ROS 2"
        )
    if source in COLORS and target in COLORS:
        code = _conversion_code(source, target)
        if code is not None:
            try:
                image = cv2.cvtColor(image, code)
            except cv2.error as error:
                raise CvBridgeError(
                    f"[{source}] to [{target}] of an image {image.shape}: {error.err}"
                ) from error
    elif source not in COLORS and target in COLORS:
        raise CvBridgeError(
            f"[{source}] is not a color format. but [{target}] is. "
            "The conversion does not make sense"
        )
    elif channels != target_channels:
        raise CvBridgeError(f"[{source}] and [{target}] do not have the same number of channel")
    if depth == target_depth:
        return image
    scale = SCALES.get((depth, target_depth), 1.0)
    return _to_depth(image, scale, DTYPES[target_depth])


def _to_depth(image: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """Scale, round and clip, as OpenCV's convertTo."""
    if dtype.kind == "f":
        return (image * scale).astype(dtype)
    limits = np.iinfo(dtype)
    rounded = np.rint(image.astype(np.float64) * scale)
    return np.clip(np.nan_to_num(rounded), limits.min, limits.max).astype(dtype)


def _conversion_code(source: str, target: str) -> int | None:
    """Return OpenCV's code for a colour conversion; None where only the depth differs."""
    from_space, to_space = COLORS[source][0], COLORS[target][0]
    if from_space == to_space:
        return None
    if from_space in BAYER:
        name = f"COLOR_{BAYER[from_space]}2{to_space}"
    elif from_space in ("UYVY", "YUY2"):
        name = f"COLOR_YUV2{to_space}_{from_space}"
    elif to_space in ("UYVY", "YUY2"):
        name = f"COLOR_{from_space}2YUV_{to_space}"
    else:
        name = f"COLOR_{from_space}2{to_space}"
    code: int | None = getattr(cv2, name, None)
    if code is None or (from_space in BAYER and to_space in ("RGBA", "BGRA")):
        raise CvBridgeError(f"Unsupported conversion from [{source}] to [{target}]")
    return code
