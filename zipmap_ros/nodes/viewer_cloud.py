# SPDX-License-Identifier: Apache-2.0
"""The map as the viewer shows it: thinned, coloured, in blocks that are sent when they change.

A growing map changes mostly where the camera looks. Cut into cubes, only those whose points differ
visibly from what was sent last have to travel again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from zipmap_ros.nodes.viewer_pictures import palette

COLOR_MODES = ("RGB", "Confidence", "Age")
BLOCK_VOXELS = 16  # edge of the smallest block
MAX_BLOCKS = 256  # more nodes than this make browsers slow: blocks grow instead
# A block travels again when a point moved by this share of a voxel or a colour by this much.
MOVED, RECOLORED = 0.25, 24
AGE_VOXEL = 0.05  # map units: within so much a point is the same as before
FIRST_AGE_S = 30.0  # what the colours of age span at first; doubled when the map gets older
CONFIDENCE_DECADES = 1.5  # confidence is coloured on a logarithmic scale from 1 to 10**1.5
POINT_BYTES = 9  # three float16, three uint8
_BITS = 21
_HALF = 1 << (_BITS - 1)


class Block(NamedTuple):
    """One block to show. Without points: to be removed.

    points  (N, 3) float32 from ``origin``, map units; colors (N, 3) uint8
    """

    name: str
    origin: NDArray[np.float64]
    points: NDArray[np.float32]
    colors: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """What sending it costs, without overhead."""
        return POINT_BYTES * len(self.points)


class Ball(NamedTuple):
    """Where most of the map is: ``centre`` (3,) float64 and ``radius``, map units."""

    centre: NDArray[np.float64]
    radius: float

    @classmethod
    def around(cls, points: NDArray[np.float32]) -> Ball:
        """Around (N, 3) points, N > 0, but for those that are far out."""
        low, high = np.percentile(points.astype(np.float64), [3, 97], axis=0)
        return cls((low + high) / 2, float(np.linalg.norm(high - low)) / 2 + 1e-6)

    def reaching(self, place: NDArray[np.floating]) -> Ball:
        """The smallest ball around this one and a place (3,)."""
        to_place = place - self.centre
        distance = float(np.linalg.norm(to_place))
        if distance <= self.radius:
            return self
        radius = (self.radius + distance) / 2
        return Ball(self.centre + to_place * ((radius - self.radius) / distance), radius)

    def holds(self, place: NDArray[np.floating]) -> bool:
        """Whether a place (3,) is inside of it."""
        return float(np.linalg.norm(place - self.centre)) <= self.radius

    def is_like(self, other: Ball, factor: float) -> bool:
        """Whether it is neither ``factor`` times larger or smaller nor far from where it was."""
        moved = float(np.linalg.norm(self.centre - other.centre))
        size = self.radius / other.radius
        return 1 / factor < size < factor and moved < (factor - 1) * other.radius


@dataclass
class CloudSettings:
    """What the sliders say. ``voxel`` in map units; ``mode`` one of COLOR_MODES."""

    voxel: float = 0.05
    min_confidence: float = 1.0
    mode: str = COLOR_MODES[0]


class MapCloud:
    """Takes whole maps, gives the blocks in which they differ from what was given before.

    ball  around what is shown; None while there is nothing
    """

    def __init__(self, max_points: int) -> None:
        self.settings = CloudSettings()
        self.ball: Ball | None = None
        self.shown_voxel = self.settings.voxel
        self._max_points = max_points
        self._sent: dict[str, Block] = {}
        self._waiting: dict[str, Block] = {}
        self._gone: set[str] = set()
        self.forget_ages()

    def forget_ages(self) -> None:
        """The map began anew: forget when points were first seen."""
        self._keys: NDArray[np.int64] = np.zeros(0, np.int64)
        self._seen_s: NDArray[np.float64] = np.zeros(0)
        self._began_s: float | None = None
        self._age_span_s = FIRST_AGE_S

    def update(
        self,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        now_s: float,
    ) -> None:
        """Take a whole map: (N, 3) points, (N, 3) RGB, (N,) confidences."""
        seen_s = self._first_seen(points, now_s)
        keep = (confidence >= self.settings.min_confidence) & np.isfinite(points).all(axis=1)
        kept = np.flatnonzero(keep)
        cells, best = self._thin(points[kept], confidence[kept])
        chosen = kept[best]
        points, colors, confidence = points[chosen], colors[chosen], confidence[chosen]
        seen_s = seen_s[chosen]
        self.ball = Ball.around(points) if len(points) else None
        self._compare(self._blocks(cells, points, self._paint(colors, confidence, seen_s, now_s)))

    def next_block(self) -> Block | None:
        """The next block to send, the longest waiting first; None when all is as it should be.

        What is gone is removed after all else was sent, so that nothing blinks when blocks grow.
        """
        if self._waiting:
            name = next(iter(self._waiting))
            block = self._waiting.pop(name)
            self._sent[name] = block
            return block
        if self._gone:
            name = self._gone.pop()
            self._sent.pop(name, None)
            none = np.zeros((0, 3))
            return Block(name, np.zeros(3), none.astype(np.float32), none.astype(np.uint8))
        return None

    def _thin(
        self, points: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Cells (M, 3) in voxels and the most confident point in each, at most ``max_points``."""
        order = np.argsort(-confidence, kind="stable")
        voxel = self.settings.voxel
        while True:
            cells = np.floor(points[order] / voxel)
            inside = (np.abs(cells) < _HALF).all(axis=1)
            cells = cells[inside].astype(np.int64)
            _, first = np.unique(_pack(cells), return_index=True)
            if len(first) <= self._max_points:
                self.shown_voxel = voxel
                return cells[first], order[inside][first]
            voxel *= 2

    def _first_seen(self, points: NDArray[np.float32], now_s: float) -> NDArray[np.float64]:
        """When something was first where each point (N, 3) is; remembers.

        In cells of their own size, so that the sliders forget nothing.
        """
        if self._began_s is None:
            self._began_s = now_s
        cells = np.nan_to_num(np.floor(points / AGE_VOXEL), posinf=_HALF, neginf=-_HALF)
        cells = np.clip(cells, -_HALF, _HALF - 1).astype(np.int64)
        keys, inverse = np.unique(_pack(cells), return_inverse=True)
        seen_s = np.full(len(keys), now_s)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known = self._keys[at] == keys
            seen_s[known] = self._seen_s[at[known]]
        self._keys, self._seen_s = keys, seen_s
        return seen_s[inverse]

    def _paint(
        self,
        colors: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        seen_s: NDArray[np.float64],
        now_s: float,
    ) -> NDArray[np.uint8]:
        if self.settings.mode == "Confidence":
            level = np.log10(np.maximum(confidence, 1.0)) / CONFIDENCE_DECADES
            return palette(level, cv2.COLORMAP_VIRIDIS)
        if self.settings.mode == "Age":
            began_s = now_s if self._began_s is None else self._began_s
            while now_s - began_s > self._age_span_s:
                self._age_span_s *= 2
            return palette((seen_s - began_s) / self._age_span_s, cv2.COLORMAP_PLASMA)
        return colors

    def _blocks(
        self,
        cells: NDArray[np.int64],
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
    ) -> dict[str, Block]:
        """Cut into cubes of 16, 32, ... voxels, so that there are at most MAX_BLOCKS."""
        edge = BLOCK_VOXELS
        while True:
            corners = cells // edge
            keys, inverse = np.unique(_pack(corners), return_inverse=True)
            if len(keys) <= MAX_BLOCKS:
                break
            edge *= 2
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(np.bincount(inverse, minlength=len(keys)))
        size = edge * self.shown_voxel
        blocks = {}
        for members in np.split(order, ends[:-1]) if len(keys) else ():
            corner = corners[members[0]]
            name = f"{edge}_{self.shown_voxel:g}_{'_'.join(map(str, corner))}"
            origin = (corner + 0.5) * size
            local = (points[members] - origin).astype(np.float32)
            blocks[name] = Block(name, origin, local, colors[members])
        return blocks

    def _compare(self, blocks: dict[str, Block]) -> None:
        """Let those wait that differ from what was sent; those that wait already stay in front."""
        limit = MOVED * self.shown_voxel
        names = [name for name in dict.fromkeys([*self._waiting, *blocks]) if name in blocks]
        self._waiting = {
            name: blocks[name]
            for name in names
            if _differs(blocks[name], self._sent.get(name), limit)
        }
        self._gone = self._sent.keys() - blocks.keys()


def _pack(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 3) integers within +-2**20 to (N,) keys."""
    x, y, z = (cells + _HALF).T
    return (x << (2 * _BITS)) | (y << _BITS) | z


def _differs(block: Block, sent: Block | None, limit: float) -> bool:
    if sent is None or len(block.points) != len(sent.points):
        return True
    if np.abs(block.points - sent.points).max() > limit:
        return True
    return bool(np.abs(block.colors.astype(np.int16) - sent.colors).max() > RECOLORED)
