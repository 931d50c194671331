# SPDX-License-Identifier: Apache-2.0
"""Every fast path against its plain form, and what must not break: training, copies, devices."""

from __future__ import annotations

import copy
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zipmap_ros.model import (
    ModelConfig,
    ModelError,
    ZipMap,
    dense_head,
    encoder,
    fast_weights,
    layers,
    speed,
)
from zipmap_ros.model.cameras import ray_map
from zipmap_ros.model.fast_weights import FastWeightLayer, SceneState, chunk_operations
from zipmap_ros.model.speed import (
    cast_weights,
    compile_blocks,
    fuse_newton_schulz,
    kernels_run,
    make_fast,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmark"))
from plain import PATHS, plain

H, W = 28, 42


def perturbed(config: ModelConfig) -> ZipMap:
    torch.manual_seed(0)
    model = ZipMap(config).eval()
    for parameter in model.parameters():  # LayerScale and biases at their init hide most paths
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture
def model() -> ZipMap:
    return perturbed(ModelConfig.tiny())


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 3, H, W, generator=torch.Generator().manual_seed(1))


def results(model: ZipMap, images: torch.Tensor) -> list[torch.Tensor]:
    """Everything that the network answers, float32: predictions, a view, the state."""
    prediction, state = model.stream(images, model.new_state(2), 2)
    pose = torch.eye(4).expand(2, 1, 4, 4)
    K = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]]).expand(2, 1, 3, 3)
    view = model.query(state, ray_map(pose, K, H, W))
    answers = [prediction.pose_encoding, prediction.depth, prediction.local_points, view.rgb]
    return [*answers, *state.layers[-1]]


@pytest.mark.parametrize("name", PATHS)
def test_a_fast_path_gives_what_its_plain_form_gives(model, images, name):
    fast = results(model, images)
    with plain(name):
        slow = results(model, images)
    for ours, theirs in zip(fast, slow, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-5 * scale)


@pytest.mark.parametrize("name", ["uv tables", "kept RoPE table", "q and k normalised together"])
def test_paths_that_only_move_work_give_the_same_bits(model, images, name):
    fast = results(model, images)
    with plain(name):
        assert all(map(torch.equal, fast, results(model, images)))


def test_the_plain_forms_are_really_taken(model, images, monkeypatch):
    """A path whose plain form is not called measures nothing and proves nothing."""
    for name, (owner, attribute, function) in PATHS.items():
        called = []

        def spy(*args, function=function, called=called):
            called.append(1)
            return function(*args)

        monkeypatch.setitem(PATHS, name, (owner, attribute, spy))
        with plain(name):
            results(model, images)
        assert called, name


def test_training_learns_the_same_by_either_form(images):
    def gradients() -> list[torch.Tensor]:
        model = perturbed(ModelConfig.tiny()).train()
        prediction, state = model(images, model.new_state(2), chunk_frames=2)
        loss = prediction.depth.log().mean() + prediction.pose_encoding.square().mean()
        (loss + state.layers[-1].w1.square().mean()).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    fast = gradients()
    with plain():
        slow = gradients()
    assert len(fast) == len(slow) > 100
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4 * float(theirs.abs().max()))


def test_silu_gradient_is_the_derivative():
    a = torch.linspace(-8, 8, 101, dtype=torch.float64, requires_grad=True)
    outer = torch.linspace(1, 2, 101, dtype=torch.float64)
    expected = torch.autograd.grad(torch.nn.functional.silu(a), a, outer)[0]
    torch.testing.assert_close(fast_weights.silu_gradient(outer, a).detach(), expected)
    with torch.no_grad():
        torch.testing.assert_close(fast_weights.silu_gradient(outer, a), expected)
    assert torch.autograd.gradcheck(fast_weights.silu_gradient, (outer.requires_grad_(), a))


def test_fused_newton_schulz_is_as_exact_as_the_plain_one():
    """Judged by float64, in float32 and, on request, in bfloat16."""
    torch.manual_seed(0)
    G = torch.randn(6, 24, 40) * torch.logspace(0, -2, 24)[:, None]
    X = G.double() / G.double().square().sum((1, 2), keepdim=True).sqrt()
    for _ in range(5):
        A = X @ X.mT
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X

    def error(dtype: torch.dtype, **choice: bool) -> float:
        return float((fast_weights.newton_schulz(G, 5, dtype, **choice).double() - X).abs().max())

    with plain("fused Newton-Schulz"):
        official = error(torch.float32)
    assert error(torch.float32) < 2 * official < 1e-4
    assert error(torch.bfloat16, fuse=True) < 1.1 * error(torch.bfloat16)


