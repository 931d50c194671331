# SPDX-License-Identifier: Apache-2.0
"""Loading the network that the parameters name, and writing what a mapper found into files."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from known_world import KnownWorld, frame, path, room_depth
from PIL import Image
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, Camera, invert
from zipmap_ros.mapping import MappingError, StreamMapper, load_network
from zipmap_ros.mapping import network as network_module
from zipmap_ros.mapping.network import (
    check_memory,
    memory_need,
    resolve_device,
    resolve_precision,
)
from zipmap_ros.mapping.reconstruct import _with_odometry, reconstruct
from zipmap_ros.mapping.report import Samples
from zipmap_ros.model import ModelConfig, ZipMap, file_sha256, save_checkpoint
from zipmap_ros.model.speed import cast_weights
from zipmap_ros.parameters import Parameters


@pytest.fixture
def checkpoint(tmp_path) -> str:
    save_checkpoint(ZipMap(ModelConfig.tiny()), tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


def test_a_checkpoint_is_loaded_and_identified(checkpoint):
    sha256 = file_sha256(checkpoint)
    changes = {"checkpoint": checkpoint, "device": "cpu", "precision": "bfloat16"}
    for known in (sha256, sha256.upper()):
        model, found = load_network(Parameters().updated({**changes, "checkpoint_sha256": known}))
    assert found == sha256 and model.config == ModelConfig.tiny()
    assert model.compute_dtype == torch.bfloat16 and not model.training
    with pytest.raises(MappingError, match=f"has the SHA-256 {sha256}, not {'0' * 64}"):
        load_network(Parameters().updated({**changes, "checkpoint_sha256": "0" * 64}))


def test_what_is_not_there_is_said(checkpoint):
    with pytest.raises(MappingError, match="there is no checkpoint"):
        load_network(Parameters().updated({"checkpoint": "/nowhere/weights.pt"}))
    with pytest.raises(MappingError, match="set device to cpu or auto"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(("precision", "rounds"), [("bfloat16", True), ("float32", False)])
def test_float32_is_rounded_to_tf32_only_beside_bfloat16(checkpoint, precision, rounds):
    changes = {"checkpoint": checkpoint, "device": "cpu", "precision": precision}
    load_network(Parameters.updated(Parameters(), changes))
    assert torch.backends.cudnn.allow_tf32 == rounds
    assert torch.backends.cuda.matmul.allow_tf32 == rounds


def test_precision_is_bfloat16_on_a_cpu_only_with_amx_or_when_asked(monkeypatch):
    cpu = resolve_device("cpu")
    official, small = ModelConfig().width, 128
    assert resolve_precision("bfloat16", cpu, small) == torch.bfloat16
    for flags, width, dtype in (
        ({"avx512_bf16": True, "amx_bf16": False}, official, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True}, official, torch.bfloat16),
        ({"avx512_bf16": True, "amx_bf16": True}, small, torch.float32),
        ({"architecture": "aarch64"}, official, torch.float32),
    ):
        # Which torch 2.5 has not.
        monkeypatch.setattr(torch.cpu, "get_capabilities", partial(dict, flags), raising=False)
        assert resolve_precision("auto", cpu, width) == dtype
        assert resolve_precision("float32", cpu, width) == torch.float32


class PeakBytes(TorchDispatchMode):
    """The most bytes of tensors that were alive at once, those ``known`` before not counted.

    Nor float64: coordinates, which are made on the CPU whatever the device.
    """

    def __init__(self, known):
        super().__init__()
        self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.dtype != torch.float64:
                reference = StorageWeakRef(tensor.untyped_storage())
                if reference.cdata not in self._known:
                    self._alive[reference.cdata] = (reference, tensor.untyped_storage().nbytes())
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


SIZES = {
    "few patches": {},
    "large images": {"image_size": 224, "width": 64, "dense_width": 64, "patch_size": 14},
    "wide head": {"image_size": 112, "dense_width": 256, "dense_channels": (64,) * 4},
    "large state": {"width": 128, "fast_heads": 1, "fast_hidden": 2048, "image_size": 112},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frames", [1, 3, 12])
@pytest.mark.parametrize("size", SIZES)
def test_the_estimate_of_memory_is_what_a_chunk_takes(size, frames, dtype):
    config = replace(ModelConfig.tiny(), **SIZES[size])
    model = ZipMap(config).eval()
    model.compute_dtype = dtype
    state = model.new_state().detach()
    height, width = config.image_size * 3 // 4 // 14 * 14, config.image_size
    images = torch.rand(frames, 3, height, width)
    with PeakBytes([images, *model.parameters(), *model.buffers()]) as measured:
        model.stream(images, state, frames, outputs=("depth",))
    need = memory_need(config, height, width, frames, dtype)
    assert need.weights == 4 * sum(p.numel() for p in model.parameters())
    assert need.states == 2 * state.nbytes
    # The candidate state is made meanwhile; the other one was there before.
    assert 0.8 < (need.chunk + state.nbytes) / measured.peak < 1.5


def test_the_estimate_for_a_gpu_counts_weights_cast_once_and_graphs():
    config = ModelConfig.tiny()
    model = ZipMap(config).eval()
    plain, gpu = (memory_need(config, 28, 42, 2, torch.bfloat16, graph) for graph in (False, True))
    cast_weights(model)
    assert gpu.weights == sum(p.nbytes for p in model.parameters()) < 0.8 * plain.weights
    assert (gpu.states, gpu.chunk) == (1.5 * plain.states, 2 * plain.chunk)
    exact = memory_need(config, 28, 42, 2, torch.float32, True)
    assert exact.weights == plain.weights


def test_too_little_memory_is_refused_with_numbers():
    config = ModelConfig.official("online")
    need = memory_need(config, 392, 518, 8, torch.bfloat16, graph=True)
    numbers = rf"takes about {need.total / 1e6:.0f} MB \({need.weights / 1e6:.0f} weights, "
    numbers += rf"{need.states / 1e6:.0f} state, .* chunks of 8 images of 518x392"
    check_memory(config, 8, torch.bfloat16, "cuda:0", need.total)
    with pytest.raises(MappingError, match=numbers + ".* cuda:0 has .*set chunk_frames to 7, "):
        check_memory(config, 8, torch.bfloat16, "cuda:0", need.total - 1)
    one = memory_need(config, 392, 518, 1, torch.bfloat16, graph=True)
    with pytest.raises(MappingError, match="set chunk_frames to 1, "):
        check_memory(config, 8, torch.bfloat16, "cuda:0", one.total)
    with pytest.raises(MappingError, match="has 1000 MB free: take smaller weights"):
        check_memory(config, 8, torch.bfloat16, "cuda:0", 1_000_000_000)


def test_a_device_without_room_is_refused_before_the_weights_go_there(checkpoint, monkeypatch):
    monkeypatch.setattr(network_module, "free_memory", lambda device: 100_000)
    with pytest.raises(MappingError, match=r"the tiny network takes about .* MB free"):
        load_network(Parameters().updated({"checkpoint": checkpoint, "device": "cpu"}))


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


def test_a_frame_is_given_after_the_odometry_on_both_sides_of_it():
    mapper = StreamMapper(KnownWorld(path(3)))
    start_ns = frame(0).stamp_ns
    odometry = [(start_ns + i * 10_000_000, np.eye(4)) for i in range(-3, 30)]
    for seen in _with_odometry(mapper, map(frame, range(3)), odometry):
        assert mapper.odometry.at(seen.stamp_ns) is not None


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


def test_a_batch_that_a_gpu_has_no_room_for_is_refused_with_its_frames(tmp_path, monkeypatch):
    mapper = StreamMapper(KnownWorld(path(2)))

    def reconstruct_(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(mapper.model, "reconstruct", reconstruct_, raising=False)
    with pytest.raises(MappingError, match="too little memory for 2 frames at once: take fewer"):
        reconstruct(mapper, [frame(0), frame(1)], tmp_path, batch=True)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 23, 24, 25, 1000])
def test_samples_are_spread_over_a_stream_of_unknown_length(count):
    samples = Samples()
    blank = np.zeros((1, 1), np.float32)
    for i in range(count):
        camera = Camera(1, 1, 1.0, 1.0, 0.5, 0.5)
        samples.add(Estimate(i, "", np.eye(4), blank, blank, camera, np.zeros((1, 1, 3), np.uint8)))
    stamps = [estimate.stamp_ns for estimate in samples.chosen()]
    assert len(stamps) == min(count, 6)
    if count:
        assert stamps[0] == 0 and stamps[-1] >= 0.9 * (count - 1)
        assert np.ptp(np.diff(stamps)) <= max(2, count // 6) if count > 6 else True
