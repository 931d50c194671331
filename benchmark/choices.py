# SPDX-License-Identifier: Apache-2.0
"""What the network's choices cost and gain, where its time goes, and how fast it learns."""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from counting import Counter
from measure import seconds, synchronise
from plain import PATHS, plain
from subject import IMAGE_SIZES, allow_tf32, build, choose, images
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from zipmap_ros.model import (
    ModelConfig,
    Prediction,
    SceneState,
    ZipMap,
    fast_weights,
    load_checkpoint,
    shipped_checkpoint,
)
from zipmap_ros.synthetic import Textures
from zipmap_ros.training.config import PRESETS, PoolConfig
from zipmap_ros.training.pool import render_pool, whole_batch
from zipmap_ros.training.trainer import Trainer

Rows = Iterator[dict[str, object]]
FRAMES = 8  # of the stream on which errors are measured, folded in one by one
TRAIN_STEPS = 3
PROFILED = (1, 8)  # frames of a chunk
# Choices whose gain is measured one by one; `compile` takes minutes, and `all` has it in a stream.
CHOICES = {"cpu": ["channels_last"], "cuda": ["cast", "kernels", "fuse", "heads", "channels_last"]}


def arithmetic(args: argparse.Namespace) -> Rows:
    """Operations by part, counted on tensors without values: a frame's, an update's, a query's."""
    config = ModelConfig.tiny()
    if args.size == "official":
        config = replace(ModelConfig.official("online"), query=True)
    elif args.size == "small":
        config = load_checkpoint(shipped_checkpoint()).config
    with torch.device("meta"):
        model, size = ZipMap(config).eval().to("meta"), IMAGE_SIZES[args.size]
        state = model.new_state()

        def count(frames: int, outputs: tuple[str, ...]) -> tuple[float, int]:
            pixels = torch.empty(1, frames, 3, *size)
            return _counted(lambda: model.stream(pixels, state, frames, outputs))

        (one, operations), (two, _) = count(1, ("depth",)), count(2, ("depth",))
        encoder, _ = _counted(lambda: model.aggregator.patch_embed(torch.empty(1, 3, *size)))
        query, _ = _counted(lambda: model.query(state, torch.empty(1, 1, 9, *size)))
        parts = {
            "frame": two - one,
            "of it encoder": encoder,
            "of it depth head": one - count(1, ())[0],
            "update": 2 * one - two,
            "query view": query,
            "chunk of one frame": one,
        }
    for name, flops in parts.items():
        row: dict[str, object] = {"part": name, "gflop": flops / 1e9}
        row["floor_ms"] = flops / args.peak_tflops / 1e9
        yield row | ({"operations": operations} if flops == one else {})


def _counted(work: Callable[[], object]) -> tuple[float, int]:
    """Floating point operations, and operations of torch that are no views."""
    with torch.no_grad(), FlopCounterMode(display=False) as flops, Counter() as counter:
        work()
    return flops.get_total_flops(), counter.operations


