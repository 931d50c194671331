# SPDX-License-Identifier: Apache-2.0
"""Colour of ray hits: mip-mapped textures with real scale, lamps, ambient light.

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


class View(NamedTuple):
    """F frames, and the Q primitives that may be seen in them, in the frames' cameras. float64.

    frame    (Q,) int64, ascending; prim (Q,) int64 index into the scene
    kind     (Q,) int64; ``shell`` (F,) is the position of each frame's shell in the list
    box      (Q, 3, 3) half axes in the camera as columns; middle (Q, 3) the centre
    to_unit  (Q, 3, 3) and origin (Q, 3): camera coordinates to the unit frame of the primitive
    focal    (F, 2) and centre (F, 2): intrinsics in pixels
    """

    frame: Tensor
    prim: Tensor
    kind: Tensor
    shell: Tensor
    box: Tensor
    middle: Tensor
    to_unit: Tensor
    origin: Tensor
    focal: Tensor
    centre: Tensor


class Hits(NamedTuple):
    """What R rays of each of F frames met.

    depth  (F, R) float32 along z, metres
    seen   (F, R) int64: which of the view's primitives
    x, y   (F, R) float32 ray at depth 1
    """

    depth: Tensor
    seen: Tensor
    x: Tensor
    y: Tensor


class _Surface(NamedTuple):
    """Per-ray columns, (F, R) each: what shading needs of the primitive that was hit."""

    to_unit: tuple[Tensor, ...]  # 9, row by row
    origin: tuple[Tensor, ...]
    scale: tuple[Tensor, ...]  # texels per unit
    offset: tuple[Tensor, ...]
    texture: Tensor
    tint: tuple[Tensor, ...]
    emission: Tensor
    density: Tensor
    is_ball: Tensor
    is_cylinder: Tensor


def shade(
    scene: Scene,
    world: Tensor,
    poses: Tensor,
    view: View,
    hits: Hits,
    texels: Tensor,
) -> Tensor:
    """(F, R, 3) uint8 RGB of the hits; world (F,) picks lamps."""
    surface = _gather(scene, view, hits)
    z = hits.depth
    x, y = hits.x * z, hits.y * z
    M = surface.to_unit
    unit = [
        torch.addcmul(surface.origin[i], M[3 * i], x).addcmul_(M[3 * i + 1], y)
        .addcmul_(M[3 * i + 2], z)
        for i in range(3)
    ]  # fmt: skip
    local, s, t = _lay_texture(unit, surface)
    normal = [
        (local[0] * M[i]).addcmul_(local[1], M[3 + i]).addcmul_(local[2], M[6 + i])
        for i in range(3)
    ]
    length = (normal[0] ** 2).addcmul_(normal[1], normal[1]).addcmul_(normal[2], normal[2]).rsqrt_()
    facing = (normal[0] * hits.x).addcmul_(normal[1], hits.y).add_(normal[2]).mul_(length)
    length = length * facing.sign().neg_()  # normals towards the camera
    normal = [n.mul_(length) for n in normal]

    pixel = z * (1 / view.focal[:, :1]).float()  # metres
    texels_per_pixel = pixel.mul_(surface.density).mul_(facing.abs_().clamp_min_(0.1).rsqrt_())
    colour = _sample(texels, surface.texture, s, t, texels_per_pixel)
    light = _light(scene, world, poses, (x, y, z), normal)
    light = torch.where(surface.emission > 0, surface.emission, light).sqrt_()
    rgb = torch.empty(*z.shape, 3, dtype=torch.uint8, device=z.device)
    for channel, (value, tint) in enumerate(zip(colour, surface.tint, strict=True)):
        rgb[..., channel] = value.mul_(tint).mul_(light).clamp_max_(255)
    return rgb


def _gather(scene: Scene, view: View, hits: Hits) -> _Surface:
    kind = view.kind[:, None]
    rows = [
        view.to_unit.flatten(1).float(),
        view.origin.float(),
        scene.uv[view.prim],
        scene.material[view.prim],
        kind == ELLIPSOID,
        kind == CYLINDER,
    ]
    table = torch.cat(rows, 1).t().contiguous()  # (25, Q): contiguous columns compute fastest
    column = table.index_select(1, hits.seen.view(-1)).view(-1, *hits.seen.shape).unbind()
    return _Surface(
        column[:9], column[9:12], column[12:15], column[15:17], column[17], column[18:21],
        column[21], column[22], column[23] > 0, column[24] > 0,
    )  # fmt: skip


def _lay_texture(unit: list[Tensor], surface: _Surface) -> tuple[list[Tensor], Tensor, Tensor]:
    """Normal in the unit frame (any length), and texture coordinates in texels, of hits there.

    The texture is laid on from the axis that the surface faces most.
    """
    ax, ay, az = (u.abs() for u in unit)
    side = surface.is_cylinder & (az < 0.9999)
    az.masked_fill_(side, 0.0).masked_fill_(surface.is_cylinder & ~side, 2.0)
    on_z = (az >= ax) & (az >= ay)
    on_x = (ax >= ay) & ~on_z
    curved = surface.is_ball | side
    flat_z = on_z & ~side
    local = [
        torch.where(curved, unit[0], on_x.float()),
        torch.where(curved, unit[1], (~(on_x | on_z)).float()),
        torch.where(curved & ~side, unit[2], flat_z.float()),
    ]
    u, v, w = (a.mul_(b) for a, b in zip(unit, surface.scale, strict=True))
    s = torch.where(on_x, v, u).add_(surface.offset[0])
    t = torch.where(on_z, v, w).neg_().add_(surface.offset[1])
    return local, s, t


def _sample(
    texels: Tensor, texture: Tensor, s: Tensor, t: Tensor, footprint: Tensor
) -> list[Tensor]:
    """Red, green, blue, 0..255: bilinear, in the level where a pixel covers about one texel.

    footprint  texels of level 0 that a pixel covers
    """
    level = footprint.clamp_(1.0, SIZE).log2_().add_(0.3).to(torch.int32).clamp_max_(LEVELS - 1)
    start = torch.tensor(_LEVEL_START, dtype=torch.int32, device=texels.device)
    base = texture.to(torch.int32).mul_(TEXELS_PER_TEXTURE)
    base += start.index_select(0, level.view(-1)).view(level.shape)
    shrink = torch.exp2(-level.float())
    s, t = s.mul_(shrink).sub_(0.5), t.mul_(shrink).sub_(0.5)
    left, top = s.floor(), t.floor()
    fx, fy = s.sub_(left), t.sub_(top)
    bits = LEVELS - 1 - level
    mask = (1 << bits) - 1
    x, y = left.to(torch.int32), top.to(torch.int32)
    x0, x1 = x & mask, (x + 1) & mask
    y0, y1 = (y & mask).bitwise_left_shift_(bits), (y + 1 & mask).bitwise_left_shift_(bits)
    y0, y1 = y0.add_(base), y1.add_(base)
    taps = [
        texels.index_select(0, index.view(-1)).view(s.shape)
        for index in (y0 + x0, y0 + x1, y1 + x0, y1 + x1)
    ]

    def blend(shift: int) -> Tensor:
        a, b, c, d = (((tap >> shift) & 255).float() for tap in taps)
        return torch.lerp(a.lerp_(b, fx), c.lerp_(d, fx), fy)

    return [blend(0), blend(8), blend(16)]


def _light(
    scene: Scene,
    world: Tensor,
    poses: Tensor,
    point: tuple[Tensor, Tensor, Tensor],
    normal: list[Tensor],
) -> Tensor:
    """(F, R) light on points with normals, both in the camera."""
    R, position = poses[:, :3, :3].float(), poses[:, :3, 3].float()
    up = R[:, 2]  # world z in the camera, (F, 3)
    rise = normal[0] * up[:, :1] + normal[1] * up[:, 1:2] + normal[2] * up[:, 2:]
    above, beside, below = scene.ambient[world].t()[..., None]
    light = beside + (above - beside) * rise.clamp_min(0)
    light.addcmul_(beside - below, rise.clamp_max_(0))
    lamps = scene.lights[world]
    places = torch.bmm(lamps[..., :3] - position[:, None], R)  # (F, LIGHTS, 3) in the camera
    for i in range(LIGHTS):
        dx, dy, dz = (places[:, i, k, None] - p for k, p in enumerate(point))
        squared = (dx * dx).addcmul_(dy, dy).addcmul_(dz, dz)
        cosine = (normal[0] * dx).addcmul_(normal[1], dy).addcmul_(normal[2], dz)
        cosine.mul_(squared.rsqrt()).clamp_min_(0).mul_(lamps[:, i, 3:])
        light.addcdiv_(cosine, squared.mul_(0.25).add_(1))
    return light
