# SPDX-License-Identifier: Apache-2.0
"""Rendering the pool of clips, once, into a file that all processes map into memory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from zipmap_ros.geometry import Camera
from zipmap_ros.synthetic import Textures, World, render, trajectories
from zipmap_ros.training import TrainingError
from zipmap_ros.training.config import PoolConfig
from zipmap_ros.training.data import Batch, Clips, normalised
from zipmap_ros.training.files import read_whole, write_whole

WORLDS_AT_ONCE = 8
MOTIONS_DRAWN = ("hand", "hand", "drone", "robot")
FOV_DEG = (50.0, 85.0)  # horizontal; cropping a batch narrows it further


Recipe = dict[str, int | str]  # all that a pool was made from, by name


def pool_recipe(config: PoolConfig, textures: str | None) -> Recipe:
    """What a pool of ``config`` is made from. ``textures`` is the digest of their folder or
    "built in"; None where any will do."""
    return asdict(config) if textures is None else {**asdict(config), "textures": textures}


def load_pool(path: Path, recipe: Recipe) -> Clips:
    """A rendered pool, its images mapped from the file rather than read.

    Raises TrainingError for one that was not made from all that is in ``recipe``.
    """
    content = read_whole(path, "rgb", mmap=True)
    made_from = content.pop("recipe", {})
    others = [
        f"{name} {made_from.get(name, 'unknown')!r} and not {value!r}"
        for name, value in recipe.items()
        if made_from.get(name) != value
    ]
    if others:
        raise TrainingError(
            f"{path} was rendered for another run, with {', '.join(others)}: give another --out, "
            "or delete it to have it rendered anew"
        )
    return Clips(**content)


def save_pool(clips: Clips, path: Path, recipe: Recipe) -> None:
    """Write a pool, and what it was made from, for ``load_pool``."""
    write_whole({**vars(clips), "recipe": recipe}, path)


def render_pool(config: PoolConfig, textures: Textures, device: torch.device) -> Clips:
    """Render the clips, each of a world and a path of its own."""
    textures, clips = textures.to(device), config.clips
    pool: Clips | None = None
    for start in tqdm(
        range(0, clips, WORLDS_AT_ONCE), desc="rendering", unit="batch", mininterval=5
    ):
        count = min(WORLDS_AT_ONCE, clips - start)
        seeds = range(config.first_seed + start, config.first_seed + start + count)
        part = _render_clips(config, list(seeds), textures, device)
        if pool is None:
            pool = Clips(*(t.new_empty(clips, *t.shape[1:]) for t in vars(part).values()))
        for whole, piece in zip(vars(pool).values(), vars(part).values(), strict=True):
            whole[start : start + count] = piece
    if pool is None:
        raise TrainingError("a pool of no clips cannot be trained with: give at least one")
    return pool


def _render_clips(
    config: PoolConfig, seeds: list[int], textures: Textures, device: torch.device
) -> Clips:
    worlds = [World(seed, textures=textures, device=device) for seed in seeds]
    generator = torch.Generator().manual_seed(seeds[0])
    kind = MOTIONS_DRAWN[int(torch.randint(len(MOTIONS_DRAWN), (), generator=generator))]
    poses = trajectories(worlds, config.frames, kind=kind, seed=seeds[0])
    low, high = FOV_DEG
    fovs = (low + (high - low) * torch.rand(len(seeds), generator=generator)).tolist()
    cameras = [Camera.from_fov(config.width, config.height, fov) for fov in fovs]
    rgb, depth = render(worlds, poses, cameras)
    focal = torch.tensor([camera.fx for camera in cameras])
    return Clips(rgb.cpu(), depth.half().cpu(), poses.float(), focal)


def whole_batch(clips: Clips, width: int, height: int) -> Batch:
    """Clips as they are, cut to (height, width) around the middle: what to validate on."""
    H, W = clips.rgb.shape[2:4]
    top, left = (H - height) // 2, (W - width) // 2
    window = (slice(None), slice(None), slice(top, top + height), slice(left, left + width))
    images = clips.rgb[window].permute(0, 1, 4, 2, 3).float() / 255
    world_T_camera = clips.world_T_camera.double()
    camera_T_world = torch.linalg.inv(world_T_camera) @ world_T_camera[:, :1]
    K = torch.zeros(*clips.world_T_camera.shape[:2], 3, 3)
    K[..., 0, 0] = K[..., 1, 1] = clips.focal[:, None]
    K[..., 0, 2], K[..., 1, 2], K[..., 2, 2] = width / 2, height / 2, 1
    return normalised(Batch(images, clips.depth[window].float(), camera_T_world.float(), K))
