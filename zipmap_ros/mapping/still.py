# SPDX-License-Identifier: Apache-2.0
"""What stands still in a camera's images while the view moves: its own robot, a stamp, a smudge.

Alignment takes what it sees for the scene, and a bumper says that the camera does not move. What
stands still gives itself away: it is where it was, and not where the camera's motion would have
taken it, nor where its turn alone takes what is far. Each aligned image tells for each cell which
of the two fits better; that is summed up as log odds, which fade and have bounds, so that what is
put on and taken off again is noticed. A camera that stands, and what has no texture, tell nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zipmap_ros.mapping.level import EDGE
from zipmap_ros.mapping.pixels import Image, Mask, project, sample

if TYPE_CHECKING:
    from zipmap_ros.mapping.alignment import Fit, Picture, Reference

CELL = 3  # pixels a side, as that of which alignment takes one pixel
NOISE = 0.02  # standard deviation of brightness, and EDGE as in alignment
WILD = 3.0  # standard deviations: further off all are alike
SHARE = 0.2  # of what an image tells, as it tells nearly what the one before told
LEAST, SURE, MOST = -5.0, 11.0, 20.0  # odds, and those from which a cell stands still
KEPT = 0.97  # of the odds from image to image: what was taken for still once must show it again
FEWEST = 0.01  # of the cells: fewer are chance
STANDS = 1.2  # times as many pixels fit a camera that stands than one that was moved: it stands


@dataclass(frozen=True, eq=False)
class Still:
    """What a camera's images told.

    odds  (h / CELL, w / CELL) log odds that a cell stands still; None before the first image
    """

    odds: Image | None = None

    @classmethod
    def unknown(cls, shape: Sequence[int]) -> Still:
        """Of a camera whose first image, (h, w), was just seen."""
        return cls(np.zeros(_cells(shape), np.float32))

    def check(self) -> None:
        """Raise ValueError for odds that no image gave."""
        if self.odds is not None and not (self.odds.ndim == 2 and np.isfinite(self.odds).all()):
            raise ValueError(f"what stands still is {self.odds.shape}, or not finite")

    def told(self, reference: Reference, fit: Fit | None, picture: Picture) -> Still:
        """With what one more picture tells, which was laid over a reference; None: it failed."""
        if fit is None:
            return self
        grey, level = picture.grey, reference.levels[0]
        gain, offset = fit.light.astype(np.float32)
        odds = np.zeros(_cells(grey.shape), np.float32)
        if self.odds is not None and self.odds.shape == odds.shape:
            odds = self.odds * np.float32(KEPT)
        pixels, seen = project(level.points, fit.camera_T_reference, picture.camera, grey.shape)
        (u, v), values = level.pixels[:, seen].astype(np.int32), level.values[seen]
        here = grey[v, u]
        moved = np.abs(gain * sample(grey, pixels[:, seen]) + offset - values)
        # What is far only turns with the camera, however near its depth says that it is.
        turn = fit.camera_T_reference.copy()
        turn[:3, 3] = 0
        pixels, _ = project(level.points[:, seen], turn, picture.camera, grey.shape)
        moved = np.minimum(moved, np.abs(gain * sample(grey, pixels) + offset - values))
        # A stamp has the same brightness in any light.
        stood = np.minimum(np.abs(here - values), np.abs(gain * here + offset - values))
        noise = np.hypot(np.float32(NOISE), np.float32(EDGE) * level.slopes[seen])
        moved, stood = moved / noise, stood / noise
        if (stood < 1).sum() > STANDS * (moved < 1).sum():
            return self  # the camera stands, and was moved by who passes
        tells = np.minimum(moved, WILD) ** 2 - np.minimum(stood, WILD) ** 2
        cells = v // CELL, u // CELL
        odds[cells] = np.clip(odds[cells] + np.float32(SHARE) * tells, LEAST, MOST)
        return Still(odds)

    def hidden(self, shape: Sequence[int]) -> Mask | None:
        """(h, w) where it hides the scene, with what is next to that, in images of this shape or of
        a multiple; None: nowhere."""
        if self.odds is None or (self.odds > SURE).mean() < FEWEST:
            return None
        step = CELL * max(round(shape[1] / (CELL * self.odds.shape[1])), 1)
        if any(abs(side / step - n) >= 1 for side, n in zip(shape, self.odds.shape, strict=True)):
            return None  # of images of another shape
        sure = np.pad(self.odds > SURE, 1)
        sure = sure[:-2] | sure[1:-1] | sure[2:]
        sure = sure[:, :-2] | sure[:, 1:-1] | sure[:, 2:]
        rows, columns = (
            np.minimum(np.arange(side) // step, n - 1)
            for side, n in zip(shape, sure.shape, strict=True)
        )
        return sure[rows][:, columns]


def _cells(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of cells in an image (h, w)."""
    h, w = shape
    return -(-h // CELL), -(-w // CELL)
