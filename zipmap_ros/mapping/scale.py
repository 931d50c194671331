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

    @property
    def likely(self) -> float | None:
        """The scale, or what it would be by the ratios so far; None while they are too few."""
        if self.metric:
            return self.scale
        return self._agreed if len(self._log_ratios) >= MIN_RATIOS else None

    @property
    def _agreed(self) -> float:
        return float(np.exp(np.median(self._log_ratios)))

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
        agreed = self._agreed
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
