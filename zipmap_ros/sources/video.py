# SPDX-License-Identifier: Apache-2.0
"""Video files, through OpenCV's own ffmpeg."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from zipmap_ros.frame import Frame
from zipmap_ros.sources.source import NS, RecordedSource, SourceError

DEFAULT_FPS = 30.0
FASTEST_FPS = 300.0  # WebM of browsers and screen recorders gives 1000, the unit of its stamps
_MEASURED_FRAMES = 31


class VideoSource(RecordedSource):
    """The frames of a video file, upright as its metadata says, stamped from its container."""

    def __init__(self, path: str) -> None:
        """Raises SourceError when the file holds no video that can be decoded."""
        if not Path(path).is_file():
            raise SourceError(f"{path} is no file: give a video file, or open it as a folder")
        self.name, self._path = Path(path).name, path
        capture = self._open()
        said_fps = capture.get(cv2.CAP_PROP_FPS)
        said_fps = said_fps if said_fps > 0 else DEFAULT_FPS  # NaN neither
        frames = max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0.0)
        decoded, _ = capture.read()
        self.fps = said_fps if said_fps <= FASTEST_FPS else _measured_fps(capture)
        self._frames = round(frames * self.fps / said_fps)
        capture.release()
        if not decoded:
            raise SourceError(f"no frame of {path} can be decoded: is it a complete video?")

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        last_ns = -1
        try:
            while True:
                decoded, bgr = capture.read()
                if not decoded:
                    return
                stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * NS / 1000)
                # Some containers give no times, or the same one twice.
                if stamp_ns <= last_ns:
                    stamp_ns = last_ns + round(NS / self.fps)
                last_ns = stamp_ns
                yield Frame(stamp_ns, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        # Absolute: ffmpeg takes what stands before the colon of 12:30.mp4 for a protocol.
        capture = cv2.VideoCapture(os.path.abspath(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path} cannot be opened as a video: is it one?")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # off by default in OpenCV 4
        return capture


def _measured_fps(capture: cv2.VideoCapture) -> float:
    """Frames a second, by the stamps of the next frames."""
    stamps_ms: list[float] = []
    while len(stamps_ms) < _MEASURED_FRAMES and capture.grab():
        stamps_ms.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    passed_ms = stamps_ms[-1] - stamps_ms[0] if stamps_ms else 0.0
    return 1000 * (len(stamps_ms) - 1) / passed_ms if passed_ms > 0 else DEFAULT_FPS
