# SPDX-License-Identifier: Apache-2.0
"""What the network is told: cameras, depth, points and unseen views, against exact ground truth.

The terms are those of ZipMap's training (camera 5, depth 1, query 1, with its 10 MSE on colour),
with three changes for a small network in rooms: depths are compared in logarithms, so that an error
is relative, as it is judged; confidence costs more; and the unit of length is the mean distance of
what the *first* frame sees, which a stream knows when it begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_ros.model.cameras import encode_pose, invert, unproject
from zipmap_ros.model.zipmap import QueryPrediction

# Confidence settles at the price over the error. ZipMap's 0.2 would leave a small network, whose
# errors are about 0.3, at the least confidence everywhere.
CONFIDENCE_PRICE = 0.6
GRADIENT_SCALES = 4
COLOUR_WEIGHT = 10.0
MIN_SEEN_DEPTH = 0.05  # mean distances of the first frame


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts."""

    camera: float = 5.0
    depth: float = 1.0
    gradient: float = 0.5
    points: float = 1.0  # of the per-patch points in the first camera's frame
    motion: float = 5.0  # of where the first camera saw them
    local_points: float = 1.0
    query: float = 1.0  # over the segments of a clip, after the last of which it is asked


def camera_loss(
    encoding: Tensor, camera_T_world: Tensor, K: Tensor, size: tuple[int, int]
) -> Tensor:
    """L1 on translation, quaternion (of either sign) and half the field of view.

    encoding (B, S, 9), camera_T_world (B, S, 4, 4), K (B, S, 3, 3) in pixels of ``size`` (H, W).
    """
    truth = encode_pose(camera_T_world[..., :3, :], K, *size)
    q, q_true = encoding[..., 3:7], truth[..., 3:7]
    sign = torch.where((q * q_true).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    translation = (encoding[..., :3] - truth[..., :3]).abs().clamp_max(100).mean()
    rotation = (q - sign * q_true).abs().mean()
    fov = (encoding[..., 7:] - truth[..., 7:]).abs().mean()
    return translation + rotation + 0.5 * fov


def depth_loss(depth: Tensor, confidence: Tensor, truth: Tensor) -> Tensor:
    """Error of log depth, plain and weighted by a confidence that has its price.

    All (..., H, W); a true depth of 0 is unknown.
    """
    error = (depth.log() - truth.clamp_min(1e-6).log()).abs()
    cost = confidence * error - CONFIDENCE_PRICE * confidence.log() + error
    return _mean(cost, truth > 0)


def gradient_loss(depth: Tensor, truth: Tensor) -> Tensor:
    """L1 on the gradients of the log depth's error at four scales: (..., H, W) both."""
    valid = truth > 0
    error = torch.where(valid, depth.log() - truth.clamp_min(1e-6).log(), 0.0)
    total = depth.new_zeros(())
    for level in range(GRADIENT_SCALES):
        e, m = error[..., :: 2**level, :: 2**level], valid[..., :: 2**level, :: 2**level]
        for axis in (-1, -2):
            both = m.narrow(axis, 1, m.shape[axis] - 1) & m.narrow(axis, 0, m.shape[axis] - 1)
            total = total + (e.diff(dim=axis).abs() * both).sum() / both.sum().clamp_min(1)
    return total / GRADIENT_SCALES


def point_loss(points: Tensor, truth: Tensor, depth: Tensor) -> Tensor:
    """Mean L1 distance of points (..., 3) relative to their true depth (...), 0 for unknown."""
    error = (points - truth).abs().sum(-1)
    return _mean(error / depth.clamp_min(0.1), depth > 0)


def motion_loss(motion: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean L1 distance in image widths: motion and truth (..., 2), valid (...)."""
    return _mean((motion - truth).abs().sum(-1), valid)


def _mean(error: Tensor, valid: Tensor) -> Tensor:
    """The mean of ``error`` where ``valid``, without asking the device how many those are."""
    return torch.where(valid, error, 0.0).sum() / valid.sum().clamp_min(1)


def query_loss(view: QueryPrediction, images: Tensor, depth: Tensor) -> Tensor:
    """Colour and depth of unseen views: images (B, T, 3, H, W) in [0, 1], depth (B, T, H, W)."""
    colour = F.mse_loss(view.rgb, images.movedim(-3, -1))
    return COLOUR_WEIGHT * colour + depth_loss(view.depth, view.confidence, depth)


def patch_points(
    depth: Tensor, camera_T_world: Tensor, K: Tensor, cell: int
) -> tuple[Tensor, Tensor]:
    """World points at the middle of every cell of ``cell`` pixels, and their depths.

    depth (B, S, H, W) -> points (B, S, H/cell, W/cell, 3) and depths (B, S, H/cell, W/cell).
    """
    points = unproject(depth, K)[:, :, cell // 2 :: cell, cell // 2 :: cell]
    world_T_camera = invert(camera_T_world)
    R, t = world_T_camera[..., :3, :3], world_T_camera[..., :3, 3]
    world = torch.einsum("bsij,bshwj->bshwi", R, points) + t[:, :, None, None]
    return world, depth[:, :, cell // 2 :: cell, cell // 2 :: cell]


def patch_motion(
    points: Tensor, depth: Tensor, K: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Where the first camera saw what a cell shows, less where the cell is, in image widths.

    ``points`` (B, S, h, w, 3) and ``depth`` (B, S, h, w) from ``patch_points``, K (B, S, 3, 3) in
    pixels of ``size`` (H, W). Returns (B, S, h, w, 2) and which of them were within the first
    camera's reach: (B, S, h, w).
    """
    h, w = depth.shape[-2:]
    H, W = size
    cell = H // h
    z = points[..., 2]
    reachable = (depth > 0) & (z > MIN_SEEN_DEPTH)
    seen = torch.einsum("bij,bshwj->bshwi", K[:, 0], points)[..., :2]
    seen = seen / z.clamp_min(MIN_SEEN_DEPTH)[..., None]
    v, u = torch.meshgrid(
        torch.arange(h, device=z.device) * cell + cell // 2 + 0.5,
        torch.arange(w, device=z.device) * cell + cell // 2 + 0.5,
        indexing="ij",
    )
    motion = (seen - torch.stack([u, v], dim=-1)) / W
    return motion, reachable & (motion.abs().amax(-1) < 1)
