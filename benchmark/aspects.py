# SPDX-License-Identifier: Apache-2.0
"""What the mapper makes of images of other aspects, cut out of the same recording.

    python benchmark/aspects.py data/kitchen

Clips of --frames follow one another through a folder in the 7-Scenes layout. Each aspect is cut out
of the middle of every image, and mapped with its calibration and without; a row is the mean over
the clips. Errors are after alignment by Sim(3), depth after one scale for the clip, ``focal`` is
the last focal length over the true one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from measure import report

from zipmap_ros.evaluation.runs import fit, mapper_run, true_poses
from zipmap_ros.evaluation.scores import depth_scores, mean_scores, trajectory_scores
from zipmap_ros.frame import Frame
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.sources import open_source

ASPECTS = {"4:3": 4 / 3, "16:9": 16 / 9, "10:3": 10 / 3, "1:1": 1.0, "3:4": 3 / 4, "9:16": 9 / 16}


def cut(frame: Frame, aspect: float) -> Frame:
    """The largest middle of a frame, its depth and its camera that is so wide by its height."""
    height, width = frame.rgb.shape[:2]
    left = max(round((width - height * aspect) / 2), 0)
    top = max(round((height - width / aspect) / 2), 0)
    window = np.s_[top : height - top, left : width - left]
    assert frame.camera is not None and frame.depth is not None
    return replace(
        frame,
        rgb=np.ascontiguousarray(frame.rgb[window]),
        depth=np.ascontiguousarray(frame.depth[window]),
        camera=frame.camera.cropped(left, top, width - 2 * left, height - 2 * top),
    )


def measured(model: ZipMap, seen: list[Frame], calibrated: bool) -> dict[str, float]:
    """One clip, as the network sees it, through the mapper."""
    frames = seen if calibrated else [replace(frame, camera=None) for frame in seen]
    run = mapper_run(model, frames)
    estimated = [seen[i] for i in run.index]
    scores = trajectory_scores(run.poses, true_poses(estimated)) | depth_scores(run, estimated)
    last = estimated[-1].camera
    assert last is not None
    return {
        "rotation_deg": scores["pairs.rotation_deg"],
        "ate_%": 100 * scores["ate_sim3.rmse"] / scores["path_length"],
        "depth_abs_rel": scores["depth.abs_rel"],
        "focal": float(run.K[-1, 0, 0]) / last.fx,
        "ms_per_frame": 1e3 * (run.seconds_per_frame or 0.0),
    }


def rows_of(model: ZipMap, clips: list[list[Frame]]) -> Iterator[dict[str, object]]:
    """A row for each aspect, with and without calibration."""
    for name, aspect in ASPECTS.items():
        seen = [[fit(cut(frame, aspect), model.config) for frame in clip] for clip in clips]
        height, width = seen[0][0].rgb.shape[:2]
        for calibrated in (True, False):
            row = {"aspect": name, "image": f"{height}x{width}", "calibrated": calibrated}
            yield row | mean_scores([measured(model, clip, calibrated) for clip in seen])


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kitchen", help="a folder in the 7-Scenes layout")
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60, help="of a clip")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model = load_checkpoint(args.checkpoint, args.device)
    source = iter(open_source("folder", args.kitchen))
    clips = [list(islice(source, args.frames)) for _ in range(args.clips)]
    settings = {"checkpoint": Path(args.checkpoint).name, "frames": args.frames}
    report("images of other aspects", args.device, settings, rows_of(model, clips), args.save)


if __name__ == "__main__":
    main()
