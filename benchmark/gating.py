# SPDX-License-Identifier: Apache-2.0
"""What keyframe gating costs, or gains: the same clips with every frame kept, and with gates.

    python benchmark/gating.py --kitchen data/kitchen

loop     one way round a synthetic room by hand, ending where it began
pauses   the same, standing still for --pause frames (with new noise) at every tenth frame
kitchen  the first frames of a folder in the 7-Scenes layout, where one is given

Every row is the mean over the clips of its kind; errors are after alignment by Sim(3), depth after
one scale for the clip. ``kept`` is the share of the frames that stayed in the state.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure import report

from zipmap_ros.evaluation.datasets import open_dataset
from zipmap_ros.evaluation.runs import fit, mapper_run, true_poses
from zipmap_ros.evaluation.scores import depth_scores, mean_scores, trajectory_scores
from zipmap_ros.frame import Frame
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.parameters import Parameters
from zipmap_ros.sources.synthetic import SyntheticSource

# keyframe_translation_m, keyframe_rotation_deg
GATES = {
    "none": (0.0, 0.0),
    "default": (Parameters().keyframe_translation_m, Parameters().keyframe_rotation_deg),
    "5 cm, 3 deg": (0.05, 3.0),
    "15 cm, 8 deg": (0.15, 8.0),
}
COLUMNS = {
    "kept_%": "kept_percent",
    "estimated_%": "estimated_percent",
    "ate_m": "ate_sim3.rmse",
    "rpe_m": "rpe.translation",
    "rpe_deg": "rpe.rotation_deg",
    "drift_%": "drift.percent",
    "depth_abs_rel": "depth.abs_rel",
    "ms_per_frame": "ms_per_frame",
}
NOISE = 2.0  # standard deviation of a standing camera's pixels, of 255
PAUSE_EVERY = 10


def loops(model: ZipMap, count: int, length: int) -> list[list[Frame]]:
    """Loops through ``count`` rooms that training never sees, as the network sees them."""
    width = model.config.image_size
    sources = (SyntheticSource(s, length, width, width * 3 // 4) for s in range(count))
    return [[fit(frame, model.config) for frame in source] for source in sources]


def paused(frames: Sequence[Frame], standing: int) -> list[Frame]:
    """Every tenth frame is seen ``standing`` times more, each time with other noise."""
    rng = np.random.default_rng(0)
    result = []
    for i, frame in enumerate(frames):
        result.append(frame)
        for _ in range(standing if i % PAUSE_EVERY == 0 else 0):
            noisy = frame.rgb + rng.normal(0, NOISE, frame.rgb.shape)
            result.append(replace(frame, rgb=noisy.round().clip(0, 255).astype(np.uint8)))
    return result


def kitchen(model: ZipMap, path: str, length: int) -> list[list[Frame]]:
    """The first frames of a 7-Scenes folder."""
    data = open_dataset(f"kitchen:{path}", length, 1, 1, model.config)
    return [sequence.frames for sequence in data.sequences]


def measured(model: ZipMap, frames: list[Frame], gate: tuple[float, float]) -> dict[str, float]:
    """One clip through the mapper."""
    changes = {"keyframe_translation_m": gate[0], "keyframe_rotation_deg": gate[1]}
    run = mapper_run(model, frames, StreamMapper(model, Parameters().updated(changes)))
    scores = {
        "estimated_percent": 100 * len(run.index) / len(frames),
        "kept_percent": run.kept_percent or 0.0,
        "ms_per_frame": 1e3 * (run.seconds_per_frame or 0.0),
    }
    if run.finite and len(run.index) >= 3:
        seen = [frames[i] for i in run.index]
        scores |= trajectory_scores(run.poses, true_poses(seen)) | depth_scores(run, seen)
    return scores


def rows_of(model: ZipMap, clips: dict[str, list[list[Frame]]]) -> Iterator[dict[str, object]]:
    """A row for each kind of clip and gate."""
    for data, sequences in clips.items():
        for gate, values in GATES.items():
            mean = mean_scores([measured(model, frames, values) for frames in sequences])
            row = {"data": data, "frames": sum(map(len, sequences)), "gate": gate}
            yield row | {name: mean[key] for name, key in COLUMNS.items() if key in mean}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--kitchen", metavar="PATH", help="a folder in the 7-Scenes layout")
    parser.add_argument("--loops", type=int, default=3, help="synthetic rooms")
    parser.add_argument("--frames", type=int, default=100, help="of a loop, and of kitchen")
    parser.add_argument("--pause", type=int, default=10, help="frames of one standstill")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model = load_checkpoint(args.checkpoint, args.device)
    moving = loops(model, args.loops, args.frames)
    clips = {"loop": moving, "pauses": [paused(frames, args.pause) for frames in moving]}
    if args.kitchen:
        clips["kitchen"] = kitchen(model, args.kitchen, args.frames)
    mapper_run(model, moving[0][:2])  # first-time set-up
    settings = {"checkpoint": Path(args.checkpoint).name, "pause": args.pause}
    report("keyframe gating", args.device, settings, rows_of(model, clips), args.save)


if __name__ == "__main__":
    main()
