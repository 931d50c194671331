# SPDX-License-Identifier: Apache-2.0
"""The small pieces of the network against recorded tensors, for ``parity``."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from zipmap_ros.model import cameras, preprocess
from zipmap_ros.model.dense_head import (
    ResidualConv,
    activate_depth,
    activate_points,
    activate_view,
    uv_embedding,
    uv_grid,
)
from zipmap_ros.model.encoder import resize_position_grid
from zipmap_ros.model.fast_weights import (
    FastWeightLayer,
    FastWeights,
    Operation,
    SceneState,
    newton_schulz,
)
from zipmap_ros.model.layers import apply_rope, rope_table

Golden = dict[str, Tensor]
Compare = Callable[[str, Tensor], None]

PATCH = 14
PRECISIONS = {"fp32": torch.float32, "bf16ns": torch.bfloat16}


def check_units(golden: Golden, cases: dict, compare: Compare) -> None:
    """Everything in a units file; ``cases`` are the fast-weight layers of its metadata."""
    for name, case in cases.items():
        for precision, dtype in PRECISIONS.items():
            check_layer(golden, name, case, precision, dtype, compare)
    check_newton_schulz(golden, compare)
    check_positions(golden, compare)
    check_cameras(golden, compare)
    check_dense(golden, compare)
    check_preprocessing(golden, compare)


def check_layer(
    golden: Golden, name: str, case: dict, precision: str, dtype: torch.dtype, compare: Compare
) -> None:
    """One fast-weight layer: its output and its weights after a list of operations."""
    weights = {
        k.removeprefix(f"{name}.sd."): v for k, v in golden.items() if k.startswith(f"{name}.sd.")
    }
    layer = FastWeightLayer(
        case["dim"],
        case["dim"] // case["head_dim"],
        case["head_dim"] * case["inter_multi"],
        bias=case["bias"],
        gate=case["gate"],
        steps=case["muon"],
        dtype=dtype,
    )
    layer.load_state_dict(weights, strict=True)
    start = layer.start_weights(case["B"])
    if case.get("carry"):
        start = FastWeights(*(golden[f"{name}.carry.{w}"] for w in FastWeights._fields))
    state = SceneState.from_weights([start])
    operations = [
        Operation("update" if update else "apply", begin, case["L"] if end == -1 else end)
        for begin, end, update, _ in case["order"]
    ]
    out, after = layer(golden[f"{name}.x"], state.layers[0], state.targets[0], operations)
    compare(f"{name}.{precision}.out", out)
    for key, value in after._asdict().items():
        compare(f"{name}.{precision}.after.{key}", value)


def check_newton_schulz(golden: Golden, compare: Compare) -> None:
    """Newton-Schulz of single matrices in both precisions."""
    for key in golden:
        if match := re.fullmatch(r"(ns\d+)\.(fp32|bf16)_(\d+)", key):
            name, precision, steps = match.groups()
            dtype = torch.float32 if precision == "fp32" else torch.bfloat16
            compare(key, newton_schulz(golden[f"{name}.G"], int(steps), dtype).float())


def check_positions(golden: Golden, compare: Compare) -> None:
    """RoPE, uv embedding and resized position grids."""
    if "rope.x" in golden:
        x = golden["rope.x"]
        cos, sin = rope_table(golden["rope.pos"], x.shape[-1])
        compare("rope.y", apply_rope(x, (cos[:, None], sin[:, None])))
    for key in golden:
        if match := re.fullmatch(r"uv\.h(\d+)w(\d+)_W(\d+)_H(\d+)", key):
            h, w, W, H = map(int, match.groups())
            grid = uv_grid(h, w, W / H)
            compare(key, grid)
            for embedded in (k for k in golden if k.startswith("uvembed.c")):
                channels = int(embedded.removeprefix("uvembed.c"))
                compare(embedded, uv_embedding(grid, channels))
        if match := re.fullmatch(r"dinopos\.H(\d+)W(\d+)", key):
            h, w = (int(n) // PATCH for n in match.groups())
            compare(key, resize_position_grid(golden["dinopos.param"], h, w))


def check_cameras(golden: Golden, compare: Compare) -> None:
    """Quaternions, pose encodings."""
    if "quat.q" in golden:
        compare("quat.R", cameras.matrix_from_quaternion(golden["quat.q"]))
        compare("quat.back", cameras.quaternion_from_matrix(golden["quat.R"]))
    if "pose.enc" in golden:
        size = (392, 518)
        camera_T_world, K = cameras.decode_pose(golden["pose.enc"], *size)
        compare("pose.E", camera_T_world)
        compare("pose.K", K)
        compare("pose.enc_back", cameras.encode_pose(golden["pose.E"], golden["pose.K"], *size))


def check_dense(golden: Golden, compare: Compare) -> None:
    """Activations and the residual convolution of the dense heads."""
    if "act.in2" in golden:
        depth, confidence = activate_depth(golden["act.in2"])
        compare("act.exp", depth)
        compare("act.expp1", confidence)
        compare("act.xy_exp", activate_points(golden["act.in3"]))
        rgb, depth, confidence = activate_view(golden["act.in5"])
        compare("act.sigmoid_exp", torch.cat([rgb, depth[..., None]], dim=-1))
        compare("act.sigmoid_exp_conf", confidence)
    if "rcu.x" in golden:
        unit = ResidualConv(golden["rcu.x"].shape[1])
        unit.load_state_dict(
            {k.removeprefix("rcu.sd."): v for k, v in golden.items() if k.startswith("rcu.sd.")}
        )
        compare("rcu.y", unit(golden["rcu.x"]))


def check_preprocessing(golden: Golden, compare: Compare) -> None:
    """Images to network input, one by one and the first three together."""
    for key in golden:
        if match := re.fullmatch(r"prep\.(crop|pad)(\d+)\.t(\d+)", key):
            mode, i, size = match.group(1), match.group(2), int(match.group(3))
            raw = golden[f"prep.raw{i}"].cpu().numpy()
            compare(key, preprocess.preprocess_image(raw, size, PATCH, mode)[0])
        if match := re.fullmatch(r"prep\.mixed_(crop|pad)\.t(\d+)", key):
            raws = [golden[f"prep.raw{i}"].cpu().numpy() for i in range(3)]
            images = preprocess.preprocess_images(raws, int(match.group(2)), PATCH, match.group(1))
            compare(key, images)