class Stopwatch:
    """Seconds spent inside functions and modules, the device waited for on both sides."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.spent = device, dict[str, float]()

    def around(self, name: str, function: Callable) -> Callable:
        """``function``, its time added under ``name``."""

        def timed(*args: object, **kwargs: object) -> object:
            synchronise(self.device)
            start = time.perf_counter()
            result = function(*args, **kwargs)
            synchronise(self.device)
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - start
            return result

        return timed


@contextmanager
def watched(model: ZipMap, watch: Stopwatch) -> Iterator[None]:
    """Within it the parts of ``model`` tell ``watch`` their time."""
    backbone = model.aggregator
    parts: dict[str, list] = {
        "encoder": [backbone.patch_embed],
        "frame attention": list(backbone.frame_blocks),
        "blocks of fast weights": list(backbone.global_blocks),
        "of it mlp": [block.mlp for block in backbone.global_blocks],
        "camera head": [model.camera_mlp_head],
        "depth head": [model.depth_head],
    }
    inside = {"of it projections": "project", "of it gate and merge": "merge"}
    inside |= {"of it gradients": "gradients", "update": "update", "run": "run"}
    with ExitStack() as stack:
        for name, modules in parts.items():
            for module in modules:
                timed = watch.around(name, module.forward)
                stack.enter_context(patch.object(module, "forward", timed))
        for layer in model.fast_weight_layers():
            for name, method in inside.items():
                timed = watch.around(name, getattr(layer, method))
                stack.enter_context(patch.object(layer, method, timed))
        timed = watch.around("of it Newton-Schulz", fast_weights.newton_schulz)
        stack.enter_context(patch.object(fast_weights, "newton_schulz", timed))
        yield


def profile(args: argparse.Namespace) -> Rows:
    """Time by part of a streamed chunk. Waiting after each part makes it longer."""
    model = build(args)
    for chunk in PROFILED:
        yield from ({"chunk": chunk, **row} for row in _profile(model, chunk, args))


def _profile(model: ZipMap, chunk: int, args: argparse.Namespace) -> Rows:
    frames = images(args, chunk)
    _, state = model.stream(frames, model.new_state(), chunk, ("depth",))
    run = partial(model.stream, frames, state, chunk, ("depth",))
    alone = statistics.median(seconds(run, args.device, args.repeats, 3))
    watch = Stopwatch(args.device)
    with watched(model, watch):
        total = sum(seconds(run, args.device, args.repeats, 0))
    spent = watch.spent
    update, both = spent.pop("update"), spent.pop("run")
    spent["of it steps and norms"] = (
        update - spent["of it gradients"] - spent["of it Newton-Schulz"]
    )
    spent["of it reading"] = both - update
    rest = total - sum(t for name, t in spent.items() if not name.startswith("of it"))
    for name, took in {**spent, "everything else": rest, "all": total}.items():
        yield {"part": name, "ms": took / args.repeats * 1e3, "share": took / total}
    yield {"part": "all, not watched", "ms": alone * 1e3}


def formats(args: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Number formats by name: what differs from float32 without TF32."""
    half = {"dtype": torch.bfloat16}
    every: dict[str, dict[str, object]] = {
        "bfloat16": half,
        "bfloat16, fused Newton-Schulz": {**half, "fast": ["fuse"]},
        "bfloat16, heads too": {**half, "fast": ["heads"]},
    }
    if args.device.type == "cuda":
        tf32: dict[str, dict[str, object]] = {
            "TF32 convolutions": {"tf32": "convolutions"},
            "TF32": {"tf32": "all"},
            "bfloat16, TF32 heads": {**half, "tf32": "all"},
        }
        every = tf32 | every
    return every


def precision(args: argparse.Namespace) -> Rows:
    """Errors after a short stream, relative to float32; the state's to what the scene changed."""
    frames = _seen(args)
    with_defaults = {**vars(args), "fast": [], "tf32": "none", "dtype": torch.float32}
    exact_model = build(argparse.Namespace(**with_defaults))
    start = exact_model.new_state()
    (exact, state), base = _timed_stream(exact_model, frames, args)
    yield {"format": "float32", "pose": 0.0, "depth": 0.0, "state": 0.0, "ms_per_frame": base * 1e3}
    del exact_model
    for name, changes in formats(args).items():
        model = build(argparse.Namespace(**{**with_defaults, **changes}))
        (rough, after), took = _timed_stream(model, frames, args)
        yield {
            "format": name,
            "pose": _relative(rough.pose_encoding, exact.pose_encoding),
            "depth": _relative(rough.depth, exact.depth),
            "state": _relative(_flat(after) - _flat(start), _flat(state) - _flat(start)),
            "ms_per_frame": took * 1e3,
            "float32_over_it": base / took,
        }
        del model
    allow_tf32(args.tf32)


