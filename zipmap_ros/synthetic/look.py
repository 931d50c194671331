# SPDX-License-Identifier: Apache-2.0
"""Materials of one world: which textures and colours its walls, floors and things have."""

from __future__ import annotations

import colorsys
from random import Random

from zipmap_ros.synthetic.scene import Material

Colour = tuple[float, float, float]

# part of a room -> roles its texture may have (see textures.py), and metres per repeat
_PARTS: dict[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    "wall": (("plaster", "plaster", "plaster", "fabric", "stripes", "brick", "tiles"), (1.0, 3.0)),
    "floor": (("wood", "carpet", "tiles", "stone", "speckle", "checker"), (0.8, 2.5)),
    "ceiling": (("plaster", "tiles", "plaster"), (1.5, 3.0)),
    "timber": (("wood", "wood", "plaster", "speckle"), (0.6, 1.6)),
    "front": (("panel", "panel", "wood", "plaster"), (0.0, 0.0)),
    "cloth": (("fabric", "carpet", "stripes", "fabric"), (0.4, 1.2)),
    "top": (("wood", "stone", "speckle", "plaster"), (0.8, 2.0)),
    "metal": (("plaster", "speckle"), (0.5, 1.0)),
    "small": (("plaster", "stripes", "poster", "fabric", "speckle", "checker"), (0.2, 0.8)),
    "poster": (("poster",), (0.0, 0.0)),
    "books": (("books",), (0.0, 0.0)),
    "screen": (("screen", "poster"), (0.0, 0.0)),
    "outdoors": (("outdoors",), (0.0, 0.0)),
}
_PHOTO_CHANCE = {"wall": 0.12, "floor": 0.12, "front": 0.2, "small": 0.3, "poster": 0.6,
                 "screen": 0.5, "outdoors": 0.7, "cloth": 0.15, "top": 0.1}  # fmt: skip


class Look:
    """Draws materials; one instance per world, so that a world keeps its style."""

    def __init__(self, rng: Random, roles: dict[str, list[int]]) -> None:
        self.rng, self.roles = rng, roles
        self.warmth = rng.uniform(-0.12, 0.2)  # white balance of the lamps
        self._kept: dict[str, Material] = {}

    def material(self, part: str, tint: Colour | None = None, emission: float = 0.0) -> Material:
        """A new material for a part of the room."""
        rng = self.rng
        roles, (low, high) = _PARTS[part]
        role = rng.choice(roles)
        size = rng.uniform(low, high) if high else 0.0
        if "photo" in self.roles and rng.random() < _PHOTO_CHANCE.get(part, 0.0):
            role = "photo"
            size = rng.uniform(0.8, 3.0) if high else 0.0
        texture = rng.choice(self.roles[role])
        if tint is None:
            tint = self.tint(part, plain=role in ("photo", "poster", "books", "screen", "outdoors"))
        return Material(texture, tint, size, emission)

    def kept(self, part: str) -> Material:
        """The world's usual material for a part: drawn once, then the same."""
        if part not in self._kept:
            self._kept[part] = self.material(part)
        return self._kept[part]

    def tint(self, part: str, plain: bool) -> Colour:
        """A colour that such a part may have, under this world's white balance."""
        rng = self.rng
        if plain:
            base = (1.0, 1.0, 1.0)
        elif part in ("wall", "ceiling"):
            vivid = part == "wall" and rng.random() < 0.25
            saturation = rng.uniform(0.3, 0.8) if vivid else rng.uniform(0.0, 0.15)
            base = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.6, 1.1))
        elif part in ("small", "cloth", "front"):
            saturation = rng.choice((0.1, 0.4, 0.85))
            base = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.15, 1.1))
        else:
            base = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.25, 1.15))
        return (base[0] * (1 + self.warmth), base[1], base[2] * (1 - self.warmth))
