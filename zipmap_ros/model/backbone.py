# SPDX-License-Identifier: Apache-2.0
"""Images or rays to tokens, and the alternation of frame attention and fast weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from zipmap_ros.model.config import ModelConfig
from zipmap_ros.model.encoder import Encoder, PatchProjection
from zipmap_ros.model.fast_weights import FastWeightLayer, FastWeights, Operation, SceneState
from zipmap_ros.model.layers import (
    Block,
    LayerScale,
    Mlp,
    grid_rope,
    in_slabs,
    kernels_of,
)

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
RAY_CHANNELS = 9


class FastWeightBlock(nn.Module):
    """A pre-norm block whose attention is a fast-weight layer over all tokens of all frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.kernels = False  # see speed.use_kernels
        self.norm1 = nn.LayerNorm(width)
        self.ttt_block = FastWeightLayer(
            width,
            config.fast_heads,
            config.fast_hidden,
            bias=config.fast_bias,
            gate=config.fast_gate,
            base_lr=config.base_lr,
            steps=config.newton_schulz_steps,
            dtype=getattr(torch, config.newton_schulz_dtype),
        )
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)
        self.ls2 = LayerScale(width)

    def forward(
        self, x: Tensor, weights: FastWeights, targets: FastWeights, operations: Sequence[Operation]
    ) -> tuple[Tensor, FastWeights]:
        """(B, L, width) -> (B, L, width) and the layer's new fast weights."""
        if kernels := kernels_of(self):
            normed = kernels.layer_norm(x, self.norm1)
            out, weights = self.ttt_block(normed, weights, targets, operations)
            x, normed = kernels.add_and_norm(x, out, self.ls1.gamma, self.norm2)
            return kernels.add(x, self.mlp(normed), self.ls2.gamma), weights
        out, weights = self.ttt_block(self.norm1(x), weights, targets, operations)
        x = x + self.ls1(out)
        return in_slabs(self._mlp, x, 1), weights

    def _mlp(self, x: Tensor) -> Tensor:
        return x + self.ls2(self.mlp(self.norm2(x)))


class Backbone(nn.Module):
    """Tokens of frames through ``depth`` pairs of frame block and fast-weight block.

    Frame attention never looks outside its frame: the fast weights are the only way from one
    frame to another.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.patch_embed = Encoder(
            width,
            config.encoder_depth,
            config.encoder_heads,
            config.patch_size,
            config.image_size // config.patch_size,
            config.registers,
        )
        # Index 0 is the reference view's, index 1 everyone else's.
        self.camera_token = nn.Parameter(torch.randn(1, 2, 1, width) * 1e-3)
        self.register_token = nn.Parameter(torch.randn(1, 2, config.registers, width) * 1e-3)
        self.frame_blocks = nn.ModuleList(
            Block(width, config.heads, qk_norm=True) for _ in range(config.depth)
        )
        self.global_blocks = nn.ModuleList(FastWeightBlock(config) for _ in range(config.depth))
        if config.query:
            self.ray_cond_token = nn.Parameter(
                torch.randn(1, 1, config.special_tokens, width) * 1e-3
            )
            self.ray_patch_embed = PatchProjection(
                RAY_CHANNELS, width, config.patch_size, norm=True
            )
        for name, values in (("mean", IMAGE_MEAN), ("std", IMAGE_STD)):
            # On the CPU also while the network is built on the meta device: no file holds these.
            colour = torch.tensor(values, dtype=torch.float32, device="cpu").view(3, 1, 1)
            self.register_buffer(name, colour, persistent=False)

    def image_tokens(self, images: Tensor, starts_state: bool) -> Tensor:
        """(B, S, 3, H, W) in [0, 1] -> (B, S, P, width), P = special tokens + patches.

        ``starts_state``: the first frame opens its state, so it takes the reference tokens where
        the network has a reference view.
        """
        B, S = images.shape[:2]
        tokens = images[0, 0, 0].numel() // self.config.patch_size**2
        patches = in_slabs(self._encode, images.flatten(0, 1), 0, tokens).unflatten(0, (B, S))
        special = torch.cat([self.camera_token, self.register_token], dim=2).to(patches.dtype)
        reference, other = special.split(1, dim=1)  # each (1, 1, 1 + R, width)
        first = reference if starts_state and self.config.reference_view else other
        special = torch.cat([first, other.expand(-1, S - 1, -1, -1)], dim=1)
        return torch.cat([special.expand(B, -1, -1, -1), patches], dim=2)

    def _encode(self, images: Tensor) -> Tensor:
        return self.patch_embed((images - self.mean) / self.std)

    def ray_tokens(self, rays: Tensor) -> Tensor:
        """(B, T, 9, H, W) ray maps -> (B, T, P, width)."""
        B, T = rays.shape[:2]
        patches = self.ray_patch_embed(rays.flatten(0, 1)).unflatten(0, (B, T))
        return torch.cat([self.ray_cond_token.expand(B, T, -1, -1), patches.float()], dim=2)

    def forward(
        self, tokens: Tensor, grid: tuple[int, int], state: SceneState, operations: list[Operation]
    ) -> tuple[list[Tensor], tuple[FastWeights, ...]]:
        """Run tokens (B, S, P, width) of h x w patch grids against a state.

        Returns the collected levels, four (B, S, P, 2 * width) with the frame block's output
        first, and the fast weights after the operations.
        """
        B, S, P, C = tokens.shape
        head_dim = C // self.config.heads
        rope = grid_rope(*grid, self.config.special_tokens, head_dim, tokens.device)
        levels, layers = [], []
        x = tokens
        for i, (frame_block, global_block) in enumerate(
            zip(self.frame_blocks, self.global_blocks, strict=True)
        ):
            attend = partial(frame_block, rope=rope)
            frame = in_slabs(attend, x.reshape(B * S, P, C), 0, P)
            joint, weights = global_block(
                frame.reshape(B, S * P, C), state.layers[i], state.targets[i], operations
            )
            x = joint
            layers.append(weights)
            if i in self.config.collect:
                shape = (B, S, P, C)
                levels.append(torch.cat([frame.view(shape), joint.view(shape)], dim=-1))
        return levels, tuple(layers)
