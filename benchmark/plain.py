# SPDX-License-Identifier: Apache-2.0
"""The plain form of every fast path: what it replaced, slower and easier to read.

Tests hold each fast path against its plain form; `network.py fast_paths` measures its gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_ros.model import backbone, dense_head, encoder, fast_weights, layers
from zipmap_ros.model.dense_head import ResidualConv
from zipmap_ros.model.fast_weights import FastWeightLayer, FastWeights, Operation, Projections
from zipmap_ros.model.layers import Attention, Rope


def cast_for_products(x: Tensor) -> Tensor:
    """Every product casts what it reads."""
    return x


def resize_grid(grid: Tensor, h: int, w: int) -> Tensor:
    """torch's own interpolation."""
    maps = grid.permute(2, 0, 1)[None]
    resized = F.interpolate(maps, (h, w), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0)


def add_position_(x: Tensor, aspect: float) -> Tensor:
    """The whole uv embedding, made anew in float64 for every map."""
    h, w = x.shape[-2:]
    embedding = dense_head.uv_embedding(dense_head.uv_grid(h, w, aspect), x.shape[1])
    return x + dense_head.POSITION_WEIGHT * embedding.permute(2, 0, 1).to(x)


def grid_rope(h: int, w: int, special_tokens: int, head_dim: int, device: torch.device) -> Rope:
    """The table made anew for every call."""
    positions = layers.grid_positions(h, w, special_tokens, device)
    return layers.rope_table(positions[:, None], head_dim)


def apply_rope(x: Tensor, rope: Rope) -> Tensor:
    """Turn each half by its angles, written out."""
    cos, sin = rope
    first, second = x.unflatten(-1, (2, -1)).chunk(2, dim=-1)
    quarter = cos.shape[-1] // 2
    cos, sin = cos[..., :quarter].to(x.dtype), sin[..., quarter:].to(x.dtype)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return torch.cat(turned, dim=-1).flatten(-2)


def attention(self: Attention, x: Tensor, rope: Rope | None = None) -> Tensor:
    """Heads apart before the norms, so that the result has to be copied together again."""
    B, L, C = x.shape
    q, k, v = self.qkv(x).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
    q, k = self.q_norm(q), self.k_norm(k)
    if rope is not None:
        turn = (rope[0].transpose(0, 1), rope[1].transpose(0, 1))
        q, k = layers.apply_rope(q, turn), layers.apply_rope(k, turn)
    out = F.scaled_dot_product_attention(q, k, v.to(q.dtype))
    return self.proj(out.transpose(1, 2).reshape(B, L, C))


def project(self: FastWeightLayer, x: Tensor) -> Projections:
    """Queries and keys normalised one after the other."""
    B, L, _ = x.shape
    qkv = F.silu(self.to_qkv(x)).view(B, L, 3, self.heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)
    q, k = (
        u / (torch.linalg.vector_norm(u, dim=-1, keepdim=True, dtype=torch.float32) + 1e-5)
        for u in (q, k)
    )
    lr = F.softplus(self.lr_fc(x).float() + self.base_lr_offset)
    lr0, lr1, lr2 = lr.view(B, L, 3, self.heads, 1).permute(2, 0, 3, 1, 4).flatten(1, 2)
    return Projections(q, k, v, lr0, lr1, lr2)


def gradients(self: FastWeightLayer, p: Projections, weights: FastWeights) -> Tensor:
    """The derivative of SiLU written out; w1's gradient made, then transposed."""
    a, b = p.k @ weights.w0, p.k @ weights.w2
    sigmoid = torch.sigmoid(a)
    gate = a * sigmoid
    d_hidden = p.v @ weights.w1.mT
    d_b = d_hidden * gate
    d_a = d_hidden * b * sigmoid * (1 + a * (1 - sigmoid))
    g0 = (p.k * p.lr0).mT @ d_a
    g1 = (gate * b * p.lr1).mT @ p.v
    g2 = (p.k * p.lr2).mT @ d_b
    return torch.cat([g0, g1.mT, g2])


def run(
    self: FastWeightLayer,
    p: Projections,
    weights: FastWeights,
    targets: FastWeights,
    operations: list[Operation],
) -> tuple[Tensor, FastWeights]:
    """All tokens at once, however many; what was read is copied together even if it is one."""
    reads = []
    for kind, start, stop in operations:
        span = slice(start, stop)
        if kind == "update":
            weights = self.update(Projections(*(t[:, span] for t in p)), weights, targets)
        else:
            q = p.q[:, span]
            reads.append((F.silu(q @ weights.w0) * (q @ weights.w2)) @ weights.w1)
    return torch.cat(reads, dim=1), weights


def column_norms(w: Tensor) -> Tensor:
    """torch's own norm."""
    return torch.linalg.vector_norm(w, dim=1, keepdim=True)


def residual_conv(self: ResidualConv, x: Tensor) -> Tensor:
    """New memory for every operation."""
    x = F.relu(x)
    return self.conv2(F.relu(self.conv1(x))) + x


# name -> the owner of the fast form, its name there, the plain form.
PATHS: dict[str, tuple[object, str, Callable]] = {
    "fused Newton-Schulz": (fast_weights, "fused_step", fast_weights.official_step),
    "position grid by products": (encoder, "resize_grid", resize_grid),
    "uv tables": (dense_head, "add_position_", add_position_),
    "kept RoPE table": (backbone, "grid_rope", grid_rope),
    "RoPE in three operations": (layers, "apply_rope", apply_rope),
    "attention without copies": (Attention, "forward", attention),
    "q and k normalised together": (FastWeightLayer, "project", project),
    "cast once for several products": (fast_weights, "cast_for_products", cast_for_products),
    "gradients": (FastWeightLayer, "gradients", gradients),
    "slabs, no copy of one read": (FastWeightLayer, "run", run),
    "column norms by rows": (fast_weights, "column_norms", column_norms),
    "rectified in place": (ResidualConv, "forward", residual_conv),
}


@contextmanager
def plain(*names: str) -> Iterator[None]:
    """Within it the named paths, or all if none is named, take their plain form."""
    with ExitStack() as stack:
        for slab in ("SLAB_TOKENS", "CPU_SLAB_TOKENS"):
            stack.enter_context(patch.object(layers, slab, 1 << 62))
        for name in names or PATHS:
            stack.enter_context(patch.object(*PATHS[name]))
        yield
