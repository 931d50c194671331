# SPDX-License-Identifier: Apache-2.0
"""The fast-weight layer against a slow float64 version that knows only the definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from zipmap_ros.model.fast_weights import (
    FastWeightLayer,
    FastWeights,
    Operation,
    SceneState,
    chunk_operations,
    fused_step,
    newton_schulz,
    official_step,
)


def slow_layer(layer: FastWeightLayer, x: torch.Tensor, operations: list[Operation]):
    """One scene, float64, head by head; the gradient by autograd of sum_t lr_t <f(k_t), v_t>."""
    p = {name: value.detach().double() for name, value in layer.named_parameters()}
    L, width = x.shape
    d = width // layer.heads
    x = x.double()
    qkv = F.silu(F.linear(x, p["to_qkv.weight"], p.get("to_qkv.bias"))).view(L, 3, layer.heads, d)
    offset = torch.log(torch.expm1(torch.tensor(0.01, dtype=torch.float64)))
    lr = F.softplus(F.linear(x, p["lr_fc.weight"], p["lr_fc.bias"]) + offset)
    lr = lr.view(L, 3, layer.heads)
    outputs, states = [], []
    for h in range(layer.heads):
        q, k, v = (qkv[:, i, h] for i in range(3))
        q, k = (u / (u.norm(dim=-1, keepdim=True) + 1e-5) for u in (q, k))
        weights = [p[name][h] for name in ("w0", "w1", "w2")]
        targets = [w.norm(dim=0) for w in weights]
        read = []
        for kind, start, stop in operations:
            if kind == "apply":
                w0, w1, w2 = weights
                read += [(F.silu(q[t] @ w0) * (q[t] @ w2)) @ w1 for t in range(start, stop)]
                continue
            gradients = []
            for i in range(3):  # each matrix has learning rates of its own
                leaf = [w.clone().requires_grad_(j == i) for j, w in enumerate(weights)]
                gain = sum(
                    lr[t, i, h] * ((F.silu(k[t] @ leaf[0]) * (k[t] @ leaf[2])) @ leaf[1]) @ v[t]
                    for t in range(start, stop)
                )
                gradients.append(torch.autograd.grad(gain, leaf[i])[0])
            stepped = [
                w + newton_schulz(g[None], layer.steps, torch.float64)[0]
                for w, g in zip(weights, gradients, strict=True)
            ]
            weights = [
                w / (w.norm(dim=0) + 1e-5) * n for w, n in zip(stepped, targets, strict=True)
            ]
        out = torch.stack(read)
        out = out / (out.square().mean(-1, keepdim=True) + 1e-5).sqrt() * p["o_norm.weight"]
        outputs.append(out)
        states.append(weights)
    merged = torch.cat(outputs, dim=-1)
    if layer.gate_fn is not None:
        merged = merged * F.silu(F.linear(x, p["gate_fn.0.weight"], p["gate_fn.0.bias"]))
    return F.linear(merged, p["c_proj.weight"], p.get("c_proj.bias")), states


@pytest.mark.parametrize(
    ("heads", "hidden", "bias", "gate"),
    [(1, 48, True, True), (3, 24, True, True), (2, 12, False, False), (2, 4, True, True)],
)
@pytest.mark.parametrize("chunk", [None, 4])
def test_layer_is_its_definition(heads, hidden, bias, gate, chunk):
    torch.manual_seed(heads)
    layer = FastWeightLayer(24, heads, hidden, bias, gate, dtype=torch.float32)
    x = torch.randn(2, 10, 24)
    operations = chunk_operations(10, chunk)
    state = SceneState.from_weights([layer.start_weights(2)])
    with torch.no_grad():
        out, after = layer(x, state.layers[0], state.targets[0], operations)
    for b in range(2):
        slow_out, slow_states = slow_layer(layer, x[b], operations)
        torch.testing.assert_close(out[b].double(), slow_out, rtol=2e-4, atol=2e-5)
        for h, matrices in enumerate(slow_states):
            for ours, theirs in zip(after, matrices, strict=True):
                torch.testing.assert_close(
                    ours[b * heads + h].double(), theirs, rtol=1e-3, atol=5e-5
                )


def test_update_on_a_part_and_apply_to_all():
    torch.manual_seed(5)
    layer = FastWeightLayer(24, 2, 24, dtype=torch.float32)
    x = torch.randn(1, 9, 24)
    operations = [Operation("update", 0, 5), Operation("apply", 0, 9)]
    state = SceneState.from_weights([layer.start_weights(1)])
    with torch.no_grad():
        out, _ = layer(x, state.layers[0], state.targets[0], operations)
    torch.testing.assert_close(
        out[0].double(), slow_layer(layer, x[0], operations)[0], rtol=2e-4, atol=2e-5
    )


def test_ten_thousand_updates_do_not_shrink_the_weights():
    """Norms taken anew at every call lose 1e-5 each time: 6.5 % after this many chunks."""
    torch.manual_seed(0)
    layer = FastWeightLayer(8, 2, 8, steps=5, dtype=torch.float32)
    state = SceneState.from_weights([layer.start_weights(1)])
    weights, targets = state.layers[0], state.targets[0]
    chunks = torch.randn(100, 1, 4, 8)
    with torch.no_grad():
        projections = [layer.project(chunk) for chunk in chunks]
        for i in range(10_000):
            weights = layer.update(projections[i % 100], weights, targets)
    for norm, target in zip(weights.column_norms(), targets, strict=True):
        torch.testing.assert_close(norm, target, rtol=1e-4, atol=0)
    assert not torch.allclose(weights.w0, state.layers[0].w0)


def test_a_state_of_bare_weights_takes_its_targets_from_them():
    weights = FastWeights(torch.randn(1, 4, 6), torch.randn(1, 6, 4), torch.randn(1, 4, 6))
    state = SceneState.from_weights([weights])
    assert torch.equal(state.targets[0].w1, weights.w1.norm(dim=1, keepdim=True))


def test_the_gradient_of_a_fused_step_is_that_of_its_operations():
    torch.manual_seed(0)
    X = torch.randn(3, 6, 10, dtype=torch.float64) / 8
    G = torch.randn(3, 6, 10, dtype=torch.float64)
    gradients = []
    for step in (fused_step, official_step):
        leaf = X.clone().requires_grad_()
        step(leaf).backward(G)
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, rtol=1e-12, atol=1e-12)


def test_newton_schulz_flattens_the_spectrum():
    torch.manual_seed(0)
    U, _, V = torch.linalg.svd(torch.randn(2, 6, 10), full_matrices=False)
    spread = torch.logspace(0, -2, 6)
    out = newton_schulz((U * spread) @ V, 5, torch.float32)
    singular = torch.linalg.svdvals(out)
    assert singular.min() > 0.5 and singular.max() < 1.3
    torch.testing.assert_close(newton_schulz(3 * (U * spread) @ V, 5, torch.float32), out)
    assert newton_schulz(U, 5).dtype == torch.bfloat16


def test_learning_rates_are_float32_whatever_products_are_in():
    """In bfloat16 what the projection says would be lost beside the offset of -4.6."""
    torch.manual_seed(6)
    layer = FastWeightLayer(24, 2, 24)
    x = torch.randn(1, 50, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rates, said = layer.rates(x), layer.lr_fc(x).double()
    offset = torch.log(torch.expm1(torch.tensor(0.01, dtype=torch.float64)))
    expected = F.softplus(said + offset).view(50, 3, 2).permute(1, 2, 0)  # matrix, head, token
    torch.testing.assert_close(rates[..., 0].double(), expected, rtol=1e-5, atol=0)
