# SPDX-License-Identifier: Apache-2.0
"""From depth to the points of a frame: chosen and moved on the device, few copied off it."""

from __future__ import annotations

import torch
from torch import Tensor

from zipmap_ros.geometry import Array, Camera
from zipmap_ros.mapping.voxel_map import Cloud


def frame_points(
    depth: Tensor,
    confidence: Tensor,
    pixels: Tensor,
    camera: Camera,
    map_T_camera: Array,
    min_confidence: float,
    max_range: float,
    max_points: int,
) -> Cloud:
    """The confident points of one frame in ``map``.

    depth, confidence  (H, W) on any device, depth in map units along z
    pixels             (3, H, W) in [0, 1]
    max_range          depth beyond which points are left out, map units
    max_points         when more are left, an even selection of them
    """
    good = (confidence >= min_confidence) & (depth <= max_range)
    index = good.flatten().nonzero()[:, 0]
    if len(index) > max_points:
        even = torch.arange(max_points, device=index.device) * len(index) // max_points
        index = index[even]
    z = depth.flatten()[index]
    u, v = index % camera.width, index // camera.width
    x = (u + (0.5 - camera.cx)) / camera.fx * z
    y = (v + (0.5 - camera.cy)) / camera.fy * z
    T = torch.as_tensor(map_T_camera, dtype=depth.dtype, device=depth.device)
    points = torch.stack([x, y, z], dim=1) @ T[:3, :3].T + T[:3, 3]
    colors = (pixels.to(depth.device).flatten(1)[:, index].T * 255 + 0.5).to(torch.uint8)
    return Cloud(
        points.cpu().numpy(),
        colors.cpu().numpy(),
        confidence.flatten()[index].cpu().numpy(),
    )
