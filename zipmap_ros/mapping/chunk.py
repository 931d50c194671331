# SPDX-License-Identifier: Apache-2.0
"""What is read from the network's prediction of a chunk, and from the state afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from zipmap_ros.geometry import Array, invert, rigid
from zipmap_ros.mapping.odometry import Odometry
from zipmap_ros.mapping.prepare import View
from zipmap_ros.mapping.scale import ScaleEstimator
from zipmap_ros.mapping.track import Motion
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


def observe_scale(
    scale: ScaleEstimator,
    odometry: Odometry,
    base_T_camera: Callable[[str], Array],
    chunk: Sequence[View],
    prediction: Prediction,
    poses: Sequence[Array],
    motions: Sequence[Motion],
) -> bool:
    """Give the frames to the scale's source, depth or odometry; whether the scale changed.

    ``base_T_camera`` gives the (4, 4) mount of a camera by its name.
    """
    changed = False
    for i, (view, pose, motion) in enumerate(zip(chunk, poses, motions, strict=True)):
        if motion.jump is not None:
            scale.move(motion.jump)
        if scale.source == "depth" and view.measured is not None:
            depth, confidence = (x[0, i].cpu().numpy() for x in dense(prediction))
            changed |= scale.add_depth(depth, confidence, view.measured)
        elif scale.source in ("odom", "tf") and not motion.carried:
            odom_T_base = odometry.at(view.frame.stamp_ns)
            if odom_T_base is not None:
                source = view.frame.source
                odom_T_camera = odom_T_base @ base_T_camera(source)
                changed |= scale.add_motion(source, odom_T_camera, pose)
    return changed
