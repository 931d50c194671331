# SPDX-License-Identifier: Apache-2.0
"""The TUM RGB-D layout (Sturm et al., IROS 2012): rgb.txt, depth.txt, groundtruth.txt."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera
from zipmap_ros.sources.folder import read_depth, read_rgb, usual_fps
from zipmap_ros.sources.source import (
    RecordedSource,
    SourceError,
    nearest,
    pose_from_words,
    read_or,
    to_stamp_ns,
    without_pixels,
)

DEPTH_UNITS_PER_METRE = 5000.0
MAX_GAP_NS = 20_000_000
# The published fx, fy, cx, cy of the three Kinects, 640x480, by the number in the sequence's name;
# they put pixel centres at integers, `Camera` at integers plus 0.5. Distortion is that of the raw
# images, which the published evaluations leave in.
CAMERAS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}


class TumSource(RecordedSource):
    """The colour images of a sequence with the depth and pose nearest in time (within 20 ms)."""

    def __init__(self, path: str) -> None:
        """Raises SourceError when rgb.txt is missing or names no image, and for a stamp that cannot
        be."""
        self._root = Path(path)
        self.name = self._root.name
        self._images = self._read("rgb.txt")
        if not self._images:
            raise SourceError(f"{path} has no images in rgb.txt: it is no TUM RGB-D sequence")
        self._depths = self._read("depth.txt")
        self._poses = self._read("groundtruth.txt")
        self.has_truth = bool(self._poses)
        self.fps = usual_fps([stamp for stamp, _ in self._images], 30.0)
        self._camera: Camera | None = None
        for name, (fx, fy, cx, cy) in CAMERAS.items():
            if name in self._root.resolve().name:
                self._camera = Camera(640, 480, fx, fy, cx + 0.5, cy + 0.5)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Frame]:
        for stamp_ns, (name, *_) in self._images:
            depth = nearest(self._depths, stamp_ns, MAX_GAP_NS)
            truth = nearest(self._poses, stamp_ns, MAX_GAP_NS)
            rgb = read_or(without_pixels(), partial(read_rgb, self._root / name))
            fits = self._camera is not None and rgb.shape[:2] == (480, 640)
            yield Frame(
                stamp_ns,
                rgb,
                camera=self._camera if fits else None,
                depth=self._depth(depth[0], rgb) if depth else None,
                map_T_camera=read_or(None, partial(self._pose, truth)) if truth else None,
            )

    def _depth(self, name: str, rgb: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        return read_or(None, partial(read_depth, self._root / name, DEPTH_UNITS_PER_METRE, rgb))

    def _pose(self, words: list[str]) -> Array:
        return pose_from_words(words, self.name)

    def _read(self, name: str) -> list[tuple[int, list[str]]]:
        """(stamp_ns, the other words) of every line, in order of time; [] without the file."""
        path = self._root / name
        if not path.is_file():
            return []
        lines = [line.strip() for line in path.read_text("utf-8-sig", "replace").splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        rows = (read_or(None, partial(_row, path, line)) for line in lines)
        stamped = [
            (to_stamp_ns(row[0], f"the stamp {row[0]} s in {path}"), row[1])
            for row in rows
            if row is not None
        ]
        return sorted(stamped, key=lambda row: row[0])


def _row(path: Path, line: str) -> tuple[Decimal, list[str]]:
    stamp, *words = line.split()
    try:
        seconds = Decimal(stamp)
    except ArithmeticError:
        seconds = Decimal("nan")
    if not seconds.is_finite():
        raise SourceError(f"{path} has a line without a stamp: {line!r}")
    if not words:
        raise SourceError(f"{path} has a line with a stamp alone: {line!r}")
    return seconds, words
