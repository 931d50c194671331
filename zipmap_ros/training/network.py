# SPDX-License-Identifier: Apache-2.0
"""The network of a phase: fresh or transplanted, with the head that only training has."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.model.layers import LayerScale
from zipmap_ros.training.config import Phase
from zipmap_ros.training.twin import attention_twin

CELLS = 2  # points per patch and axis
FIRST_ENCODING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.8, 1.1)  # still, 46 by 63 degrees


class PatchPoints(nn.Module):
    """Where each patch lies in the first camera's frame: 2 x 2 points from its last tokens.

    A dense error for the pose and the depth together, straight from the backbone: with it rotation
    is learned in a fraction of the steps. It does not leave the training room.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.points = nn.Linear(width, 3 * CELLS * CELLS)

    def forward(self, level: Tensor, grid: tuple[int, int]) -> Tensor:
        """Level (B, S, P, width) of h x w patches -> points (B, S, 2h, 2w, 3)."""
        h, w = grid
        B, S = level.shape[:2]
        raw = self.points(self.norm(level[:, :, level.shape[2] - h * w :]))
        cells = raw.view(B, S, h, w, CELLS, CELLS, 3).transpose(3, 4)
        return cells.reshape(B, S, h * CELLS, w * CELLS, 3)


def phase_config(model: ModelConfig, phase: Phase) -> ModelConfig:
    """The network's config at the phase's image and patch size."""
    return replace(model, image_size=phase.width, patch_size=phase.patch)


def fresh_network(config: ModelConfig, twin: bool, layer_scale: float) -> ZipMap:
    """A network that starts from nothing: its branches count at once, its camera stands still."""
    model = attention_twin(config) if twin else ZipMap(config)
    for module in model.modules():
        if isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, layer_scale)
    last = model.camera_mlp_head.mlp.fc2
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(torch.tensor(FIRST_ENCODING))
    return model


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices inside blocks, which Muon moves, and all other parameters, which AdamW moves."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        in_block = "blocks." in name and parameter.ndim == 2
        (matrices if in_block and "lr_fc" not in name else others).append(parameter)
    return matrices, others
