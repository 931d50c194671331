# SPDX-License-Identifier: Apache-2.0
"""Every Triton kernel against its plain form, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

CUDA = torch.cuda.is_available()
pytest.importorskip(
    "triton",
    None if CUDA else "3.2",  # whose interpreter knows the constants of a kernel
    reason="the kernels are written in triton: pip install 'triton>=3.2'",
)

from zipmap_ros.model import ModelConfig, ZipMap, kernels  # noqa: E402
from zipmap_ros.model.cameras import ray_map  # noqa: E402
from zipmap_ros.model.fast_weights import newton_schulz, official_step  # noqa: E402
from zipmap_ros.model.layers import apply_rope, grid_rope  # noqa: E402
from zipmap_ros.model.speed import cast_weights, kernels_run, use_kernels  # noqa: E402

if not CUDA:
    from triton.runtime import interpreter

DEVICE = torch.device("cuda" if CUDA else "cpu")
HALF = torch.bfloat16


def some(*shape: int, dtype: torch.dtype = HALF) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE).to(dtype)


def rounded(values: np.ndarray, source: object, target: object, _: object) -> np.ndarray:
    """float32 to bfloat16 or back, as bits. Triton's interpreter cuts where a GPU rounds."""
    if str(target) == "bf16":
        floats = torch.from_numpy(np.array(values, dtype=np.float32))
        return floats.to(HALF).view(torch.int16).numpy().view(np.uint16)
    return np.array(values).astype(np.uint32) << 16


def near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """The same but for a rounding of bfloat16 here and there."""
    assert ours.dtype == HALF and ours.shape == theirs.shape
    exact = theirs.float()
    assert ((ours.float() - exact).abs() <= 2**-7 * exact.abs() + 1e-6).all()
    assert (ours == theirs.to(HALF)).float().mean() > 0.98


@pytest.fixture(autouse=True)
def inference(monkeypatch):
    torch.manual_seed(0)
    if not CUDA:
        monkeypatch.setattr(interpreter, "_convert_float", rounded)
    with torch.no_grad(), torch.autocast(DEVICE.type, HALF, cache_enabled=False):
        yield


def test_they_run_where_one_was_tried():
    kernels_run.cache_clear()
    assert kernels_run(DEVICE) == CUDA


@pytest.mark.parametrize("shape", [(3, 24, 40), (2, 33, 65)])
@pytest.mark.parametrize("dtype", [HALF, torch.float32])
def test_newton_schulz_has_the_bits_of_the_official_function(shape, dtype):
    G = some(*shape).to(dtype)
    if CUDA:
        expected = newton_schulz(G, 5, dtype)
    else:  # where autocast leaves the norm in bfloat16, and X with it
        expected = G / (torch.linalg.matrix_norm(G, keepdim=True).float() + 1e-7)
        for _ in range(5):
            expected = official_step(expected)
    assert expected.dtype == torch.float32
    assert torch.equal(kernels.newton_schulz(G, 5), expected)


@pytest.mark.parametrize("turned", [False, True])
def test_steps_are_added_and_columns_scaled(turned):
    w, target = some(2, 24, 41, dtype=torch.float32), some(2, 1, 41, dtype=torch.float32).abs()
    step = some(2, 41, 24, dtype=torch.float32).mT if turned else some(2, 24, 41)
    stepped = w + step
    norm = torch.linalg.vector_norm(stepped, dim=1, keepdim=True)
    before, out = w.clone(), torch.empty_like(w)
    ours = kernels.rescaled(w, step, target, out)
    torch.testing.assert_close(ours, stepped / (norm + 1e-5) * target, rtol=1e-6, atol=1e-7)
    assert ours is out and torch.equal(w, before)
    assert torch.equal(kernels.rescaled(w, step, target, w), out)  # in place as well


def test_branches_are_added_and_normalised():
    x, branch, gamma = some(2, 5, 48, dtype=torch.float32), some(2, 5, 48), some(48).float()
    norm = nn.LayerNorm(48, eps=1e-6).to(DEVICE)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    total, normed = kernels.add_and_norm(x, branch, gamma, norm)
    torch.testing.assert_close(total, x + branch * gamma)
    near(normed, norm(x + branch * gamma))
    assert torch.equal(kernels.add(x, branch, gamma), total)
    near(kernels.layer_norm(x, norm), norm(x))


