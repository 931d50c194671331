# SPDX-License-Identifier: Apache-2.0
"""Colour of ray hits: mip-mapped textures with real scale, lamps, ambient light, exposure.

Colours are computed in gamma-2 space: light L makes a texture value c into c * sqrt(L), which is
squaring, lighting and square root of a camera's transfer curve, in one step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zipmap_ros.synthetic.scene import CYLINDER, ELLIPSOID, LIGHTS, Scene
from zipmap_ros.synthetic.textures import LEVELS, SIZE, TEXELS_PER_TEXTURE

_LEVEL_START = [sum((SIZE >> k) ** 2 for k in range(level)) for level in range(LEVELS)]


class Hits(NamedTuple):
    """What R rays of each of F frames met.

    depth    (F, R) float32 along z, metres
    prim     (F, R) int32 primitive of the frame's world
    x, y     (F, R) float32 ray at depth 1
    to_unit  (F, P, 3, 3), origin (F, P, 3) float64: camera to unit frame of each primitive
    focal    (F, 2) float64 pixels
    """

    depth: Tensor
    prim: Tensor
    x: Tensor
    y: Tensor
    to_unit: Tensor
    origin: Tensor
    focal: Tensor


def shade(
    scene: Scene, world: Tensor, poses: Tensor, hits: Hits, texels: Tensor, exposure: Tensor
) -> Tensor:
    """(F, R, 3) uint8 RGB of the hits; world (F,) picks the scene, exposure (F,) scales light."""
    F, P = hits.to_unit.shape[:2]
    kind = scene.kind[world][..., None]
    rows = torch.cat(
        [
            hits.to_unit.reshape(F, P, 9).float(),
            hits.origin.float(),
            scene.uv[world],
            scene.material[world],
            kind == ELLIPSOID,
            kind == CYLINDER,
        ],
        -1,
    )  # (F, P, 25)
    frame = torch.arange(F, device=kind.device, dtype=torch.int32)[:, None] * P
    table = rows.view(F * P, -1).index_select(0, (hits.prim + frame).view(-1))
    column = table.view(*hits.prim.shape, -1).unbind(-1)

    z = hits.depth
    x, y = hits.x * z, hits.y * z
    M = column[:9]
    unit = [
        torch.addcmul(torch.addcmul(torch.addcmul(column[9 + i], M[3 * i], x), M[3 * i + 1], y),
                      M[3 * i + 2], z)
        for i in range(3)
    ]  # fmt: skip
    local, (s, t) = _surface(unit, column)
    normal = [local[0] * M[i] + local[1] * M[3 + i] + local[2] * M[6 + i] for i in range(3)]
    length = (normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2).rsqrt_()
    facing = (normal[0] * hits.x + normal[1] * hits.y + normal[2]) * length  # |ray| * cosine
    length = length * facing.sign().neg_()  # towards the camera
    normal = [n * length for n in normal]

    texture, emission, density = column[17], column[21], column[22]
    pixel = z / hits.focal[:, :1].float()  # metres
    texels_per_pixel = density * pixel * facing.abs_().clamp_min_(0.1).rsqrt_()
    rgb = _sample(texels, texture, s, t, texels_per_pixel)  # (F, R, 4) 0..255
    light = _light(scene, world, poses, (x, y, z), normal)
    light = torch.where(emission > 0, emission, light) * exposure[:, None]
    tint = table.view(*hits.prim.shape, -1)[..., 18:21]
    linear = light.sqrt_()[..., None] * tint
    return (rgb[..., :3] * linear).clamp_max_(255).to(torch.uint8)


def _surface(
    unit: list[Tensor], column: tuple[Tensor, ...]
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """Normal in the unit frame (any length), and texture coordinates in texels, of hits there.

    The texture is laid on from the axis that the surface faces most.
    """
    is_ball, is_cylinder = column[23] > 0, column[24] > 0
    side = is_cylinder & (unit[2].abs() < 0.9999)
    ax, ay = unit[0].abs(), unit[1].abs()
    az = unit[2].abs().masked_fill_(side, 0.0)
    az = torch.where(is_cylinder & ~side, 2.0, az)
    on_z = (az >= ax) & (az >= ay)
    on_x = (ax >= ay) & ~on_z
    curved = is_ball | side
    local = [
        torch.where(curved, unit[0], on_x.float()),
        torch.where(curved, unit[1], (~on_x & ~on_z).float()),
        torch.where(curved & ~side, unit[2], (on_z & ~side).float()),
    ]
    u, v, w = (unit[i] * column[12 + i] for i in range(3))
    s = torch.where(on_x, v, u) + column[15]
    t = torch.where(on_z, v, w).neg_() + column[16]
    return local, (s, t)


def _sample(texels: Tensor, texture: Tensor, s: Tensor, t: Tensor, footprint: Tensor) -> Tensor:
    """Bilinear lookup in the mip level that fits ``footprint`` texels per pixel; (..., 4) 0..255."""
    level = footprint.clamp_(1.0, SIZE).log2_().add_(0.3).to(torch.int32).clamp_max_(LEVELS - 1)
    start = torch.tensor(_LEVEL_START, dtype=torch.int32, device=texels.device)
    base = texture.to(torch.int32) * TEXELS_PER_TEXTURE
    base += start.index_select(0, level.view(-1)).view(level.shape)
    shrink = torch.exp2(-level.float())
    s, t = s * shrink - 0.5, t * shrink - 0.5
    left, top = s.floor(), t.floor()
    fx, fy = (s - left)[..., None], (t - top)[..., None]
    bits = LEVELS - 1 - level
    mask = (1 << bits) - 1
    x, y = left.to(torch.int32), top.to(torch.int32)
    x0, x1 = x & mask, (x + 1) & mask
    y0, y1 = base + ((y & mask) << bits), base + (((y + 1) & mask) << bits)

    def fetch(index: Tensor) -> Tensor:
        packed = texels.index_select(0, index.view(-1))
        return packed.view(torch.uint8).view(*index.shape, 4).float()

    upper = torch.lerp(fetch(y0 + x0), fetch(y0 + x1), fx)
    lower = torch.lerp(fetch(y1 + x0), fetch(y1 + x1), fx)
    return torch.lerp(upper, lower, fy)


def _light(
    scene: Scene,
    world: Tensor,
    poses: Tensor,
    point: tuple[Tensor, Tensor, Tensor],
    normal: list[Tensor],
) -> Tensor:
    """(F, R) light on points with normals, both in the camera."""
    x, y, z = point
    R, position = poses[:, :3, :3].float(), poses[:, :3, 3].float()
    up = R[:, 2]  # world z in the camera, (F, 3)
    rise = normal[0] * up[:, :1] + normal[1] * up[:, 1:2] + normal[2] * up[:, 2:]
    above, beside, below = scene.ambient[world].t()[..., None]
    light = beside + (above - beside) * rise.clamp_min(0) + (beside - below) * rise.clamp_max_(0)
    lamps = scene.lights[world]
    places = (lamps[..., :3] - position[:, None]) @ R  # (F, LIGHTS, 3) in the camera
    for i in range(LIGHTS):
        dx, dy, dz = (places[:, i, k, None] - p for k, p in enumerate((x, y, z)))
        squared = dx * dx + dy * dy + dz * dz
        cosine = (normal[0] * dx + normal[1] * dy + normal[2] * dz) * squared.rsqrt()
        light += lamps[:, i, 3:] * cosine.clamp_min_(0) / squared.mul_(0.25).add_(1)
    return light
