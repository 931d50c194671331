# SPDX-License-Identifier: Apache-2.0
"""Attention transfer: fast weights learn to answer as the attention did that they replace.

Put in its place untaught they answer at random, and the network around them unlearns within minutes
what it knew. So before anything else learns, each layer is shown what the twin's layer was given
and what it made of it. (For linear attention: The Hedgehog & the Porcupine, arXiv 2402.04347.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.training.twin import attention_twin, transplant


class Transfer:
    """A twin that answers what its layers make of images."""

    def __init__(
        self, tensors: dict[str, Tensor], config: ModelConfig, device: torch.device
    ) -> None:
        """``tensors`` is the state dict of a trained twin."""
        self.twin = attention_twin(config)
        transplant(tensors, self.twin)
        self.twin.to(device).eval().requires_grad_(False)
        self._layers: list[tuple[tuple, Tensor]] = []
        for block in self.twin.aggregator.global_blocks:
            block.get_submodule("ttt_block").register_forward_hook(self._keep)

    def loss(
        self, model: ZipMap, images: Tensor, chunk_frames: int, rays: Tensor | None = None
    ) -> Tensor:
        """Unexplained share of the variance of the twin's answers, a mean over the layers.

        images (B, S, 3, H, W), folded in ``chunk_frames`` at a time; rays (B, T, 9, H, W) of unseen
        views, asked for afterwards, count as much. 1 is what a constant reaches.
        """
        _, seen = self.twin(images, self.twin.new_state(len(images)), chunk_frames, outputs=())
        if rays is not None:
            self.twin.query(seen, rays)
        state = model.new_state(len(images))
        layers, targets = model.fast_weight_layers(), state.targets
        weights, shares = list(state.layers), []
        for n, ((x, _, _, operations), answer) in enumerate(self._layers):
            i = n % len(layers)  # the views that are asked for come after all layers
            own, weights[i] = layers[i](x, weights[i], targets[i], operations)
            spread = (answer - answer.mean((0, 1))).square().mean()
            shares.append((own - answer).square().mean() / spread)
        self._layers.clear()
        return torch.stack(shares).mean()

    def _keep(self, module: nn.Module, inputs: tuple, output: tuple) -> None:
        self._layers.append((inputs, output[0]))
