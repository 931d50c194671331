# SPDX-License-Identifier: Apache-2.0
"""Fast weights: the layer that learns while it reads, and the state that it leaves behind.

A layer's fast weights are a SwiGLU network f(x) = (SiLU(x w0) * (x w2)) w1 on row vectors. An
*update* takes one orthogonalised gradient step (Muon) of sum_t lr_t <f(k_t), v_t> over the tokens
of a chunk; an *apply* reads f(q) for every token. Every token is read with weights that already
contain it. (ZipMap, arXiv 2603.04385; test-time training done right, arXiv 2505.23884.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.files import save_tensors
from zipmap_ros.model.layers import kernels_of, slab_tokens

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STATE_FORMAT = "zipmap_state_1"


class FastWeights(NamedTuple):
    """One layer's weights: w0, w2 (B*heads, d, hidden) and w1 (B*heads, hidden, d)."""

    w0: Tensor
    w1: Tensor
    w2: Tensor

    def column_norms(self) -> FastWeights:
        """The norms over dim 1 of each matrix, kept as (B*heads, 1, columns)."""
        return FastWeights(*map(column_norms, self))


def column_norms(w: Tensor) -> Tensor:
    """The norms over dim 1 of (N, rows, columns), (N, 1, columns).

    On a CPU sums are faster; their gradient is no number at zero, so training takes the norm."""
    if w.is_cpu and not torch.is_grad_enabled():
        return w.square().sum(dim=1, keepdim=True).sqrt()
    return torch.linalg.vector_norm(w, dim=1, keepdim=True)


class Operation(NamedTuple):
    """Update with, or apply to, the tokens start..stop of a sequence."""

    kind: str  # "update" or "apply"
    start: int
    stop: int


def chunk_operations(tokens: int, chunk_tokens: int | None = None) -> list[Operation]:
    """Update then apply, chunk by chunk; one chunk of all tokens when ``chunk_tokens`` is None."""
    step = chunk_tokens or tokens
    spans = [(start, min(start + step, tokens)) for start in range(0, tokens, step)]
    return [Operation(kind, *span) for span in spans for kind in ("update", "apply")]


def newton_schulz(
    G: Tensor, steps: int = 5, dtype: torch.dtype = torch.bfloat16, fuse: bool = False
) -> Tensor:
    """Push the singular values of each matrix of G (N, rows, cols) towards 1, in ``dtype``.

    Five steps of the quintic iteration of Muon; without steps only the Frobenius norm is set to 1.
    In bfloat16, and under autocast, the roundings are part of the official function, so it is
    computed operation by operation; elsewhere, or with ``fuse``, sums are part of the products.
    """
    X = G.to(dtype)
    tall = X.shape[-2] > X.shape[-1]
    if tall:
        X = X.mT
    X = X / (torch.linalg.matrix_norm(X, keepdim=True) + 1e-7)
    rounds = dtype == torch.bfloat16 or _autocasts(X.device.type)
    if fuse or not rounds:
        X, step = X.to(dtype), fused_step
    else:
        step = official_step
    for _ in range(steps):
        X = step(X)
    return X.mT if tall else X


def _autocasts(device: str) -> bool:
    return device != "meta" and torch.is_autocast_enabled(device)  # as the compiler of 2.5 can ask


def cast_for_products(x: Tensor) -> Tensor:
    """``x`` as autocast hands it to a matrix product, so that what several read is cast once.

    Not while training, where their gradients are to be summed in float32.
    """
    kind = x.device.type
    if torch.is_grad_enabled() or not _autocasts(kind):
        return x
    return x.to(torch.get_autocast_dtype(kind))


def official_step(X: Tensor) -> Tensor:
    """One step of Newton-Schulz, rounding after every operation: (N, rows, cols)."""
    a, b, c = NEWTON_SCHULZ
    A = X @ X.mT
    return a * X + (b * A + (c * A) @ A) @ X


def fused_step(X: Tensor) -> Tensor:
    """The same step in three products, without temporaries."""
    if X.requires_grad and torch.is_grad_enabled():
        return _FusedStep.apply(X)
    return _three_products(X)[0]


