# SPDX-License-Identifier: Apache-2.0
"""What is read from the network's prediction of a chunk, and from the state afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zipmap_ros.geometry import Array, invert, rigid
from zipmap_ros.mapping.prepare import View
from zipmap_ros.model import Prediction, SceneState

SAMPLED_ROWS = 32


def dense(prediction: Prediction) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth and confidence (1, S, H, W)."""
    assert prediction.depth is not None and prediction.confidence is not None
    return prediction.depth, prediction.confidence


def median_depths(prediction: Prediction) -> list[float]:
    """Of each frame, in network units."""
    median: list[float] = dense(prediction)[0][0].flatten(1).median(1).values.tolist()
    return median


def network_poses(views: Sequence[View], prediction: Prediction) -> list[Array] | None:
    """The (4, 4) network_T_camera of each frame, or None when any output is not finite.

    A focal length is looked at only where it is needed: where the camera is not known.
    """
    outputs = [prediction.camera_T_world, *dense(prediction)]
    if any(view.camera is None for view in views):
        outputs.append(prediction.intrinsics)
    if not all(torch.isfinite(output).all() for output in outputs):
        return None
    return list(invert(rigid(prediction.camera_T_world[0].cpu().numpy())))


def relative_change(old: SceneState, new: SceneState) -> float:
    """The norm of the update relative to that of the state; the device is waited for once.

    Of large matrices the first SAMPLED_ROWS speak for all: it is a figure to look at.
    """
    before, after = ([w[:, :SAMPLED_ROWS] for ws in s.layers for w in ws] for s in (old, new))
    change, size = (
        torch.stack(torch._foreach_norm(part)).norm()
        for part in (torch._foreach_sub(after, before), before)
    )
    return float(change / size)
