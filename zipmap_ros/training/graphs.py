# SPDX-License-Identifier: Apache-2.0
"""Training steps as CUDA graphs: one launch instead of tens of thousands.

A small network streamed frame by frame keeps a GPU waiting for launches: recorded once for each
shape of a task and replayed, a step takes what its work takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zipmap_ros.model.tables import Held, held
from zipmap_ros.training.data import Batch

WARMUP = 2  # runs before recording: libraries make their handles and workspaces


@dataclass(frozen=True)
class Task:
    """What one step works on.

    batch  the seen frames of every clip in order, then the unseen views
    dense  (segments, n) int64: the frames of each segment whose depth is predicted densely
    seen   frames of a clip that are folded in; the others are asked for
    chunk  frames per update
    """

    batch: Batch
    dense: Tensor
    seen: int
    chunk: int

    @property
    def shape(self) -> tuple[object, ...]:
        """Tasks of one shape differ in values alone."""
        return (*self.batch.images.shape, *self.dense.shape, self.seen, self.chunk)

    def tensors(self) -> list[Tensor]:
        """All tensors, in a fixed order."""
        return [*vars(self.batch).values(), self.dense]

    def clone(self) -> Task:
        """The same in memory of its own."""
        batch = Batch(*(getattr(self.batch, f.name).clone() for f in fields(Batch)))
        return replace(self, batch=batch, dense=self.dense.clone())


Work = Callable[[Task], dict[str, Tensor]]


class _Recording(NamedTuple):
    task: Task
    replay: Callable[[], None]
    terms: dict[str, Tensor]
    gradients: list[tuple[nn.Parameter, Tensor]]
    tables: Held  # that the graph reads


class Recorder:
    """Called with a task it does what ``work`` does: gradients into ``parameters``, terms back.

    The terms are overwritten by the next call.
    """

    def __init__(self, work: Work, parameters: list[nn.Parameter]) -> None:
        self.work, self.parameters = work, parameters
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, task: Task) -> dict[str, Tensor]:
        if task.shape not in self._recordings:
            with held() as tables:
                self._recordings[task.shape] = self._record(task.clone(), tables)
        recording = self._recordings[task.shape]
        for own, given in zip(recording.task.tensors(), task.tensors(), strict=True):
            own.copy_(given)
        recording.replay()
        self._forget()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.terms

    def _record(self, task: Task, tables: Held) -> _Recording:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUP):
                self._forget()
                self.work(task)
        torch.cuda.current_stream().wait_stream(stream)
        self._forget()  # recorded without gradients, the backward pass makes them in the graph
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory):
            terms = self.work(task)
        made = [(p, p.grad) for p in self.parameters if p.grad is not None]
        return _Recording(task, graph.replay, terms, made, tables)

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
