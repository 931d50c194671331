# SPDX-License-Identifier: Apache-2.0
"""The report's pictures, each a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from zipmap_ros.evaluation import metrics
from zipmap_ros.evaluation.runs import (
    STILL,
    VELOCITY,
    Run,
    Views,
    has_poses,
    true_depth,
    true_poses,
)
from zipmap_ros.evaluation.scores import aligned_clouds
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array

_SHOWN = 5  # frames in a sheet of depth images
_CLOUD_POINTS = 20_000


def curves(panels: Sequence[tuple[str, dict[str, list[tuple[int, float]]]]]) -> Figure:
    """One panel for each (title, {mode: [(length, value)]}), of one at least; guesses are dashed
    grey."""
    figure, axes = _grid(1, len(panels), (3.6, 3.0))
    for axis, (title, lines) in zip(axes[0], panels, strict=True):
        for mode, points in lines.items():
            lengths, values = zip(*points, strict=True)
            (line,) = axis.plot(lengths, values, marker="o", markersize=3, label=mode)
            if mode in (STILL, VELOCITY):
                line.set(color="0.6", linestyle="--" if mode == STILL else ":")
        axis.set_xscale("log")
        axis.set_xticks(sorted({n for points in lines.values() for n, _ in points}))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("frames", fontsize=8)
        axis.grid(alpha=0.3)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside lower center", ncols=3)
    return figure


def trajectories(runs: Sequence[Run], frames: Sequence[Frame]) -> Figure | None:
    """Camera centres after Sim(3) alignment, seen along the axis in which the truth moves least."""
    usable = [run for run in runs if run.finite and len(run.index) >= 3]
    if not has_poses(frames) or not usable:
        return None
    truth = true_poses(frames)
    extent = np.ptp(truth[:, :3, 3], axis=0)
    a, b = sorted(np.argsort(extent)[1:])
    figure, axes = _grid(1, len(usable), (3.2, 3.2))
    for axis, run in zip(axes[0], usable, strict=True):
        _, aligned = metrics.align(run.poses, truth[run.index])
        axis.plot(truth[:, a, 3], truth[:, b, 3], color="0.5", label="truth")
        x, y = aligned[:, a, 3], aligned[:, b, 3]
        axis.plot(x, y, color="tab:red", marker=".", markersize=3, label=run.mode)
        axis.plot(truth[0, a, 3], truth[0, b, 3], "k.", label="start")
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_title(run.mode, fontsize=9)
        axis.set_xlabel(f"{'xyz'[a]} (m)", fontsize=8)
        axis.set_ylabel(f"{'xyz'[b]} (m)", fontsize=8)
        axis.legend(fontsize=7)
    return figure


def depth_sheet(run: Run, frames: Sequence[Frame]) -> Figure | None:
    """Image, true depth if there is one, predicted depth and confidence of some frames.

    With a truth the prediction is brought to its scale (Weiszfeld) and both share one range.
    """
    if not run.finite:
        return None
    picks = np.unique(np.linspace(0, len(run.index) - 1, _SHOWN).round().astype(int))
    seen = [frames[i] for i in run.index]
    truth = true_depth(seen)
    known = truth[np.isfinite(truth)]
    scale = metrics.robust_scale(run.depth, truth) if len(known) else 1.0
    top = float(np.percentile(known if len(known) else run.depth, 98))
    depth: dict[str, Any] = {"vmin": 0, "vmax": top, "cmap": "turbo"}
    rows: list[tuple[str, list[Array], dict[str, Any]]] = [
        ("image", [seen[i].rgb for i in picks], {})
    ]
    if len(known):
        rows.append((f"truth, 0..{top:.1f} m", list(truth[picks]), depth))
    rows.append((run.mode, list(run.depth[picks] * scale), depth))
    if run.confidence is not None:
        certain = {"cmap": "viridis"}
        rows.append(("log confidence", list(np.log(run.confidence[picks])), certain))
    figure, axes = _grid(len(rows), len(picks), (2.0, 1.6))
    for line, (_, images, look) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, **look)
    for axis, i in zip(axes[0], picks, strict=True):
        axis.set_title(f"frame {run.index[i]}", fontsize=8)
    _label_rows(axes, [name for name, _, _ in rows])
    return figure


def view_sheet(views: Views, frames: Sequence[Frame]) -> Figure | None:
    """Unseen views: the true image and depth, and what the state answered; None where its depth is
    not finite."""
    if not np.isfinite(views.depth).all():
        return None
    picks = np.unique(np.linspace(0, len(views.index) - 1, _SHOWN).round().astype(int))
    truth = true_depth([frames[i] for i in views.index])
    known = truth[np.isfinite(truth)]
    scale = metrics.robust_scale(views.depth, truth) if len(known) else 1.0
    top = float(np.percentile(known if len(known) else views.depth, 98))
    figure, axes = _grid(4, len(picks), (2.0, 1.6))
    for column, i in enumerate(picks):
        axes[0][column].imshow(frames[views.index[i]].rgb)
        axes[0][column].set_title(f"frame {views.index[i]}, not shown to it", fontsize=8)
        axes[1][column].imshow(np.clip(views.rgb[i], 0, 1))
        axes[2][column].imshow(truth[i], vmin=0, vmax=top, cmap="turbo")
        axes[3][column].imshow(views.depth[i] * scale, vmin=0, vmax=top, cmap="turbo")
    _label_rows(axes, ("image", "answer", "true depth", "answer"))
    return figure


def calibration(curves_by_mode: dict[str, Array]) -> Figure:
    """Depth error by decile of confidence; {mode: (10,) AbsRel}. It should fall to the right."""
    figure, axes = _grid(1, 1, (5.0, 3.0))
    for mode, errors in curves_by_mode.items():
        axes[0][0].plot(range(1, 11), errors, marker="o", markersize=3, label=mode)
    axes[0][0].set_xlabel("decile of confidence (10 = most)", fontsize=8)
    axes[0][0].set_ylabel("depth AbsRel", fontsize=8)
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].grid(alpha=0.3)
    axes[0][0].legend(fontsize=7)
    return figure


def maps(runs: Sequence[Run], frames: Sequence[Frame]) -> Figure | None:
    """Clouds after Sim(3) alignment, seen as the first camera's bird would: x right, z up."""
    usable = [r for r in runs if r.finite and np.isfinite(r.K).all()]
    if not has_poses(frames) or all(f.depth is None for f in frames) or not usable:
        return None
    first = true_poses(frames)[0]
    clouds: list[tuple[str, Array]] = []
    for run in usable:
        points, truth = aligned_clouds(run, [frames[i] for i in run.index])
        if len(truth):
            clouds = clouds or [("truth", truth)]
            clouds.append((run.mode, points))
    if not clouds:
        return None
    figure, axes = _grid(1, len(clouds), (3.2, 3.2))
    local = (clouds[0][1] - first[:3, 3]) @ first[:3, :3]
    low, high = np.percentile(local, 1, axis=0) - 0.3, np.percentile(local, 99, axis=0) + 0.3
    for axis, (title, points) in zip(axes[0], clouds, strict=True):
        some = points[:: max(1, len(points) // _CLOUD_POINTS)]
        view = (some - first[:3, 3]) @ first[:3, :3]
        axis.scatter(view[:, 0], view[:, 2], s=0.3, c=view[:, 1], cmap="viridis", linewidths=0)
        axis.set_xlim(low[0], high[0])
        axis.set_ylim(low[2], high[2])
        axis.set_aspect("equal")
        axis.set_title(title, fontsize=9)
    return figure


def _grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """A figure without a global backend, so that it can be drawn in any thread."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", dpi=90)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
    return figure, [list(row) for row in axes]


def _label_rows(axes: list[list[Axes]], labels: Sequence[str]) -> None:
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label, fontsize=8)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
