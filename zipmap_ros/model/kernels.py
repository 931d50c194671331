# SPDX-License-Identifier: Apache-2.0
"""Triton kernels for what lies between the matrix products of a network that computes in bfloat16.

Each does in one pass over memory what the plain form in `layers` and `fast_weights` does in three
to eight, with the roundings to bfloat16 at the same places: `newton_schulz` gives the same bits;
where a kernel sums along a row, or takes an exponential, a result may lie one rounding aside.
Import it only where `speed.kernels_run` says that it works: it needs triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from zipmap_ros.model.fast_weights import NEWTON_SCHULZ

BLOCK = 1024  # elements of a program of an elementwise kernel
STRIP = 16_384  # elements of a strip of columns that a program holds in registers
# The products and sums of the plain form are rounded one by one: none may be contracted.
EXACT = {"enable_fp_fusion": False}


@triton.jit
def _rounded(x):
    return x.to(tl.bfloat16).to(tl.float32)


@triton.jit
def _silu(x):
    return x / (1 + tl.exp(-x))


@triton.jit
def _normalise_kernel(G, norm, X, rough, size, BLOCK: tl.constexpr):
    matrix = tl.program_id(1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    at += matrix * size
    x = tl.div_rn(tl.load(G + at, mask, 0).to(tl.float32), tl.load(norm + matrix) + 1e-7)
    tl.store(X + at, x, mask)
    tl.store(rough + at, x.to(tl.bfloat16), mask)


@triton.jit
def _carry_kernel(X, product, rough, a, size, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    x = a * tl.load(X + at, mask, 0) + tl.load(product + at, mask, 0).to(tl.float32)
    tl.store(X + at, x, mask)
    tl.store(rough + at, x.to(tl.bfloat16), mask)


@triton.jit
def _polynomial_kernel(A, square, b, size, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    linear = _rounded(b * tl.load(A + at, mask, 0).to(tl.float32))
    value = linear + tl.load(square + at, mask, 0).to(tl.float32)
    tl.store(square + at, value.to(tl.bfloat16), mask)


def newton_schulz(G: Tensor, steps: int) -> Tensor:
    """`fast_weights.newton_schulz` under autocast, of wide matrices: float32, the same bits."""
    a, b, c = NEWTON_SCHULZ
    G = G.contiguous()
    norm = torch.linalg.matrix_norm(G, keepdim=True).float()
    X = torch.empty_like(G, dtype=torch.float32)
    rough = torch.empty_like(G, dtype=torch.bfloat16)  # X as the products read it
    per_matrix = G[0].numel()
    grid = (triton.cdiv(per_matrix, BLOCK), len(G))
    _normalise_kernel[grid](G, norm, X, rough, per_matrix, BLOCK, **EXACT)
    for _ in range(steps):
        A = torch.bmm(rough, rough.mT)
        square = torch.bmm(c * A, A)
        _polynomial_kernel[_blocks(A)](A, square, b, A.numel(), BLOCK, **EXACT)
        product = torch.bmm(square, rough)
        _carry_kernel[_blocks(X)](X, product, rough, a, X.numel(), BLOCK, **EXACT)
    return X


def _blocks(x: Tensor) -> tuple[int]:
    return (triton.cdiv(x.numel(), BLOCK),)


@triton.jit
def _rescale_kernel(
    w, step, target, out, rows, columns, matrix, row, column, R: tl.constexpr, C: tl.constexpr
):
    n = tl.program_id(1)
    r = tl.arange(0, R)[:, None]
    c = tl.program_id(0) * C + tl.arange(0, C)[None, :]
    mask = (r < rows) & (c < columns)
    at = n * rows * columns + r * columns + c
    x = tl.load(w + at, mask, 0)
    x += tl.load(step + n * matrix + r * row + c * column, mask, 0).to(tl.float32)
    norm = tl.sqrt_rn(tl.sum(x * x, 0))[None, :]
    to = tl.load(target + n * columns + c, c < columns, 0)
    tl.store(out + at, tl.div_rn(x, norm + 1e-5) * to, mask)


def rescaled(w: Tensor, step: Tensor, target: Tensor, out: Tensor | None = None) -> Tensor:
    """w + step, its columns scaled to the norms ``target``: (N, rows, columns) float32.

    ``step`` may be a transposed view; ``out`` is written where it is given.
    """
    N, rows, columns = w.shape
    out = torch.empty_like(w) if out is None else out
    R = triton.next_power_of_2(rows)
    C = max(8, min(32, STRIP // R))
    grid = (triton.cdiv(columns, C), N)
    arguments = (w.contiguous(), step, target.contiguous(), out, rows, columns, *step.stride())
    _rescale_kernel[grid](*arguments, R, C, num_warps=16, **EXACT)
    return out


@triton.jit
def _add_norm_kernel(
    x, branch, gamma, weight, bias, total, normed, width, eps,
    ADD: tl.constexpr, NORM: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, W)
    mask = c < width
    at = tl.program_id(0).to(tl.int64) * width + c
    value = tl.load(x + at, mask, 0)
    if ADD:
        value += tl.load(branch + at, mask, 0).to(tl.float32) * tl.load(gamma + c, mask, 0)
        tl.store(total + at, value, mask)
    if NORM:
        centred = tl.where(mask, value - tl.sum(value, 0) / width, 0.0)
        scale = 1 / tl.sqrt_rn(tl.sum(centred * centred, 0) / width + eps)
        out = centred * scale * tl.load(weight + c, mask, 0) + tl.load(bias + c, mask, 0)
        tl.store(normed + at, out.to(tl.bfloat16), mask)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """The LayerNorm of x (..., width) float32, in bfloat16."""
    return _add_norm(x, None, None, norm)[1]


def add(x: Tensor, branch: Tensor, gamma: Tensor) -> Tensor:
    """x + branch * gamma: float32 (..., width), of a bfloat16 branch."""
    return _add_norm(x, branch, gamma, None)[0]


def add_and_norm(
    x: Tensor, branch: Tensor, gamma: Tensor, norm: nn.LayerNorm
) -> tuple[Tensor, Tensor]:
    """x + branch * gamma (..., width) float32, and the LayerNorm of that in bfloat16."""
    return _add_norm(x, branch, gamma, norm)


def _add_norm(
    x: Tensor, branch: Tensor | None, gamma: Tensor | None, norm: nn.LayerNorm | None
) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    width = x.shape[-1]
    total = x if branch is None else torch.empty_like(x)
    normed = x if norm is None else torch.empty_like(x, dtype=torch.bfloat16)
    _add_norm_kernel[(x.numel() // width,)](
        x,
        x if branch is None else branch.contiguous(),
        x if gamma is None else gamma,
        x if norm is None else norm.weight,
        x if norm is None else norm.bias,
        total,
        normed,
        width,
        0.0 if norm is None else norm.eps,
        branch is not None,
        norm is not None,
        triton.next_power_of_2(width),
    )
    return total, normed


@triton.jit(do_not_specialize=["positions"])
def _norm_rope_kernel(
    qkv, q_weight, q_bias, k_weight, k_bias, cos, sin, out, positions, tokens, heads, dim, eps,
    H: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    token, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    h, c = tl.arange(0, H)[:, None], tl.arange(0, D)[None, :]
    mask = (h < heads) & (c < dim)
    start = qkv + (token * 3 + part) * heads * dim + h * dim
    half, quarter = dim // 2, dim // 4
    s = c - c % half + (c % half + quarter) % half  # the channel that RoPE turns c with
    x = tl.load(start + c, mask, 0).to(tl.float32)
    y = tl.load(start + s, mask, 0).to(tl.float32)
    mean = tl.sum(x, 1)[:, None] / dim
    centred = tl.where(mask, x - mean, 0.0)
    scale = 1 / tl.sqrt_rn(tl.sum(centred * centred, 1)[:, None] / dim + eps)
    inside = c < dim
    if part == 0:
        weight, bias = tl.load(q_weight + c, inside, 0), tl.load(q_bias + c, inside, 0)
        weight_s, bias_s = tl.load(q_weight + s, inside, 0), tl.load(q_bias + s, inside, 0)
    else:
        weight, bias = tl.load(k_weight + c, inside, 0), tl.load(k_bias + c, inside, 0)
        weight_s, bias_s = tl.load(k_weight + s, inside, 0), tl.load(k_bias + s, inside, 0)
    x, y = centred * scale * weight + bias, (y - mean) * scale * weight_s + bias_s
    turn = (token % positions) * dim + c
    x = x * tl.load(cos + turn, inside, 0) + y * tl.load(sin + turn, inside, 0)
    tl.store(out + (part * tokens + token) * heads * dim + h * dim + c, x.to(tl.bfloat16), mask)


def norm_rope(
    qkv: Tensor, q_norm: nn.Module, k_norm: nn.Module, rope: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """q and k of qkv (B, L, 3, heads, dim), normalised and turned: (B, L, heads, dim) bfloat16.

    ``rope``: cos and sin of `layers.grid_rope`, (P, 1, 2, dim / 2), for L a multiple of P.
    """
    qkv = qkv.contiguous()
    B, L, _, heads, dim = qkv.shape
    out = torch.empty(2, B, L, heads, dim, dtype=torch.bfloat16, device=qkv.device)
    norms = (q_norm.weight, q_norm.bias, k_norm.weight, k_norm.bias)
    sizes = (rope[0].shape[0], B * L, heads, dim, q_norm.eps)
    H, D = triton.next_power_of_2(heads), triton.next_power_of_2(dim)
    _norm_rope_kernel[(B * L, 2)](qkv, *norms, *rope, out, *sizes, H, D)
    return out[0], out[1]


@triton.jit
def _unit(at, mask):
    x = _rounded(_silu(tl.load(at, mask, 0).to(tl.float32)))
    return x / (tl.sqrt_rn(tl.sum(x * x, 0)) + 1e-5)


@triton.jit(do_not_specialize=["length", "tokens"])
def _project_kernel(
    qkv, lr, q, k, v, k0, k2, length, tokens, heads, dim, KEYS: tl.constexpr, D: tl.constexpr
):
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.arange(0, D)
    mask = c < dim
    row = (token // length * heads + head) * length + token % length
    to = row * dim + c
    parts = 3 if KEYS else 1
    start = qkv + (token * parts * heads + head) * dim + c
    tl.store(q + to, _unit(start, mask).to(tl.bfloat16), mask)
    if KEYS:
        key = _unit(start + heads * dim, mask)
        tl.store(k + to, key.to(tl.bfloat16), mask)
        tl.store(k0 + to, (key * tl.load(lr + row)).to(tl.bfloat16), mask)
        tl.store(k2 + to, (key * tl.load(lr + 2 * tokens * heads + row)).to(tl.bfloat16), mask)
        value = tl.load(start + 2 * heads * dim, mask, 0).to(tl.float32)
        tl.store(v + to, _silu(value).to(tl.bfloat16), mask)


def project(qkv: Tensor, lr: Tensor | None, heads: int) -> list[Tensor]:
    """What follows the projection: q, k, v, k * lr0 and k * lr2, each (B*heads, L, d) bfloat16.

    qkv (B, L, 3 * width) bfloat16 and lr (3, B*heads, L) float32; of qkv (B, L, width), without
    ``lr``, q alone.
    """
    B, L, width = qkv.shape
    dim = width // heads // (1 if lr is None else 3)
    shape = (1 if lr is None else 5, B * heads, L, dim)
    made = list(torch.empty(shape, dtype=torch.bfloat16, device=qkv.device))
    pointers = (qkv.contiguous(), qkv if lr is None else lr.contiguous(), *(made * 5)[:5])
    sizes = (L, B * L, heads, dim, lr is not None, triton.next_power_of_2(dim))
    _project_kernel[(B * L, heads)](*pointers, *sizes)
    return made


@triton.jit
def _swiglu_kernel(a, b, size, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    gate = _rounded(_silu(tl.load(a + at, mask, 0).to(tl.float32)))
    hidden = gate * tl.load(b + at, mask, 0).to(tl.float32)
    tl.store(a + at, hidden.to(tl.bfloat16), mask)


def swiglu_(a: Tensor, b: Tensor) -> Tensor:
    """silu(a) * b, bfloat16 of any shape, into a."""
    _swiglu_kernel[_blocks(a)](a, b, a.numel(), BLOCK)
    return a


@triton.jit
def _swiglu_gradient_kernel(a, b, outer, lr, hidden, BLOCK: tl.constexpr):
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = c < hidden
    row = tl.program_id(0).to(tl.int64)
    at = row * hidden + c
    x, y = tl.load(a + at, mask, 0).to(tl.float32), tl.load(b + at, mask, 0).to(tl.float32)
    d = tl.load(outer + at, mask, 0).to(tl.float32)
    sigmoid = 1 / (1 + tl.exp(-x))
    gate = _rounded(_silu(x))
    d_a = _rounded(d * y) * sigmoid * (1 + x * (1 - sigmoid))
    tl.store(a + at, d_a.to(tl.bfloat16), mask)
    tl.store(outer + at, (d * gate).to(tl.bfloat16), mask)
    tl.store(b + at, (_rounded(gate * y) * tl.load(lr + row)).to(tl.bfloat16), mask)


def swiglu_gradient_(a: Tensor, b: Tensor, outer: Tensor, lr: Tensor) -> None:
    """Of f = silu(a) * b and its gradient ``outer``: that of a into a, of b into ``outer``, and
    f * lr into b; (N, L, hidden) bfloat16, lr (N, L) float32."""
    rows, hidden = a.shape[0] * a.shape[1], a.shape[2]
    grid = (rows, triton.cdiv(hidden, BLOCK))
    _swiglu_gradient_kernel[grid](a, b, outer, lr.contiguous(), hidden, BLOCK)


@triton.jit(do_not_specialize=["length"])
def _gate_kernel(
    read, gate, weight, out, length, heads, dim, eps, GATE: tl.constexpr, D: tl.constexpr
):
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.arange(0, D)
    mask = c < dim
    row = (token // length * heads + head) * length + token % length
    x = tl.load(read + row * dim + c, mask, 0).to(tl.float32)
    x = x / tl.sqrt_rn(tl.sum(x * x, 0) / dim + eps) * tl.load(weight + c, mask, 0)
    to = (token * heads + head) * dim + c
    if GATE:
        x *= _rounded(_silu(tl.load(gate + to, mask, 0).to(tl.float32)))
    tl.store(out + to, x.to(tl.bfloat16), mask)


def gated(read: Tensor, gate: Tensor | None, norm: nn.RMSNorm, batch: int) -> Tensor:
    """What was read (B*heads, L, d), normalised per head and times silu(gate): (B, L, width)."""
    read = read.contiguous()
    N, L, dim = read.shape
    heads = N // batch
    out = torch.empty(batch, L, heads * dim, dtype=torch.bfloat16, device=read.device)
    pointers = (read, read if gate is None else gate.contiguous(), norm.weight, out)
    sizes = (L, heads, dim, norm.eps, gate is not None, triton.next_power_of_2(dim))
    _gate_kernel[(batch * L, heads)](*pointers, *sizes)
    return out
