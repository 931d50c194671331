# SPDX-License-Identifier: Apache-2.0
"""Plots of saved results, each beside its file.

python benchmark/plots.py benchmark/results/*.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

# question -> what lies below, what is drawn over it, whether both axes are logarithmic.
AXES = {
    "network batch": ("frames", ("seconds", "quadratic_seconds"), True),
    "network stream": ("chunk", ("frames_per_s", "p99_ms"), False),
    "network drift": ("frames", ("p50_ms", "peak_mb"), False),
    "network query": ("views", ("views_per_s",), False),
}


def plot(path: Path) -> Path | None:
    """Draw a saved result as PNG; None where its question has no axes or no rows are left."""
    record = json.loads(path.read_text())
    x, names, logarithmic = AXES.get(record["question"], (None, (), False))
    rows = [row for row in record["rows"] if x in row]
    if not rows:
        return None
    # Rows of other choices are lines of their own.
    kinds = dict.fromkeys((row.get("variant"), row.get("graph")) for row in rows)
    figure = Figure()
    panels = figure.subplots(1, 1 if logarithmic else len(names), squeeze=False)
    for i, name in enumerate(names):
        axes = panels[0][0 if logarithmic else i]
        for variant, graph in kinds:
            points = sorted(
                (row[x], row[name])
                for row in rows
                if (row.get("variant"), row.get("graph")) == (variant, graph)
                and isinstance(row.get(name), (int, float))
            )
            words = (name, variant, "graph" if graph else None)
            label = ", ".join(filter(None, words))
            if points:
                axes.plot([p[0] for p in points], [p[1] for p in points], "o-", label=label)
        axes.set_xlabel(x)
        axes.legend(fontsize=7 if len(kinds) > 1 else None)
        if logarithmic:
            axes.set(xscale="log", yscale="log")
        else:
            axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", rotation=30)
    device = record["cpu"] if record["device"] == "cpu" else record["device"]
    figure.suptitle(f"{record['question']}, {record.get('size', '')}, {device}", fontsize=9)
    figure.tight_layout()
    target = path.with_suffix(".png")
    figure.savefig(target, dpi=120)
    return target


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(plot(Path(argument)))
