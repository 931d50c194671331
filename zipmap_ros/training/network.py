# SPDX-License-Identifier: Apache-2.0
"""The network of a phase: fresh or transplanted, with the head that only training has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.model.dense_head import uv_embedding, uv_grid
from zipmap_ros.model.layers import LayerScale
from zipmap_ros.training.config import Phase
from zipmap_ros.training.twin import attention_twin, transplant

TOKEN_SCALE = 0.5  # of what a patch shows and of where it is, at the start
POSITION_SPAN = 8.0  # radians per unit of uv
NOISE_VARIANCE = 0.02  # of a normalised pixel: what whitening must not amplify
CELLS = 2  # points per patch and axis
# An update turns the fast weights by a step of fixed size and keeps their columns' lengths, so the
# longer they start, the longer they remember. As long as is usual for layers they have lost half of
# what a frame left after two more frames, twice as long after eight.
FAST_WEIGHT_SCALE = 2.0
CAMERA_INPUT = 0.2  # tokens are not normalised on their way into the camera head, about 5 large
FIRST_ENCODING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.8, 1.1)  # still, 46 by 63 degrees


class PatchPoints(nn.Module):
    """Where what a patch shows lies in the first camera's frame, and where that camera saw it.

    2 x 2 points a patch, from its last tokens: a dense error for pose and depth together, straight
    from the backbone. How far they moved in the image is known without depth; from it the network
    learns to find in one frame what it sees in another. The head does not leave the training room.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.points = nn.Linear(width, 3 * CELLS * CELLS)
        self.motion = nn.Linear(width, 2 * CELLS * CELLS)
        nn.init.zeros_(self.motion.weight)
        nn.init.zeros_(self.motion.bias)

    def forward(self, level: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Level (B, S, P, width) of h x w patches -> points (B, S, 2h, 2w, 3) in the unit of the
        poses and motion (B, S, 2h, 2w, 2) in image widths."""
        h, w = grid
        patches = self.norm(level[:, :, level.shape[2] - h * w :])
        return _cells(self.points(patches), grid), _cells(self.motion(patches), grid)


def _cells(raw: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, S, h*w, CELLS * CELLS * n) of patches -> (B, S, CELLS * h, CELLS * w, n) of cells."""
    h, w = grid
    B, S = raw.shape[:2]
    cells = raw.view(B, S, h, w, CELLS, CELLS, -1).transpose(3, 4)
    return cells.reshape(B, S, h * CELLS, w * CELLS, -1)


def phase_config(model: ModelConfig, phase: Phase) -> ModelConfig:
    """The network's config at the phase's image and patch size."""
    return replace(model, image_size=phase.width, patch_size=phase.patch)


def fresh_network(config: ModelConfig, twin: bool, layer_scale: float) -> ZipMap:
    """A network that starts from nothing, so that it learns soon.

    Its branches count at once (a LayerScale of 0.01 is for networks that start from trained ones),
    its tokens know where they are, without which no motion can be read from them; what is asked of
    other frames begins as what is stored, so that like finds like; its fast weights remember for
    long; and its camera stands still.
    """
    model = attention_twin(config) if twin else ZipMap(config)
    for module in model.modules():
        if isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, layer_scale)
    side = config.image_size // config.patch_size
    places = uv_embedding(POSITION_SPAN * uv_grid(side, side, 1.0), config.width)
    first, last = model.camera_mlp_head.mlp.fc1, model.camera_mlp_head.mlp.fc2
    with torch.no_grad():
        model.aggregator.patch_embed.pos_embed[:, 1:] = TOKEN_SCALE * places.flatten(0, 1)
        for name, parameter in model.aggregator.global_blocks.named_parameters():
            if "to_qkv" in name:
                queries, keys, _ = parameter.chunk(3)
                queries.copy_(keys)
            elif name.endswith((".w0", ".w1", ".w2")):
                parameter.mul_(FAST_WEIGHT_SCALE)
        first.weight.mul_(CAMERA_INPUT)
        last.weight.mul_(0.1)
        last.bias.copy_(torch.tensor(FIRST_ENCODING))
    return model


def check_start(tensors: dict[str, Tensor], model: ModelConfig, phase: Phase) -> None:
    """Raises TrainingError for weights of a network that does not become the phase's."""
    transplant(tensors, fresh_network(phase_config(model, phase), phase.twin, 1.0))


@torch.no_grad()
def whiten_patches(model: ZipMap, images: Tensor) -> None:
    """Start the image patches' projection as a PCA whitening of ``images`` (B, S, 3, H, W).

    A patch differs from another a hundred times more in brightness than in anything that tells of
    depth or motion; a random projection hides edges under it, and training idles until it has
    found them.
    """
    backbone, width = model.aggregator, model.config.width
    projection, patch = backbone.patch_embed.patch_embed.proj, model.config.patch_size
    x = (images.flatten(0, 1) - backbone.mean) / backbone.std
    patches = nn.functional.unfold(x, patch, stride=patch).transpose(1, 2).flatten(0, 1).double()
    mean = patches.mean(0)
    variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    variance, directions = variance.flip(0)[:width], directions.flip(1)[:, :width]
    filters = TOKEN_SCALE * (directions / (variance + NOISE_VARIANCE).sqrt()).T
    count = len(filters)  # fewer than width where a patch has fewer values
    projection.weight[:count] = filters.view(count, 3, patch, patch).float()
    assert projection.bias is not None
    projection.bias[:count] = -(filters @ mean).float()


@dataclass(frozen=True)
class Parameters:
    """Who moves which parameter: Muon the matrices inside blocks, AdamW all others, and AdamW with
    small steps the camera head, whose large inputs would multiply them until its units are dead."""

    matrices: list[nn.Parameter]
    others: list[nn.Parameter]
    camera: list[nn.Parameter]

    @classmethod
    def of(cls, model: nn.Module) -> Parameters:
        """All parameters of a network, each in one list."""
        split = cls([], [], [])
        for name, parameter in model.named_parameters():
            in_block = "blocks." in name and parameter.ndim == 2 and "lr_fc" not in name
            if name.startswith("camera_mlp_head"):
                split.camera.append(parameter)
            else:
                (split.matrices if in_block else split.others).append(parameter)
        return split
