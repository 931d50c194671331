# SPDX-License-Identifier: Apache-2.0
"""An evaluation as one JSON and one self-contained HTML file."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zipmap_ros.evaluation import plots
from zipmap_ros.evaluation.metrics.trajectory import THRESHOLDS_DEG
from zipmap_ros.evaluation.runs import STILL, VELOCITY, Run, Views
from zipmap_ros.evaluation.scores import MAP_THRESHOLD, MAP_VOXEL
from zipmap_ros.frame import Frame

FORMAT = "zipmap_evaluation_1"
GUESSES = (STILL, VELOCITY)
UNTRAINED = (
    "This network was never trained: its weights are random. "
    "The figures show that the evaluation runs, and nothing else."
)


@dataclass(frozen=True)
class Column:
    """A column of the tables: the key of its figures, heading, digits, and which way is better."""

    key: str
    heading: str
    digits: int
    better: str = "less"  # less, more, or "" where neither is


TRAJECTORY = (
    Column("ate_sim3.rmse", "ATE Sim(3), m", 3),
    Column("ate_sim3.percent", "ATE, % of path", 1),
    Column("ate_se3.rmse", "ATE SE(3), m", 3),
    Column("scale", "scale", 2, ""),
    Column("rpe.translation", "RPE, m/frame", 4),
    Column("rpe.rotation_deg", "RPE, °/frame", 2),
    Column("rpe_m.translation", "RPE, m/m", 3),
    Column("rpe_m.rotation_deg", "RPE, °/m", 2),
    Column("drift.percent", "end drift, % of path", 1),
    Column("drift.rotation_deg", "end drift, °", 1),
    Column("pairs.rotation_deg", "pair rotation, °", 1),
    Column("motion.translation", "motion error / predicted", 2, ""),
    Column("motion.rotation", "turn error / predicted", 2, ""),
    *(
        Column(f"pairs.{name}@{t}", f"{title}@{t}", 1, "more")
        for name, title in (("auc", "AUC"), ("racc", "Racc"), ("tacc", "Tacc"))
        for t in THRESHOLDS_DEG
    ),
)
DENSE = (
    Column("depth_raw.abs_rel", "AbsRel as predicted", 3),
    Column("depth_median.abs_rel", "AbsRel, median scale", 3),
    Column("depth.abs_rel", "AbsRel", 3),
    Column("depth.rmse", "RMSE, m", 3),
    Column("depth.delta_1_25", "δ<1.25, %", 1, "more"),
    Column("map.accuracy_mean", "map accuracy, m", 3),
    Column("map.completeness_mean", "completeness, m", 3),
    Column("map.f_score", "F-score, %", 1, "more"),
    Column("query.abs_rel", "unseen views: AbsRel", 3),
    Column("query.psnr_db", "PSNR, dB", 1, "more"),
    Column("seconds_per_frame", "s/frame", 4, ""),
    Column("kept_percent", "frames kept, %", 0, ""),
    Column("estimated_percent", "estimated, %", 0, ""),
)
SUMMARY = ("ate_sim3.percent", "pairs.rotation_deg", "depth.abs_rel", "seconds_per_frame")


@dataclass(frozen=True)
class Row:
    """The figures of one mode at one length: the mean over clips, and each clip's own.

    deciles   depth AbsRel by decile of confidence, least first; [] without
    problems  why frames have no estimate, or a clip no figures
    """

    data: str
    length: int
    mode: str
    mean: dict[str, float]
    clips: dict[str, dict[str, float]]
    deciles: list[float]
    problems: list[str]


@dataclass(frozen=True, eq=False)
class Example:
    """A clip with everything that was predicted of it, for the pictures."""

    data: str
    length: int
    name: str
    frames: Sequence[Frame]
    runs: Sequence[Run]
    views: Views | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a report says."""

    machine: dict[str, object]
    model: dict[str, object]
    settings: dict[str, object]
    rows: Sequence[Row]
    examples: Sequence[Example]

    @property
    def untrained(self) -> bool:
        """Whether the weights are known to be random."""
        return self.model.get("trained") is False

    def summary(self) -> str:
        """A short table for a terminal."""
        if self.untrained:
            return UNTRAINED
        columns = [c for c in (*TRAJECTORY, *DENSE) if c.key in SUMMARY]
        wide = max([24, *(len(row.data) for row in self.rows)])
        head = f"{'data':{wide}} {'N':>4} {'mode':36} " + " ".join(
            f"{c.heading:>16}" for c in columns
        )
        lines = [
            f"{row.data:{wide}} {row.length:4} {row.mode:36} "
            + " ".join(f"{_number(row.mean.get(c.key), c.digits):>16}" for c in columns)
            for row in self.rows
        ]
        return "\n".join([head, *lines])


