# SPDX-License-Identifier: Apache-2.0
"""The course of a run as a picture: losses, and errors on unseen worlds beside the guesses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

SMOOTHING = 0.95
PANELS = (
    (
        "losses (smoothed)",
        ("transfer", "camera", "points", "motion", "depth", "gradient", "query"),
        (),
    ),
    (
        "depth AbsRel, unseen worlds",
        ("unseen_abs_rel", "unseen_abs_rel_as_predicted"),
        ("unseen_constant_depth",),
    ),
    ("rotation error in degrees, unseen", ("unseen_rotation_deg",), ("unseen_still_rotation_deg",)),
    ("ATE in % of the path, unseen", ("unseen_ate_percent",), ("unseen_still_ate_percent",)),
)


def plot_log(log: Path, picture: Path) -> None:
    """Draw ``log.jsonl`` of a run as a PNG."""
    from matplotlib.figure import Figure

    records = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, (title, lines, guesses) in zip(axes.flat, PANELS, strict=True):
        for name in (*lines, *guesses):
            points = [(i, r[name]) for i, r in enumerate(records) if name in r]
            if not points:
                continue
            steps, values = (list(column) for column in zip(*points, strict=True))
            if name in PANELS[0][1]:
                values = _smooth(values)
            style = "--" if name in guesses else "-"
            axis.plot(steps, values, style, label=name.removeprefix("unseen_"))
        for i, (before, after) in enumerate(pairwise(records), start=1):
            if before["phase"] != after["phase"]:
                axis.axvline(i, color="grey", linewidth=0.8)
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    axes.flat[0].set_yscale("symlog", linthresh=0.1)  # confidence lets a loss fall below 0
    figure.savefig(picture, dpi=80)


def _smooth(values: Sequence[float]) -> list[float]:
    smoothed, last = [], values[0]
    for value in values:
        last = SMOOTHING * last + (1 - SMOOTHING) * value
        smoothed.append(last)
    return smoothed