def test_long_spans_are_worked_on_in_slabs(monkeypatch):
    torch.manual_seed(0)
    layer = FastWeightLayer(24, 2, 24, dtype=torch.float32)
    x = torch.randn(2, 50, 24)
    state = SceneState.from_weights([layer.start_weights(2)])
    arguments = (x, state.layers[0], state.targets[0], chunk_operations(50))
    with torch.no_grad():
        whole, after = layer(*arguments)
        monkeypatch.setattr(layers, "CPU_SLAB_TOKENS", 16)
        slabs, after_slabs = layer(*arguments)
    torch.testing.assert_close(slabs, whole, rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(after_slabs, after, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_batch_in_slabs_is_the_batch_at_once(model, images, monkeypatch):
    """Frames and tokens that do not need each other, on a CPU; 6 images of 6 patches here."""
    whole = results(model, images)
    sizes = []
    encode = model.aggregator.patch_embed.forward
    monkeypatch.setattr(layers, "CPU_SLAB_TOKENS", 13)
    monkeypatch.setattr(
        model.aggregator.patch_embed, "forward", lambda x: sizes.append(len(x)) or encode(x)
    )
    slabs = results(model, images)
    assert sizes == [2, 2, 2]
    for ours, theirs in zip(slabs, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-5 * float(theirs.abs().max()))


def test_uv_tables_are_the_whole_embedding():
    for h, w, channels in [(28, 37, 256), (112, 148, 128), (1, 5, 8), (6, 8, 32)]:
        u, v = dense_head.position_tables(h, w, w / h, channels, torch.device("cpu"))
        whole = dense_head.uv_embedding(dense_head.uv_grid(h, w, w / h), channels)
        expected = (dense_head.POSITION_WEIGHT * whole).permute(2, 0, 1)
        ours = torch.cat([u.expand(-1, h, w), v.expand(-1, h, w)])
        assert torch.equal(ours, expected), (h, w, channels)


def test_tables_are_bounded_and_belong_to_their_device():
    dense_head.position_tables.cache_clear()
    layers.grid_rope.cache_clear()
    encoder.resize_matrix.cache_clear()
    for w in range(1, 100):
        dense_head.position_tables(3, w, 1.0, 8, torch.device("cpu"))
        layers.grid_rope(3, w, 2, 8, torch.device("cpu"))
        encoder.resize_matrix(4, w, torch.device("cpu"))
    assert dense_head.position_tables.cache_info().currsize == dense_head.TABLES_KEPT
    assert layers.grid_rope.cache_info().currsize == layers.ROPES_KEPT
    assert encoder.resize_matrix.cache_info().currsize == encoder.RESIZES_KEPT
    meta = layers.grid_rope(3, 5, 2, 8, torch.device("meta"))
    here = layers.grid_rope(3, 5, 2, 8, torch.device("cpu"))
    assert meta[0].is_meta and not here[0].is_meta


def test_tables_made_while_inferring_serve_training(images):
    dense_head.position_tables.cache_clear()
    layers.grid_rope.cache_clear()
    model = ZipMap(ModelConfig.tiny())
    with torch.inference_mode():
        model.eval().reconstruct(images)
    model.train()
    prediction, _ = model(images, model.new_state(2))
    prediction.depth.mean().backward()
    assert model.aggregator.frame_blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_nothing_kept_enters_files_or_copies(model, images):
    keys = set(ZipMap(model.config).state_dict())
    before = model.reconstruct(images).depth
    assert set(model.state_dict()) == keys
    twin = copy.deepcopy(model)
    assert torch.equal(twin.reconstruct(images).depth, before)
    for parameter in twin.parameters():  # nothing of the old weights may have been kept
        parameter.data.mul_(0.9)
    fresh = ZipMap(model.config).eval()
    fresh.load_state_dict(twin.state_dict())
    assert torch.equal(twin.reconstruct(images).depth, fresh.reconstruct(images).depth)


def test_kernels_that_cannot_be_built_are_not_used(model, monkeypatch):
    """One is tried, once: without a C compiler every frame would be lost. It is said why."""
    pytest.importorskip("triton")
    tried: list[torch.device] = []

    def fails(device: torch.device) -> None:
        tried.append(device)
        raise RuntimeError("Failed to find C compiler. Please specify via CC.\nmore")

    kernels_run.cache_clear()
    monkeypatch.setattr(speed, "_try_kernel", fails)
    model.compute_dtype, gpu = torch.bfloat16, torch.device("cuda", 0)
    with pytest.warns(RuntimeWarning, match="kernels are not used, .*: Failed to find C") as said:
        make_fast(model, gpu)
        assert not kernels_run(gpu)
    assert len(said) == 1 and tried == [gpu]
    assert not any(getattr(module, "kernels", False) for module in model.modules())
    kernels_run.cache_clear()
    monkeypatch.setattr(speed, "_try_kernel", lambda device: None)
    make_fast(model, gpu)
    assert kernels_run(gpu) and not kernels_run(torch.device("cpu"))
    assert any(getattr(module, "kernels", False) for module in model.modules())
    kernels_run.cache_clear()


def test_threads_share_the_tables(model, images):
    expected = model.reconstruct(images).depth
    dense_head.position_tables.cache_clear()
    layers.grid_rope.cache_clear()
    answers: list[torch.Tensor] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.reconstruct(images).depth))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 and all(torch.equal(answer, expected) for answer in answers)


