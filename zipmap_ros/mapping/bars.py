# SPDX-License-Identifier: Apache-2.0
"""Black bars around the picture, as films and recorded screens have them: cut off as no image.

They stand still while the scene moves, and a network has never seen a room with such a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame

# A line of a bar is darker than this, and of one colour up to so many levels of 255. Codecs leave
# more of both in the last lines before the picture: so much of the image is cut off beyond a bar.
DARK, EVEN, BEYOND = 32, 8, 0.01
# Shares of the image: a bar is at least NARROWEST wide, both together are at most half of it. The
# two of a pair, and those of two images, are taken for the same up to ALIKE.
NARROWEST, ALIKE = 0.02, 0.02
EVERY = 4  # of the pixels of a line is looked at
AGREEING = 30  # images in a row, after the first, before others are believed

Key = tuple[str, int, int]


@dataclass
class Bars:
    """Finds and cuts off the bars of all cameras, in images as they come from the camera.

    widths  (top, left) pixels that are cut off on both sides, by camera and size of its images
    doubts  other widths that the latest images in a row had

    Dark images say nothing, and other widths are believed only after AGREEING more images: where
    the size of a camera's images changes, its track breaks off.
    """

    widths: dict[Key, tuple[int, int]] = field(default_factory=dict)
    doubts: dict[Key, list[tuple[int, int]]] = field(default_factory=dict)

    def cut(self, frame: Frame) -> Frame:
        """The frame without its bars; as it is where it cannot be used."""
        rgb, camera, depth = frame.rgb, frame.camera, frame.depth
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or min(rgb.shape) < 1:
            return frame
        height, width = rgb.shape[:2]
        if camera is not None and (camera.width, camera.height) != (width, height):
            return frame
        if depth is not None and depth.shape != (height, width):
            return frame
        top, left = self._believed(frame.source, rgb)
        if not (top or left) or 2 * top >= height or 2 * left >= width:
            return frame
        window = np.s_[top : height - top, left : width - left]
        return replace(
            frame,
            rgb=rgb[window],
            depth=None if depth is None else depth[window],
            camera=camera and camera.cropped(left, top, width - 2 * left, height - 2 * top),
        )

    def _believed(self, source: str, rgb: NDArray[np.uint8]) -> tuple[int, int]:
        seen, key = widths(rgb), (source, *rgb.shape[:2])
        believed = self.widths.get(key)
        if seen is None:
            return believed or (0, 0)
        doubts = self.doubts.get(key, [])
        if believed is None:
            believed = seen
        elif _alike(seen, believed, rgb):
            doubts = []
        elif doubts and not _alike(seen, doubts[0], rgb):
            doubts = [seen]
        else:
            doubts = [*doubts, seen]
        if len(doubts) > AGREEING:
            believed, doubts = doubts[0], []
        self.widths[key], self.doubts[key] = believed, doubts
        return believed


def widths(rgb: NDArray[np.uint8]) -> tuple[int, int] | None:
    """(top, left) pixels to cut off on both sides of an (H, W, 3) image; None where it is dark."""
    rows, columns = _pair(rgb), _pair(rgb.swapaxes(0, 1))
    return None if rows is None or columns is None else (rows, columns)


def _pair(rgb: NDArray[np.uint8]) -> int | None:
    """Lines to cut off at both ends of an (H, W, 3) image; 0: no bars; None: it is dark."""
    if rgb[0].max() > DARK or rgb[-1].max() > DARK:  # as nearly all are
        return 0
    lines = rgb[:, ::EVERY].reshape(len(rgb), -1)
    most = lines.max(1)
    bright = (most > DARK) | (most - lines.min(1) > EVEN)
    if not bright.any():
        return None
    first, last = int(bright.argmax()), int(bright[::-1].argmax())
    if abs(first - last) > ALIKE * len(rgb) or min(first, last) < NARROWEST * len(rgb):
        return 0
    cut = max(first, last) + int(np.ceil(BEYOND * len(rgb)))
    return cut if 4 * cut <= len(rgb) else None


def _alike(a: tuple[int, int], b: tuple[int, int], rgb: NDArray[np.uint8]) -> bool:
    return all(abs(x - y) <= ALIKE * size for x, y, size in zip(a, b, rgb.shape[:2], strict=True))
