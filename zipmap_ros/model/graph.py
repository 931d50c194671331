# SPDX-License-Identifier: Apache-2.0
"""`ZipMap.stream` and `ZipMap.query` of shapes that come again, as CUDA graphs.

A frame is some thousand small kernels, which Python starts more slowly than a large GPU runs them;
a graph starts them all at once. Same kernels, same bits. On a CPU the recorded work is repeated
instead of replayed, so that the copying can be tested there.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.fast_weights import FastWeights, SceneState
from zipmap_ros.model.tables import held
from zipmap_ros.model.zipmap import DENSE_OUTPUTS, Prediction, QueryPrediction, ZipMap

Shape = tuple[int, ...]


class _Recording:
    """Work on tensors that stay where they are, recorded once; calling it does it again.

    A recording may take its memory where ``other`` has it: what the other left there is gone, but
    for its result. It holds the tables that it reads.
    """

    def __init__(
        self,
        device: torch.device,
        work: Callable[[], object],
        other: _Recording | None = None,
    ) -> None:
        self._replay: Callable[[], None] | None = None
        self._work = work
        with held() as self._tables:
            self.result = work()  # tables, kernels and workspaces are made before recording
            if device.type == "cuda":
                self._record(device, other)

    def _record(self, device: torch.device, other: _Recording | None) -> None:
        self.result = None
        torch.cuda.synchronize(device)
        self._graph = torch.cuda.CUDAGraph()
        pool = None if other is None else other._graph.pool()
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self.result = self._work()
        self._replay = self._graph.replay

    def __call__(self) -> Any:
        if self._replay is None:
            self.result = self._work()
        else:
            self._replay()
        return self.result


class _Graphs:
    """What both have in common: when to record, and that a refusal is said once."""

    def __init__(self, model: ZipMap) -> None:
        self.model = model
        self.problem = ""  # why nothing is recorded any more
        self._seen: Shape | None = None  # of the last call
        self._recorded: Shape | None = None

    def release(self) -> None:
        """Give the graphs and their memory back; the next ones are recorded anew."""
        self._seen = self._recorded = None

    def _ready(self, shape: Shape, record: Callable[[], None]) -> bool:
        """Whether a graph of this shape is there: it is recorded when the shape comes again."""
        again, self._seen = self._seen == shape, shape
        if self._recorded != shape and again and not self.problem:
            self.release()
            try:
                with torch.inference_mode(False):  # what is recorded must serve outside of it too
                    record()
                self._seen = self._recorded = shape
            except (RuntimeError, ModelError) as error:
                self.release()
                self.problem = str(error).splitlines()[0]
                warnings.warn(
                    f"no CUDA graph could be recorded, so every kernel is started by itself, which "
                    f"is slower: {self.problem}",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return self._recorded == shape


class StreamGraph(_Graphs):
    """Called with (images, state) as `ZipMap.stream` is, images (1, chunk, 3, H, W), one chunk.

    The first chunk of a scene and of every image and chunk size goes through the network itself.
    After that the states lie in two places in turn: **a returned state is overwritten by the first
    call that does not go on from it**. Whoever holds it longer takes `kept` before. Of several
    scenes each has a graph of its own.
    """

    def __init__(self, model: ZipMap, outputs: Collection[str] = DENSE_OUTPUTS) -> None:
        super().__init__(model)
        self.outputs = tuple(outputs)
        self._places: list[SceneState] = []
        self._returned: list[object] = []  # the layers of the state that each place holds by now
        self._graphs: list[_Recording] = []
        self._targets: object = None  # those of the last call, which are in both places already

    def __call__(self, images: Tensor, state: SceneState) -> tuple[Prediction, SceneState]:
        """The prediction, in memory of its own, and the new state; ``state`` stays as it is.

        Raises ModelError for what the network itself refuses, and a state that was overwritten.
        """
        images = self.model.checked(images)
        if self._place(state) is None or self._recorded != images.shape:  # else it is known to fit
            self.model.check_state(state, len(images))
        with _current(images.device):
            if state.frames_seen == 0:  # may be its reference view: other work than is recorded
                self.release()
            elif self._ready(tuple(images.shape), lambda: self._record(images, state)):
                return self._replay(images, state)
            return self.model.stream(images, state, images.shape[-4], self.outputs)

    def kept(self, state: SceneState) -> SceneState:
        """A state that nothing overwrites: ``state``, or a copy where it lies in our memory.

        Raises ModelError where it was overwritten already.
        """
        return state if self._place(state) is None else state.clone()

    def release(self) -> None:
        """Give the graphs and their memory back; the next ones are recorded anew."""
        super().release()
        self._graphs, self._places, self._returned, self._targets = [], [], [], None

    def _place(self, state: SceneState) -> int | None:
        """In which of our places a state lies, if in any."""
        for i, place in enumerate(self._places):
            if state.layers is self._returned[i]:
                return i
            if state.layers and state.layers[0].w0 is place.layers[0].w0:
                raise ModelError(
                    "the state was overwritten, as another call did not go on from it: keep it "
                    "with kept() before"
                )
        return None

    def _record(self, images: Tensor, state: SceneState) -> None:
        self._images = images.clone()
        # The targets, which no update changes, are in one place for both.
        first, second = state.clone(), state.clone()
        second = SceneState(second.layers, first.targets, second.frames_seen)
        self._places, self._returned = [first, second], [None, None]
        recorded = _Recording(images.device, self._work(0))
        self._graphs = [recorded, _Recording(images.device, self._work(1), recorded)]

    def _work(self, place: int) -> Callable[[], Prediction]:
        """A pass that reads the state in one place and writes the new one to the other."""

        def work() -> Prediction:
            layers = self.model.fast_weight_layers()
            for layer, into in zip(layers, self._places[1 - place].layers, strict=True):
                layer.into = into
            try:
                chunk = self._images.shape[-4]
                source = self._places[place]
                return self.model.stream(self._images, source, chunk, self.outputs)[0]
            finally:
                for layer in layers:
                    layer.into = None

        return work

    def _replay(self, images: Tensor, state: SceneState) -> tuple[Prediction, SceneState]:
        self._images.copy_(images)
        if state.targets is not self._targets:  # the states of a scene share theirs
            _copy(self._places[0].targets, state.targets)
            self._targets = state.targets
        place = self._place(state)
        if place is None:
            place, self._returned[0] = 0, None
            _copy(self._places[place].layers, state.layers)
        prediction = self._graphs[place]()
        # Another tuple each time, which tells the state from those that lay there before.
        layers = self._returned[1 - place] = (*self._places[1 - place].layers,)
        seen = state.frames_seen + images.shape[-4]
        return _copied(prediction), SceneState(layers, state.targets, seen)


class QueryGraph(_Graphs):
    """Called with (state, rays) as `ZipMap.query` is; holds a copy of the state asked last."""

    def __init__(self, model: ZipMap) -> None:
        super().__init__(model)
        self._state: SceneState | None = None
        self._graph: _Recording | None = None
        self._asked: Callable[[], object] = lambda: None

    def __call__(self, state: SceneState, rays: Tensor) -> QueryPrediction:
        """The answer, in memory of its own. Raises ModelError for what the network refuses."""
        rays = self.model.checked_rays(rays)
        if self._asked() is not state or self._recorded != rays.shape:  # else it is known to fit
            self.model.check_state(state, len(rays))
        with _current(rays.device):
            if not self._ready(tuple(rays.shape), lambda: self._record(state, rays)):
                return self.model.query(state, rays)
            assert self._state is not None and self._graph is not None
            self._rays.copy_(rays)
            if self._asked() is not state:
                _copy(self._state.layers, state.layers)
                self._asked = weakref.ref(state)
            return _copied(self._graph())

    def release(self) -> None:
        """Give the graph and its memory back; the next one is recorded anew."""
        super().release()
        self._state, self._graph, self._asked = None, None, lambda: None

    def _record(self, state: SceneState, rays: Tensor) -> None:
        held = self._state = state.clone()
        self._rays = rays.clone()
        self._graph = _Recording(rays.device, lambda: self.model.query(held, self._rays))


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Graphs are recorded, and kernels of triton started, on the GPU that the thread is on."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _copy(to: tuple[FastWeights, ...], source: tuple[FastWeights, ...]) -> None:
    torch._foreach_copy_([w for ws in to for w in ws], [w for ws in source for w in ws])


def _copied(answer: Any) -> Any:
    """A Prediction or QueryPrediction in memory of its own."""

    def copy(value: Tensor | tuple[Tensor, ...] | None) -> object:
        if isinstance(value, Tensor):
            return value.clone()
        return None if value is None else tuple(each.clone() for each in value)

    values = (copy(getattr(answer, f.name)) for f in fields(answer))
    return type(answer)(*values)
