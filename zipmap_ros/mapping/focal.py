# SPDX-License-Identifier: Apache-2.0
"""The focal length of a camera that nobody has calibrated.

A network says one for each image, which is off by a tenth, mostly in the same direction for the
same scene. Images of a camera that turns and moves tell more: alignment finds what is left beside
pose and depth. Both are averaged here, by how much each knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from zipmap_ros.geometry import Array, Camera

NETWORK_FRAMES = 50  # over which the network's are averaged
NETWORK_INFORMATION = 100.0  # of that mean's logarithm: it is off by a tenth, however many frames
SHARE = 0.02  # of an image's information that counts: successive images err alike
MOST = 2500.0  # information from images that is kept, so that what was long ago is forgotten
FARTHEST = 0.3  # that one image may be off what was believed, a logarithm


@dataclass(frozen=True)
class Focal:
    """What is known of a camera's focal lengths, in pixels of the network's input.

    fx, fy       mean of the network's, brought to square pixels
    frames       how many are in it
    found        mean of the logarithm by which images found fx and fy to be off
    information  how much is known of that, 1 / variance
    """

    fx: float = 0.0
    fy: float = 0.0
    frames: int = 0
    found: float = 0.0
    information: float = 0.0

    def said(self, K: Array, aspect: float = 1.0) -> Focal:
        """With the intrinsics (3, 3) that the network says for one more image.

        aspect  fy / fx of a camera with square pixels, as cameras have them. A network that has
                seen only 4:3 takes an image of any other shape for one, seen too wide or too high.
        """
        frames = min(self.frames + 1, NETWORK_FRAMES)
        fx = self.fx + (math.sqrt(K[0, 0] * K[1, 1] / aspect) - self.fx) / frames
        fy = aspect * fx
        # What images found is an absolute length: the network's changes, not that.
        found = self.found - np.log(fx / self.fx) if self.frames else 0.0
        return replace(self, fx=fx, fy=fy, frames=frames, found=float(found))

    def aligned(self, off: float, information: float) -> Focal:
        """With one more image: ``off`` is the logarithm of the focal length that it found over that
        of ``camera``, ``information`` how much it knows of that, 1 / variance."""
        told = SHARE * information
        there = self._log + float(np.clip(off, -FARTHEST, FARTHEST))
        total = self.information + told
        found = (self.information * self.found + told * there) / total if total else 0.0
        return replace(self, found=float(found), information=float(min(total, MOST)))

    def camera(self, width: int, height: int, K: Array) -> Camera:
        """The pinhole, with the principal point of the intrinsics (3, 3)."""
        zoom = float(np.exp(self._log))
        return Camera(width, height, self.fx * zoom, self.fy * zoom, float(K[0, 2]), float(K[1, 2]))

    @property
    def total_information(self) -> float:
        """About the logarithm of the camera's focal length."""
        return NETWORK_INFORMATION + self.information

    @property
    def _log(self) -> float:
        return self.information * self.found / self.total_information