def _three_products(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """aX + BX with A = X X^T and B = bA + cA^2; A and B as well."""
    a, b, c = NEWTON_SCHULZ
    A = torch.bmm(X, X.mT)
    B = torch.baddbmm(A, A, A, beta=b, alpha=c)
    return torch.baddbmm(X, B, X, beta=a), A, B


class _FusedStep(torch.autograd.Function):
    """``fused_step`` with its gradient in five products, where autograd takes a dozen operations.

    With S = G X^T + X G^T for the gradient G of the result: aG + BG + (bS + c(SA + AS)) X.
    """

    @staticmethod
    def forward(ctx, X: Tensor) -> Tensor:
        result, A, B = _three_products(X)
        ctx.save_for_backward(X, A, B)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, G: Tensor) -> Tensor:
        a, b, c = NEWTON_SCHULZ
        X, A, B = ctx.saved_tensors
        S = torch.bmm(G, X.mT)
        S = S + S.mT
        T = torch.baddbmm(S, S, A, beta=b / 2, alpha=c)
        gradient = torch.baddbmm(G, B, G, beta=a)
        return torch.baddbmm(gradient, T + T.mT, X)


def silu_gradient(outer: Tensor, a: Tensor) -> Tensor:
    """outer times the derivative of SiLU at a, any shape; one operation unless it is trained."""
    if not torch.is_grad_enabled():
        return torch.ops.aten.silu_backward(outer, a)
    sigmoid = torch.sigmoid(a)
    return outer * sigmoid * (1 + a * (1 - sigmoid))


