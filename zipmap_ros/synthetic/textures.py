# SPDX-License-Identifier: Apache-2.0
"""Surface textures with mip levels: procedural ones, and photographs from a folder.

Every texture is SIZE x SIZE, tiles without a seam where it is procedural, and belongs to a role
("wood", "carpet", "poster", ...) from which a layout picks. Procedural textures are mostly grey:
the tint of a surface gives the colour. All texels of all levels lie in one flat buffer of packed
RGBA, so that a texture lookup is one gather.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SIZE = 256
LEVELS = 9  # 256 .. 1
TEXELS_PER_TEXTURE = sum((SIZE >> level) ** 2 for level in range(LEVELS))


class SyntheticError(ValueError):
    """A synthetic world, texture folder or path that cannot be made as asked."""


@dataclass(frozen=True)
class Textures:
    """All textures of a world.

    texels  (count * TEXELS_PER_TEXTURE,) int32: packed RGBA bytes, level 0 first in each texture
    roles   role -> indices of the textures that can play it
    """

    texels: Tensor
    roles: dict[str, list[int]]

    @staticmethod
    def procedural() -> Textures:
        """The built-in textures (made once per process, always the same)."""
        return _procedural()

    @staticmethod
    def load(folder: str | Path) -> Textures:
        """The built-in textures plus every .jpg, .jpeg and .png in ``folder``, as role "photo".

        Raises SyntheticError for a folder without any, and for one that is no whole picture.
        """
        paths = _pictures(folder)
        base = _procedural()
        first = len(base.texels) // TEXELS_PER_TEXTURE
        photographs = (torch.from_numpy(_read(path)).permute(2, 0, 1) for path in paths)
        packed = [base.texels, *(_pack(photograph / 255) for photograph in photographs)]
        photos = list(range(first, first + len(paths)))
        return Textures(torch.cat(packed), {**base.roles, "photo": photos})

    def to(self, device: str | torch.device) -> Textures:
        """The same textures with their texels on ``device``."""
        return Textures(self.texels.to(device), self.roles)


def folder_digest(folder: str | Path) -> str:
    """16 hex digits that differ where the pictures of a folder, or their names, do."""
    digest = hashlib.sha256()
    for path in _pictures(folder):
        digest.update(f"{path.name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _pictures(folder: str | Path) -> list[Path]:
    suffixes = {".jpg", ".jpeg", ".png"}
    files = (path for path in Path(folder).glob("*") if path.is_file())
    # Hidden ones, such as the ._wood.jpg of a Mac, are no pictures.
    paths = sorted(p for p in files if p.suffix.lower() in suffixes and p.name[0] != ".")
    if not paths:
        raise SyntheticError(
            f"no .jpg or .png textures in {str(folder)!r}: give a folder of pictures"
        )
    return paths


def _read(path: Path) -> NDArray[np.float32]:
    """(SIZE, SIZE, 3) in 0..255."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB").resize((SIZE, SIZE)), dtype=np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SyntheticError(
            f"the texture {path} cannot be read ({error}): take it out of its folder"
        ) from error


def _pack(image: Tensor) -> Tensor:
    """(3, SIZE, SIZE) float in [0, 1] to (TEXELS_PER_TEXTURE,) int32, all levels."""
    levels = []
    linear = image.clamp(0, 1)[None] ** 2  # light adds up linearly; gamma 2 is close enough
    for level in range(LEVELS):
        size = SIZE >> level
        rgba = torch.full((size, size, 4), 255, dtype=torch.uint8)
        rgba[..., :3] = (linear[0].sqrt() * 255 + 0.5).to(torch.uint8).permute(1, 2, 0)
        levels.append(rgba.view(torch.int32).flatten())
        if size > 1:
            linear = F.avg_pool2d(linear, 2)
    return torch.cat(levels)


