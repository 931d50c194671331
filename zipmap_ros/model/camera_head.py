# SPDX-License-Identifier: Apache-2.0
"""Pose encodings from the camera tokens: refined over all frames, or per frame for streaming."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_ros.model.layers import Block, Mlp

ENCODING = 9
REFINEMENTS = 4
TRUNK_DEPTH = 4


def activate_pose(raw: Tensor) -> Tensor:
    """Raw (..., 9) to a pose encoding: translation, quaternion as they are, fields of view >= 0."""
    return torch.cat([raw[..., :7], F.relu(raw[..., 7:])], dim=-1)


class RefiningCameraHead(nn.Module):
    """Four passes of attention over the frames, each a correction of the last pose (adaLN)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, ENCODING))
        self.token_norm = nn.LayerNorm(width)
        self.trunk = nn.Sequential(*(Block(width, heads) for _ in range(TRUNK_DEPTH)))
        self.trunk_norm = nn.LayerNorm(width)
        self.embed_pose = nn.Linear(ENCODING, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.pose_branch = Mlp(width, width // 2, ENCODING)

    def forward(self, level: Tensor) -> list[Tensor]:
        """Last collected level (B, S, P, width) -> the pose encoding (B, S, 9) of every pass."""
        tokens = self.token_norm(level[:, :, 0])
        plain = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
        pose: Tensor | None = None
        passes = []
        for _ in range(REFINEMENTS):
            seen = self.empty_pose_tokens.expand(*tokens.shape[:2], -1)
            embedded = self.embed_pose(seen if pose is None else pose.detach())
            shift, scale, gate = self.poseLN_modulation(embedded).chunk(3, dim=-1)
            modulated = gate * (plain * (1 + scale) + shift) + tokens
            delta = self.pose_branch(self.trunk_norm(self.trunk(modulated)))
            pose = delta if pose is None else pose + delta
            passes.append(activate_pose(pose))
        return passes


class StreamingCameraHead(nn.Module):
    """One MLP on each frame's camera token: no frame waits for another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, 4 * width, ENCODING)

    def forward(self, level: Tensor) -> list[Tensor]:
        """Last collected level (B, S, P, width) -> one pose encoding (B, S, 9), in a list."""
        return [activate_pose(self.mlp(level[:, :, 0]))]
