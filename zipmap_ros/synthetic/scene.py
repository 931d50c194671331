# SPDX-License-Identifier: Apache-2.0
"""What a world is made of: boxes, cylinders and ellipsoids with materials, inside one shell.

``SceneBuilder`` collects them in Python; ``Scene`` holds them as tensors, for one world or stacked
for a batch of worlds. World axes: x and y along the floor, z up, floor at z = 0, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from zipmap_ros.synthetic.textures import SIZE

SHELL, BOX, CYLINDER, ELLIPSOID = range(4)
LIGHTS = 3


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    texture   index into Textures
    tint      linear factor on red, green and blue, about 0..1.2
    size      metres that one repeat of the texture covers; 0 stretches it once over each face
    emission  > 0 for lamps, windows and screens: brightness that needs no light
    """

    texture: int
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    size: float = 1.0
    emission: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Primitives of B worlds as tensors, one world after the other, P in all.

    The first primitive of a world is its shell, a box seen from inside. A primitive is the image of
    the unit cube, cylinder (axis z) or sphere under scaling by ``half``, rotation by ``axes`` and
    shift to ``centre``.

    count     (B,) int64 primitives of each world
    kind      (P,) int64: SHELL, BOX, CYLINDER or ELLIPSOID
    centre    (P, 3) float64 metres
    axes      (P, 3, 3) float64: world_R_local, local axes as columns
    half      (P, 3) float64 half sizes along the local axes, metres
    uv        (P, 5) float32: texels per unit along x, y, z of the unit shape, and the offset of the
              texture in texels
    material  (P, 6) float32: texture index, tint r, g, b, emission, texels per metre
    lights    (B, LIGHTS, 4) float32: position and strength
    ambient   (B, 3) float32: light without a source on faces that look up, sideways and down
    """

    count: Tensor
    kind: Tensor
    centre: Tensor
    axes: Tensor
    half: Tensor
    uv: Tensor
    material: Tensor
    lights: Tensor
    ambient: Tensor

    @property
    def first(self) -> Tensor:
        """(B,) index of each world's shell."""
        return self.count.cumsum(0) - self.count

    def to(self, device: str | torch.device) -> Scene:
        """The same scene on ``device``."""
        return Scene(*(getattr(self, field.name).to(device) for field in fields(self)))

    @staticmethod
    def join(scenes: Sequence[Scene]) -> Scene:
        """Several scenes as one."""
        names = [field.name for field in fields(Scene)]
        return Scene(*(torch.cat([getattr(s, name) for s in scenes]) for name in names))


class SceneBuilder:
    """Collects primitives, lights and the shell of one world."""

    def __init__(self, size: tuple[float, float, float], material: Material) -> None:
        """A shell over (0..x, 0..y, 0..z) metres; ``material`` is that of its walls."""
        self.size = size
        self._rows: list[tuple[float, ...]] = []
        self.lights: list[tuple[float, float, float, float]] = []
        self.ambient = (0.6, 0.5, 0.4)
        x, y, z = (extent / 2 for extent in size)
        self.add(SHELL, (x, y, z), (x, y, z), material)

    def add(
        self,
        kind: int,
        centre: tuple[float, float, float],
        half: tuple[float, float, float],
        material: Material,
        rotation: tuple[float, float, float] = (0.0, 0.0, 0.0),
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Add a primitive: sizes in metres, ``rotation`` yaw, pitch, roll about z, y, x in rad.

        ``shift`` moves its texture, in repeats.
        """
        m = material
        density = SIZE / m.size if m.size else SIZE / (2 * sorted(half)[1])
        scale = [h * SIZE / m.size if m.size else SIZE / 2 for h in half]
        offset = [s * SIZE if m.size else SIZE / 2 for s in shift]
        self._rows.append(
            (kind, *centre, *half, *rotation, *scale, *offset)
            + (m.texture, *m.tint, m.emission, density)
        )

    def build(self) -> Scene:
        """The collected world on the CPU."""
        rows = np.array(self._rows, dtype=np.float64)
        lights = np.zeros((1, LIGHTS, 4), dtype=np.float32)
        if self.lights:
            lights[0, : len(self.lights)] = self.lights[:LIGHTS]
        return Scene(
            count=torch.tensor([len(rows)]),
            kind=torch.from_numpy(rows[:, 0].astype(np.int64)),
            centre=torch.from_numpy(rows[:, 1:4].copy()),
            axes=torch.from_numpy(_rotations(rows[:, 7:10])),
            half=torch.from_numpy(np.maximum(rows[:, 4:7], 1e-3)),
            uv=torch.from_numpy(rows[:, 10:15].astype(np.float32)),
            material=torch.from_numpy(rows[:, 15:21].astype(np.float32)),
            lights=torch.from_numpy(lights),
            ambient=torch.tensor([self.ambient], dtype=torch.float32),
        )


class Placement:
    """A local frame on the builder: origin on the floor (or a table), turned by yaw about z."""

    def __init__(
        self, builder: SceneBuilder, x: float, y: float, z: float = 0.0, yaw: float = 0.0
    ) -> None:
        self.builder, self.x, self.y, self.z, self.yaw = builder, x, y, z, yaw
        self._cos, self._sin = math.cos(yaw), math.sin(yaw)

    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Placement:
        """A placement relative to this one."""
        wx, wy, wz = self.point(x, y, z)
        return Placement(self.builder, wx, wy, wz, self.yaw + yaw)

    def point(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Local coordinates to world coordinates, metres."""
        return (
            self.x + self._cos * x - self._sin * y,
            self.y + self._sin * x + self._cos * y,
            self.z + z,
        )

    def add(
        self,
        kind: int,
        base: tuple[float, float, float],
        size: tuple[float, float, float],
        material: Material,
        yaw: float = 0.0,
    ) -> None:
        """Add a primitive of full ``size`` that stands on ``base``, the centre of its underside."""
        x, y, z = base
        self.builder.add(
            kind,
            self.point(x, y, z + size[2] / 2),
            (size[0] / 2, size[1] / 2, size[2] / 2),
            material,
            (self.yaw + yaw, 0.0, 0.0),
            shift=(self.x * 0.37 + x, self.y * 0.61 + y + z),
        )

    def box(
        self,
        base: tuple[float, float, float],
        size: tuple[float, float, float],
        material: Material,
        yaw: float = 0.0,
    ) -> None:
        """An upright box of full ``size`` on ``base``."""
        self.add(BOX, base, size, material, yaw)

    def cylinder(
        self, base: tuple[float, float, float], radius: float, height: float, material: Material
    ) -> None:
        """An upright cylinder on ``base``."""
        self.add(CYLINDER, base, (2 * radius, 2 * radius, height), material)

    def ellipsoid(
        self,
        base: tuple[float, float, float],
        size: tuple[float, float, float],
        material: Material,
    ) -> None:
        """An ellipsoid of full ``size`` that touches ``base`` from above."""
        self.add(ELLIPSOID, base, size, material)


def _rotations(angles: np.ndarray) -> np.ndarray:
    """(P, 3) yaw, pitch, roll to (P, 3, 3) Rz(yaw) Ry(pitch) Rx(roll)."""
    (cz, cy, cx), (sz, sy, sx) = np.cos(angles).T, np.sin(angles).T
    return np.stack(
        [
            np.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx], -1),
            np.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx], -1),
            np.stack([-sy, cy * sx, cy * cx], -1),
        ],
        axis=1,
    )
