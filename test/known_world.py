# SPDX-License-Identifier: Apache-2.0
"""For tests of the mapper: a network that says exactly what is true of a small room.

`KnownWorld` is a ZipMap whose `stream` and `reconstruct` look the answer up instead of computing
it. The frames of `frame` are painted in one colour whose red says which pose they belong to.
`LooksUp` and `says` are what others like it are made of. `blobs` is an image of nothing known.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera, invert, look_at
from zipmap_ros.model import ModelConfig, Prediction, SceneState, ZipMap
from zipmap_ros.model.fast_weights import FastWeights

ROOM = np.array([4.0, 3.0, 1.5])  # half the room's sides, metres; its centre is the origin
CAMERA = Camera.from_fov(56, 42, 90.0)
UNITS_PER_METRE = 0.5


def room_depth(world_T_camera: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    """(h, w) exact depth along z of the walls, seen from inside."""
    rays = camera.rays() @ world_T_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        far = np.where(rays > 0, (ROOM - world_T_camera[:3, 3]) / rays, np.inf)
        near = np.where(rays < 0, (-ROOM - world_T_camera[:3, 3]) / rays, np.inf)
    return np.minimum(far, near).min(axis=-1)


def path(count: int) -> list[np.ndarray]:
    """world_T_camera of a walk through the room, about 5 cm a step, looking along and around."""
    poses = []
    for t in np.arange(count) * 0.03:
        eye = [1.5 * np.cos(t), 1.5 * np.sin(t), 0.2 * np.sin(3 * t)]
        poses.append(look_at(eye, [3 * np.cos(t + 0.8), 3 * np.sin(t + 0.8), 0.0]))
    return poses


def frame(index: int, camera: Camera | None = CAMERA, **changes) -> Frame:
    """The frame of the index-th pose, 100 ms after the one before."""
    rgb = np.full((42, 56, 3), (index, 100, 200), np.uint8)
    rgb[21:, :, 2] = 100  # an image of one colour shows nothing
    return replace(Frame(1_000_000_000 + index * 100_000_000, rgb, camera=camera), **changes)


def blobs(seed: int, height: int = 42, width: int = 56) -> np.ndarray:
    """(height, width, 3) uint8: colours at random, as smooth as a camera's."""
    few = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)


def says(network_T_camera, K, depth) -> Prediction:
    """A network's output for N frames: (N, 4, 4) poses, (N, 3, 3), (N, h, w)."""

    def tensor(array):
        return torch.tensor(np.asarray(array), dtype=torch.float32)[None]

    encoding = torch.zeros(1, len(depth), 9)
    return Prediction(
        encoding,
        tensor(invert(np.asarray(network_T_camera))[:, :3]),
        tensor(K),
        tensor(depth),
        tensor(2 + 0 * np.nan_to_num(depth)),
        None,
        (encoding,),
    )


class LooksUp(ZipMap):
    """A tiny network that streams what it reconstructs; each chunk moves its state a little."""

    def __init__(self, **changes):
        super().__init__(replace(ModelConfig.tiny(), **changes))
        self.eval()

    def stream(self, images, state, chunk_frames=1, outputs=("depth", "local_points")):
        prediction = self.reconstruct(images)
        layers = tuple(FastWeights(*(w + 0.01 for w in layer)) for layer in state.layers)
        return prediction, SceneState(layers, state.targets, state.frames_seen + len(images))


class KnownWorld(LooksUp):
    """Knows the room from ``poses`` (world_T_camera); its own world is the first one's camera.

    scale  network units per metre
    bad    indices of frames whose depth is NaN
    """

    def __init__(self, poses, scale: float = UNITS_PER_METRE, bad=(), query: bool = False):
        super().__init__(query=query)
        self.poses, self.scale, self.bad = poses, scale, set(bad)
        self.calls: list[list[int]] = []

    def reconstruct(self, images, outputs=("depth", "local_points")):
        assert images.dtype == torch.float32 and images.shape[1:] == (3, 42, 56)
        indices = [round(float(image[0].mean()) * 255) for image in images]
        self.calls.append(indices)
        poses = np.array([invert(self.poses[0]) @ self.poses[i] for i in indices])
        poses[:, :3, 3] *= self.scale
        depth = np.array([room_depth(self.poses[i]) for i in indices]) * self.scale
        depth[[i for i, index in enumerate(indices) if index in self.bad]] = np.nan
        return says(poses, np.broadcast_to(CAMERA.matrix, (len(indices), 3, 3)), depth)
