# SPDX-License-Identifier: Apache-2.0
"""What a camera that goes round and round costs, or gains: drift, depth and map by round.

    python benchmark/rounds.py

The same synthetic rooms, carried by hand, every round by another way (some 8 cm and 4 degrees
aside, smoothly, with noise in the images); once with the mapper as it is, once without places and
with every keyframe in the state. Each row is the mean over the rooms after so many rounds: errors
of all poses until then after alignment by Sim(3), depth of the last round after one scale for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from measure import report

from zipmap_ros.evaluation.runs import fit, mapper_run, true_poses
from zipmap_ros.evaluation.scores import depth_scores, mean_scores, trajectory_scores
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera, invert, se3_exp, se3_log
from zipmap_ros.mapping import StreamMapper, keyframes, places
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.sources.synthetic import frames_along
from zipmap_ros.synthetic import World

FRAMES = 300  # of a round
ASIDE = np.array([0.08] * 3 + [np.deg2rad(4)] * 3)  # metres, radians
NOISE = 2.0  # standard deviation of the pixels, of 255


def carried(world: World, seed: int, rounds: int) -> Array:
    """(N, 4, 4) poses of a hand that goes round and round, never the same way."""
    way = world.trajectory(FRAMES, "hand", seed, loop=True).numpy()
    rng = np.random.default_rng(seed)
    t = np.arange(rounds * FRAMES)
    aside = np.zeros((len(t), 6))
    for _ in range(3):
        period, phase = rng.uniform(60, 400, 6), rng.random(6)
        aside += ASIDE / 2 * np.sin(2 * np.pi * (t[:, None] / period + phase))
    aside *= np.clip(t / 30, 0, 1)[:, None]  # the first pose is that of the way
    poses = []
    for i, twist in zip(t, aside, strict=True):
        here, there = way[i % FRAMES], way[(i + 1) % FRAMES]
        share = (i // FRAMES) / rounds  # of the way to the next pose
        poses.append(here @ se3_exp(share * se3_log(invert(here) @ there)) @ se3_exp(twist))
    return np.stack(poses)


def seen(model: ZipMap, seed: int, rounds: int) -> list[Frame]:
    """What the camera sees, as the network sees it."""
    world, width = World(seed), model.config.image_size
    camera = Camera.from_fov(width, width * 3 // 4, 65.0)
    poses, rng, frames = carried(world, seed, rounds), np.random.default_rng(seed), []
    for frame in frames_along(world, torch.from_numpy(poses), camera, 1):
        noisy = (frame.rgb + rng.normal(0, NOISE, frame.rgb.shape)).round().clip(0, 255)
        frames.append(fit(replace(frame, rgb=noisy.astype(np.uint8)), model.config))
    return frames


def measured(model: ZipMap, frames: Sequence[Frame], rounds: int) -> list[dict[str, float]]:
    """Scores after each round of one room."""
    mapper, poses, scores = StreamMapper(model), [], []
    for last in range(rounds):
        part = frames[last * FRAMES : (last + 1) * FRAMES]
        run = mapper_run(model, part, mapper)
        if len(run.index) < len(part):
            raise SystemExit(f"{len(part) - len(run.index)} images were refused: {run.problem}")
        poses.append(run.poses)
        truth = true_poses(frames[: (last + 1) * FRAMES])
        way = trajectory_scores(np.concatenate(poses), truth)
        cloud = mapper.voxel_map.cloud()
        scores.append(
            {
                "in_state": mapper.state.frames_seen,
                "known": len(mapper.tracks.places.references),
                "ate_m": way["ate_sim3.rmse"],
                "rotation_deg": way["pairs.rotation_deg"],
                "depth_abs_rel": depth_scores(run, part)["depth.abs_rel"],
                "confidence": float(np.median(np.asarray(run.confidence))),
                "map_points": len(cloud.points),
                "ms_per_frame": 1e3 * (run.seconds_per_frame or 0.0),
            }
        )
    return scores


def rows_of(
    model: ZipMap, rooms: Sequence[list[Frame]], rounds: int
) -> Iterator[dict[str, object]]:
    """A row for each round, with places and without."""
    for name, most, share in (("yes", places.MOST, keyframes.NEW_SHARE), ("no", 0, 0.0)):
        known = mock.patch.object(places, "MOST", most)
        new = mock.patch.object(keyframes, "NEW_SHARE", share)
        with known, new:
            of_rooms = [measured(model, frames, rounds) for frames in rooms]
        for i in range(rounds):
            mean = mean_scores([scores[i] for scores in of_rooms])
            yield {"places": name, "rounds": i + 1, **mean}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--rooms", type=int, nargs="+", default=[1, 2, 3, 4], help="seeds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model, device = load_checkpoint(args.checkpoint), torch.device("cpu")
    rooms = [seen(model, seed, args.rounds) for seed in args.rooms]
    settings = {"checkpoint": Path(args.checkpoint).name, "rooms": str(args.rooms)}
    report(__doc__.split("\n")[0], device, settings, rows_of(model, rooms, args.rounds), args.save)


if __name__ == "__main__":
    main()
