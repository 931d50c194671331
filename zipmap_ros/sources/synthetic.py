# SPDX-License-Identifier: Apache-2.0
"""A camera in a ray-cast room: exact depth and poses, for demos and tests."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera
from zipmap_ros.sources.source import NS, RecordedSource
from zipmap_ros.synthetic import World

FPS = 15.0
FOV_DEG = 65.0  # horizontal
LOOP_FRAMES = 300  # of one way round
RENDERED_AT_ONCE = 4


class SyntheticSource(RecordedSource):
    """One way round a room by hand, 20 s; it ends where it began, so that it can be looped.

    Its frames carry the true depth and ``map_T_camera`` in the world's own frame.
    """

    has_truth = True

    def __init__(
        self,
        seed: int = 0,
        frames: int = LOOP_FRAMES,
        width: int = 320,
        height: int = 240,
    ) -> None:
        """The same seed gives the same frames. ``frames`` are those of the whole loop."""
        self.name, self.fps = f"synthetic:{seed}", FPS
        self.camera = Camera.from_fov(width, height, FOV_DEG)
        self._world = World(seed)
        self._poses = self._world.trajectory(frames, "hand", seed, loop=True)

    def __len__(self) -> int:
        return len(self._poses)

    def __iter__(self) -> Iterator[Frame]:
        return frames_along(self._world, self._poses, self.camera, NS / FPS)


def frames_along(world: World, poses: Tensor, camera: Camera, step_ns: float) -> Iterator[Frame]:
    """What a camera sees from (N, 4, 4) world_T_camera, ``step_ns`` apart, with the truth."""
    index = 0
    for part in poses.split(RENDERED_AT_ONCE):
        for pose, rgb, depth in zip(part, *world.render(part, camera), strict=True):
            yield Frame(
                round(index * step_ns),
                rgb.numpy(),
                camera=camera,
                depth=depth.numpy(),
                map_T_camera=pose.double().numpy(),
            )
            index += 1
