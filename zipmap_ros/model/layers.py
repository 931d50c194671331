# SPDX-License-Identifier: Apache-2.0
"""Attention with qk-norm and 2-D RoPE, MLP, LayerScale and the pre-norm block around them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_ros.model.tables import kept

Rope = tuple[Tensor, Tensor]

ROPE_BASE = 100.0
ROPES_KEPT = 16
# Longer spans are worked on in slabs of so many tokens: 63 frames of 392 x 518. What lies between
# the tokens and the fast weights then takes the same memory whatever the number of frames.
SLAB_TOKENS = 65_536
# On a CPU of so many, where tokens do not need each other: what lies between operations stays in
# its caches, and a frame of a long batch costs what one of a short does.
CPU_SLAB_TOKENS = 2048


def grid_positions(h: int, w: int, special_tokens: int, device: torch.device | str) -> Tensor:
    """Positions (y, x) of one frame's tokens, (special_tokens + h*w, 2) int64.

    Patches count from 1; the special tokens sit at (0, 0), where RoPE is the identity.
    """
    ys, xs = torch.meshgrid(
        torch.arange(1, h + 1, device=device),
        torch.arange(1, w + 1, device=device),
        indexing="ij",
    )
    patches = torch.stack([ys, xs], dim=-1).reshape(h * w, 2)
    return torch.cat([patches.new_zeros(special_tokens, 2), patches])


def rope_table(positions: Tensor, head_dim: int) -> Rope:
    """cos and sin, each (..., P, 2, head_dim / 2), for positions (..., P, 2).

    The first half of a head's channels turns with y, the second with x (RoFormer, axis by axis).
    The sines of each first quarter carry the minus of a rotation.
    """
    half = head_dim // 2
    exponent = torch.arange(0, half, 2, device=positions.device, dtype=torch.float32) / half
    angles = positions[..., None].float() / ROPE_BASE**exponent  # (..., P, 2, half / 2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


@kept(ROPES_KEPT)
def grid_rope(h: int, w: int, special_tokens: int, head_dim: int, device: torch.device) -> Rope:
    """The table of one frame's tokens, each part (P, 1, 2, head_dim / 2), for q and k
    (..., P, heads, head_dim). Kept: images of a stream have one size."""
    with torch.inference_mode(False):  # a table made while inferring must serve training too
        positions = grid_positions(h, w, special_tokens, device)
        return rope_table(positions[:, None], head_dim)


def apply_rope(x: Tensor, rope: Rope) -> Tensor:
    """Rotate x (..., P, head_dim) by a table that broadcasts to (..., P, 2, head_dim / 2)."""
    cos, sin = rope
    halves = x.unflatten(-1, (2, -1))
    first, second = halves.chunk(2, dim=-1)
    swapped = torch.cat([second, first], dim=-1)
    return torch.addcmul(halves * cos.to(x.dtype), swapped, sin.to(x.dtype)).flatten(-2)


def slab_tokens(x: Tensor) -> int:
    """How many tokens to work on at once on the device of ``x``.

    Many where gradients are recorded: what they need is kept, so small slabs would save nothing.
    """
    return CPU_SLAB_TOKENS if x.is_cpu and not torch.is_grad_enabled() else SLAB_TOKENS


def in_slabs(work: Callable[[Tensor], Tensor], x: Tensor, dim: int, tokens: int = 1) -> Tensor:
    """``work(x)`` for work that does not look along ``dim``: on a CPU a slab of it at a time.

    work    keeps the length of ``dim``
    x       any shape; tokens  how many tokens each index along ``dim`` stands for
    On a GPU, and where gradients are recorded, all at once.
    """
    size = max(1, slab_tokens(x) // tokens)
    if not x.is_cpu or torch.is_grad_enabled() or x.shape[dim] <= size:
        return work(x)
    return torch.cat([work(part) for part in x.split(size, dim)], dim)


def kernels_of(module: nn.Module) -> ModuleType | None:
    """`kernels` where a module that has a use for them is to take them, which needs triton.

    Not where gradients are recorded.
    """
    if not module.kernels or torch.is_grad_enabled():
        return None
    from zipmap_ros.model import kernels

    return kernels


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one sequence, optionally with qk-norm."""

    def __init__(self, width: int, heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.kernels = False  # see speed.use_kernels
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        head_dim = width // heads
        self.q_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """(B, L, width) -> (B, L, width); a ``rope`` that broadcasts to (L, heads, 2, d / 2)."""
        B, L, C = x.shape
        qkv = self.qkv(x).view(B, L, 3, self.heads, -1)
        q, k, v = qkv.unbind(2)  # (B, L, heads, d)
        norms = (self.q_norm, self.k_norm)
        kernels = kernels_of(self)
        if kernels and rope is not None and isinstance(norms[0], nn.LayerNorm):
            q, k = kernels.norm_rope(qkv, *norms, rope)
        else:
            q, k = self.q_norm(q), self.k_norm(k)
            if rope is not None:
                q, k = apply_rope(q, rope), apply_rope(k, rope)
        out = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        return self.proj(out.transpose(1, 2).reshape(B, L, C))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., out)."""
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return x * self.gamma


class Block(nn.Module):
    """A pre-norm transformer block: attention and MLP, each behind a LayerScale."""

    def __init__(self, width: int, heads: int, qk_norm: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.kernels = False  # see speed.use_kernels
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, qk_norm)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, 4 * width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        if kernels := kernels_of(self):
            branch = self.attn(kernels.layer_norm(x, self.norm1), rope)
            x, normed = kernels.add_and_norm(x, branch, self.ls1.gamma, self.norm2)
            return kernels.add(x, self.mlp(normed), self.ls2.gamma)
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        return x + self.ls2(self.mlp(self.norm2(x)))
