# SPDX-License-Identifier: Apache-2.0
"""Ray casting of scenes in torch: RGB, and depth along z that is exact.

How it is fast. Images are cut into tiles; a tile tests only the primitives whose oriented boxes
reach its frustum. All pairs of tile and primitive go through the same few tensor operations: in the
unit frame of a primitive a ray is affine in the pixel offsets within the tile, so that one thin
matrix product makes the rays (in float64, whatever TensorFloat setting the process uses). The
nearest hit of each ray is a scatter-minimum over keys that carry the depth in front and the
primitive behind. Rays have z = 1 in the camera, so that the ray parameter is the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zipmap_ros.geometry import Camera
from zipmap_ros.synthetic.scene import BOX, CYLINDER, ELLIPSOID, SHELL, Scene
from zipmap_ros.synthetic.shade import Hits, View, shade
from zipmap_ros.synthetic.textures import SyntheticError

NEAR = 0.02  # metres; nearer surfaces are not seen
_FAR = 1e9  # metres: no hit
# Sized so that the tensors of a step stay in a CPU's cache.
_RAYS_PER_STEP = {"cpu": 1 << 16, "cuda": 1 << 22}
_PAIRS_PER_STEP = {"cpu": 1 << 16, "cuda": 1 << 24}  # rays times primitives


class _Tiling(NamedTuple):
    """How an image is cut: tiles of ``size`` x ``size`` pixels in ``rows`` x ``columns``."""

    size: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
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


def render_scenes(
    scene: Scene,
    texels: Tensor,
    world_T_camera: Tensor,
    cameras: Camera | Sequence[Camera],
    antialias: int = 1,
) -> tuple[Tensor, Tensor]:
    """Render N views of each of the B worlds of a scene.

    world_T_camera  (B, N, 4, 4), OpenCV camera axes, float32 or float64
    cameras         one pinhole, or one per world with equal image sizes
    antialias       rays per pixel along each side, for colour; costs its square

    Returns rgb (B, N, H, W, 3) uint8 and depth (B, N, H, W) float32, metres along z, on the device
    of the scene. Depth is that of the pixel centres. Raises SyntheticError for wrong shapes and
    for cameras outside of their world.
    """
    B = len(scene.count)
    shape = tuple(world_T_camera.shape)
    if len(shape) != 4 or shape[0] != B or shape[2:] != (4, 4):
        raise SyntheticError(f"poses must be ({B}, N, 4, 4) for {B} worlds, got {shape}")
    if antialias < 1:
        raise SyntheticError(f"antialias is {antialias}: give 1 or more rays")
    views = world_T_camera.shape[1]
    intrinsics, camera = _intrinsics(cameras, B)
    device = scene.kind.device
    world = torch.arange(B, device=device).repeat_interleave(views)
    poses = world_T_camera.to(device, torch.float64).reshape(B * views, 4, 4)
    _check_inside(scene, world, poses)
    per_frame = intrinsics.to(device).repeat_interleave(views, 0)
    fine = camera.resized(antialias * camera.width, antialias * camera.height)
    rays = fine.width * fine.height
    step = max(1, _RAYS_PER_STEP.get(device.type, 1 << 20) // rays)
    rgb = torch.empty(B * views, camera.height, camera.width, 3, dtype=torch.uint8, device=device)
    depth = torch.empty(B * views, camera.height, camera.width, device=device)
    for i in range(0, B * views, step):
        part = slice(i, i + step)
        frames = (scene, world[part], poses[part])
        hits, view = _cast(*frames, per_frame[part], camera)
        depth[part] = _Tiling.of(camera).to_image(hits.depth, camera)
        if antialias > 1:
            hits, view = _cast(*frames, per_frame[part] * antialias, fine)
        colour = _Tiling.of(fine).to_image(shade(*frames, view, hits, texels), fine)
        if antialias > 1:
            colour = _mean_of_blocks(colour, antialias)
        rgb[part] = colour
    return rgb.view(B, views, *rgb.shape[1:]), depth.view(B, views, *depth.shape[1:])


def _check_inside(scene: Scene, world: Tensor, poses: Tensor) -> None:
    """Raise SyntheticError where the camera of a frame is not in the shell of its world."""
    shell = scene.first[world]
    offset = poses[:, :3, 3] - scene.centre[shell]
    local = torch.einsum("fij,fi->fj", scene.axes[shell], offset)
    if not bool((local.abs() <= scene.half[shell]).all()):
        raise SyntheticError("a camera is outside of its world: keep within World.size")


def _mean_of_blocks(colour: Tensor, size: int) -> Tensor:
    """(F, k * H, k * W, 3) uint8 to (F, H, W, 3): the mean of the light in k x k pixels."""
    F, H, W, _ = colour.shape
    blocks = colour.float().square_().view(F, H // size, size, W // size, size, 3)
    return blocks.mean((2, 4)).sqrt_().add_(0.5).to(torch.uint8)


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


def _view(scene: Scene, world: Tensor, poses: Tensor, intrinsics: Tensor, camera: Camera) -> View:
    """Bring the primitives of each frame's world into its camera; leave out those out of view."""
    count = scene.count[world]
    frame = torch.arange(len(world), device=world.device).repeat_interleave(count)
    start = count.cumsum(0) - count
    prim = torch.arange(len(frame), device=world.device) + (scene.first[world] - start)[frame]
    R, position = poses[:, :3, :3], poses[:, :3, 3]
    middle = torch.bmm((scene.centre[prim] - position[frame])[:, None], R[frame])[:, 0]
    axes = torch.bmm(R.transpose(1, 2)[frame], scene.axes[prim])
    half = scene.half[prim]
    box, kind = axes * half[:, None], scene.kind[prim]
    focal, centre = intrinsics[:, :2], intrinsics[:, 2:]

    edges = intrinsics.new_tensor([[0.0, camera.width], [0.0, camera.height]])
    slopes = ((edges - centre[..., None]) / focal[..., None])[frame]  # (Q, 2, 2)
    visible = middle[:, 2] + box[:, 2].abs().sum(1) > NEAR
    for axis in range(2):
        visible &= _between(box, middle, axis, slopes[:, axis])[:, 0]
    keep = (visible | (kind == SHELL)).nonzero()[:, 0]
    to_unit = axes[keep].transpose(1, 2) / half[keep, :, None]
    origin = -torch.bmm(to_unit, middle[keep, :, None])[..., 0]
    shell = (kind[keep] == SHELL).nonzero()[:, 0]
    return View(
        frame[keep], prim[keep], kind[keep], shell, box[keep], middle[keep], to_unit, origin,
        focal, centre,
    )  # fmt: skip


