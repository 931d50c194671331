# SPDX-License-Identifier: Apache-2.0
"""A room or flat to look at: ``World(seed).render(world.trajectory(48), camera)``.

Batches of worlds, as training needs them: ``trajectories(worlds, 8)``, then
``render(worlds, poses, camera)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from zipmap_ros.geometry import Camera
from zipmap_ros.synthetic import layouts
from zipmap_ros.synthetic.look import Look
from zipmap_ros.synthetic.render import render_scenes
from zipmap_ros.synthetic.scene import Scene
from zipmap_ros.synthetic.textures import SyntheticError, Textures
from zipmap_ros.synthetic.trajectory import Motion
from zipmap_ros.synthetic.trajectory import trajectories as scene_trajectories


class World:
    """One world, wholly determined by its seed, layout and textures."""

    def __init__(
        self,
        seed: int,
        layout: str | None = None,
        textures: Textures | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """Build a world.

        layout    one of ``layouts.LAYOUTS``, or None to draw one from the seed
        textures  default: the procedural ones; put them on ``device`` once when making many worlds
        """
        rng = Random(seed)
        drawn = rng.choice(layouts.LAYOUTS)
        self.seed, self.layout = seed, layout or drawn
        if self.layout not in layouts.LAYOUTS:
            raise SyntheticError(
                f"unknown layout {layout!r}: choose one of {', '.join(layouts.LAYOUTS)}"
            )
        self.textures = (textures or Textures.procedural()).to(device)
        builder = layouts.build(self.layout, Look(rng, self.textures.roles), rng)
        self.size = builder.size
        self.scene_cpu = builder.build()
        self.scene = self.scene_cpu.to(device)

    def trajectory(
        self,
        frames: int,
        kind: str | Motion = "hand",
        seed: int = 0,
        loop: bool = False,
    ) -> Tensor:
        """A smooth path clear of surfaces, (frames, 4, 4) float64 world_T_camera on the CPU.

        ``kind`` is "robot", "drone", "hand" or a Motion; the frame after the last of a ``loop`` is
        the first again.
        """
        return trajectories([self], frames, kind, seed, loop)[0]

    def render(
        self, world_T_camera: Tensor, camera: Camera, antialias: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Render N views: (N, 4, 4) poses to rgb (N, H, W, 3) uint8, depth (N, H, W) float32.

        Depth is metres along z. ``antialias`` k averages k x k rays per pixel for the colour.
        """
        rgb, depth = render([self], world_T_camera[None], camera, antialias)
        return rgb[0], depth[0]


def trajectories(
    worlds: Sequence[World],
    frames: int,
    kind: str | Motion = "hand",
    seed: int = 0,
    loop: bool = False,
) -> Tensor:
    """``World.trajectory`` for B worlds at once: (B, frames, 4, 4) float64 on the CPU."""
    scene = Scene.join([world.scene_cpu for world in worlds])
    seeds = [world.seed for world in worlds]
    return scene_trajectories(scene, seeds, frames, kind, seed, loop)


def render(
    worlds: Sequence[World],
    world_T_camera: Tensor,
    cameras: Camera | Sequence[Camera],
    antialias: int = 1,
) -> tuple[Tensor, Tensor]:
    """Render N views of each of B worlds that share textures and device.

    world_T_camera (B, N, 4, 4); one camera, or one per world of equal image size; ``antialias``
    rays per pixel along each side.
    Returns rgb (B, N, H, W, 3) uint8 and depth (B, N, H, W) float32 metres along z.
    """
    texels = worlds[0].textures.texels
    if any(len(world.textures.texels) != len(texels) for world in worlds):
        raise SyntheticError("worlds rendered together must share one Textures object")
    scene = Scene.join([world.scene for world in worlds])
    return render_scenes(scene, texels, world_T_camera, cameras, antialias)