class _Painter:
    """Draws procedural textures, each a (3, SIZE, SIZE) float image in [0, 1]."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        axis = (torch.arange(SIZE) + 0.5) / SIZE
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def integer(self, low: int, high: int) -> int:
        """An integer of [low, high]."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def lattice(self, rows: int, columns: int) -> Tensor:
        """(SIZE, SIZE) smooth periodic noise in [0, 1] from a rows x columns lattice."""
        values = torch.rand(1, 1, rows, columns, generator=self.generator)
        values = F.pad(values, (1, 1, 1, 1), mode="circular")
        scaled = F.interpolate(
            values,
            scale_factor=(SIZE / rows, SIZE / columns),
            mode="bilinear",
            recompute_scale_factor=False,
        )[0, 0]
        top, left = SIZE // rows, SIZE // columns
        return scaled[top : top + SIZE, left : left + SIZE]

    def noise(self, coarsest: int, octaves: int, stretch: int = 1) -> Tensor:
        """(SIZE, SIZE) multi-octave value noise in about [0, 1]; stretched along x."""
        total, weight = torch.zeros(SIZE, SIZE), 0.0
        for octave in range(octaves):
            rows = min(coarsest << octave, SIZE)
            total = total + self.lattice(rows, max(rows // stretch, 1)) / (octave + 1)
            weight += 1 / (octave + 1)
        return total / weight

    def cells(self, rows: int, columns: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
        """Random value of each cell, and distance to the cell's border (1 = half a texture)."""
        row = (self.y * rows).long()
        x = (self.x + shift * (row % 2) / columns) % 1
        column = (x * columns).long()
        values = torch.rand(rows, columns, generator=self.generator)[row, column]
        fy, fx = self.y * rows % 1, x * columns % 1
        edge = torch.minimum(torch.minimum(fx, 1 - fx) / columns, torch.minimum(fy, 1 - fy) / rows)
        return values, edge

    def colour(self, saturation: float = 0.5, value: float = 0.8) -> Tensor:
        """(3, 1, 1) random colour."""
        rgb = torch.rand(3, generator=self.generator)
        rgb = (rgb - rgb.min()) / (rgb.max() - rgb.min() + 1e-6)
        return ((1 - saturation + saturation * rgb) * value)[:, None, None]

    def grey(self, image: Tensor, warmth: float = 0.0) -> Tensor:
        """(SIZE, SIZE) brightness to a (3, SIZE, SIZE) image, warmer for positive warmth."""
        tint = torch.tensor([1.0, 1.0 - 0.35 * warmth, 1.0 - 0.7 * warmth])
        return image[None] * tint[:, None, None]

    def plaster(self) -> Tensor:
        return self.grey(0.86 + 0.10 * (self.noise(4, 6) - 0.5) * self.uniform(0.5, 2.0))

    def wood(self) -> Tensor:
        planks, edge = self.cells(self.integer(2, 8), self.integer(1, 2), 0.5)
        grain = self.noise(16, 4, stretch=16)
        image = 0.55 + 0.35 * (grain - 0.5) + 0.25 * (planks - 0.5)
        return self.grey(image * (0.55 + 0.45 * (edge > 0.004)), self.uniform(0.2, 0.9))

    def brick(self) -> Tensor:
        bricks, edge = self.cells(self.integer(6, 12), self.integer(3, 5), 0.5)
        image = 0.55 + 0.25 * (bricks - 0.5) + 0.2 * (self.noise(16, 4) - 0.5)
        clay = torch.tensor([1.0, self.uniform(0.5, 0.9), self.uniform(0.4, 0.8)])[:, None, None]
        return torch.where(edge > 0.008, image * clay, torch.full((3, 1, 1), 0.75))

    def tiles(self) -> Tensor:
        count = self.integer(2, 8)
        tiles, edge = self.cells(count, count)
        image = 0.78 + self.uniform(0.05, 0.4) * (tiles - 0.5) + 0.1 * (self.noise(8, 4) - 0.5)
        return self.grey(torch.where(edge > 0.006, image, torch.tensor(self.uniform(0.4, 0.95))))

    def checker(self) -> Tensor:
        count = 2 * self.integer(1, 4)
        odd = ((self.x * count).long() + (self.y * count).long()) % 2
        return self.grey(0.35 + 0.5 * odd + 0.15 * (self.noise(8, 5) - 0.5))

    def carpet(self) -> Tensor:
        threads = self.lattice(self.integer(32, 128), self.integer(2, 8))
        fluff = torch.rand(SIZE, SIZE, generator=self.generator)
        image = 0.5 + self.uniform(0.1, 0.5) * (threads - 0.5) + 0.25 * (fluff - 0.5)
        return self.grey(image + 0.2 * (self.noise(2, 3) - 0.5))

    def fabric(self) -> Tensor:
        count = self.integer(16, 48)
        weave = torch.sin(self.x * count * 6.2832) * torch.sin(self.y * count * 6.2832)
        return self.grey(0.65 + 0.12 * weave + 0.3 * (self.noise(4, 5) - 0.5))

    def stone(self) -> Tensor:
        veins = 1 - (2 * self.noise(3, 6) - 1).abs() * 4
        return self.grey(0.65 + 0.2 * veins.clamp(-1, 1) + 0.3 * (self.noise(8, 5) - 0.5))

    def speckle(self) -> Tensor:
        dots = torch.rand(SIZE, SIZE, generator=self.generator) < self.uniform(0.02, 0.1)
        return self.grey(0.8 + 0.1 * (self.noise(4, 5) - 0.5) - 0.35 * dots)

    def stripes(self) -> Tensor:
        values = torch.rand(self.integer(4, 16), generator=self.generator)
        band = values[(self.x * len(values)).long()]
        return self.grey(0.4 + 0.5 * band + 0.08 * (self.noise(8, 4) - 0.5))

    def panel(self) -> Tensor:
        """Cupboard fronts: doors with a gap around them and a handle."""
        rows, columns = self.integer(1, 4), self.integer(1, 3)
        values, edge = self.cells(rows, columns)
        image = 0.72 + 0.06 * (values - 0.5) + 0.08 * (self.noise(16, 4, stretch=8) - 0.5)
        image = image * (0.4 + 0.6 * (edge > 0.006))
        fy, fx = self.y * rows % 1, self.x * columns % 1
        handle = ((fy - 0.12).abs() < 0.03) & ((fx - 0.5).abs() < 0.15)
        return self.grey(torch.where(handle, torch.tensor(self.uniform(0.1, 0.95)), image))

    def rectangles(self, image: Tensor, count: int, largest: float) -> Tensor:
        """Paint random coloured rectangles over an image."""
        for _ in range(count):
            w, h = self.uniform(0.03, largest), self.uniform(0.03, largest)
            x, y = self.uniform(0.03, 0.97 - w), self.uniform(0.03, 0.97 - h)
            inside = (self.x > x) & (self.x < x + w) & (self.y > y) & (self.y < y + h)
            image = torch.where(inside, self.colour(self.uniform(0, 1), self.uniform(0, 1)), image)
        return image

    def poster(self) -> Tensor:
        """A printed page: paper or a painted ground, pictures, lines of text."""
        ground = self.colour(self.uniform(0, 0.6), self.uniform(0.6, 1.0)).expand(3, SIZE, SIZE)
        if self.uniform(0, 1) < 0.5:
            field = torch.stack([self.noise(self.integer(2, 5), 4) for _ in range(3)])
            ground = 0.5 * ground + (field - 0.3)
        image = self.rectangles(ground, self.integer(2, 7), 0.5)
        lines = self.integer(10, 30)
        left, right = self.uniform(0.05, 0.4), self.uniform(0.6, 0.95)
        words = self.lattice(lines, 64) > 0.35
        inked = ((self.y * lines % 1) < 0.45) & words & (self.x > left) & (self.x < right)
        block = (self.y > self.uniform(0, 0.6)) & (self.y < self.uniform(0.6, 1))
        return torch.where(inked & block, 0.15 * torch.ones(3, 1, 1), image)

    def books(self) -> Tensor:
        """Rows of book backs on boards."""
        rows, image = self.integer(1, 4), torch.zeros(3, SIZE, SIZE)
        for row in range(rows):
            edges = torch.rand(self.integer(8, 24), generator=self.generator).sort().values
            book = torch.searchsorted(edges, self.x[0])
            colours = torch.cat(
                [self.colour(0.7, self.uniform(0.2, 1))[:, 0] for _ in range(len(edges) + 1)], 1
            )
            heights = 0.6 + 0.35 * torch.rand(len(edges) + 1, generator=self.generator)
            inside = (self.y * rows).long() == row
            there = inside & (1 - self.y * rows % 1 < heights[book])
            image = torch.where(there, colours[:, book][:, None], image)
        board = (self.y * rows % 1) > 0.95
        return torch.where(board, 0.5 * torch.ones(3, 1, 1), image * (0.8 + 0.2 * self.noise(8, 4)))

    def screen(self) -> Tensor:
        ground = self.colour(0.8, self.uniform(0.2, 1)).expand(3, SIZE, SIZE)
        return self.rectangles(ground, self.integer(4, 12), 0.6)

    def outdoors(self) -> Tensor:
        """What a window shows: bright sky over blurred trees and houses."""
        horizon = self.uniform(0.3, 0.7) + 0.2 * (self.noise(4, 4)[0][None] - 0.5)
        sky = torch.tensor([0.85, 0.93, 1.0])[:, None, None] * (1 - 0.2 * self.noise(3, 4))
        green = torch.tensor([0.45, 0.6, 0.35])[:, None, None] * (0.3 + self.noise(8, 5))
        image = torch.where(self.y < horizon, sky, green)
        return self.rectangles(image, self.integer(0, 4), 0.3)


_COUNTS = {
    "plaster": 6, "wood": 8, "brick": 3, "tiles": 6, "checker": 2, "carpet": 8, "fabric": 6,
    "stone": 4, "speckle": 4, "stripes": 4, "panel": 8, "poster": 20, "books": 6, "screen": 4,
    "outdoors": 6,
}  # fmt: skip


@lru_cache(maxsize=1)
def _procedural() -> Textures:
    painter = _Painter(seed=1)
    packed: list[Tensor] = []
    roles: dict[str, list[int]] = {}
    for role, count in _COUNTS.items():
        roles[role] = list(range(len(packed), len(packed) + count))
        packed += [_pack(getattr(painter, role)()) for _ in range(count)]
    return Textures(torch.cat(packed), roles)
