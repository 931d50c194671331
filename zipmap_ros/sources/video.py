# SPDX-License-Identifier: Apache-2.0
"""Video files, through OpenCV's own ffmpeg."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.sources.source import NS, RecordedSource, SourceError

DEFAULT_FPS = 30.0
FASTEST_FPS = 300.0  # WebM of browsers and screen recorders gives 1000, the unit of its stamps
ALIKE = 30  # images at the start, bit for bit, for which one looks further on
MOST_LOST = 1000  # images in a row, after which it is the end: containers may say too many
WIDEST_PIXEL = 4.0  # by its height, or the other way round; what says more is nonsense
_MEASURED_FRAMES = 31


class VideoSource(RecordedSource):
    """The frames of a video file, upright and in proportion as its metadata says, stamped
    from its container. Frames that are damaged are left out with a warning."""

    def __init__(self, path: str) -> None:
        """Raises SourceError when the file holds no video that can be decoded."""
        if not Path(path).is_file():
            raise SourceError(f"{path} is no file: give a video file, or open it as a folder")
        self.name, self._path = Path(path).name, path
        capture = self._open()
        said_fps = capture.get(cv2.CAP_PROP_FPS)
        said_fps = said_fps if said_fps > 0 else DEFAULT_FPS  # NaN neither
        frames = max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0.0)
        decoded, first = capture.read()
        if not decoded:
            raise SourceError(
                f"no frame of {path} ({_codec(capture)}) can be decoded: is it a complete video? "
                "If it plays elsewhere, OpenCV lacks its codec: ffmpeg -i IN OUT.mp4 converts it"
            )
        self.fps = said_fps if said_fps <= FASTEST_FPS else _measured_fps(capture)
        self._frames = round(frames * self.fps / said_fps)
        self._pixel_width = _pixel_width(capture)
        if _is_one_image(capture, first):
            raise SourceError(
                f"the frames of {path} are all one image, as OpenCV {cv2.__version__} may make of "
                "interlaced ones. If it moves elsewhere, ffmpeg -i IN -vf yadif OUT.mp4 converts it"
            )
        capture.release()

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        last_ns, reads, lost = -1, 0, 0
        try:
            while True:
                decoded, bgr = capture.read()
                reads += 1
                if not decoded:
                    if reads >= self._frames or lost >= MOST_LOST:
                        return
                    lost += 1
                    continue
                stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * NS / 1000)
                # Some containers give no times, or the same one twice.
                if stamp_ns <= last_ns:
                    stamp_ns = last_ns + round(NS / self.fps)
                last_ns = stamp_ns
                if lost:
                    self._warn(f"{lost} before {stamp_ns / NS:.3f} s are damaged")
                    lost = 0
                rgb = cv2.cvtColor(self._in_proportion(bgr), cv2.COLOR_BGR2RGB)
                yield Frame(stamp_ns, np.asarray(rgb, np.uint8))
        finally:
            capture.release()

    def _warn(self, what: str) -> None:
        warnings.warn(f"left out: frames of {self._path}, {what}", RuntimeWarning, stacklevel=3)

    def _in_proportion(self, image: NDArray) -> NDArray[np.uint8]:
        """With square pixels, as calibration and reports take them."""
        if self._pixel_width == 1:
            return image
        height, width = image.shape[:2]
        size = (round(width * max(self._pixel_width, 1)), round(height / min(self._pixel_width, 1)))
        return np.asarray(cv2.resize(image, size), np.uint8)

    def _open(self) -> cv2.VideoCapture:
        # Absolute: ffmpeg takes what stands before the colon of 12:30.mp4 for a protocol.
        capture = cv2.VideoCapture(os.path.abspath(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path} cannot be opened as a video: is it one?")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # off by default in OpenCV 4
        return capture


def _codec(capture: cv2.VideoCapture) -> str:
    """The four letters of its codec."""
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace")


def _pixel_width(capture: cv2.VideoCapture) -> float:
    """Width over height of a pixel of the upright frames; 1 where that is unknown."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (across > 0 and down > 0 and 1 / WIDEST_PIXEL <= across / down <= WIDEST_PIXEL):
        return 1.0
    lies = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
    return down / across if lies else across / down


def _is_one_image(capture: cv2.VideoCapture, first: NDArray) -> bool:
    """Whether ``first`` is all there is: in what follows, and later in the file. Nobody films that,
    but OpenCV from 4.13 on leaves what was in its memory for each frame of interlaced video, and
    says that it was decoded."""
    for alike in range(ALIKE):
        decoded, image = capture.read()
        if not decoded:
            return alike > 0
        if not np.array_equal(image, first):
            return False
    capture.set(cv2.CAP_PROP_POS_FRAMES, 0.9 * capture.get(cv2.CAP_PROP_FRAME_COUNT))
    decoded, image = capture.read()
    return not decoded or np.array_equal(image, first)


def _measured_fps(capture: cv2.VideoCapture) -> float:
    """Frames a second, by the stamps of the next frames."""
    stamps_ms: list[float] = []
    while len(stamps_ms) < _MEASURED_FRAMES and capture.grab():
        stamps_ms.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    passed_ms = stamps_ms[-1] - stamps_ms[0] if stamps_ms else 0.0
    return 1000 * (len(stamps_ms) - 1) / passed_ms if passed_ms > 0 else DEFAULT_FPS
