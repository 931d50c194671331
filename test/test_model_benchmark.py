# SPDX-License-Identifier: Apache-2.0
"""The network's benchmark: every question is answered and kept, and none measures another thing."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zipmap_ros.model import ModelConfig, ZipMap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmark"))
import network
import threads
from choices import CHOICES, PATHS, arithmetic
from measure import milliseconds, report
from network import QUESTIONS
from subject import forget_peak, peak_mb, quadratic

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmark"


def test_every_question_is_answered_and_kept(tmp_path):
    few = ["--repeats", "2", "--lengths", "2", "--chunks", "1", "2", "--frames", "20"]
    command = [sys.executable, str(BENCHMARK / "network.py"), "all", "--size", "tiny", *few]
    save = ["--save", str(tmp_path / "here.json"), "--threads", "1"]
    done = subprocess.run([*command, *save], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    for name in QUESTIONS:
        record = json.loads((tmp_path / f"here_{name}.json").read_text())
        assert record["rows"] and record["commit"] and record["matrix_tflops"] > 0, name
    assert {p.stem for p in tmp_path.glob("*.png")} >= {"here_batch", "here_stream", "here_drift"}
    errors = json.loads((tmp_path / "here_precision.json").read_text())["rows"]
    assert errors[0]["format"] == "float32" and all(row["depth"] > 0 for row in errors[1:])
    parts = json.loads((tmp_path / "here_profile.json").read_text())["rows"]
    assert {row["chunk"] for row in parts} == {1, 8}
    named = {row["part"]: row for row in parts if row["chunk"] == 1}
    assert named["everything else"]["ms"] > 0 and named["of it Newton-Schulz"]["ms"] > 0
    inside = sum(row["ms"] for name, row in named.items() if name.startswith("of it"))
    assert (
        0.5 * named["blocks of fast weights"]["ms"] < inside < named["blocks of fast weights"]["ms"]
    )
    paths = json.loads((tmp_path / "here_fast_paths.json").read_text())["rows"]
    gained = {row["path"]: row["plain_operations"] - row["operations"] for row in paths}
    assert gained.keys() == {*PATHS, "all", *(f"--fast {name}" for name in CHOICES["cpu"])}
    assert gained["all"] > max(gained[name] for name in PATHS) > 0


def test_the_quadratic_twin_is_timed_as_the_network_is(monkeypatch):
    """As often, after a warm-up, and by the median."""
    timed: list[tuple[object, int, int]] = []

    def seconds(run, device, repeats, warmup=1):
        timed.append((run.func.__self__, repeats, warmup))
        return [3.0, 1.0, 2.0][:repeats]

    model = ZipMap(ModelConfig.tiny()).eval()
    monkeypatch.setattr(network, "build", lambda *_: model)
    monkeypatch.setattr(network, "seconds", seconds)
    device = torch.device("cpu")
    args = argparse.Namespace(size="tiny", device=device, dtype=torch.float32, fast=[], tf32="all")
    args.lengths, args.twin_up_to = [150, network.LONG + 1], network.LONG + 1
    rows = list(network.batch(args))
    assert [(repeats, warmup) for _, repeats, warmup in timed] == [(3, 1)] * 2 + [(1, 1)] * 2
    assert timed[0][0] is model and timed[1][0] is not model
    assert [row["ratio"] for row in rows] == [1, 1] and rows[0]["seconds"] == 2


def test_the_compiled_network_is_measured_beside_the_network_itself(monkeypatch):
    """With another stand-in for what takes a minute to compile: one that is never right."""
    model = ZipMap(ModelConfig.tiny()).eval()

    def compile_stream(_, sha256, height, width, chunk, folder):
        path = folder / "package"
        path.write_bytes(b"1234")
        return path

    def wrong(frames, state):
        prediction, state = model.stream(frames, state, frames.shape[1], ("depth",))
        return replace(prediction, depth=1.5 * prediction.depth), state

    monkeypatch.setattr(network, "build", lambda args: model)
    monkeypatch.setattr(network, "compile_stream", compile_stream)
    monkeypatch.setattr(network, "CompiledStream", lambda *_: wrong)
    args = argparse.Namespace(chunks=[1, 2], repeats=1, size="tiny", device=torch.device("cpu"))
    rows = list(network.compiled(args))
    assert [row["chunk"] for row in rows] == [1, 2]
    for row in rows:
        assert row["depth_difference"] == pytest.approx(0.5, rel=0.01)
        assert row["ratio"] == pytest.approx(row["plain_ms"] / row["compiled_ms"])
        assert row["compile_s"] > 0 and row["package_mb"] == 4e-6


def test_a_run_that_is_cut_off_keeps_its_rows(tmp_path):
    def rows():
        yield {"frames": 1}
        raise KeyboardInterrupt

    path = tmp_path / "cut.json"
    with pytest.raises(KeyboardInterrupt):
        report("network batch", torch.device("cpu"), {}, rows(), path)
    assert json.loads(path.read_text())["rows"] == [{"frames": 1}]


def test_what_was_not_answered_is_told(monkeypatch, capsys):
    """Neither an error in a question nor too little memory may end in success."""

    def short_of_memory(args):
        yield {"frames": 1}
        raise torch.OutOfMemoryError("too little\nand more")

    questions = {
        "fine": lambda args: [{"a": 1}],
        "short": short_of_memory,
        "silent": lambda args: [],
    }
    questions["broken"] = lambda args: 1 / 0
    monkeypatch.setattr(network, "QUESTIONS", questions)
    monkeypatch.setattr(network, "ceiling", lambda *_: {"matrix_tflops": 1.0})
    monkeypatch.setattr(sys, "argv", ["network.py", "all", "--size", "tiny"])
    with pytest.raises(SystemExit) as ended:
        network.main()
    assert str(ended.value).endswith(": short, silent, broken")
    records = [
        json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")
    ]
    assert [len(record["rows"]) for record in records] == [1, 2, 0]
    assert records[1]["rows"][1] == {"stopped": "too little"}


def test_all_can_be_asked_for_less(monkeypatch, tmp_path):
    """Only what is named is answered, and what no time is left for is told."""
    asked = []

    def question(args):
        asked.append((args.chunks, args.fast, args.graph))
        return [{"a": 1}]

    monkeypatch.setitem(network.QUESTIONS, "stream", question)
    monkeypatch.setitem(network.QUESTIONS, "drift", question)
    monkeypatch.setattr(network, "ceiling", lambda *_: {"matrix_tflops": 1.0})
    words = ["network.py", "all", "--size", "tiny", "--chunks", "3", "--only", "drift"]
    monkeypatch.setattr(sys, "argv", [*words, "stream_cast_graph"])
    with pytest.raises(SystemExit) as ended:
        network.main()
    assert not ended.value.code
    assert asked == [([3], ["channels_last"], False), ([1, 8], ["cast"], True)]
    monkeypatch.setattr(sys, "argv", [*words, "--seconds", "-1"])
    with pytest.raises(SystemExit, match="drift \\(no time left\\)"):
        network.main()


def test_percentiles_are_of_the_nearest_rank():
    """Of twenty values p95 is the second largest, not the largest."""
    times = milliseconds([i / 1e3 for i in range(20, 0, -1)])
    assert times == pytest.approx({"p50_ms": 10.5, "p95_ms": 19, "p99_ms": 20})
    assert milliseconds([0.007])["p99_ms"] == 7


def test_the_peak_is_forgotten():
    cpu = torch.device("cpu")
    held = torch.ones(50_000_000)
    forget_peak(cpu)
    with_it = peak_mb(cpu)
    del held
    assert peak_mb(cpu) > with_it - 5
    forget_peak(cpu)
    assert peak_mb(cpu) < with_it - 150


@pytest.mark.parametrize("ages", [True, False])
def test_drift_compares_the_last_thousand_frames_with_the_first(monkeypatch, ages):
    """It sees a network that grows slower and keeps what it saw, and one that does neither."""
    clock, kept = SimpleNamespace(now=0.0), []

    class Network:
        def new_state(self):
            return SimpleNamespace(nbytes=1)

        def stream(self, frames, state, outputs):
            clock.now += 0.001
            if ages:
                kept.append(torch.ones(50_000))
                clock.now += 1e-6 * len(kept)
            return None, state

    monkeypatch.setattr(network, "build", lambda args: Network())
    monkeypatch.setattr(network, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    args = argparse.Namespace(size="tiny", device=torch.device("cpu"), frames=3000)
    first, _, last, compared = network.drift(args)
    assert (first["frames"], last["frames"], compared["part_frames"]) == (1000, 3000, 1000)
    latency, memory = compared["last_over_first_latency"], compared["last_over_first_peak"]
    assert latency == pytest.approx(3.5035 / 1.5035 if ages else 1)
    assert memory == last["peak_mb"] / first["peak_mb"]
    assert (memory > 1.05) == ages


def test_every_way_to_start_a_process_is_measured_beside_every_neighbour(monkeypatch, tmp_path):
    """With one real worker; what it would say of the others is made up."""
    rate = threads.measured("one", str(tmp_path), 0.5)
    assert rate > 0
    neighbours = ("nobody", "default", "alike", "core")
    every = [(way, name, rate) for name in neighbours for way in threads.WAYS]
    every[4] = ("passive", "default", rate / 2)
    monkeypatch.setattr(threads, "rates", lambda seconds: iter(every))
    rows = {row["way"]: row for row in threads.rows(1.0)}
    assert rows.keys() == threads.WAYS.keys()
    assert rows["passive"]["worst_fps"] == rows["passive"]["default_fps"] == rate / 2
    assert rows["one"]["worst_fps"] == rows["one"]["core_fps"] == rate


def test_a_neighbour_that_ends_too_early_is_told():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    with pytest.raises(SystemExit, match="neighbour ended with 0"), threads.busy(gone):
        gone.wait()


def test_the_floors_are_those_of_the_official_network():
    """3.55 TFLOP a frame with both dense heads, of which the node asks for one; 3.87 an update."""
    args = argparse.Namespace(size="official", peak_tflops=1.0)
    counted = {row["part"]: row["gflop"] / 1e3 for row in arithmetic(args)}
    both = counted["frame"] + counted["of it depth head"]
    assert both == pytest.approx(3.55, abs=0.01)
    assert counted["update"] == pytest.approx(3.87, abs=0.01)
    assert counted["query view"] == pytest.approx(1.86, abs=0.01)


def test_the_quadratic_twin_attends_with_heads_of_ordinary_width():
    """With the fast weights' one head of 1024 channels no fused attention exists."""
    meta = torch.device("meta")
    args = argparse.Namespace(device=meta, dtype=torch.float32, fast=[], tf32="convolutions")
    with meta:
        model = ZipMap(ModelConfig.official("main"))
    block = quadratic(model, args).aggregator.global_blocks[0].ttt_block
    assert block.heads == model.config.heads == 16