def write_json(evaluation: Evaluation, path: Path) -> str:
    """Write and return the report as JSON; a figure that is not defined is null."""
    content = {
        "format": FORMAT,
        "untrained": evaluation.untrained,
        "machine": evaluation.machine,
        "model": evaluation.model,
        "settings": {
            **evaluation.settings,
            "map_threshold_m": MAP_THRESHOLD,
            "map_voxel_m": MAP_VOXEL,
        },
        "results": [asdict(row) for row in evaluation.rows],
    }
    text = json.dumps(_without_nan(content), indent=1, allow_nan=False)
    path.write_text(text + "\n")
    return text


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write the report as one HTML file, plots embedded as PNG."""
    model, machine = evaluation.model, evaluation.machine
    parts = [f"<h1>{escape(str(model['file']))}: evaluation</h1>"]
    if evaluation.untrained:
        parts.append(f'<p class="warning">{escape(UNTRAINED)}</p>')
    parts.append(_facts({**model, **machine, **evaluation.settings}))
    parts.append(f"<p>{escape(_EXPLANATION)}</p>")
    for example in evaluation.examples:
        rows = [row for row in evaluation.rows if row.data == example.data]
        parts.append(f"<h2>{escape(example.data)}</h2>")
        parts += [_table(rows, columns) for columns in (TRAJECTORY, DENSE)]
        for row in rows:
            of = f"{row.mode}, {row.length} frames: "
            parts += [f"<p>{escape(of + problem)}</p>" for problem in row.problems]
        parts += [_image(title, figure) for title, figure in _figures(rows, example)]
    path.write_text(_PAGE.format(body="\n".join(parts)), encoding="utf-8")


def _figures(rows: Sequence[Row], example: Example) -> Iterator[tuple[str, Figure]]:
    panels = []
    for key in SUMMARY:
        column = next(c for c in (*TRAJECTORY, *DENSE) if c.key == key)
        lines: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            if math.isfinite(row.mean.get(key, math.nan)):
                lines.setdefault(row.mode, []).append((row.length, row.mean[key]))
        if lines:
            panels.append((column.heading, lines))
    if panels:
        yield "By sequence length", plots.curves(panels)
    longest = [row for row in rows if row.length == example.length]
    where = f"{example.name} ({example.length} frames)"
    figure = plots.trajectories(example.runs, example.frames)
    if figure:
        yield f"Trajectories after Sim(3) alignment: {where}", figure
    for run in example.runs:
        sheet = None if run.mode in GUESSES else plots.depth_sheet(run, example.frames)
        if sheet:
            yield f"Depth, {run.mode}: {where}", sheet
            break
    deciles = {row.mode: np.array(row.deciles) for row in longest if row.deciles}
    if deciles:
        yield f"Depth error by confidence, {example.length} frames", plots.calibration(deciles)
    figure = plots.maps(example.runs, example.frames)
    if figure:
        yield f"Maps from above, after Sim(3) alignment: {where}", figure
    figure = plots.view_sheet(example.views, example.frames) if example.views else None
    if figure:
        yield f"Unseen views: {where}", figure


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """One table, none without figures; what is worse than the better guess of its length is
    marked."""
    used = [c for c in columns if any(math.isfinite(r.mean.get(c.key, math.nan)) for r in rows)]
    if not used:
        return ""
    head = "".join(f"<th>{escape(c.heading)}</th>" for c in used)
    lines = []
    for previous, row in zip([None, *rows], rows, strict=False):
        guesses = [r for r in rows if r.length == row.length and r.mode in GUESSES]
        cells = "".join(_cell(row, guesses, column) for column in used)
        new = ' class="first"' if previous is None or previous.length != row.length else ""
        mode = "guess" if row.mode in GUESSES else ""
        lines.append(
            f'<tr{new}><td>{row.length}</td><td class="mode {mode}">{escape(row.mode)}</td>'
            f"<td>{len(row.clips)}</td>{cells}</tr>"
        )
    return (
        '<div><table><tr><th>frames</th><th class="mode">mode</th>'
        f"<th>clips</th>{head}</tr>\n" + "\n".join(lines) + "</table></div>"
    )


def _cell(row: Row, guesses: Sequence[Row], column: Column) -> str:
    value = row.mean.get(column.key, math.nan)
    others = [g.mean.get(column.key, math.nan) for g in guesses]
    others = [other for other in others if math.isfinite(other)]
    marked = ""
    if row.mode not in GUESSES and others and column.better and math.isfinite(value):
        loses = value > min(others) if column.better == "less" else value < max(others)
        marked = ' class="loses"' if loses else ""
    return f"<td{marked}>{_number(value, column.digits)}</td>"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _facts(facts: dict[str, object]) -> str:
    cells = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(json.dumps(value))}</td></tr>"
        for key, value in facts.items()
    )
    return f"<details><summary>Network, machine, settings</summary><table>{cells}</table></details>"


def _image(title: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<h3>{escape(title)}</h3><img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return value


_EXPLANATION = (
    "Means over clips. Streams and batch are the network alone; mapper is the robot's pipeline "
    "with default parameters, its keyframe gating and refusals included: compare it with stream 1. "
    "It sees no true depth, and uses the camera's calibration, which the network does not. "
    "The guesses know the true pose of the first two frames and the first frame's median depth; "
    "a figure in red is worse than the better of them. Depth is judged with one scale per clip "
    "(Weiszfeld) unless a column says otherwise; maps are aligned by Sim(3) over pixels, without "
    f"ICP, at {MAP_VOXEL * 100:g} cm, F-score within {MAP_THRESHOLD * 100:g} cm. Unseen views: one "
    "frame in eight, not shown to the network, asked for at its true pose, which is brought to the "
    "estimated world by Sim(3), orientations counting; the guess is the image before it. Depth and "
    "unseen views are pictured for the first mode that has them. Motion and turn errors are those "
    "over ten frames, in the standard deviations that the mapper predicts (1: as large as "
    "predicted). Times are wall time, with mapping for mapper."
)
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>ZipMap evaluation</title><style>
body {{ font: 14px sans-serif; margin: 2em; color: #222; max-width: 1500px }}
div {{ overflow-x: auto }} img {{ max-width: 100% }}
table {{ border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums }}
th, td {{ padding: 2px 8px; text-align: right; font-size: 12px; white-space: nowrap }}
th {{ border-bottom: 1px solid #888; white-space: normal; vertical-align: bottom }}
tr.first td {{ border-top: 1px solid #ccc }}
.mode {{ text-align: left }} td.guess {{ color: #777 }} td.loses {{ color: #c22 }}
details td {{ text-align: left; white-space: normal }}
.warning {{ background: #fe9; padding: 1em; font-weight: bold }}
</style></head><body>
{body}
</body></html>
"""
