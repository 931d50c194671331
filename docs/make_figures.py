# SPDX-License-Identifier: Apache-2.0
"""Makes docs/<data>_depth.png, _views.png, _path.png and _map.png: what the weights make of data.

    python docs/make_figures.py synthetic kitchen:FOLDER video:CLIP.mp4 [--frames 100]

Data is named as for ``zipmap evaluate``; what has no truth gets the pictures that need none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from zipmap_ros.evaluation import plots
from zipmap_ros.evaluation.datasets import open_dataset
from zipmap_ros.evaluation.runs import (
    guess_runs,
    has_poses,
    mapper_run,
    mapper_views,
    stream_run,
)
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint

DOCS = Path(__file__).resolve().parent


def figures(model: ZipMap, data: str, frames: int) -> dict[str, Figure | None]:
    """The pictures of the first clip of some data, by what they show."""
    seen = open_dataset(data, frames, 1, 1, model.config).sequences[0].frames
    mapped = mapper_run(model, seen)
    shown: dict[str, Figure | None] = {"depth": plots.depth_sheet(mapped, seen)}
    if has_poses(seen):
        runs = [stream_run(model, seen, 1), mapped, *guess_runs(seen)[:1]]
        shown["path"] = plots.trajectories(runs[:2], seen)
        shown["map"] = plots.maps(runs, seen)
        views = mapper_views(model, seen)
        shown["views"] = plots.view_sheet(views, seen) if views else None
    return shown


def main() -> None:
    """Draw everything that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="KIND or KIND:PATH")
    parser.add_argument("--checkpoint", type=Path, default=shipped_checkpoint())
    parser.add_argument("--frames", type=int, default=100)
    arguments = parser.parse_args()
    model = load_checkpoint(arguments.checkpoint)
    for data in arguments.data:
        kind, _, path = data.partition(":")
        name = Path(path).stem if path else kind
        for what, figure in figures(model, data, arguments.frames).items():
            if figure is not None:
                target = DOCS / f"{name}_{what}.png"
                figure.savefig(target)
                print(target)


if __name__ == "__main__":
    main()
