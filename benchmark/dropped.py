# SPDX-License-Identifier: Apache-2.0
"""How well a camera is followed where images are dropped or stamped late, in unseen worlds.

    python benchmark/dropped.py

Of each clip (10 images a second) all images are used, or at random every one to second, every one
to fourth; each with the true stamps, and with 4 in 10 up to 0.1 s late. The same again without the
search for turns (`zipmap_ros.mapping.turning`). Each way from one used image to the next is judged:
``wrong_%`` are those whose rotation is off by more than 2 degrees, ``step_deg`` is their mean.
ATE is in per cent of the path; ``refused`` images gave no pose. All are means over the clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from measure import report

from zipmap_ros.evaluation.datasets import Clip, open_dataset
from zipmap_ros.evaluation.runs import true_poses
from zipmap_ros.evaluation.scores import trajectory_scores
from zipmap_ros.geometry import invert, rotation_angle_deg
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.mapping.alignment import Reference
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint

LONGEST_GAPS = (1, 2, 4)
STEP_NS, LATE_NS, LATE = 100_000_000, 95_000_000, 0.4
WRONG_DEG = 2.0


def measured(model: ZipMap, clip: Clip, longest: int, late: bool) -> dict[str, float]:
    """The scores of one clip."""
    rng, true = np.random.default_rng(0), true_poses(clip.frames)
    used = np.cumsum(rng.integers(1, longest + 1, len(clip.frames))) - 1
    used = used[used < len(clip.frames)]
    lateness = rng.uniform(0, LATE_NS, len(used)) * (rng.random(len(used)) < LATE) * late
    stamps = used * STEP_NS + lateness.astype(int)
    mapper = StreamMapper(model)
    found = {}
    for i, stamp_ns in zip(used, stamps, strict=True):
        frame = replace(clip.frames[i], stamp_ns=int(stamp_ns), depth=None, map_T_camera=None)
        found |= {int(i): e.map_T_camera for e in mapper.add_frame(frame)}
    index, poses = list(found), np.array(list(found.values()))
    ways, true_ways = (invert(T[:-1]) @ T[1:] for T in (poses, true[index]))
    off = [
        rotation_angle_deg((invert(a) @ b)[:3, :3]) for a, b in zip(ways, true_ways, strict=True)
    ]
    return {
        "wrong_%": 100 * float(np.mean(np.array(off) > WRONG_DEG)),
        "step_deg": float(np.mean(off)),
        "ate_%": trajectory_scores(poses, true[index])["ate_sim3.percent"],
        "refused": float(len(used) - len(found)),
    }


def rows_of(model: ZipMap, clips: Sequence[Clip]) -> Iterator[dict[str, object]]:
    """The means over clips, for each kind of stream, without and with the search."""
    for longest in LONGEST_GAPS:
        for late in (False, True):
            for turns in ("not searched", "searched"):
                if turns == "searched":
                    every = [measured(model, clip, longest, late) for clip in clips]
                else:
                    with patch.object(Reference, "turned", lambda *_: None):
                        every = [measured(model, clip, longest, late) for clip in clips]
                means = {name: float(np.mean([e[name] for e in every])) for name in every[0]}
                yield {"gaps": longest, "late": late, "turns": turns} | means


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="synthetic", help="as of `zipmap evaluate`")
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=200, help="of a clip")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model = load_checkpoint(args.checkpoint, args.device)
    data = open_dataset(args.data, args.frames, args.clips, 1, model.config)
    settings = {"checkpoint": Path(args.checkpoint).name, "data": args.data, "frames": args.frames}
    rows = rows_of(model, list(data.clips(args.frames, args.clips)))
    report("dropped", args.device, settings, rows, args.save)


if __name__ == "__main__":
    main()
