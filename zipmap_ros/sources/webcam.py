# SPDX-License-Identifier: Apache-2.0
"""A camera of this computer, through OpenCV (V4L2 on Linux)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2
import numpy as np

from zipmap_ros.frame import Frame
from zipmap_ros.sources.source import Source, SourceError

DEFAULT_FPS = 30.0


class WebcamSource(Source):
    """Live frames for ever, stamped when they arrive."""

    def __init__(self, device: str) -> None:
        """``device`` is /dev/videoN or N. Raises SourceError when it cannot be opened."""
        self.name = device
        number = device.removeprefix("/dev/video")
        if not number.isdecimal():
            raise SourceError(f"the webcam is {device!r}: give /dev/video0, or its number")
        self._capture = cv2.VideoCapture(int(number))
        if not self._capture.isOpened():
            raise SourceError(
                f"the webcam {device} cannot be opened: is it plugged in, and may you read it?"
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS

    def __iter__(self) -> Iterator[Frame]:
        while True:
            decoded, bgr = self._capture.read()
            if not decoded:
                return
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(time.time_ns(), rgb)
