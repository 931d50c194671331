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
from zipmap_ros.training import TrainingError


@dataclass(frozen=True)
class Clips:
    """Rendered clips: rgb (N, S, H, W, 3) uint8, depth (N, S, H, W) float16 metres along z, 0 where
    unknown, world_T_camera (N, S, 4, 4) float32, focal (N,) pixels of a centred pinhole."""

    rgb: Tensor
    depth: Tensor
    world_T_camera: Tensor
    focal: Tensor

    def to(self, device: torch.device) -> Clips:
        """The clips on another device."""
        return Clips(*(t.to(device) for t in vars(self).values()))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in vars(self).values())


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
        """Some frames of every clip: a slice, or indices on the batch's device."""
        tensors = vars(self).values()
        if isinstance(part, slice):
            return Batch(*(t[:, part] for t in tensors))
        return Batch(*(t.index_select(1, part) for t in tensors))

    def clips(self, count: int) -> Batch:
        """The first clips."""
        return Batch(*(t[:count] for t in vars(self).values()))

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
    """Cut, scale, mirror, reverse and colour clips of the pool, on its device.

    ``generator``, of the CPU, decides everything. All clips of a batch are cropped alike, which
    makes the batch a few operations; fields of view differ from clip to clip in the pool.
    Raises TrainingError where a clip is too short.
    """
    N, S = pool.rgb.shape[:2]
    if plan.views > S:
        raise TrainingError(f"views are {plan.views}, but clips of the pool have {S} frames")
    device, B = pool.rgb.device, plan.clips
    stride = max(1, min(plan.stride, (S - 1) // max(1, plan.views - 1)))
    span = stride * (plan.views - 1) + 1
    clip = torch.randint(N, (B, 1), generator=generator)
    start = torch.randint(S - span + 1, (B, 1), generator=generator)
    frames = start + torch.arange(0, span, stride)
    reverse, mirror = torch.rand(2, B, 1, generator=generator) < 0.5
    frames = torch.where(reverse, frames.flip(1), frames)
    index = (clip.to(device), frames.to(device))
    images, depth, K = _crop(pool, index, plan, generator)
    T = pool.world_T_camera[index].double()
    mirror = mirror.to(device)[..., None, None]  # (B, 1, 1, 1)
    signs = T.new_ones(4)
    signs[0] = -1
    T = torch.where(mirror, signs[:, None] * T * signs, T)
    depth = torch.where(mirror, depth.flip(-1), depth)
    images = torch.where(mirror[..., None], images.flip(-1), images)
    poses = (invert(T) @ T[:, :1]).float()
    return normalised(Batch(_colour(images, generator), depth, poses, K))


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


def image_height(width: int, patch: int, aspect: float) -> int:
    """The multiple of the patch that is nearest to ``aspect`` (height over width) of the width."""
    return max(1, round(aspect * width / patch)) * patch


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _crop(
    pool: Clips, index: tuple[Tensor, Tensor], plan: BatchPlan, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A centred window of the frames at the plan's size: images (B, S, 3, h, w), depth (B, S, h, w)
    and intrinsics (B, S, 3, 3)."""
    H, W = pool.rgb.shape[2:4]
    squeeze = _uniform(generator, 0.93, 1.07)  # rounding to patches makes pixels not quite square
    window_w = W * _uniform(generator, 0.65, 1.0)
    window_h = window_w * plan.height / plan.width * squeeze
    shrink = min(1.0, H / window_h)
    # Margins in whole pixels on both sides keep the principal point in the middle.
    left = round((W - window_w * shrink) / 2)
    top = round((H - window_h * shrink) / 2)
    window_w, window_h = W - 2 * left, H - 2 * top
    window = (slice(None), slice(None), slice(top, H - top), slice(left, W - left))
    B, S = plan.clips, plan.views
    size = (plan.height, plan.width)
    rgb = pool.rgb[index][window].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    rgb = F.interpolate(rgb, size=size, mode="bilinear", antialias=True, align_corners=False)
    depth = pool.depth[index][window].flatten(0, 1).float()
    depth = F.interpolate(depth[:, None], size=size, mode="nearest-exact")[:, 0]
    focal = pool.focal[index[0]].float()  # (B, 1)
    K = torch.zeros(B, S, 3, 3, device=focal.device)
    K[..., 0, 0], K[..., 0, 2] = focal * plan.width / window_w, plan.width / 2
    K[..., 1, 1], K[..., 1, 2] = focal * plan.height / window_h, plan.height / 2
    K[..., 2, 2] = 1
    return rgb.unflatten(0, (B, S)), depth.unflatten(0, (B, S)), K


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Another camera and light for each clip (B, S, 3, H, W), the exposure a little per frame."""
    B, S, device = *images.shape[:2], images.device

    def rand(frames: int = 1, channels: int = 1) -> Tensor:
        return torch.rand(B, frames, channels, 1, 1, generator=generator).to(device)

    gamma = 2 ** (rand() * 1.4 - 0.7)
    gain = 0.6 + 0.8 * rand() + (0.3 * rand(S) - 0.15) * (rand() < 0.3)
    balance = 0.85 + 0.3 * rand(channels=3)
    x = images.clamp(1e-4, 1) ** gamma * gain * balance
    grey = x.mean(2, keepdim=True)
    x = grey + (x - grey) * (1.6 * rand() * (rand() > 0.1))
    mean = x.mean((2, 3, 4), keepdim=True)
    x = mean + (x - mean) * (0.6 + 0.8 * rand())
    blurred = F.avg_pool2d(x.flatten(0, 1), 3, stride=1, padding=1, count_include_pad=False)
    x = torch.lerp(x, blurred.unflatten(0, (B, S)), rand() * (rand() < 0.4))
    noise = torch.Generator(device).manual_seed(
        int(torch.randint(1 << 62, (), generator=generator))
    )
    grain = torch.randn(x.shape, generator=noise, device=device)
    return (x + 0.03 * rand() * grain).clamp(0, 1)
