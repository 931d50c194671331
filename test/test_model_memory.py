# SPDX-License-Identifier: Apache-2.0
"""Memory and work of the network, counted and not timed: flat for a stream, linear for a batch."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zipmap_ros.model import ModelConfig, ZipMap, dense_head
from zipmap_ros.training.twin import attention_twin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmark"))
from counting import Counter

H, W = 28, 42


@pytest.fixture
def model() -> ZipMap:
    torch.manual_seed(0)
    return ZipMap(ModelConfig.tiny()).eval()


def counted(work: Callable[[], object]) -> Counter:
    """What ``work`` took, the tables that it keeps made before."""
    work()
    with Counter() as counter:
        work()
    return counter


def batch_peaks(model: ZipMap, lengths: list[int]) -> list[int]:
    return [
        counted(lambda n=n: model.reconstruct(torch.ones(1, n, 3, H, W), ("depth",))).peak
        for n in lengths
    ]


def batch_flops(model: ZipMap, lengths: list[int]) -> list[int]:
    """Of the backbone, on tensors without values: there attention is products, and is counted."""
    meta, flops = copy.deepcopy(model).eval().to("meta"), []
    for n in lengths:
        with FlopCounterMode(display=False) as counter:
            meta.reconstruct(torch.ones(1, n, 3, H, W, device="meta"), ())
        flops.append(counter.get_total_flops())
    return flops


def curvature(values: list[int]) -> float:
    """Of values at three equidistant places: how far the second step exceeds the first."""
    first, second, third = values
    return (third - second) / (second - first) - 1


def test_the_counter_sees_what_is_held_and_what_was():
    given, kept = torch.ones(1000), []
    with Counter() as counter:
        kept.append(given * 2)
        given.view(10, 100).sum()
        (given + 1) * 3
        given.add_(1)
    assert counter.operations == 5
    assert counter.live == 4000
    assert counter.peak == 12000


def test_a_frame_of_a_stream_takes_the_same_memory_for_ever(model):
    frame, state = torch.rand(1, 1, 3, H, W), model.new_state()
    model.stream(frame, state)  # makes the tables
    peaks, left = [], []
    for _ in range(6):
        with Counter() as counter:
            prediction, state = model.stream(frame, state)
        peaks.append(counter.peak)
        left.append(counter.live)
    del prediction
    assert len(set(peaks)) == len(set(left)) == 1
    assert left[0] < peaks[0] < 50 * state.nbytes


def test_nothing_of_a_frame_stays_in_the_network(model):
    counter = counted(lambda: model.stream(torch.ones(1, 2, 3, H, W), model.new_state(), 2))
    assert counter.peak > 0
    assert counter.live == 0


def test_a_batch_takes_memory_and_work_in_proportion_to_its_frames(model):
    """And quadratic attention in the fast weights' place does not: this can fail."""
    assert curvature(batch_flops(model, [1, 2, 3])) == 0
    assert curvature(batch_flops(attention_twin(model.config), [1, 2, 3])) > 0.01
    assert abs(curvature(batch_peaks(model, [8, 16, 24]))) < 0.01


def test_dense_heads_hold_the_maps_of_a_few_frames_at_once(model, monkeypatch):
    """However many frames there are, only the answers grow."""
    head, tokens = model.depth_head, model.config.special_tokens + 6
    at_once = dense_head.FRAMES_AT_ONCE

    def beyond_answers(frames: int) -> int:
        levels = [torch.ones(1, frames, tokens, 2 * model.config.width)] * 4
        with torch.no_grad():
            peak = counted(lambda: head(levels, (2, 3))).peak
        return peak - 2 * frames * 2 * H * W * 4  # parts of two channels, and all of them as one

    few = beyond_answers(at_once)
    assert beyond_answers(8 * at_once) <= few
    monkeypatch.setattr(dense_head, "FRAMES_AT_ONCE", 1 << 30)
    assert beyond_answers(8 * at_once) > 4 * few
