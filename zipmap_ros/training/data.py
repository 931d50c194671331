# SPDX-License-Identifier: Apache-2.0
"""Batches: clips cut from a pool of rendered ones, each cut, mirrored, reversed and coloured anew.

Rendering costs about as much as learning, so every rendered clip is used many times: which frames,
in which order, how cropped (which changes the field of view and the aspect), mirrored or not, and
in which light differ each time. A batch depends on (seed, phase, step, process) alone, so that a
resumed run sees what the uninterrupted one would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_ros.model.cameras import invert, unproject

MIN_ASPECT, MAX_ASPECT = 0.5, 0.8


@dataclass(frozen=True)
class Clips:
    """Rendered clips: rgb (N, S, H, W, 3) uint8, depth (N, S, H, W) float16 metres along z, 0 where
    unknown, world_T_camera (N, S, 4, 4) float32, focal (N,) pixels of a centred pinhole."""

    rgb: Tensor
    depth: Tensor
    world_T_camera: Tensor
    focal: Tensor


@dataclass(frozen=True)
class Batch:
    """What the network sees and what is true of it, in the first camera's frame and unit.

    images (B, S, 3, H, W) in [0, 1], depth (B, S, H, W) with 0 for unknown, camera_T_world
    (B, S, 4, 4) with the first the identity, K (B, S, 3, 3) pixels. The unit of length is the mean
    distance of what the first frame sees.
    """

    images: Tensor
    depth: Tensor
    camera_T_world: Tensor
    K: Tensor

    def views(self, part: slice | Tensor) -> Batch:
        """Some frames of every clip."""
        return Batch(*(t[:, part] for t in vars(self).values()))

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(*(t.to(device, non_blocking=True) for t in vars(self).values()))


@dataclass(frozen=True)
class BatchPlan:
    """How a batch is cut: clips, frames of each, their distance in the pool, the image's size."""

    clips: int
    views: int
    stride: int
    width: int
    height: int


def sample_batch(pool: Clips, plan: BatchPlan, generator: torch.Generator) -> Batch:
    """Cut, scale, mirror, reverse and colour clips of the pool as ``generator`` decides."""
    images, depths, poses, intrinsics = [], [], [], []
    N, S = pool.rgb.shape[:2]
    stride = max(1, min(plan.stride, (S - 1) // max(1, plan.views - 1)))
    for _ in range(plan.clips):
        clip = int(torch.randint(N, (), generator=generator))
        span = stride * (plan.views - 1) + 1
        start = int(torch.randint(S - span + 1, (), generator=generator))
        frames = torch.arange(start, start + span, stride)
        if _uniform(generator) < 0.5:
            frames = frames.flip(0)
        image, depth, K = _crop(pool, clip, frames, plan, generator)
        T = pool.world_T_camera[clip, frames].double()
        if _uniform(generator) < 0.5:
            image, depth = image.flip(-1), depth.flip(-1)
            mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=T.dtype))
            T = mirror @ T @ mirror
        images.append(_colour(image, generator))
        depths.append(depth)
        poses.append((invert(T) @ T[0]).float())
        intrinsics.append(K.expand(len(frames), 3, 3))
    return normalised(
        Batch(torch.stack(images), torch.stack(depths), torch.stack(poses), torch.stack(intrinsics))
    )


def normalised(batch: Batch) -> Batch:
    """Divide lengths by the mean distance of the points that the first frame sees."""
    first = batch.depth[:, 0]
    distance = torch.linalg.vector_norm(unproject(first, batch.K[:, 0]), dim=-1)
    valid = first > 0
    unit = (distance * valid).sum((-1, -2)) / valid.sum((-1, -2)).clamp_min(1)
    unit = unit.clamp_min(1e-3)
    T = batch.camera_T_world.clone()
    T[..., :3, 3] /= unit[:, None, None]
    return Batch(batch.images, batch.depth / unit[:, None, None, None], T, batch.K)


def choose_height(width: int, patch: int, generator: torch.Generator) -> int:
    """A height that is a multiple of the patch and 0.5 to 0.8 of the width."""
    heights = [h for h in range(patch, width + 1, patch) if MIN_ASPECT <= h / width <= MAX_ASPECT]
    return heights[int(torch.randint(len(heights), (), generator=generator))]


def _uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _crop(
    pool: Clips, clip: int, frames: Tensor, plan: BatchPlan, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A centred window of the frames at the plan's size: images, depth and (3, 3) intrinsics."""
    H, W = pool.rgb.shape[2:4]
    squeeze = _uniform(generator, 0.93, 1.07)  # rounding to patches makes pixels not quite square
    window_w = W * _uniform(generator, 0.65, 1.0)
    window_h = window_w * plan.height / plan.width * squeeze
    shrink = min(1.0, H / window_h)
    # Margins in whole pixels on both sides keep the principal point in the middle.
    left = round((W - window_w * shrink) / 2)
    top = round((H - window_h * shrink) / 2)
    window_w, window_h = W - 2 * left, H - 2 * top
    rgb = pool.rgb[clip, frames, top : H - top, left : W - left]
    size = (plan.height, plan.width)
    image = rgb.permute(0, 3, 1, 2).float() / 255
    image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    depth = pool.depth[clip, frames, top : H - top, left : W - left].float()
    depth = F.interpolate(depth[:, None], size=size, mode="nearest-exact")[:, 0]
    focal = float(pool.focal[clip])
    K = torch.eye(3)
    K[0, 0], K[0, 2] = focal * plan.width / window_w, plan.width / 2
    K[1, 1], K[1, 2] = focal * plan.height / window_h, plan.height / 2
    return image, depth, K


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Another camera and light for a clip (S, 3, H, W), the exposure a little per frame."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    S = images.shape[0]
    gamma = 2 ** (rand(1) * 1.4 - 0.7)
    gain = 0.6 + 0.8 * rand(1) + (0.3 * rand(S, 1, 1, 1) - 0.15) * (rand(1) < 0.3)
    balance = 0.85 + 0.3 * rand(1, 3, 1, 1)
    x = images.clamp(1e-4, 1) ** gamma * gain * balance
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1.6 * rand(1) if rand(1) > 0.1 else 0)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (0.6 + 0.8 * rand(1))
    if rand(1) < 0.4:
        blurred = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        x = torch.lerp(x, blurred, float(rand(1)))
    noise = torch.randn(x.shape, generator=generator) * (0.03 * rand(1))
    return (x + noise).clamp(0, 1)
