# SPDX-License-Identifier: Apache-2.0
"""The attention twin: the network with softmax attention where its fast weights will be.

Fast weights trained from nothing hardly learn how two frames are related; attention does, within
hundreds of steps. So the twin learns first and hands everything it has over to the real network,
as ZipMap itself started from an attention network (VGGT). The twin's state is the list of all
keys and values, which grows with the frames: it is a teacher, nothing to ship.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.model.fast_weights import FastWeights, Operation
from zipmap_ros.training import TrainingError


class AttentionTwin(nn.Module):
    """Attention over all tokens so far, called as a FastWeightLayer is.

    Its "fast weights" are the keys (as w0 and w2) and values (as w1) that it has seen, each
    (B*heads, tokens, d); its parameters have the names and shapes of the layer's projections.
    """

    def __init__(self, width: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def start_weights(self, batch: int) -> FastWeights:
        """Nothing seen: three times (batch*heads, 0, d)."""
        d = self.c_proj.in_features // self.heads
        empty = self.c_proj.weight.new_zeros(batch * self.heads, 0, d)
        return FastWeights(empty, empty, empty)

    def forward(
        self, x: Tensor, weights: FastWeights, targets: FastWeights, operations: Sequence[Operation]
    ) -> tuple[Tensor, FastWeights]:
        """An update remembers the tokens of its span; an apply attends to all remembered."""
        B, L, C = x.shape
        qkv = self.to_qkv(x).view(B, L, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)  # (B*heads, L, d)
        q, k = (F.layer_norm(t, t.shape[-1:]) for t in (q, k))
        keys, values = weights.w0, weights.w1
        reads = []
        for kind, start, stop in operations:
            if kind == "update":
                keys = torch.cat([keys.to(k.dtype), k[:, start:stop]], dim=1)
                values = torch.cat([values.to(v.dtype), v[:, start:stop]], dim=1)
            else:
                read = F.scaled_dot_product_attention(
                    q[None, :, start:stop], keys[None].to(q.dtype), values[None].to(q.dtype)
                )
                reads.append(read[0])
        out = torch.cat(reads, dim=1).view(B, self.heads, L, -1).transpose(1, 2).reshape(B, L, C)
        return self.c_proj(out), FastWeights(keys, values, keys)


def attention_twin(config: ModelConfig) -> ZipMap:
    """A network of ``config`` whose global blocks attend; same call, same other parameters."""
    model = ZipMap(config)
    for block in model.aggregator.global_blocks:
        block.ttt_block = AttentionTwin(config.width, config.fast_heads, config.fast_bias)
    return model


def is_twin(tensors: dict[str, Tensor]) -> bool:
    """Whether a state dict is a twin's: it has no fast weights."""
    return "aggregator.global_blocks.0.ttt_block.w0" not in tensors


def transplant(tensors: dict[str, Tensor], model: ZipMap) -> list[str]:
    """Load what a network learned into ``model``, which may lack it or have more.

    ``tensors`` is a state dict of a twin or of a network with another patch size. Projections of
    images and rays into patches are resampled so that the tokens stay the same for an image that
    is enlarged as much as the patch. Returns the names that stay as they were initialised: the
    fast weights, their learning rates, gates and norms when the source is a twin.
    """
    own = model.state_dict()
    taken = {
        name: _resample_patches(tensor, own[name])
        for name, tensor in tensors.items()
        if name in own
    }
    model.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())


def _resample_patches(tensor: Tensor, own: Tensor) -> Tensor:
    """A patch projection (width, channels, p, p) for n times or 1 / n of its patch size."""
    if tensor.shape == own.shape:
        return tensor
    square = all(t.ndim == 4 and t.shape[-1] == t.shape[-2] for t in (tensor, own))
    if square and tensor.shape[:2] == own.shape[:2]:
        p, q = tensor.shape[-1], own.shape[-1]
        if q % p == 0:
            n = q // p
            return tensor.repeat_interleave(n, -2).repeat_interleave(n, -1) / n**2
        if p % q == 0:
            return tensor.unflatten(-1, (q, -1)).sum(-1).unflatten(-2, (q, -1)).sum(-2)
    raise TrainingError(
        f"a tensor {tuple(tensor.shape)} does not become {tuple(own.shape)}: "
        "only patch projections can change their size, by a whole factor: take weights of a "
        "network of the same width"
    )
