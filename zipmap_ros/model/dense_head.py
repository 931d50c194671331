# SPDX-License-Identifier: Apache-2.0
"""Dense prediction from four levels of tokens (DPT, Ranftl et al., ICCV 2021)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_ros.model.tables import kept

FRAMES_AT_ONCE = 4
LAST_CHANNELS = 32
POSITION_WEIGHT = 0.1
TABLES_KEPT = 64  # a head has five maps for each image size


def uv_grid(h: int, w: int, aspect: float) -> Tensor:
    """(h, w, 2) float64 coordinates of the cells of a map whose image has width / height = aspect.

    The map's half diagonal is 1 long; u runs right, v down.
    """
    diagonal = math.sqrt(aspect**2 + 1)
    u_end = aspect / diagonal * (w - 1) / w
    v_end = 1 / diagonal * (h - 1) / h
    u = torch.linspace(-u_end, u_end, w, dtype=torch.float64, device="cpu")
    v = torch.linspace(-v_end, v_end, h, dtype=torch.float64, device="cpu")
    return torch.stack([u.expand(h, w), v[:, None].expand(h, w)], dim=-1)


def uv_embedding(uv: Tensor, channels: int) -> Tensor:
    """(h, w, 2) coordinates to (h, w, channels) float32 sines and cosines, u's half first."""
    quarter = channels // 4
    omega = 100.0 ** (-torch.arange(quarter, dtype=torch.float64, device=uv.device) / quarter)
    angles = uv.to(torch.float64)[..., None] * omega  # (h, w, 2, quarter)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2).float()


@kept(TABLES_KEPT)
def position_tables(
    h: int, w: int, aspect: float, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A tenth of the uv embedding: u's half (channels / 2, 1, w) and v's (channels / 2, h, 1).

    u changes along a row alone and v along a column alone, so the whole map is never made.
    """
    half = channels // 2
    with torch.inference_mode(False):  # a table made while inferring must serve training too
        uv = uv_grid(h, w, aspect)
        u = POSITION_WEIGHT * uv_embedding(uv[:1], channels)[..., :half]
        v = POSITION_WEIGHT * uv_embedding(uv[:, :1], channels)[..., half:]
        return u.permute(2, 0, 1).to(device), v.permute(2, 0, 1).to(device)


def add_position_(x: Tensor, aspect: float) -> Tensor:
    """A map (N, C, h, w) and a tenth of the uv embedding: in place, but where it is compiled."""
    C, h, w = x.shape[1:]
    u, v = position_tables(h, w, aspect, C, x.device)
    if torch.compiler.is_compiling():  # torch 2.14 cannot where a part of a map is written to
        return torch.cat([x[:, : C // 2] + u, x[:, C // 2 :] + v], dim=1)
    x[:, : C // 2].add_(u)
    x[:, C // 2 :].add_(v)
    return x


class ResidualConv(nn.Module):
    """Two 3x3 convolutions around which the *rectified* input is carried.

    Rectified in place: the maps of a few frames are larger than a core's cache.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w), which is rectified -> the same shape."""
        x = F.relu_(x)
        return self.conv2(F.relu_(self.conv1(x))).add_(x)


class Fusion(nn.Module):
    """Bring a coarser map into a finer one and resize it."""

    def __init__(self, width: int, has_second: bool = True) -> None:
        super().__init__()
        if has_second:
            self.resConfUnit1 = ResidualConv(width)
        self.resConfUnit2 = ResidualConv(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, second: Tensor | None, size: tuple[int, int]) -> Tensor:
        """(N, width, h, w) and an optional second map of the same shape -> (N, width, *size)."""
        if second is not None:
            x = x + self.resConfUnit1(second)
        return self.out_conv(resize(self.resConfUnit2(x), size))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners aligned: (N, C, h, w) -> (N, C, *size)."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Scratch(nn.Module):
    """The fusion of four maps, coarse to fine, and the last convolutions."""

    def __init__(self, features: int, channels: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.layer1_rn = nn.Conv2d(channels[0], features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(channels[1], features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(channels[2], features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(channels[3], features, 3, padding=1, bias=False)
        self.refinenet1 = Fusion(features)
        self.refinenet2 = Fusion(features)
        self.refinenet3 = Fusion(features)
        self.refinenet4 = Fusion(features, has_second=False)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, LAST_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(LAST_CHANNELS, out, 1),
        )

    def fuse(self, maps: list[Tensor]) -> Tensor:
        """Four maps (N, channels, ., .), finest first -> (N, features / 2, 8h, 8w)."""
        first = self.layer1_rn(maps[0])
        second = self.layer2_rn(maps[1])
        third = self.layer3_rn(maps[2])
        x = self.refinenet4(self.layer4_rn(maps[3]), None, third.shape[-2:])
        x = self.refinenet3(x, third, second.shape[-2:])
        x = self.refinenet2(x, second, first.shape[-2:])
        x = self.refinenet1(x, first, (2 * first.shape[-2], 2 * first.shape[-1]))
        return self.output_conv1(x)


class DenseHead(nn.Module):
    """One raw value per pixel and output channel; what it means is the caller's."""

    def __init__(
        self, width: int, features: int, channels: tuple[int, ...], out: int, patch: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.norm = nn.LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            ]
        )
        self.scratch = Scratch(features, channels, out)

    def forward(self, levels: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Four levels (B, S, P, width) of h x w grids -> (B, S, out, h*patch, w*patch) raw."""
        B, S = levels[0].shape[:2]
        frames = [level.flatten(0, 1) for level in levels]
        # What a backward pass needs is kept in any case: no memory to save there.
        step = B * S if torch.is_grad_enabled() else FRAMES_AT_ONCE
        parts = [
            self._frames([level[start : start + step] for level in frames], grid)
            for start in range(0, B * S, step)
        ]
        raw = parts[0] if len(parts) == 1 else torch.cat(parts)
        return raw.unflatten(0, (B, S))

    def _frames(self, levels: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """The same for a few frames: four (N, P, width) -> (N, out, H, W)."""
        h, w = grid
        aspect = w / h
        maps = []
        for level, project, scale in zip(levels, self.projects, self.resize_layers, strict=True):
            patches = self.norm(level[:, level.shape[1] - h * w :])
            x = project(patches.transpose(1, 2).unflatten(2, (h, w)))
            maps.append(scale(add_position_(x, aspect)))
        x = resize(self.scratch.fuse(maps), (h * self.patch, w * self.patch))
        return self.scratch.output_conv2(add_position_(x, aspect))


def activate_depth(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Raw (..., 2, H, W) -> depth > 0 and confidence > 1, both (..., H, W)."""
    return raw[..., 0, :, :].exp(), 1 + raw[..., 1, :, :].exp()


def activate_points(raw: Tensor) -> Tensor:
    """Raw (..., 3, H, W) -> (..., H, W, 3) points in the camera's own frame, z > 0."""
    z = raw[..., 2, :, :].exp()
    return torch.stack([raw[..., 0, :, :] * z, raw[..., 1, :, :] * z, z], dim=-1)


def activate_view(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw (..., 5, H, W) -> rgb (..., H, W, 3) in (0, 1), depth and confidence (..., H, W)."""
    rgb = raw[..., :3, :, :].sigmoid().movedim(-3, -1)
    depth, confidence = activate_depth(raw[..., 3:, :, :])
    return rgb, depth, confidence
