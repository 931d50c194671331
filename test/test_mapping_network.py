# SPDX-License-Identifier: Apache-2.0
"""Loading the network that the parameters name, and writing what a mapper found into files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from known_world import KnownWorld, frame, path, room_depth
from PIL import Image

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, Camera, invert
from zipmap_ros.mapping import MappingError, StreamMapper, load_network
from zipmap_ros.mapping import network as network_module
from zipmap_ros.mapping.network import resolve_device, resolve_precision
from zipmap_ros.mapping.reconstruct import reconstruct
from zipmap_ros.mapping.report import Samples
from zipmap_ros.model import ModelConfig, ZipMap, checkpoint_sha256, save_checkpoint
from zipmap_ros.parameters import Parameters


@pytest.fixture
def checkpoint(tmp_path) -> str:
    save_checkpoint(ZipMap(ModelConfig.tiny()), tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


def test_a_checkpoint_is_loaded_and_identified(checkpoint):
    sha256 = checkpoint_sha256(checkpoint)
    changes = {"checkpoint": checkpoint, "device": "cpu", "precision": "bfloat16"}
    model, found = load_network(Parameters().updated({**changes, "checkpoint_sha256": sha256}))
    assert found == sha256 and model.config == ModelConfig.tiny()
    assert model.compute_dtype == torch.bfloat16 and not model.training
    with pytest.raises(MappingError, match=f"has the SHA-256 {sha256}, not {'0' * 64}"):
        load_network(Parameters().updated({**changes, "checkpoint_sha256": "0" * 64}))


def test_what_is_not_there_is_said(checkpoint):
    with pytest.raises(MappingError, match="there is no checkpoint"):
        load_network(Parameters().updated({"checkpoint": "/nowhere/weights.pt"}))
    with pytest.raises(MappingError, match="set device to cpu or auto"):
        resolve_device("cuda:99")


def test_precision_is_float32_on_a_cpu_unless_asked():
    cpu = resolve_device("cpu")
    assert resolve_precision("auto", cpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16


def test_weights_larger_than_the_gpu_are_refused_with_numbers(checkpoint, monkeypatch):
    def too_large(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(network_module, "load_checkpoint", too_large)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000_000, 8_000_000))
    with pytest.raises(MappingError, match="has 3 of 8 MB free"):
        load_network(Parameters().updated({"checkpoint": checkpoint}))


def test_depth_files_from_before_the_scale_locked_end_in_metres(tmp_path):
    poses = path(12)
    mapper = StreamMapper(KnownWorld(poses), Parameters().updated({"scale_source": "depth"}))
    frames = (frame(i, depth=room_depth(poses[i]).astype(np.float32)) for i in range(12))
    summary = reconstruct(mapper, frames, tmp_path)
    assert summary["metric"] and summary["scale"] == pytest.approx(2.0, rel=1e-3)
    for i in (0, 3, 11):
        with np.load(tmp_path / "depth" / f"{i:06d}.npz") as file:
            np.testing.assert_allclose(file["depth"], room_depth(poses[i]), rtol=2e-3)
            assert file["stamp_ns"] == frame(i).stamp_ns
        png = np.array(Image.open(tmp_path / "depth" / f"{i:06d}.png"))
        np.testing.assert_allclose(png / 1000, room_depth(poses[i]), rtol=2e-3, atol=1e-3)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    moved = np.linalg.norm(np.array(lines[-1].split()[1:4], float))
    assert moved == pytest.approx(np.linalg.norm(poses[11][:3, 3] - poses[0][:3, 3]), rel=1e-3)


def test_odometry_is_given_as_the_frames_come(tmp_path):
    """More of it than the mapper remembers, and none of it at the stamps of the images."""
    poses = path(60)
    mapper = StreamMapper(KnownWorld(poses), Parameters().updated({"scale_source": "odom"}))
    stamps = [frame(i).stamp_ns for i in range(60)]
    times = range(stamps[0] - 1, stamps[-1] + 2_000_001, 2_000_000)
    positions = np.array([T[:3, 3] for T in poses])
    odometry = []
    for time_ns in times:
        T = poses[0] @ invert(BODY_T_OPTICAL)
        T[:3, 3] = [np.interp(time_ns, stamps, positions[:, axis]) for axis in range(3)]
        odometry.append((time_ns, T))
    assert len(odometry) > 2000
    summary = reconstruct(mapper, map(frame, range(60)), tmp_path, odometry=odometry)
    assert summary["metric"] and summary["scale"] == pytest.approx(2.0, rel=1e-3)


def test_depth_too_deep_for_16_bit_is_unknown(tmp_path):
    mapper = StreamMapper(
        KnownWorld(path(2)), Parameters().updated({"scale_source": "fixed", "scale": 60.0})
    )
    reconstruct(mapper, [frame(0)], tmp_path)
    metres = room_depth(path(2)[0]) * 30
    png = np.array(Image.open(tmp_path / "depth" / "000000.png"))
    assert (png[metres > 65.6] == 0).all() and (png[metres < 65.5] > 0).all()
    assert (metres > 65.6).any() and (metres < 65.5).any()


def test_no_result_is_an_error_that_says_why(tmp_path):
    with pytest.raises(MappingError, match="the input is empty"):
        reconstruct(StreamMapper(KnownWorld(path(2))), [], tmp_path)
    mapper = StreamMapper(KnownWorld(path(2), bad={0, 1}))
    with pytest.raises(MappingError, match=r"none of 2 frames gave a result: .*not_finite"):
        reconstruct(mapper, [frame(0), frame(1)], tmp_path)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 23, 24, 25, 1000])
def test_samples_are_spread_over_a_stream_of_unknown_length(count):
    samples = Samples(6)
    blank = np.zeros((1, 1), np.float32)
    for i in range(count):
        camera = Camera(1, 1, 1.0, 1.0, 0.5, 0.5)
        samples.add(Estimate(i, "", np.eye(4), blank, blank, camera, np.zeros((1, 1, 3), np.uint8)))
    stamps = [estimate.stamp_ns for estimate in samples.chosen()]
    assert len(stamps) == min(count, 6)
    if count:
        assert stamps[0] == 0 and stamps[-1] >= 0.9 * (count - 1)
        assert np.ptp(np.diff(stamps)) <= max(2, count // 6) if count > 6 else True
