# SPDX-License-Identifier: Apache-2.0
"""Pose encodings, ray maps and unprojection, on tensors.

A pose encoding is (tx, ty, tz, qx, qy, qz, qw, fov_h, fov_w) of the world-to-camera transform
``camera_T_world`` (OpenCV axes); the vertical field of view, in radians, comes first. The principal
point is the image centre. Pixel centres lie at integer coordinates plus 0.5.
"""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_from_quaternion(quaternion: Tensor) -> Tensor:
    """(..., 4) scalar-last quaternions of any length but zero -> (..., 3, 3) rotations."""
    x, y, z, w = quaternion.unbind(-1)
    s = 2 / (quaternion * quaternion).sum(-1)
    rows = [
        1 - s * (y * y + z * z),
        s * (x * y - z * w),
        s * (x * z + y * w),
        s * (x * y + z * w),
        1 - s * (x * x + z * z),
        s * (y * z - x * w),
        s * (x * z - y * w),
        s * (y * z + x * w),
        1 - s * (x * x + y * y),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_matrix(R: Tensor) -> Tensor:
    """(..., 3, 3) rotations -> (..., 4) scalar-last quaternions with a real part >= 0.

    Each of the four components can be divided by; the largest one is, which is exact everywhere.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = R.flatten(-2).unbind(-1)
    squared = torch.stack(
        [1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22, 1 + m00 + m11 + m22], -1
    )
    double = squared.clamp_min(0).sqrt()  # twice |x|, |y|, |z|, |w|
    x2, y2, z2, w2 = (double * double).unbind(-1)
    candidates = torch.stack(
        [
            torch.stack([x2, m10 + m01, m02 + m20, m21 - m12], -1),
            torch.stack([m10 + m01, y2, m12 + m21, m02 - m20], -1),
            torch.stack([m20 + m02, m21 + m12, z2, m10 - m01], -1),
            torch.stack([m21 - m12, m02 - m20, m10 - m01, w2], -1),
        ],
        dim=-2,
    ) / (2 * double[..., None].clamp_min(0.1))
    best = double.argmax(-1)[..., None, None].expand(*double.shape[:-1], 1, 4)
    quaternion = candidates.gather(-2, best).squeeze(-2)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def decode_pose(encoding: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(..., 9) pose encodings -> camera_T_world (..., 3, 4) and intrinsics (..., 3, 3) in pixels.

    A field of view of 0 gives an infinite focal length.
    """
    R = matrix_from_quaternion(encoding[..., 3:7])
    camera_T_world = torch.cat([R, encoding[..., :3, None]], dim=-1)
    K = encoding.new_zeros(*encoding.shape[:-1], 3, 3)
    K[..., 0, 0] = width / 2 / torch.tan(encoding[..., 8] / 2)
    K[..., 1, 1] = height / 2 / torch.tan(encoding[..., 7] / 2)
    K[..., 0, 2] = width / 2
    K[..., 1, 2] = height / 2
    K[..., 2, 2] = 1
    return camera_T_world, K


def encode_pose(camera_T_world: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """camera_T_world (..., 3, 4) and intrinsics (..., 3, 3) in pixels -> (..., 9) encodings."""
    quaternion = quaternion_from_matrix(camera_T_world[..., :3, :3])
    fov_h = 2 * torch.atan(height / 2 / K[..., 1, 1])
    fov_w = 2 * torch.atan(width / 2 / K[..., 0, 0])
    fov = torch.stack([fov_h, fov_w], dim=-1)
    return torch.cat([camera_T_world[..., :3, 3], quaternion, fov], dim=-1)


def invert(T: Tensor) -> Tensor:
    """The inverses of rigid transforms (..., 3, 4) or (..., 4, 4), as (..., 4, 4)."""
    R_inverse = T[..., :3, :3].mT
    top = torch.cat([R_inverse, -R_inverse @ T[..., :3, 3:]], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], dim=-2)


def pixel_rays(K: Tensor, height: int, width: int) -> Tensor:
    """Intrinsics (..., 3, 3) in pixels -> (..., H, W, 3) directions of depth 1, camera axes."""
    u = torch.arange(width, device=K.device, dtype=K.dtype) + 0.5
    v = torch.arange(height, device=K.device, dtype=K.dtype) + 0.5
    x = (u - K[..., 0, 2, None]) / K[..., 0, 0, None]  # (..., W)
    y = (v - K[..., 1, 2, None]) / K[..., 1, 1, None]  # (..., H)
    shape = (*K.shape[:-2], height, width)
    x, y = x[..., None, :].expand(shape), y[..., :, None].expand(shape)
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def unproject(depth: Tensor, K: Tensor) -> Tensor:
    """Depth along z (..., H, W), intrinsics (..., 3, 3) -> (..., H, W, 3) points, camera axes."""
    return pixel_rays(K, *depth.shape[-2:]) * depth[..., None]


def official_query_poses(world_T_camera: Tensor, camera_T_world: Tensor) -> Tensor:
    """Cameras as the official state_query network was taught to be asked for them, (..., T, 3, 4).

    world_T_camera (..., T, 3, 4) or (..., T, 4, 4) to ask for, camera_T_world (..., S, 3, 4) of the
    images in the state, such as a prediction's. The world becomes the first image's camera, and the
    largest coordinate of the images' cameras 1; depth is answered in the state's own unit.
    """
    R = camera_T_world[..., :1, :3, :3]
    centres = invert(camera_T_world)[..., :3, 3:]
    first = centres[..., :1, :, :]
    largest = (R @ (centres - first)).abs().amax((-3, -2), keepdim=True).clamp(1e-6, 1e6)
    moved = R @ (world_T_camera[..., :3, 3:] - first) / largest
    return torch.cat([R @ world_T_camera[..., :3, :3], moved], dim=-1)


def ray_map(world_T_camera: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """What a query sees of its camera: (..., 9, H, W) of origin, unit direction and their cross.

    world_T_camera (..., 3, 4) or (..., 4, 4) and K (..., 3, 3) for that image size. The world is
    the state's, that of the poses predicted from it; for the official state_query network it is
    that of `official_query_poses`.
    """
    R, origin = world_T_camera[..., :3, :3], world_T_camera[..., :3, 3]
    d = torch.einsum("...ij,...hwj->...hwi", R, pixel_rays(K, height, width))
    d = d / torch.linalg.vector_norm(d, dim=-1, keepdim=True)
    o = origin[..., None, None, :].expand_as(d)
    return torch.cat([o, d, torch.linalg.cross(o, d)], dim=-1).movedim(-1, -3)