@dataclass(frozen=True, eq=False)
class SceneState:
    """All that the network remembers of a scene: each layer's fast weights, never changed in place.

    layers       the fast weights, float32
    targets      the column norms that every update is scaled back to: those of the weights that
                 the state began with, for ever, so that no number of updates shrinks them
    frames_seen  frames folded in; only the first frame of a state can be the reference view
    """

    layers: tuple[FastWeights, ...]
    targets: tuple[FastWeights, ...]
    frames_seen: int = 0

    @classmethod
    def from_weights(cls, layers: Sequence[FastWeights]) -> SceneState:
        """A state of bare weights, whose norms become its targets."""
        return cls(tuple(layers), tuple(w.column_norms() for w in layers))

    def _map(self, function) -> SceneState:
        def each(layers: tuple[FastWeights, ...]) -> tuple[FastWeights, ...]:
            return tuple(FastWeights(*map(function, weights)) for weights in layers)

        return SceneState(each(self.layers), each(self.targets), self.frames_seen)

    def clone(self) -> SceneState:
        """A copy that shares no memory."""
        return self._map(torch.Tensor.clone)

    def detach(self) -> SceneState:
        """The same values without a gradient graph (truncated backpropagation)."""
        return self._map(torch.Tensor.detach)

    def to(self, device: torch.device | str) -> SceneState:
        """The same values on a device."""
        return self._map(lambda tensor: tensor.to(device))

    def scenes(self, count: int, heads: int) -> SceneState:
        """The first of the scenes of a batch, whose layers have ``heads`` fast-weight heads."""
        return self._map(lambda tensor: tensor[: count * heads])

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors; the same after any number of frames."""
        return sum(t.nbytes for each in (self.layers, self.targets) for ws in each for t in ws)

    def save(self, path: str | Path) -> None:
        """Write safetensors; ``load`` gives back the same bits."""
        tensors = {
            f"{part}.{i}.{name}": tensor.detach().cpu().contiguous()
            for part, layers in (("layers", self.layers), ("targets", self.targets))
            for i, weights in enumerate(layers)
            for name, tensor in weights._asdict().items()
        }
        metadata = {"format": STATE_FORMAT, "frames_seen": str(self.frames_seen)}
        save_tensors(tensors, path, metadata)

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> SceneState:
        """Read what ``save`` wrote. Raises ModelError for any other file."""
        try:
            with safe_open(str(path), "pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != STATE_FORMAT:
                    raise ModelError(f"{path} is no saved state: its format is not {STATE_FORMAT}")
                # Copies: the file may be written anew while the state is in use.
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
            count = len(tensors) // 6
            parts = [
                tuple(
                    FastWeights(*(tensors[f"{part}.{i}.{name}"] for name in FastWeights._fields))
                    for i in range(count)
                )
                for part in ("layers", "targets")
            ]
            return cls(parts[0], parts[1], int(metadata["frames_seen"]))
        except ModelError:
            raise
        except Exception as error:  # of the system, of safetensors, of torch; KeyError, ValueError
            raise ModelError(f"cannot read the state {path}: {error}") from error


class Projections(NamedTuple):
    """What a token offers the fast weights: q, k, v (B*heads, L, d) and lr0..2 (B*heads, L, 1)."""

    q: Tensor
    k: Tensor
    v: Tensor
    lr0: Tensor
    lr1: Tensor
    lr2: Tensor


class ScaledProjections(NamedTuple):
    """The same as the kernels hand it on: keys times lr0 and lr2 in their place, in bfloat16."""

    q: Tensor
    k: Tensor
    v: Tensor
    k_lr0: Tensor
    lr1: Tensor
    k_lr2: Tensor


class FastWeightLayer(nn.Module):
    """The test-time-training layer around the fast weights of one block.

    Parameter names are the official checkpoints'. w0, w1, w2 are the weights every scene starts
    from; what a scene learned lives in a SceneState.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        bias: bool = True,
        gate: bool = True,
        base_lr: float = 0.01,
        steps: int = 5,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        d = width // heads
        self.heads, self.steps, self.dtype = heads, steps, dtype
        self.fuse = False  # Newton-Schulz in bfloat16 as well
        self.kernels = False  # see speed.use_kernels
        self.into: FastWeights | None = None  # memory that an update writes to; None: new memory
        self.base_lr_offset = base_lr + math.log(-math.expm1(-base_lr))  # inverse softplus
        self.w0 = nn.Parameter(torch.randn(heads, d, hidden) * math.sqrt(2 / d))
        self.w1 = nn.Parameter(torch.randn(heads, hidden, d) * math.sqrt(2 / hidden))
        self.w2 = nn.Parameter(torch.randn(heads, d, hidden) * math.sqrt(2 / d))
        self.to_qkv = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self.lr_fc = nn.Linear(width, 3 * heads)
        self.gate_fn = nn.Sequential(nn.Linear(width, width)) if gate else None
        self.o_norm = nn.RMSNorm(d, eps=1e-5)

    def start_weights(self, batch: int) -> FastWeights:
        """The learned weights, repeated for ``batch`` scenes: (batch*heads, ...)."""
        return FastWeights(*(w.repeat(batch, 1, 1) for w in (self.w0, self.w1, self.w2)))

    def forward(
        self, x: Tensor, weights: FastWeights, targets: FastWeights, operations: Sequence[Operation]
    ) -> tuple[Tensor, FastWeights]:
        """Read and write the fast weights.

        x           (B, L, width) tokens
        weights     the state of this layer, left untouched
        targets     column norms that an update restores
        operations  in order; the applied spans must cover the tokens in order
        Returns (B, L, width) and the weights after the last operation.
        """
        x = cast_for_products(x)  # once for three projections
        updates = any(operation.kind == "update" for operation in operations)
        p = self.project(x) if updates else self.queries(x)
        read, weights = self.run(p, weights, targets, operations)
        return self.merge(read, x), weights

    def project(self, x: Tensor) -> Projections | ScaledProjections:
        """Queries, keys and values per head, and the learning rate of every token and matrix."""
        B, L, _ = x.shape
        if kernels := kernels_of(self):
            lr = self.rates(x).contiguous()
            q, k, v, k_lr0, k_lr2 = kernels.project(self.to_qkv(x), lr[..., 0], self.heads)
            return ScaledProjections(q, k, v, k_lr0, lr[1], k_lr2)
        qkv = F.silu(self.to_qkv(x)).view(B, L, 3, self.heads, -1)
        qkv = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)  # (3, B*heads, L, d)
        qk, v = qkv[:2], qkv[2]
        norm = torch.linalg.vector_norm(qk, dim=-1, keepdim=True, dtype=torch.float32)
        q, k = qk / (norm + 1e-5)
        q = cast_for_products(q)  # read by two products
        return Projections(q, k, v, *self.rates(x))

    def rates(self, x: Tensor) -> Tensor:
        """The learning rate of every token for each matrix: (3, B*heads, L, 1)."""
        B, L, _ = x.shape
        lr = F.softplus(self.lr_fc(x).float() + self.base_lr_offset)
        return lr.view(B, L, 3, self.heads, 1).permute(2, 0, 3, 1, 4).flatten(1, 2)

    def queries(self, x: Tensor) -> Projections:
        """As ``project`` where nothing is learned: keys and values of no token."""
        B, L, C = x.shape
        bias = self.to_qkv.bias
        projected = F.linear(x, self.to_qkv.weight[:C], None if bias is None else bias[:C])
        if kernels := kernels_of(self):
            (q,) = kernels.project(projected, None, self.heads)
        else:
            q = F.silu(projected).view(B, L, self.heads, -1).transpose(1, 2).flatten(0, 1)
            norm = torch.linalg.vector_norm(q, dim=-1, keepdim=True, dtype=torch.float32)
            q = cast_for_products(q / (norm + 1e-5))
        return Projections(q, *[q[:, :0]] * 5)

    def run(
        self,
        p: Projections | ScaledProjections,
        weights: FastWeights,
        targets: FastWeights,
        operations: Sequence[Operation],
    ) -> tuple[Tensor, FastWeights]:
        """Carry out the operations: (B*heads, L, d) read values and the new weights."""
        reads = []
        for kind, start, stop in operations:
            if kind == "update":
                part = type(p)(*(t[:, start:stop] for t in p))
                weights = self.update(part, weights, targets)
            else:
                for q in p.q[:, start:stop].split(slab_tokens(p.q), dim=1):
                    a, b = torch.bmm(q, weights.w0), torch.bmm(q, weights.w2)
                    if kernels := kernels_of(self):
                        hidden = kernels.swiglu_(a, b)
                    else:
                        hidden = F.silu(a) * b
                    reads.append(torch.bmm(hidden, weights.w1))
        return reads[0] if len(reads) == 1 else torch.cat(reads, dim=1), weights

    def update(
        self, p: Projections | ScaledProjections, weights: FastWeights, targets: FastWeights
    ) -> FastWeights:
        """One Muon step on the tokens of ``p``, all three gradients at the old weights."""
        gradient, *others = (
            self.gradients(type(p)(*slab), weights)
            for slab in zip(*(t.split(slab_tokens(p.k), dim=1) for t in p), strict=True)
        )
        for other in others:
            gradient = gradient.float() + other
        into = self.into or (None, None, None)
        if kernels := kernels_of(self):
            wide = gradient.shape[-2] <= gradient.shape[-1]
            if self.fuse or not wide:
                steps = newton_schulz(gradient, self.steps, self.dtype, self.fuse)
            else:
                steps = kernels.newton_schulz(gradient.to(self.dtype), self.steps)
            g0, g1, g2 = steps.chunk(3)
            by_matrix = zip(weights, (g0, g1.mT, g2), targets, into, strict=True)
            return FastWeights(*(kernels.rescaled(*one) for one in by_matrix))
        g0, g1, g2 = newton_schulz(gradient, self.steps, self.dtype, self.fuse).chunk(3)
        stepped = FastWeights(weights.w0 + g0, weights.w1 + g1.mT, weights.w2 + g2)
        each = zip(stepped, stepped.column_norms(), targets, strict=True)
        new = FastWeights(*(w / (norm + 1e-5) * target for w, norm, target in each))
        return FastWeights(
            *(w if to is None else to.copy_(w) for w, to in zip(new, into, strict=True))
        )

    def gradients(self, p: Projections | ScaledProjections, weights: FastWeights) -> Tensor:
        """The gradients for w0, w1 transposed and w2, one below the other: (3*B*heads, d, hidden).

        One batch of three: orthogonalising a transpose transposes the result.
        """
        k = cast_for_products(p.k)
        a, b = torch.bmm(k, weights.w0), torch.bmm(k, weights.w2)
        d_hidden = torch.bmm(p.v, weights.w1.mT)
        if isinstance(p, ScaledProjections):
            kernels = kernels_of(self)
            assert kernels is not None, "only the kernels make these"
            kernels.swiglu_gradient_(a, b, d_hidden, p.lr1)
            made = a.new_empty(3, len(a), k.shape[-1], a.shape[-1])
            for left, right, out in zip(
                (p.k_lr0, p.v, p.k_lr2), (a, b, d_hidden), made, strict=True
            ):
                torch.bmm(left.mT, right, out=out)
            return made.flatten(0, 1)
        gate = F.silu(a)
        d_b = d_hidden * gate
        d_a = silu_gradient(d_hidden * b, a)
        g0 = torch.bmm((p.k * p.lr0).mT, d_a)
        g1 = torch.bmm(p.v.mT, gate * b * p.lr1)
        g2 = torch.bmm((p.k * p.lr2).mT, d_b)
        return torch.cat([g0, g1, g2])

    def merge(self, read: Tensor, x: Tensor) -> Tensor:
        """Normalise per head, merge heads, gate by the layer's input, project: (B, L, width)."""
        B, L, C = x.shape
        if kernels := kernels_of(self):
            gate = None if self.gate_fn is None else self.gate_fn(x)
            return self.c_proj(kernels.gated(read, gate, self.o_norm, B))
        out = self.o_norm(read.float()).view(B, self.heads, L, -1).transpose(1, 2).reshape(B, L, C)
        if self.gate_fn is not None:
            out = out * F.silu(self.gate_fn(x))
        return self.c_proj(out)
