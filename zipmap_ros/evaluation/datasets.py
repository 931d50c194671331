# SPDX-License-Identifier: Apache-2.0
"""Data to judge on, named ``KIND:PATH``, as sequences of frames with their truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.evaluation.runs import fit
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera
from zipmap_ros.mapping.bars import Bars
from zipmap_ros.model import ModelConfig
from zipmap_ros.sources.synthetic import frames_along
from zipmap_ros.synthetic import MOTIONS, World

# First seeds of the worlds to judge on. Training takes seeds from 5 000 000.
SPLITS = {"test": 0, "validation": 50_000}
_SYNTHETIC_FOV_DEG = 65.0
_SYNTHETIC_STEP_NS = 100_000_000
KINDS = ("synthetic", "kitchen", "tum", "euroc", "bag", "folder", "video")


@dataclass(frozen=True, eq=False)
class Clip:
    """Consecutive frames of a sequence, under a name that says which."""

    name: str
    frames: list[Frame]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sequences of frames in memory.

    name       as it was asked for
    sequences  each long enough for the longest clip, or as long as the data is
    """

    name: str
    sequences: list[Clip]

    def clips(self, length: int, count: int) -> list[Clip]:
        """About ``count`` clips of ``length`` frames, spread over the sequences; [] if too long."""
        each = -(-count // len(self.sequences))
        found = []
        for sequence in self.sequences:
            spare = len(sequence.frames) - length
            if spare < 0:
                continue
            # Clips may overlap by half at most.
            windows = min(each, 1 + 2 * spare // length)
            for start in np.linspace(0, spare, windows).astype(int) if windows > 1 else [0]:
                name = f"{sequence.name} {start}..{start + length - 1}"
                found.append(Clip(name, sequence.frames[start : start + length]))
        return found


def open_dataset(
    name: str, length: int, count: int, every: int, config: ModelConfig, topic: str = ""
) -> Dataset:
    """Load what ``KIND`` or ``KIND:PATH`` names, at most ``length`` frames of each sequence.

    synthetic[:test|validation]  ``count`` worlds that training never sees, by seed
    kitchen:PATH, tum:PATH, euroc:PATH  those layouts, with their true poses (and depth)
    bag:PATH, folder:PATH, video:PATH   images (of a bag: those of ``topic``); what truth they
                                        carry is used
    Of a recording with true poses, frames without one are passed over. ``every`` takes one frame of
    so many of a recording. Frames come as the network of ``config`` sees them.
    A leading ~ of a path is the home folder. Raises EvaluationError for anything it cannot load.
    """
    kind, _, path = name.partition(":")
    if kind not in KINDS:
        raise EvaluationError(f"there is no data {name!r}: use {', '.join(KINDS)}, as KIND:PATH")
    if kind == "synthetic":
        return Dataset(name, _worlds(path or "test", length, count, config))
    if not path:
        raise EvaluationError(f"{kind} needs a path: {kind}:PATH")
    path = os.path.expanduser(path)  # which shells leave alone after a colon
    if not Path(path).exists():
        raise EvaluationError(f"there is no {path}: check the path after {kind}:")
    frames = _recorded(kind, path, topic, length, every, config)
    if not frames:
        raise EvaluationError(f"{name} holds no frames")
    if kind in ("kitchen", "tum", "euroc") and frames[0].map_T_camera is None:
        raise EvaluationError(
            f"no image of {path} has a true pose: check that it is the {kind} layout, and that "
            "poses and images share their time"
        )
    sizes = {frame.rgb.shape for frame in frames}
    if len(sizes) > 1:
        raise EvaluationError(f"{name} has frames of {len(sizes)} sizes: {sorted(sizes)}")
    return Dataset(name, [Clip(Path(path).name or path, frames)])


def _recorded(
    kind: str, path: str, topic: str, length: int, every: int, config: ModelConfig
) -> list[Frame]:
    # The loaders bring in what reads bags and videos: only for data that needs them.
    from zipmap_ros.sources import SourceError, open_source

    try:
        # A kitchen is a folder of frame-*.color.jpg, which the loader of folders knows.
        loader = {"kitchen": "folder"}.get(kind, kind)
        source = open_source(loader, path, topic)
        usable = partial(_usable, source, every, config)
        # Where there is a truth, a frame that it does not reach cannot be judged.
        judged = list(islice(usable(with_truth=source.has_truth), length))
        return judged or list(islice(usable(with_truth=False), length))
    except SourceError as error:
        raise EvaluationError(f"cannot load {kind}:{path}: {error}") from error


def _usable(
    source: Iterable[Frame], every: int, config: ModelConfig, with_truth: bool
) -> Iterator[Frame]:
    bars = Bars()
    for frame in islice(source, 0, None, every):
        if frame.rgb.size and (frame.map_T_camera is not None or not with_truth):
            yield fit(bars.cut(frame), config)


def _worlds(split: str, length: int, count: int, config: ModelConfig) -> list[Clip]:
    if split not in SPLITS:
        raise EvaluationError(f"there is no synthetic:{split}: use {' or '.join(SPLITS)}")
    height = max(round(0.75 * config.image_size / config.patch_size), 1) * config.patch_size
    camera = Camera.from_fov(config.image_size, height, _SYNTHETIC_FOV_DEG)
    motions = sorted(MOTIONS)
    clips = []
    for seed in range(SPLITS[split], SPLITS[split] + count):
        world = World(seed)
        poses = world.trajectory(length, motions[seed % len(motions)], seed)
        name = f"{world.layout} {seed} {motions[seed % len(motions)]}"
        frames = frames_along(world, poses, camera, _SYNTHETIC_STEP_NS)
        clips.append(Clip(name, [fit(frame, config) for frame in frames]))
    return clips
