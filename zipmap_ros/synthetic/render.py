# SPDX-License-Identifier: Apache-2.0
"""Ray casting of scenes in torch: RGB, and depth along z that is exact.

How it is fast. Images are cut into tiles; a tile tests only the primitives whose oriented boxes
reach its frustum. The k-th candidates of all tiles are intersected together (k is the "rank"), so
that every step is one large tensor operation. In the unit frame of a primitive a ray is affine in
the pixel offsets within the tile: one thin matrix product makes the rays of a whole rank. That
product is in float64, whatever TensorFloat setting the process uses. Rays have z = 1 in the camera,
so that the ray parameter is the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zipmap_ros.geometry import Camera
from zipmap_ros.synthetic.scene import BOX, CYLINDER, ELLIPSOID, SHELL, Scene
from zipmap_ros.synthetic.shade import Hits, shade
from zipmap_ros.synthetic.textures import SyntheticError

NEAR = 0.02  # metres; nearer surfaces are not seen
_RAYS_PER_STEP = {"cpu": 1 << 16, "cuda": 1 << 22}


class _Tiling(NamedTuple):
    """How an image is cut: tiles of ``size`` x ``size`` pixels in ``rows`` x ``columns``."""

    size: int
    rows: int
    columns: int

    @property
    def count(self) -> int:
        return self.rows * self.columns

    @classmethod
    def of(cls, camera: Camera) -> _Tiling:
        size = 8 if camera.width * camera.height <= 160 * 120 else 16
        return cls(size, -(-camera.height // size), -(-camera.width // size))

    def to_image(self, tiles: Tensor, camera: Camera) -> Tensor:
        """(F, tiles * size * size, ...) to (F, H, W, ...)."""
        s, tail = self.size, tiles.shape[2:]
        grid = tiles.reshape(-1, self.rows, self.columns, s, s, *tail).transpose(2, 3)
        image = grid.reshape(-1, self.rows * s, self.columns * s, *tail)
        return image[:, : camera.height, : camera.width]


class _View(NamedTuple):
    """Primitives of each frame's world in that frame's camera.

    to_unit (F, P, 3, 3) and origin (F, P, 3) map camera coordinates into the unit frame of a
    primitive; box (F, P, 3, 3) has its half axes in the camera as columns, middle (F, P, 3) its
    centre; focal (F, 2) and centre (F, 2) are the intrinsics in pixels. All float64.
    """

    kind: Tensor
    box: Tensor
    middle: Tensor
    to_unit: Tensor
    origin: Tensor
    focal: Tensor
    centre: Tensor


def render_scenes(
    scene: Scene,
    texels: Tensor,
    world_T_camera: Tensor,
    cameras: Camera | Sequence[Camera],
    exposure: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Render N views of each of B stacked scenes.

    world_T_camera  (B, N, 4, 4), OpenCV camera axes, float32 or float64
    cameras         one pinhole, or one per scene with equal image sizes
    exposure        (B, N) factor on the light, default 1

    Returns rgb (B, N, H, W, 3) uint8 and depth (B, N, H, W) float32, metres along z, on the device
    of the scene. Depth is that of the pixel centres. Raises SyntheticError for wrong shapes.
    """
    B = len(scene.kind)
    if world_T_camera.ndim != 4 or world_T_camera.shape[0] != B:
        raise SyntheticError(
            f"poses must be ({B}, N, 4, 4) for {B} worlds, got {tuple(world_T_camera.shape)}"
        )
    views = world_T_camera.shape[1]
    intrinsics, camera = _intrinsics(cameras, B)
    device = scene.kind.device
    world = torch.arange(B, device=device).repeat_interleave(views)
    poses = world_T_camera.to(device, torch.float64).reshape(B * views, 4, 4)
    per_frame = intrinsics.to(device).repeat_interleave(views, 0)
    if exposure is None:
        exposure = torch.ones(B, views)
    exposure = exposure.to(device, torch.float32).reshape(-1)
    tiling = _Tiling.of(camera)
    rays = tiling.count * tiling.size**2
    step = max(1, _RAYS_PER_STEP.get(device.type, 1 << 20) // rays)
    rgb = torch.empty(B * views, camera.height, camera.width, 3, dtype=torch.uint8, device=device)
    depth = torch.empty(B * views, camera.height, camera.width, device=device)
    for i in range(0, B * views, step):
        part = slice(i, i + step)
        view = _view(scene, world[part], poses[part], per_frame[part])
        hits = _cast(view, tiling)
        depth[part] = tiling.to_image(hits.depth, camera)
        colour = shade(scene, world[part], poses[part], hits, texels, exposure[part])
        rgb[part] = tiling.to_image(colour, camera)
    return rgb.view(B, views, *rgb.shape[1:]), depth.view(B, views, *depth.shape[1:])


def _intrinsics(cameras: Camera | Sequence[Camera], count: int) -> tuple[Tensor, Camera]:
    """(B, 4) float64 fx, fy, cx, cy, and one of the cameras."""
    each = [cameras] * count if isinstance(cameras, Camera) else list(cameras)
    if len(each) != count or len({(c.width, c.height) for c in each}) != 1:
        raise SyntheticError(
            f"give one camera, or {count} of the same image size (one per world); got {len(each)}"
        )
    if any(c.is_distorted for c in each):
        raise SyntheticError("only pinhole cameras can be rendered: use camera.undistorted()")
    rows = [(c.fx, c.fy, c.cx, c.cy) for c in each]
    return torch.tensor(rows, dtype=torch.float64), each[0]


def _view(scene: Scene, world: Tensor, poses: Tensor, intrinsics: Tensor) -> _View:
    R, position = poses[:, :3, :3], poses[:, :3, 3]
    middle = (scene.centre[world] - position[:, None]) @ R  # (F, P, 3) in the camera
    axes = R.transpose(1, 2)[:, None] @ scene.axes[world]  # (F, P, 3, 3)
    half = scene.half[world].clamp_min(1e-6)  # padding has none
    to_unit = axes.transpose(2, 3) / half[..., None]
    origin = -(to_unit @ middle[..., None])[..., 0]
    return _View(
        scene.kind[world], axes * half[..., None, :], middle, to_unit, origin,
        intrinsics[:, :2], intrinsics[:, 2:],
    )  # fmt: skip


def _candidates(view: _View, tiling: _Tiling) -> Tensor:
    """(F, rows, columns, P) bool: primitives whose oriented boxes reach a tile's frustum."""

    def outside(axis: int, count: int) -> Tensor:
        """(F, P, count) whether the box misses the strip between neighbouring tile edges."""
        edge = torch.arange(count + 1, device=view.kind.device) * tiling.size
        slope = (edge - view.centre[:, axis, None]) / view.focal[:, axis, None]  # (F, count + 1)
        slope = slope[:, None]
        aside = view.middle[..., axis, None] - slope * view.middle[..., 2, None]
        reach = view.box[:, :, axis, :, None] - slope[:, :, None] * view.box[:, :, 2, :, None]
        reach = reach.abs().sum(2)
        return (aside + reach)[..., :-1].lt(0) | (aside - reach)[..., 1:].gt(0)

    ahead = view.middle[..., 2] + view.box[..., 2, :].abs().sum(-1) > NEAR
    seen = ahead & (view.kind > SHELL)
    rows, columns = ~outside(1, tiling.rows), ~outside(0, tiling.columns)
    mask = rows[:, :, :, None] & (columns & seen[..., None])[:, :, None, :]
    return mask.permute(0, 2, 3, 1)


def _cast(view: _View, tiling: _Tiling) -> Hits:
    """Nearest hits of all rays of all frames."""
    F, P = view.kind.shape
    device, s, T = view.kind.device, tiling.size, tiling.count
    offset = torch.arange(s, device=device, dtype=torch.float64)
    one = torch.ones(s, s, device=device, dtype=torch.float64)
    basis = torch.stack([one * offset, one * offset[:, None], one]).view(3, s * s)
    row, column = torch.meshgrid(
        torch.arange(tiling.rows, device=device),
        torch.arange(tiling.columns, device=device),
        indexing="ij",
    )
    corner = torch.stack([column.flatten(), row.flatten()], -1) * s + 0.5  # (T, 2) pixels
    corner = (corner - view.centre[:, None]) / view.focal[:, None]  # (F, T, 2) at depth 1
    pixel = 1 / view.focal  # (F, 2)

    def unit_rays(frame: Tensor, tile: Tensor, prim: Tensor) -> tuple[Tensor, Tensor]:
        """Directions (3, n, s * s) and origins (3, n, 1) of n tiles in n unit frames."""
        M = view.to_unit[frame, prim]  # (n, 3, 3)
        start = (M[..., :2] @ corner[frame, tile][..., None])[..., 0] + M[..., 2]
        left = torch.cat([M[..., :2] * pixel[frame][:, None], start[..., None]], -1)  # (n, 3, 3)
        rays = left.transpose(0, 1).reshape(-1, 3) @ basis
        origin = view.origin[frame, prim].float().t()[..., None]
        return rays.float().view(3, -1, s * s), origin.contiguous()

    every = torch.arange(F * T, device=device)
    rays, origin = unit_rays(every // T, every % T, torch.zeros_like(every))
    depth = _leave_box(rays, origin)
    nearest = torch.zeros(F * T, s * s, dtype=torch.int32, device=device)
    mask = _candidates(view, tiling)
    for kind, intersect in _INTERSECT.items():
        of_kind = mask & (view.kind == kind)[:, None, None]
        for tile, prim in _ranks(of_kind.reshape(F * T, P)):
            rays, origin = unit_rays(tile // T, tile % T, prim)
            t, best = intersect(rays, origin), depth[tile]
            closer = t < best
            depth[tile] = torch.minimum(t, best)
            nearest[tile] = torch.where(closer, prim.int()[:, None], nearest[tile])
    x = (corner[..., :1] + basis[0] * pixel[:, None, :1]).float()
    y = (corner[..., 1:] + basis[1] * pixel[:, None, 1:]).float()
    return Hits(
        depth.view(F, -1), nearest.view(F, -1), x.view(F, -1), y.view(F, -1),
        view.to_unit, view.origin, view.focal,
    )  # fmt: skip


def _ranks(mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Split (tiles, P) candidates into lists of (tile, primitive) in which no tile repeats."""
    tile, prim = mask.nonzero(as_tuple=True)
    counts = mask.sum(1)
    rank = torch.arange(len(tile), device=tile.device) - (counts.cumsum(0) - counts)[tile]
    order = rank.argsort(stable=True)
    sizes = torch.bincount(rank).tolist()
    return list(zip(tile[order].split(sizes), prim[order].split(sizes), strict=True))


def _slabs(rays: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Where (k, n, r) rays enter and leave the slab |x| <= 1 of every axis."""
    inverse = rays.reciprocal()
    low, high = inverse * (-1 - origin), inverse.mul_(1 - origin)
    return torch.minimum(low, high).amax(0), torch.maximum(low, high).amin(0)


def _leave_box(rays: Tensor, origin: Tensor) -> Tensor:
    return _slabs(rays, origin)[1]


def _enter(near: Tensor, far: Tensor) -> Tensor:
    """``near`` where a ray hits at all, inf elsewhere (also for NaN)."""
    return near.masked_fill_(~((near <= far) & (near > NEAR)), torch.inf)


def _hit_box(rays: Tensor, origin: Tensor) -> Tensor:
    return _enter(*_slabs(rays, origin))


def _round(rays: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Where (k, n, r) rays enter and leave the unit k-ball; NaN for a miss.

    Measured from the point nearest to the centre: the textbook discriminant loses small, distant
    balls in float32.
    """
    squared = (rays * rays).sum(0)
    middle = (rays * origin).sum(0).neg_().div_(squared)
    nearest = torch.addcmul(origin, rays, middle)
    reach = (1 - (nearest * nearest).sum(0)).div_(squared).sqrt_()
    return middle - reach, middle + reach


def _hit_cylinder(rays: Tensor, origin: Tensor) -> Tensor:
    near, far = _round(rays[:2], origin[:2])
    low, high = _slabs(rays[2:], origin[2:])
    return _enter(torch.maximum(near, low), torch.minimum(far, high))


def _hit_ellipsoid(rays: Tensor, origin: Tensor) -> Tensor:
    return _enter(*_round(rays, origin))


_INTERSECT = {BOX: _hit_box, CYLINDER: _hit_cylinder, ELLIPSOID: _hit_ellipsoid}