def _between(box: Tensor, middle: Tensor, axis: int, slopes: Tensor) -> Tensor:
    """Which of Q boxes reach between neighbouring planes x = slope * z (y for axis 1).

    slopes (Q, S) ascending; returns (Q, S - 1) bool, true also for some boxes that just miss.
    """
    aside = middle[:, axis, None] - slopes * middle[:, 2, None]
    reach = torch.zeros_like(aside)
    for k in range(3):
        reach += (box[:, axis, k, None] - slopes * box[:, 2, k, None]).abs_()
    return (aside + reach)[:, :-1].gt(0) & (aside - reach)[:, 1:].lt(0)


def _pairs(view: View, tiling: _Tiling) -> Tensor:
    """(Q, rows * columns) bool: the tiles of its frame that a primitive (no shell) may hit."""
    masks = []
    for axis, count in ((1, tiling.rows), (0, tiling.columns)):
        edge = torch.arange(count + 1, device=view.kind.device) * tiling.size
        slopes = (edge - view.centre[:, axis, None]) / view.focal[:, axis, None]  # (F, count + 1)
        masks.append(_between(view.box, view.middle, axis, slopes[view.frame]))
    rows = masks[0] & (view.kind != SHELL)[:, None]
    return (rows[:, :, None] & masks[1][:, None]).flatten(1)