def test_weights_cast_once_give_the_bits_of_casting_always(model, images):
    model.compute_dtype = torch.bfloat16
    expected = results(model, images)
    held = sum(p.nbytes for p in model.aggregator.parameters())
    model.compute_dtype = torch.float32  # which casting sets
    cast_weights(model)
    assert sum(p.nbytes for p in model.aggregator.parameters()) < 0.8 * held
    assert all(map(torch.equal, results(model, images), expected))
    with pytest.raises(ModelError, match="call model"):
        cast_weights(model.train())


def test_casting_once_gives_the_bits_of_casting_for_every_product(model, images):
    model.compute_dtype = torch.bfloat16
    fast = results(model, images)
    with plain("cast once for several products"):
        assert all(map(torch.equal, fast, results(model, images)))


def test_a_new_state_carries_gradients_only_while_training(model):
    assert not model.new_state().layers[0].w0.requires_grad
    assert model.train().new_state().layers[0].w0.requires_grad


def test_no_cast_copy_of_a_weight_outlives_its_use(model, images):
    """Autocast keeps them to its end unless told otherwise: 1.9 GB at the official size."""
    model.compute_dtype = torch.bfloat16
    kept = []
    block = model.aggregator.frame_blocks[0]
    block.register_forward_hook(lambda *_: kept.append(torch.is_autocast_cache_enabled()))
    model.reconstruct(images)
    assert kept == [False]


def test_bfloat16_heads_stay_near_and_answer_in_float32(model, images):
    exact = model.reconstruct(images)
    model.head_dtype = torch.bfloat16
    rough = model.reconstruct(images)
    assert rough.depth.dtype == rough.local_points.dtype == torch.float32
    assert torch.equal(rough.pose_encoding, exact.pose_encoding)
    assert not torch.equal(rough.depth, exact.depth)
    assert (rough.depth - exact.depth).abs().mean() < 0.05 * exact.depth.abs().mean()


def test_fusing_in_bfloat16_is_asked_for(images):
    config = replace(ModelConfig.tiny(), newton_schulz_dtype="bfloat16")
    model = perturbed(config)
    official = model.reconstruct(images).depth
    fuse_newton_schulz(model)
    fused = model.reconstruct(images).depth
    assert not torch.equal(fused, official)
    assert (fused - official).abs().mean() < 0.1 * official.abs().mean()


def test_blocks_of_one_kind_are_compiled_once(images):
    """Three kinds, so three graphs, whatever the depth of the network."""
    torch.compiler.reset()
    config = replace(ModelConfig.tiny(), depth=6, encoder_depth=3)
    model, made = perturbed(config), []

    def backend(graph, inputs):
        made.append(graph)
        return graph.forward

    compile_blocks(model, backend=backend, dynamic=False)
    _, state = model.stream(images, model.new_state(2))
    model.stream(images, state)
    assert len(made) == 3


def test_blocks_are_graphs_without_breaks(model, images):
    """What torch.compile makes of a block is for the machine; that it sees all of it is tested."""
    expected = results(model, images)
    keys = list(model.state_dict())
    compile_blocks(model, backend="eager", fullgraph=True)
    assert list(model.state_dict()) == keys
    for ours, theirs in zip(results(model, images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
