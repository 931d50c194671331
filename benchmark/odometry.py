# SPDX-License-Identifier: Apache-2.0
"""How much odometry helps, by how wrong it is: the mapper in unseen worlds.

    python benchmark/odometry.py

The same clips without odometry, with a good one (lengths 3 % too long, turns 2 % too large) and
with one whose wheels slide as they turn (5 % too short, turns a fifth too small), each with noise
of half a degree after a metre, `scale_source: odom`. Errors are those of the trajectory as it is in
the end: rotation between all pairs of frames, ATE after Sim(3) in per cent of the path; and whether
the scale locked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from measure import report

from zipmap_ros.evaluation.datasets import Clip, open_dataset
from zipmap_ros.evaluation.runs import true_poses
from zipmap_ros.evaluation.scores import trajectory_scores
from zipmap_ros.geometry import BODY_T_OPTICAL, Array, invert, se3_exp, se3_log
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.parameters import Parameters

KINDS = {"none": None, "good": (1.03, 1.02), "slides": (0.95, 0.8)}  # lengths, turns
NOISE_DEG = 0.5  # after a metre
STEP_NS = 100_000_000
SCORES = ("rotation_deg", "ate_%", "locked")


def odometry(poses: Array, lengths: float, turns: float) -> list[Array]:
    """(4, 4) odom_T_base for each (4, 4) world_T_camera."""
    rng, bases = np.random.default_rng(0), poses @ invert(BODY_T_OPTICAL)
    odom = [np.eye(4)]
    for before, now in pairwise(bases):
        way = se3_log(invert(before) @ now) * np.repeat([lengths, turns], 3)
        metres = np.linalg.norm(way[:3])
        way[3:] += rng.normal(size=3) * np.deg2rad(NOISE_DEG) * np.sqrt(metres)
        odom.append(odom[-1] @ se3_exp(way))
    return odom


def measured(model: ZipMap, clip: Clip, errors: tuple[float, float] | None) -> dict[str, float]:
    """The SCORES of one clip."""
    true = true_poses(clip.frames)
    source = "none" if errors is None else "odom"
    mapper = StreamMapper(model, Parameters().updated({"scale_source": source}))
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    told = [] if errors is None else odometry(true, *errors)
    for i, odom_T_base in enumerate(told):
        mapper.add_odometry(i * STEP_NS, odom_T_base)
    for i, frame in enumerate(clip.frames):
        mapper.add_frame(replace(frame, stamp_ns=i * STEP_NS, depth=None))
    trajectory = mapper.trajectory
    index = trajectory.stamps_ns // STEP_NS
    scores = trajectory_scores(trajectory.poses, true[index])
    found = scores["pairs.rotation_deg"], scores["ate_sim3.percent"], float(mapper.scale.metric)
    return dict(zip(SCORES, found, strict=True))


def rows_of(model: ZipMap, clips: Sequence[Clip]) -> Iterator[dict[str, object]]:
    """A row for each clip and kind of odometry, then their medians and means."""
    errors: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for clip in clips:
        for kind, wrong in KINDS.items():
            scores = measured(model, clip, wrong)
            errors[kind].append(list(scores.values()))
            yield {"clip": clip.name, "odometry": kind} | scores
    for name, over in (("median", np.median), ("mean", np.mean)):
        for kind, each in errors.items():
            yield {"clip": name, "odometry": kind} | dict(zip(SCORES, over(each, 0), strict=True))


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
    rows = rows_of(model, data.clips(args.frames, args.clips))
    report("odometry", args.device, settings, rows, args.save)


if __name__ == "__main__":
    main()