def _cast(
    scene: Scene, world: Tensor, poses: Tensor, intrinsics: Tensor, camera: Camera
) -> tuple[Hits, View]:
    """Nearest hits of all rays of F frames, in the order of their tiles."""
    view, tiling = _view(scene, world, poses, intrinsics, camera), _Tiling.of(camera)
    F, T, s, device = len(view.shell), tiling.tiles, tiling.size, view.kind.device
    offset = torch.arange(s, device=device, dtype=torch.float64)
    zero = torch.zeros(s, s, device=device, dtype=torch.float64)
    basis = torch.stack([zero + offset, zero + offset[:, None], zero + 1]).view(3, s * s)
    tile = torch.arange(T, device=device)
    corner = torch.stack([tile % tiling.columns, tile // tiling.columns], -1) * s + 0.5  # pixels
    corner = (corner - view.centre[:, None]) / view.focal[:, None]  # (F, T, 2) at depth 1
    pixel = 1 / view.focal  # (F, 2)

    def unit_rays(seen: Tensor, tile: Tensor) -> tuple[Tensor, Tensor]:
        """Directions (3, n, s * s) and origins (3, n, 1) of n tiles in n unit frames."""
        M, frame = view.to_unit[seen], view.frame[seen]
        start = corner[frame, tile]
        columns = [
            M[..., 0] * pixel[frame, :1],
            M[..., 1] * pixel[frame, 1:],
            M[..., 0] * start[:, :1] + M[..., 1] * start[:, 1:] + M[..., 2],
        ]
        left = torch.stack(columns, -1).transpose(0, 1).reshape(-1, 3)  # (3 * n, 3)
        origin = view.origin[seen].float().t().contiguous()
        return (left @ basis).float().view(3, -1, s * s), origin[..., None]

    shells = view.shell.repeat_interleave(T)
    nearest = _key(_leave_box(*unit_rays(shells, tile.repeat(F))), shells)
    mask = _pairs(view, tiling)
    block = max(1, _PAIRS_PER_STEP.get(device.type, 1 << 20) // s**2)
    for kind, intersect in _INTERSECT.items():
        of_kind = (view.kind == kind).nonzero()[:, 0]
        which, tiles = mask[of_kind].nonzero(as_tuple=True)
        for seen, at in zip(of_kind[which].split(block), tiles.split(block), strict=True):
            key = _key(intersect(*unit_rays(seen, at)), seen)
            row = (view.frame[seen] * T + at)[:, None].expand_as(key)
            nearest.scatter_reduce_(0, row, key, "amin")
    depth, prim = _unkey(nearest)
    x = (corner[..., :1] + basis[0] * pixel[:, None, :1]).float()
    y = (corner[..., 1:] + basis[1] * pixel[:, None, 1:]).float()
    return Hits(depth.view(F, -1), prim.view(F, -1), x.view(F, -1), y.view(F, -1)), view


# A float32 depth leaves the low 29 bits of a float64 free: there the primitive is noted.
_LOW_BITS = (1 << 29) - 1


def _key(depth: Tensor, seen: Tensor) -> Tensor:
    """(n, r) float32 depths and (n,) indices as float64 that sort by depth, then by index."""
    return (depth.double().view(torch.int64) | seen[:, None]).view(torch.float64)


def _unkey(key: Tensor) -> tuple[Tensor, Tensor]:
    bits = key.view(torch.int64)
    return (bits & ~_LOW_BITS).view(torch.float64).float(), bits & _LOW_BITS


def _slabs(rays: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Where (k, n, r) rays enter and leave the slab |x| <= 1 of every axis."""
    inverse = rays.reciprocal()
    low, high = inverse * (-1 - origin), inverse.mul_(1 - origin)
    return torch.minimum(low, high).amax(0), torch.maximum(low, high).amin(0)


def _leave_box(rays: Tensor, origin: Tensor) -> Tensor:
    return _slabs(rays, origin)[1]


def _enter(near: Tensor, far: Tensor) -> Tensor:
    """``near`` where a ray hits at all, _FAR elsewhere (also for NaN)."""
    return near.masked_fill_(~((near <= far) & (near > NEAR)), _FAR)


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
