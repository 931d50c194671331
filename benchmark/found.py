# SPDX-License-Identifier: Apache-2.0
"""Whether a camera of which nobody knows where it is in a map is found, by its first image.

    python benchmark/found.py

In each of eight worlds a walk of 120 images, by hand, is mapped. Then single images are sought in
its places: 40 from near the walk (moved by 6 % of the depth and turned by 5 degrees up, 9 aside and
2 about the optical axis, standard deviations; in other light, with noise), and 50 of another walk
through the same world, of which hardly any shows what the first saw. An image is found ``rightly``
where the turn from the place that it is said to show is off by less than 3 degrees and the way by
less than 15 % of the depth, ``roughly`` up to 10 degrees and 30 %, else ``wrongly``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure import report

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera, invert, rotation_angle_deg, se3_exp
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.mapping.alignment import Fit, Picture
from zipmap_ros.mapping.places import Places
from zipmap_ros.mapping.prepare import prepare
from zipmap_ros.mapping.tracks import picture_of
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.sources.synthetic import frames_along
from zipmap_ros.synthetic import World

SEEDS = range(50100, 50108)
WALK, NEAR, ELSEWHERE, APART = 120, 40, 50, 8
CAMERA = Camera.from_fov(144, 108, 62.0)
STEP_NS = 100_000_000
OUTCOMES = ("rightly", "roughly", "wrongly", "not found")
LIMITS = ((3.0, 0.15), (10.0, 0.3))


def seen(world: World, poses: Array) -> list[Frame]:
    """Frames of a camera at (N, 4, 4) poses."""
    return list(frames_along(world, torch.as_tensor(poses), CAMERA, STEP_NS))


def near(world: World, walk: list[Frame], seed: int) -> list[Frame]:
    """What is seen beside the walk, in other light."""
    rng, poses = np.random.default_rng(seed), []
    for i in rng.integers(0, len(walk), NEAR):
        frame = walk[i]
        assert frame.map_T_camera is not None and frame.depth is not None
        way = rng.normal(0, 0.06 * np.nanmedian(frame.depth), 3)
        turn = np.deg2rad(rng.normal(0, [5, 9, 2]))
        poses.append(frame.map_T_camera @ se3_exp([*way, *turn]))
    frames = []
    for frame in seen(world, np.array(poses)):
        lit = frame.rgb * rng.uniform(0.75, 1.2) + rng.normal(0, 4, frame.rgb.shape)
        frames.append(replace(frame, rgb=np.clip(lit, 0, 255).astype(np.uint8)))
    return frames


def sought(model: ZipMap, frame: Frame) -> Picture:
    """An image to look for; its depth does not matter."""
    view = prepare(replace(frame, depth=None, map_T_camera=None), model.config, True)
    assert view.camera is not None
    return picture_of(view, np.ones(view.pixels.shape[1:], np.float32), view.camera)


def outcome(fit: Fit | None, frame: Frame, at: dict[int, Frame]) -> str:
    """One of OUTCOMES; ``at`` are the frames of the places, by their images' identity."""
    if fit is None:
        return OUTCOMES[-1]
    place = at[id(fit.reference.picture.rgb)]
    assert frame.map_T_camera is not None and place.map_T_camera is not None
    true, found = invert(frame.map_T_camera) @ place.map_T_camera, fit.camera_T_reference
    turn = rotation_angle_deg((invert(true) @ found)[:3, :3])
    way = true[:3, 3] / np.nanmedian(place.depth) - found[:3, 3] / fit.reference.typical_depth
    for name, (degrees, share) in zip(OUTCOMES, LIMITS, strict=False):
        if turn < degrees and np.linalg.norm(way) < share:
            return name
    return OUTCOMES[2]


def mapped(model: ZipMap, walk: list[Frame]) -> tuple[Places, dict[int, Frame]]:
    """The places of a walk, and where each is truly."""
    mapper = StreamMapper(model)
    for frame in walk:
        mapper.add_frame(replace(frame, depth=None, map_T_camera=None))
    places = mapper.tracks.with_places().places
    images = [frame.rgb.astype(int) for frame in walk]
    at = {}
    for reference in places.references:
        off = [np.abs(image - reference.picture.rgb).mean() for image in images]
        at[id(reference.picture.rgb)] = walk[int(np.argmin(off))]
    return places, at


def rows_of(model: ZipMap) -> Iterator[dict[str, object]]:
    """How many images were found, of each kind."""
    counts = {"near the walk": Counter[str](), "elsewhere": Counter[str]()}
    for seed in SEEDS:
        world = World(seed)
        walk = seen(world, world.trajectory(WALK, "hand", seed).numpy())
        places, at = mapped(model, walk)
        other = world.trajectory(ELSEWHERE * APART, "hand", seed + 1).numpy()[::APART]
        kinds = near(world, walk, seed), seen(world, other)
        for count, frames in zip(counts.values(), kinds, strict=True):
            for frame in frames:
                count[outcome(places.anywhere(sought(model, frame), np.inf), frame, at)] += 1
    for kind, count in counts.items():
        yield {"images": kind, "sought": count.total()} | {name: count[name] for name in OUTCOMES}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model = load_checkpoint(args.checkpoint)
    settings = {"checkpoint": Path(args.checkpoint).name, "walk": WALK, "worlds": len(SEEDS)}
    report("found", torch.device("cpu"), settings, rows_of(model), args.save)


if __name__ == "__main__":
    main()
