# SPDX-License-Identifier: Apache-2.0
"""Metric scale: network units to metres, from depth images, odometry or a fixed factor.

Each frame gives at most one ratio of a metric length to the network's. The scale locks when the
ratios of a window agree, and from then on changes only when the window agrees on a clearly
different value: what is published in metres must not breathe.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, transform_points

WINDOW = 30  # ratios
MIN_RATIOS = 5
LOCK_SPREAD = 0.10  # relative spread of the window below which it agrees
CHANGE = 0.10  # relative difference from the locked scale that is worth a new one
MIN_SEGMENT_M = 0.2  # metres of odometry that one ratio of path lengths is taken over
MIN_DEPTH_PIXELS = 100
MAX_ODOMETRY_GAP_NS = 500_000_000
JUMP_NS = 1_000_000_000  # odometry so much older than the newest is of another time


class ScaleEstimator:
    """The scale from one source: none, fixed, depth, odom or tf (as the parameter scale_source).

    scale   network units to map units; 1 until it locks
    metric  whether map units are metres
    spread  relative robust spread of the ratios in the window; 0 when there are none
    """

    def __init__(self, source: str, fixed: float = 1.0) -> None:
        self.source = source
        self.scale = fixed if source == "fixed" else 1.0
        self.metric = source == "fixed"
        self._log_ratios: deque[float] = deque(maxlen=WINDOW)
        self._segment_start: dict[str, tuple[Array, Array]] = {}

    @property
    def spread(self) -> float:
        """1.4826 times the median absolute deviation of the window's log ratios."""
        if not self._log_ratios:
            return 0.0
        ratios = np.array(self._log_ratios)
        return float(1.4826 * np.median(np.abs(ratios - np.median(ratios))))

    def add_depth(
        self,
        predicted: NDArray[np.float32],
        confidence: NDArray[np.float32],
        measured: NDArray[np.float32],
    ) -> bool:
        """Compare (h, w) predicted depth with measured metres (NaN where unknown), pixel by pixel.

        The ratio is the median over the more confident half of the pixels that have both.
        Returns whether ``scale`` changed.
        """
        both = np.isfinite(measured) & (measured > 0) & (predicted > 0)
        if both.sum() < min(MIN_DEPTH_PIXELS, measured.size // 4):
            return False
        both &= confidence >= np.median(confidence[both])
        return self._add(float(np.median(measured[both] / predicted[both])))

    def add_motion(self, source: str, odom_T_camera: Array, network_T_camera: Array) -> bool:
        """Compare how far the camera ``source`` went in metres and in network units.

        One ratio for every MIN_SEGMENT_M of the path. Returns whether ``scale`` changed.
        """
        now = (odom_T_camera[:3, 3], network_T_camera[:3, 3])
        start = self._segment_start.setdefault(source, now)
        metres, units = (float(np.linalg.norm(b - a)) for a, b in zip(start, now, strict=True))
        if metres < MIN_SEGMENT_M:
            return False
        self._segment_start[source] = now
        return self._add(metres / units) if units > 0 else False

    def move(self, jump: Array) -> None:
        """The cameras were found elsewhere in the network's world, by a (4, 4) rigid transform,
        without having moved."""
        for source, (metres, units) in self._segment_start.items():
            self._segment_start[source] = (metres, transform_points(jump, units))

    def _add(self, ratio: float) -> bool:
        if not np.isfinite(ratio) or ratio <= 0:
            return False
        self._log_ratios.append(float(np.log(ratio)))
        if len(self._log_ratios) < MIN_RATIOS or self.spread > LOCK_SPREAD:
            return False
        agreed = float(np.exp(np.median(self._log_ratios)))
        if self.metric and abs(np.log(agreed / self.scale)) < CHANGE:
            return False
        self.scale, self.metric = agreed, True
        return True

    def state(self) -> dict[str, Any]:
        """Plain values (JSON) from which ``restore`` makes an estimator that goes on like this."""
        return {
            "source": self.source,
            "scale": self.scale,
            "metric": self.metric,
            "log_ratios": list(self._log_ratios),
            "segment_start": {
                source: [position.tolist() for position in start]
                for source, start in self._segment_start.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the estimator that ``state`` was taken from, as far as the source is the same.

        Another source goes on from its scale, without its ratios; a fixed scale is what it is.
        """
        if self.source == "fixed":
            return
        self.scale, self.metric = state["scale"], state["metric"]
        if state["source"] != self.source:
            return
        self._log_ratios = deque(state["log_ratios"], maxlen=WINDOW)
        self._segment_start = {
            source: (np.array(metres), np.array(units))
            for source, (metres, units) in state["segment_start"].items()
        }


class Odometry:
    """The last few seconds of odometry, to be asked for the pose at the stamp of an image."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Array]] = deque(maxlen=2000)

    def add(self, stamp_ns: int, odom_T_base: Array) -> None:
        """Add a (4, 4) pose, also a little later than a newer one, as cameras are not in step.

        A stamp more than JUMP_NS before the newest starts anew: time has jumped back.
        """
        newer = []
        if self._entries and stamp_ns < self._entries[-1][0] - JUMP_NS:
            self._entries.clear()
        while self._entries and self._entries[-1][0] >= stamp_ns:
            newer.append(self._entries.pop())
        if not newer or newer[-1][0] > stamp_ns:
            newer.append((stamp_ns, odom_T_base))
        self._entries.extend(reversed(newer))

    @property
    def entries(self) -> list[tuple[int, Array]]:
        """Stamps and poses, oldest first."""
        return list(self._entries)

    def at(self, stamp_ns: int) -> Array | None:
        """``odom_T_base`` at a stamp: position interpolated, rotation of the nearer entry.

        None unless entries at most MAX_ODOMETRY_GAP_NS apart enclose the stamp.
        """
        stamps = np.array([stamp for stamp, _ in self._entries], np.int64)
        after = int(np.searchsorted(stamps, stamp_ns))
        if after == len(stamps):
            return None
        stamp_b, b = self._entries[after]
        if stamp_b == stamp_ns:
            return b
        if after == 0:
            return None
        stamp_a, a = self._entries[after - 1]
        if stamp_b - stamp_a > MAX_ODOMETRY_GAP_NS:
            return None
        share = (stamp_ns - stamp_a) / (stamp_b - stamp_a)
        T = (a if share < 0.5 else b).copy()
        T[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
        return T
