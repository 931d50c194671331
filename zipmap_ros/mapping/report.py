# SPDX-License-Identifier: Apache-2.0
"""A picture of a reconstruction, to look at: frames, depth, confidence, and the map from above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import Array
from zipmap_ros.mapping.voxel_map import Cloud

_COLUMNS = 6
_DRAWN_POINTS = 200_000


class Samples:
    """A few estimates, evenly over a stream whose length nobody knows."""

    def __init__(self) -> None:
        self._stride = 1
        self._index = 0
        self._kept: list[Estimate] = []

    def add(self, estimate: Estimate) -> None:
        """Offer the next estimate."""
        if self._index % self._stride == 0:
            self._kept.append(estimate)
            if len(self._kept) == 4 * _COLUMNS:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._index += 1

    def chosen(self) -> list[Estimate]:
        """At most as many as the report has columns, the first and (nearly) the last among them."""
        if len(self._kept) <= _COLUMNS:
            return list(self._kept)
        index = np.linspace(0, len(self._kept) - 1, _COLUMNS).round().astype(int)
        return [self._kept[i] for i in index]


def write_report(
    path: str | Path,
    estimates: Sequence[Estimate],
    positions: Array,
    cloud: Cloud,
    title: str,
    unit: str = "map units, not metric",
) -> None:
    """Draw some estimates, (N, 3) camera positions in ``map`` and a cloud into a PNG.

    Depth images share one colour scale. The cloud is drawn without what is above the cameras, so
    that a ceiling hides nothing.
    """
    figure = Figure(figsize=(2.6 * _COLUMNS, 13.5), dpi=80, layout="constrained")
    figure.suptitle(title, fontsize=13)
    images, maps = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.1])[:, 0]
    if estimates:
        _draw_images(images, estimates, unit)
    above, side = maps.subplots(1, 2)
    _draw_map(above, positions, cloud, (0, 1), f"trajectory and map from above ({unit})")
    _draw_map(side, positions, cloud, (0, 2), f"from the side ({unit})")
    figure.savefig(path)


def _draw_images(figure: SubFigure, estimates: Sequence[Estimate], unit: str) -> None:
    depths = np.concatenate([estimate.depth.ravel() for estimate in estimates])
    sure = np.concatenate([estimate.confidence.ravel() for estimate in estimates])
    ranges = {
        "depth": Normalize(*np.percentile(depths, [2, 98])),
        "confidence": Normalize(1, np.percentile(sure, 98)),
    }
    maps = {"depth": "turbo", "confidence": "viridis"}
    names = ("input", "depth", "confidence")
    start_ns = estimates[0].stamp_ns
    axes = figure.subplots(len(names), _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, estimate in enumerate(estimates):
        images = (estimate.rgb, estimate.depth, estimate.confidence)
        for name, image, axis in zip(names, images, axes[:, column], strict=True):
            axis.set_axis_on()
            axis.imshow(image, cmap=maps.get(name), norm=ranges.get(name))
            axis.set(xticks=[], yticks=[])
        axes[0, column].set_title(f"{(estimate.stamp_ns - start_ns) / 1e9:.1f} s", fontsize=9)
    for name, row in zip(names, axes, strict=True):
        row[0].set_ylabel(name)
        if name in maps:
            shown = ScalarMappable(ranges[name], maps[name])
            label = f"{name} ({unit})" if name == "depth" else name
            figure.colorbar(shown, ax=list(row), label=label, fraction=0.02, panchor=False)


def _draw_map(
    axis: Axes, positions: Array, cloud: Cloud, plane: tuple[int, int], title: str
) -> None:
    shown = _below_ceiling(cloud, positions)
    depth_axis = ({0, 1, 2} - set(plane)).pop()
    order = np.argsort(cloud.points[shown, depth_axis] * (1 if depth_axis == 2 else -1))
    index = shown[order]
    x, y = cloud.points[index][:, plane].T
    axis.scatter(x, y, s=1.5, c=cloud.colors[index] / 255.0, linewidths=0, rasterized=True)
    if len(positions):
        path_x, path_y = positions[:, plane].T
        axis.plot(path_x, path_y, color="red", linewidth=1.2)
        axis.plot(path_x[:1], path_y[:1], "o", color="lime", markersize=7, label="start")
        axis.plot(path_x[-1:], path_y[-1:], "s", color="red", markersize=6, label="end")
        axis.legend(loc="upper right", fontsize=9)
    axis.set_aspect("equal")
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("xyz"[plane[0]])
    axis.set_ylabel("xyz"[plane[1]])
    axis.grid(alpha=0.3)


def _below_ceiling(cloud: Cloud, positions: Array) -> NDArray[np.int64]:
    """Indices of points not much higher than the cameras, at most so many."""
    if not len(cloud):
        return np.zeros(0, np.int64)
    z = cloud.points[:, 2]
    ceiling = np.inf
    if len(positions):
        ceiling = positions[:, 2].max() + 0.1 * float(np.ptp(np.percentile(z, [2, 98])))
    index = np.flatnonzero(z <= ceiling)
    return index[:: max(1, -(-len(index) // _DRAWN_POINTS))]
