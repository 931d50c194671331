# SPDX-License-Identifier: Apache-2.0
"""`ZipMap.stream` of one chunk shape as a CUDA graph: one launch instead of thousands."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from zipmap_ros.model import Prediction, SceneState, ZipMap
from zipmap_ros.model.fast_weights import FastWeights


class GraphedStream:
    """Called with (images, state) as stream is, for images (1, chunk, 3, H, W) of one size.

    The first frames of a scene, which may be its reference view, go through the network itself. On
    a CPU the recorded work is repeated instead of replayed, so that the copying can be tested.
    """

    def __init__(
        self, model: ZipMap, images: Tensor, state: SceneState, outputs: tuple[str, ...]
    ) -> None:
        """Record the work on ``images`` with a ``state`` that has seen frames."""
        self.model, self.outputs = model, outputs
        self.images, self.state = images.clone(), state.clone()
        self.targets: object = None  # those of the last call, which are in self.state already
        self._compute()  # tables and workspaces are made before recording
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._compute()
            self.replay = graph.replay
        else:
            self.replay = self._compute

    def __call__(self, images: Tensor, state: SceneState) -> tuple[Prediction, SceneState]:
        """The prediction and the new state, in memory of their own; ``state`` stays as it is."""
        chunk = images.shape[1]
        if state.frames_seen == 0:
            return self.model.stream(images, state, chunk, self.outputs)
        self.images.copy_(images)
        torch._foreach_copy_(_tensors(self.state.layers), _tensors(state.layers))
        if state.targets is not self.targets:  # the states of a scene share theirs
            torch._foreach_copy_(_tensors(self.state.targets), _tensors(state.targets))
            self.targets = state.targets
        self.replay()
        prediction, after = self.result
        layers = tuple(FastWeights(*(w.clone() for w in weights)) for weights in after.layers)
        return _copied(prediction), replace(
            state, layers=layers, frames_seen=state.frames_seen + chunk
        )

    def _compute(self) -> None:
        chunk = self.images.shape[1]
        self.result = self.model.stream(self.images, self.state, chunk, self.outputs)


def _tensors(layers: tuple[FastWeights, ...]) -> list[Tensor]:
    return [w for weights in layers for w in weights]


def _copied(prediction: Prediction) -> Prediction:
    def copy(value):
        if isinstance(value, Tensor):
            return value.clone()
        return None if value is None else tuple(each.clone() for each in value)

    return Prediction(*(copy(getattr(prediction, f.name)) for f in fields(prediction)))