def test_q_and_k_are_normalised_and_turned():
    qkv = some(2, 14, 3, 3, 8)
    norms = [nn.LayerNorm(8).to(DEVICE) for _ in range(2)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    rope = grid_rope(2, 3, 1, 8, DEVICE)
    rope_of_two = tuple(part.repeat(2, 1, 1, 1) for part in rope)
    for ours, x, norm in zip(
        kernels.norm_rope(qkv, *norms, rope), qkv.unbind(2), norms, strict=False
    ):
        near(ours, apply_rope(norm(x.float()), rope_of_two))


@pytest.mark.parametrize("heads", [1, 3])
def test_what_follows_the_projection(heads):
    B, L, dim = 2, 7, 12
    projected, lr = some(B, L, 3 * heads * dim), torch.rand(3, B * heads, L, device=DEVICE)
    q, k, v = F.silu(projected).view(B, L, 3, heads, dim).permute(2, 0, 3, 1, 4).flatten(1, 2)
    q, k = (x / (torch.linalg.vector_norm(x.float(), dim=-1, keepdim=True) + 1e-5) for x in (q, k))
    expected = [q, k, v, k * lr[0, ..., None], k * lr[2, ..., None]]
    for ours, theirs in zip(kernels.project(projected, lr, heads), expected, strict=True):
        near(ours, theirs)
    alone = kernels.project(projected[..., : heads * dim], None, heads)
    assert len(alone) == 1
    near(alone[0], q)


def test_swiglu_and_its_gradient():
    a, b, outer = some(2, 5, 70), some(2, 5, 70), some(2, 5, 70)
    lr = torch.rand(2, 5, device=DEVICE)
    gate = F.silu(a)
    expected = [
        torch.ops.aten.silu_backward(outer * b, a),
        gate * b * lr[..., None],
        outer * gate,
    ]
    hidden = gate * b
    near(kernels.swiglu_(a.clone(), b), hidden)
    kernels.swiglu_gradient_(a, b, outer, lr)
    for ours, theirs in zip((a, b, outer), expected, strict=True):
        near(ours, theirs)


@pytest.mark.parametrize("gate", [False, True])
def test_what_was_read_is_normalised_and_gated(gate):
    B, heads, L, dim = 2, 3, 5, 12
    read, norm = some(B * heads, L, dim), nn.RMSNorm(dim, eps=1e-5).to(DEVICE)
    nn.init.normal_(norm.weight)
    before = some(B, L, heads * dim) if gate else None
    expected = norm(read.float()).view(B, heads, L, dim).transpose(1, 2).reshape(B, L, -1)
    if before is not None:
        expected = expected * F.silu(before)
    near(kernels.gated(read, before, norm, B), expected)


@pytest.mark.parametrize("exact", ["float32", "bfloat16"])
@torch.autocast(DEVICE.type, enabled=False)
def test_the_network_with_kernels_answers_as_without(exact):
    config = replace(ModelConfig.tiny(), newton_schulz_dtype=exact)
    model = ZipMap(config).to(DEVICE).eval()
    for parameter in model.parameters():  # LayerScale at its init hides most paths
        parameter.data += 0.1 * torch.randn_like(parameter)
    images = torch.rand(2, 3, 3, 28, 42, device=DEVICE)
    K = torch.tensor([[40.0, 0, 21], [0, 40, 14], [0, 0, 1]], device=DEVICE).expand(2, 1, 3, 3)
    rays = ray_map(torch.eye(4, device=DEVICE).expand(2, 1, 4, 4), K, 28, 42)

    def results() -> list[torch.Tensor]:
        prediction, state = model.stream(images, model.new_state(2), 2)
        answer = model.query(state, rays)
        flat = [w.flatten() for layer in state.layers for w in layer]
        return [prediction.pose_encoding, prediction.depth, answer.rgb, torch.cat(flat)]

    exact_results = results()
    cast_weights(model)
    rough = results()
    use_kernels(model)
    for ours, theirs, plain in zip(results(), exact_results, rough, strict=True):
        error, allowed = ((x - theirs).norm() / theirs.norm() for x in (ours, plain))
        assert 0 < error < 1.5 * allowed + 1e-3, (error, allowed)
    use_kernels(model, False)
    assert all(map(torch.equal, results(), rough))
