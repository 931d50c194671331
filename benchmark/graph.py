# SPDX-License-Identifier: Apache-2.0
"""`ZipMap.stream` of one chunk shape as a CUDA graph: one launch instead of thousands."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from zipmap_ros.model import Prediction, SceneState, ZipMap


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
        for own, given in zip(_tensors(self.state), _tensors(state), strict=True):
            own.copy_(given)
        self.replay()
        prediction, after = self.result
        return _copied(prediction), replace(after.clone(), frames_seen=state.frames_seen + chunk)

    def _compute(self) -> None:
        chunk = self.images.shape[1]
        self.result = self.model.stream(self.images, self.state, chunk, self.outputs)


def _tensors(state: SceneState) -> list[Tensor]:
    return [t for part in (state.layers, state.targets) for weights in part for t in weights]


def _copied(prediction: Prediction) -> Prediction:
    def copy(value):
        if isinstance(value, Tensor):
            return value.clone()
        return None if value is None else tuple(each.clone() for each in value)

    return Prediction(*(copy(getattr(prediction, f.name)) for f in fields(prediction)))