def _seen(args: argparse.Namespace) -> Tensor:
    """Frames (1, FRAMES, 3, H, W): a rendered room for the trained model, else noise."""
    if args.size != "small":
        return images(args, FRAMES)
    H, W = IMAGE_SIZES["small"]
    pool = PoolConfig(clips=1, frames=FRAMES, width=W, height=H, first_seed=1)
    clips = render_pool(pool, Textures.procedural(), torch.device("cpu"))
    return whole_batch(clips, W, H).images.to(args.device)


def _timed_stream(
    model: ZipMap, frames: Tensor, args: argparse.Namespace
) -> tuple[tuple[Prediction, SceneState], float]:
    """What a stream over ``frames`` gives, and the median seconds of a frame."""
    run = partial(model.stream, frames, model.new_state(), 1, ("depth",))
    result = run()
    return result, statistics.median(seconds(run, args.device, 3, 0)) / frames.shape[1]


def _flat(state: SceneState) -> Tensor:
    return torch.cat([w.flatten() for layer in state.layers for w in layer]).detach()


def _relative(ours: Tensor | None, exact: Tensor | None) -> float:
    assert ours is not None and exact is not None
    return float((ours - exact).norm() / exact.norm())


def fast_paths(args: argparse.Namespace) -> Rows:
    """One path plain at a time, then all; then each choice of `FAST` over a network without any.

    gain        the time without it over the time with it, turn by turn
    operations  of a frame with it, and without it: dispatches that are no views
    """
    model = build(argparse.Namespace(**{**vars(args), "fast": []}))
    frames = images(args, 1)
    _, state = model.stream(frames, model.new_state(), outputs=("depth",))

    def fold(network: ZipMap, *names: str) -> None:
        with plain(*names) if names else nullcontext():
            network.stream(frames, state, outputs=("depth",))

    fast = partial(fold, model)
    for name in PATHS:
        yield {"path": name, **_turn_by_turn(fast, partial(fold, model, name), args)}
    yield {"path": "all", **_turn_by_turn(fast, partial(fold, model, *PATHS), args)}
    for name in CHOICES[args.device.type]:
        chosen = choose(copy.deepcopy(model), argparse.Namespace(**{**vars(args), "fast": [name]}))
        yield {"path": f"--fast {name}", **_turn_by_turn(partial(fold, chosen), fast, args)}


def _turn_by_turn(
    fast: Callable[[], object], slow: Callable[[], object], args: argparse.Namespace
) -> dict[str, object]:
    pairs = [
        [min(seconds(form, args.device, 1, 1)) for form in (fast, slow)]
        for _ in range(args.repeats)
    ]
    fast_s, slow_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    counts = []
    for form in (fast, slow):
        with Counter() as counter:
            form()
        counts.append(counter.operations)
    row: dict[str, object] = {"fast_ms": fast_s * 1e3, "plain_ms": slow_s * 1e3}
    return row | {"gain": slow_s / fast_s, "operations": counts[0], "plain_operations": counts[1]}


def train(args: argparse.Namespace) -> Rows:
    """Steps a second of the recipe's last phase, on a few rendered clips."""
    small = "small" if args.device.type == "cuda" else "small_cpu"
    config = PRESETS["tiny" if args.size == "tiny" else small]()
    phase = config.phases[-1]
    needed = max(phase.views) * phase.segments + phase.query_views
    pool = replace(config.pool, clips=2, frames=needed)
    clips = render_pool(pool, Textures.procedural(), args.device)
    height = 3 * phase.width // 4 // phase.patch * phase.patch
    unseen = whole_batch(clips, phase.width, height)
    with tempfile.TemporaryDirectory() as out:
        config = replace(config, phases=(phase,))
        trainer = Trainer(config, clips, unseen, Path(out), args.device)
        times = seconds(trainer.train_step, args.device, TRAIN_STEPS, 1)
    step = statistics.median(times)
    yield {
        "phase": phase.name,
        "frames_per_step": phase.frames,
        "step_s": step,
        "steps_per_s": 1 / step,
        "frames_per_s": phase.frames / step,
    }
