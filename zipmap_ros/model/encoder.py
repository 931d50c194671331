# SPDX-License-Identifier: Apache-2.0
"""The per-image encoder: a DINOv2 vision transformer with registers (Darcet et al., ICLR 2024)."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_ros.model.layers import Block
from zipmap_ros.model.tables import kept

RESIZES_KEPT = 32


class PatchProjection(nn.Module):
    """Non-overlapping patches to tokens by one strided convolution, optionally normalised."""

    def __init__(self, channels: int, width: int, patch: int, norm: bool = False) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, h*w, width)."""
        return self.norm(self.proj(x).flatten(2).transpose(1, 2))


@kept(RESIZES_KEPT)
def resize_matrix(size: int, to: int, device: torch.device) -> Tensor:
    """(to, size) float32: what bicubic interpolation, antialiased, makes of each of ``size``."""
    with torch.inference_mode(False):  # a table made while inferring must serve training too
        identity = torch.eye(size, dtype=torch.float32, device="cpu")[None, None]
        resized = F.interpolate(
            identity, size=(to, size), mode="bicubic", antialias=True, align_corners=False
        )
        return resized[0, 0].to(device)


def resize_position_grid(pos_embed: Tensor, h: int, w: int) -> Tensor:
    """Position embeddings (1, 1 + g*g, C) of a square grid for an h x w grid, (1, 1 + h*w, C).

    The class token's comes first and stays. A grid of the learned size is used as it is.
    """
    side = math.isqrt(pos_embed.shape[1] - 1)
    if h == w == side:
        return pos_embed
    grid = resize_grid(pos_embed[0, 1:].float().unflatten(0, (side, side)), h, w)
    return torch.cat([pos_embed[:, :1], grid.flatten(0, 1)[None].to(pos_embed.dtype)], 1)


def resize_grid(grid: Tensor, h: int, w: int) -> Tensor:
    """(rows, columns, C) float32 to (h, w, C): bicubic, antialiased, as two matrix products.

    torch's own operation walks through the channels one after the other on a GPU.
    """
    rows = resize_matrix(grid.shape[0], h, grid.device)
    columns = resize_matrix(grid.shape[1], w, grid.device)
    kind = grid.device.type
    casts = torch.amp.is_autocast_available(kind)
    with torch.autocast(kind, enabled=False) if casts else nullcontext():
        tall = (rows @ grid.flatten(1)).unflatten(1, grid.shape[1:])
        return columns @ tall


class Encoder(nn.Module):
    """DINOv2-style ViT. Its output is the normalised patch tokens alone."""

    def __init__(self, width: int, depth: int, heads: int, patch: int, grid: int, registers: int):
        super().__init__()
        self.patch_embed = PatchProjection(3, width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + grid * grid, width) * 0.02)
        self.register_tokens = nn.Parameter(torch.randn(1, registers, width) * 1e-2)
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # unused; official files carry it
        self.blocks = nn.ModuleList(Block(width, heads, eps=1e-6) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.patch = patch

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) images, colour-normalised -> (N, h*w, width)."""
        N, _, H, W = images.shape
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(N, -1, -1), patches], dim=1)
        x = x + resize_position_grid(self.pos_embed, H // self.patch, W // self.patch)
        registers = self.register_tokens.expand(N, -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 1 + registers.shape[1] :])
