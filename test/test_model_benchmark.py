# SPDX-License-Identifier: Apache-2.0
"""The network's benchmark: every question is answered and kept, and none measures another thing."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zipmap_ros.model import ModelConfig, ZipMap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmark"))
from choices import arithmetic
from graph import GraphedStream
from measure import report
from network import QUESTIONS, VARIANTS
from subject import quadratic

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmark"


def test_every_question_is_answered_and_kept(tmp_path):
    few = ["--repeats", "2", "--lengths", "2", "--chunks", "1", "2", "--frames", "20"]
    command = [sys.executable, str(BENCHMARK / "network.py"), "all", "--size", "tiny", *few]
    save = ["--save", str(tmp_path / "here.json"), "--threads", "1"]
    done = subprocess.run([*command, *save], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    for name in (*QUESTIONS, *VARIANTS["cpu"]):
        record = json.loads((tmp_path / f"here_{name}.json").read_text())
        assert record["rows"] and record["commit"] and record["matrix_tflops"] > 0, name
    assert {p.stem for p in tmp_path.glob("*.png")} >= {"here_batch", "here_stream", "here_drift"}
    errors = json.loads((tmp_path / "here_precision.json").read_text())["rows"]
    assert errors[0]["format"] == "float32" and all(row["depth"] > 0 for row in errors[1:])
    parts = json.loads((tmp_path / "here_profile.json").read_text())["rows"]
    named = {row["part"]: row for row in parts}
    assert named["everything else"]["ms"] > 0 and named["of it Newton-Schulz"]["ms"] > 0


def test_a_run_that_is_cut_off_keeps_its_rows(tmp_path):
    def rows():
        yield {"frames": 1}
        raise KeyboardInterrupt

    path = tmp_path / "cut.json"
    with pytest.raises(KeyboardInterrupt):
        report("network batch", torch.device("cpu"), {}, rows(), path)
    assert json.loads(path.read_text())["rows"] == [{"frames": 1}]


def test_the_floors_are_those_of_the_official_network():
    """3.55 TFLOP a frame with both dense heads, of which the node asks for one; 3.87 an update."""
    args = argparse.Namespace(size="official", peak_tflops=1.0)
    counted = {row["part"]: row["gflop"] / 1e3 for row in arithmetic(args)}
    both = counted["frame"] + counted["of it depth head"]
    assert both == pytest.approx(3.55, abs=0.01)
    assert counted["update"] == pytest.approx(3.87, abs=0.01)
    assert counted["query view"] == pytest.approx(1.96, abs=0.01)


def test_the_quadratic_twin_attends_with_heads_of_ordinary_width():
    """With the fast weights' one head of 1024 channels no fused attention exists."""
    meta = torch.device("meta")
    args = argparse.Namespace(device=meta, dtype=torch.float32, fast=[], tf32="convolutions")
    with meta:
        model = ZipMap(ModelConfig.official("main"))
    block = quadratic(model, args).aggregator.global_blocks[0].ttt_block
    assert block.heads == model.config.heads == 16


def test_a_recorded_stream_is_the_stream():
    """On a CPU the work is repeated, not replayed: this is about buffers, not about CUDA."""
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny()).eval()
    images = torch.rand(1, 6, 3, 28, 42)
    chunks = images.split(2, dim=1)
    _, begun = model.stream(chunks[0], model.new_state(), 2)
    graphed = GraphedStream(model, chunks[1], begun, ("depth",))
    expected, recorded, state, own = [], [], model.new_state(), model.new_state()
    for chunk in chunks:
        prediction, state = model.stream(chunk, state, 2, ("depth",))
        expected.append(prediction.depth)
        prediction, own = graphed(chunk, own)
        recorded.append(prediction.depth)
        assert own.frames_seen == state.frames_seen
    assert all(map(torch.equal, recorded, expected))
    before = begun.clone()
    graphed(chunks[1], begun)
    assert torch.equal(before.layers[0].w0, begun.layers[0].w0)
