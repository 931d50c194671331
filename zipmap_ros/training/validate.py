# SPDX-License-Identifier: Apache-2.0
"""How good the network is now, on clips of worlds that it never saw, streamed frame by frame."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from zipmap_ros.evaluation.metrics import (
    absolute_errors,
    align,
    depth_errors,
    median_scale,
)
from zipmap_ros.geometry import rotation_angle_deg
from zipmap_ros.model import ZipMap
from zipmap_ros.model.cameras import invert
from zipmap_ros.training.data import Batch


@torch.no_grad()
def validate(model: ZipMap, batch: Batch) -> dict[str, float]:
    """Errors over the clips of a batch, beside those of a still camera and a constant depth.

    Keys: ``abs_rel`` (one scale per clip), ``abs_rel_as_predicted``, ``rotation_deg`` and
    ``translation`` (to the first frame, in the batch's unit), ``ate_percent`` of the path after a
    similarity, and the guesses' ``constant_depth``, ``still_rotation_deg``,
    ``still_translation``, ``still_ate_percent``.
    """
    was_training = model.training
    model.eval()
    prediction, _ = model.stream(batch.images, model.new_state(len(batch.images)))
    model.train(was_training)
    assert prediction.depth is not None
    depth, truth = prediction.depth.float().cpu().numpy(), batch.depth.cpu().numpy()
    estimated = invert(prediction.camera_T_world.double()).cpu().numpy()
    true = invert(batch.camera_T_world.double()).cpu().numpy()
    rows = [
        _clip_errors(depth[i], truth[i], estimated[i], true[i]) for i in range(len(batch.images))
    ]
    return {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}


def shrink(batch: Batch, scale: float) -> Batch:
    """The same frames with fewer pixels: ``scale`` is 1 / n, and n divides the size."""
    n = round(1 / scale)
    if n == 1:
        return batch
    B, S = batch.images.shape[:2]
    images = avg_pool2d(batch.images.flatten(0, 1), n).unflatten(0, (B, S))
    K = batch.K.clone()
    K[..., :2, :] /= n
    depth = batch.depth[..., n // 2 :: n, n // 2 :: n]
    return Batch(images, depth.contiguous(), batch.camera_T_world, K)


def _clip_errors(
    depth: np.ndarray, truth: np.ndarray, estimated: np.ndarray, true: np.ndarray
) -> dict[str, float]:
    scaled = depth * median_scale(depth, truth)
    constant = np.full_like(truth, np.median(truth[truth > 0]))
    turned = np.swapaxes(true[:, :3, :3], -1, -2) @ estimated[:, :3, :3]
    return {
        "abs_rel": depth_errors(scaled, truth)["abs_rel"],
        "abs_rel_as_predicted": depth_errors(depth, truth)["abs_rel"],
        "rotation_deg": float(rotation_angle_deg(turned[1:]).mean()),
        "translation": float(np.linalg.norm((estimated - true)[1:, :3, 3], axis=-1).mean()),
        "constant_depth": depth_errors(constant, truth)["abs_rel"],
        "still_rotation_deg": float(rotation_angle_deg(true[1:, :3, :3]).mean()),
        "still_translation": float(np.linalg.norm(true[1:, :3, 3], axis=-1).mean()),
        "ate_percent": _ate_percent(estimated, true),
        "still_ate_percent": _ate_percent(np.repeat(true[:1], len(true), 0), true),
    }


def _ate_percent(estimated: np.ndarray, true: np.ndarray) -> float:
    if len(true) < 3:
        return float("nan")
    return absolute_errors(align(estimated, true)[1], true)["percent"]
