# SPDX-License-Identifier: Apache-2.0
"""Recorded streams and queries. On a CPU the work is repeated: this is about memory, not CUDA."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from zipmap_ros.model import (
    ModelConfig,
    ModelError,
    SceneState,
    ZipMap,
    backbone,
    dense_head,
    encoder,
    layers,
)
from zipmap_ros.model.cameras import ray_map
from zipmap_ros.model.graph import QueryGraph, StreamGraph

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def model() -> ZipMap:
    torch.manual_seed(0)
    return ZipMap(ModelConfig.tiny()).to(DEVICE).eval()


@pytest.fixture
def chunks() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.rand(1, 12, 3, 28, 42, device=DEVICE).split(2, dim=1)


def weights(state: SceneState) -> list[torch.Tensor]:
    return [w for layer in (*state.layers, *state.targets) for w in layer]


def same(ours: SceneState, theirs: SceneState) -> bool:
    return ours.frames_seen == theirs.frames_seen and all(
        map(torch.equal, weights(ours), weights(theirs))
    )


def test_a_recorded_stream_has_the_bits_of_the_stream(model, chunks):
    graphed = StreamGraph(model, ("depth",))
    for _ in range(2):  # a second scene as well
        state, own = model.new_state(), model.new_state()
        for chunk in chunks:
            expected, state = model.stream(chunk, state, 2, ("depth",))
            before = own.clone()
            prediction, after = graphed(chunk, own)
            assert same(own, before) and same(after, state)
            assert torch.equal(prediction.depth, expected.depth)
            assert torch.equal(prediction.pose_encoding, expected.pose_encoding)
            own = after
        assert graphed._graphs and not graphed.problem


def test_candidates_can_be_dropped_and_states_kept(model, chunks):
    graphed = StreamGraph(model, ("depth",))
    state = model.new_state()
    for chunk in chunks[:4]:
        _, state = graphed(chunk, state)
    kept = graphed.kept(state)
    first, _ = graphed(chunks[4], state)
    _, one = graphed(chunks[5], state)  # what came of chunk 4 was dropped
    again, two = graphed(chunks[4], state)
    assert torch.equal(first.depth, again.depth) and same(state, kept)
    assert kept is not state and graphed.kept(kept) is kept
    assert one.layers[0].w0 is two.layers[0].w0
    foreign, after = graphed(chunks[4], kept.clone())  # such as one that was loaded
    assert torch.equal(foreign.depth, first.depth)
    assert same(after, model.stream(chunks[4], kept, 2, ("depth",))[1])


def test_a_state_that_was_overwritten_is_refused(model, chunks):
    """A candidate whose place another took, and the first of two scenes on one graph."""
    graphed = StreamGraph(model, ("depth",))
    state = model.new_state()
    for chunk in chunks[:4]:
        _, state = graphed(chunk, state)
    one, two = graphed(chunks[4], state)[1], graphed(chunks[5], state)[1]
    for late in (lambda: graphed(chunks[0], one), lambda: graphed.kept(one)):
        with pytest.raises(ModelError, match=r"overwritten.*kept\(\)"):
            late()
    expected = model.stream(chunks[0], two, 2, ("depth",))[1]
    assert same(graphed(chunks[0], two)[1], expected)
    for last in (4, 5):  # in either place
        graphed = StreamGraph(model, ("depth",))
        first, second = (model.stream(chunks[i], model.new_state(), 2)[1] for i in range(2))
        for chunk in chunks[2:last]:
            _, first = graphed(chunk, first)
        graphed(chunks[5], second)
        with pytest.raises(ModelError, match="overwritten"):
            graphed(chunks[5], first)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_the_network_refuses_is_refused(model, chunks, recorded):
    """A graph looks at no type; and whoever is refused costs the others no graph."""
    graphed, ask = StreamGraph(model, ("depth",)), QueryGraph(model)
    _, state = graphed(chunks[0], model.new_state())
    rays = torch.rand(1, 1, 9, 28, 42, device=DEVICE)
    for chunk in chunks[1 : 3 if recorded else 2]:
        ask(state, rays)
        _, state = graphed(chunk, state)
    two = model.stream(chunks[0].expand(2, -1, -1, -1, -1), model.new_state(2))[1]
    with pytest.raises(ModelError, match=r"images are torch\.float64"):
        graphed(chunks[4].double(), state)
    with pytest.raises(ModelError, match=r"rays are torch\.float64"):
        ask(state, rays.double())
    pair = chunks[4].expand(2, -1, -1, -1, -1)
    for wrong in (
        *(lambda: graphed(chunks[4], two), lambda: ask(two, rays)),
        *(lambda: graphed(pair, state), lambda: ask(state, rays.expand(2, -1, -1, -1, -1))) * 2,
    ):
        with pytest.raises(ModelError, match="the state has"):
            wrong()
    assert same(graphed(chunks[4], state)[1], model.stream(chunks[4], state, 2)[1])
    assert torch.equal(ask(state, rays).depth, model.query(state, rays).depth)
    assert graphed._graphs and ask._graph and not (graphed.problem or ask.problem)


def test_what_was_recorded_serves_any_caller(model, chunks):
    """Recorded from half precision and while inferring, which others are not bound to."""
    graphed, ask = StreamGraph(model, ("depth",)), QueryGraph(model)
    state = model.stream(chunks[0], model.new_state(), 2)[1]
    rays = torch.rand(1, 1, 9, 28, 42, device=DEVICE)
    with torch.inference_mode():
        for chunk in chunks[1:4]:
            ask(state, rays.half())
            _, state = graphed(chunk.half(), state)
    kept = graphed.kept(state)
    assert same(graphed(chunks[4], state)[1], model.stream(chunks[4], kept, 2)[1])
    assert torch.equal(ask(kept, rays).depth, model.query(kept, rays).depth)
    assert graphed._graphs and ask._graph


def test_the_tables_of_a_recording_live_as_long_as_it(model, chunks, monkeypatch):
    """It reads them by their addresses, whatever other sizes are asked for meanwhile."""
    read: list[weakref.ref] = []

    def spied(make: Callable) -> Callable:
        def table(*arguments: object) -> object:
            made = make(*arguments)
            read.append(weakref.ref(made if isinstance(made, torch.Tensor) else made[0]))
            return made

        return table

    graphed, state = StreamGraph(model, ("depth",)), model.new_state()
    named = {backbone: "grid_rope", dense_head: "position_tables", encoder: "resize_matrix"}
    for module, name in named.items():  # others may hold what they were asked for before
        getattr(module, name).cache_clear()
    with monkeypatch.context() as patch:
        for module, name in named.items():
            patch.setattr(module, name, spied(getattr(module, name)))
        for chunk in chunks[:4]:
            _, state = graphed(chunk, state)
    for w in range(1, 100):
        layers.grid_rope(3, w, 2, 8, DEVICE)
        dense_head.position_tables(3, w, 1.0, 8, DEVICE)
        encoder.resize_matrix(4, w, DEVICE)
    assert len(read) > 20 and all(table() is not None for table in read)
    graphed.release()
    gc.collect()
    assert all(table() is None for table in read)


def test_another_size_is_recorded_when_it_comes_again(model, chunks):
    graphed = StreamGraph(model, ("depth",))
    state = own = model.new_state()
    recorded = []
    for chunk in (*chunks[:3], chunks[3][:, :1], chunks[4], chunks[5][:, :1], chunks[5][:, 1:]):
        _, state = model.stream(chunk, state, 2, ("depth",))
        _, own = graphed(chunk, own)
        assert same(own, state)
        recorded.append(graphed._recorded)
    two, one = (1, 2, 3, 28, 42), (1, 1, 3, 28, 42)
    assert recorded == [None, None, two, two, two, two, one]


def test_what_cannot_be_recorded_goes_on_and_is_said_once(model, chunks, monkeypatch):
    graphed = StreamGraph(model, ("depth",))

    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphed, "_record", refuse)
    state = own = model.new_state()
    with pytest.warns(RuntimeWarning, match="not permitted when stream is capturing") as said:
        for chunk in chunks:
            _, state = model.stream(chunk, state, 2, ("depth",))
            _, own = graphed(chunk, own)
    assert len(said) == 1 and same(own, state)


def test_a_recorded_query_answers_as_the_query(model, chunks):
    K = torch.tensor([[40.0, 0, 21], [0, 40, 14], [0, 0, 1]], device=DEVICE).expand(1, 1, 3, 3)
    pose = torch.eye(4, device=DEVICE).repeat(1, 1, 1, 1)
    ask, stream = QueryGraph(model), StreamGraph(model, ("depth",))
    state = model.new_state()
    for i, chunk in enumerate(chunks):
        _, state = stream(chunk, state)
        pose[..., 0, 3] = 0.1 * i
        rays = ray_map(pose, K, 28, 42)
        before = stream.kept(state).clone()
        for _ in range(2):
            answer, expected = ask(state, rays), model.query(state, rays)
            assert torch.equal(answer.rgb, expected.rgb)
            assert torch.equal(answer.depth, expected.depth)
        assert same(state, before)
    assert ask._graph is not None
