# SPDX-License-Identifier: Apache-2.0
"""How fast the network is, and whether a frame costs the same for ever.

    python benchmark/network.py all                   # at small size: what `make bench` does
    python benchmark/network.py all --size official --device cuda --dtype bfloat16 \\
        --save benchmark/results/h100.json            # `make bench-gpu`
    python benchmark/network.py all --only stream_node query_node batch_node --seconds 60 \\
        --size official --device cuda --dtype bfloat16 --chunks 1 8 --repeats 4   # in a hurry
    python benchmark/network.py drift --size tiny --frames 10000

batch       seconds for N frames at once, beside the same network with quadratic attention over all
            tokens in place of the fast weights; a frame of 500 over one of 50
stream      frames a second and latency by chunk size
sizing      frames a second and peak memory by image size and chunk, beside what the node expects
drift       latency and peak memory of the last thousand frames of a stream over those of the first
            (of fewer than 2,000 frames: the tenths)
query       views a second from a frozen state
state       bytes, and seconds to clone, save and load
arithmetic  operations a frame, an update and a query by part: the floor
profile     where the time of a streamed chunk goes
precision   error of poses, depth and state, and the time, by number format, against float32
fast_paths  what each fast path gains over its plain form, and each choice over being without
train       optimiser steps a second of `zipmap train`

Sizes: official (392x518, random weights: they do not change the arithmetic), small (the model that
ships), tiny. Run it on an otherwise idle machine. With --save every row is kept as it comes; `all`
writes NAME_QUESTION.json for each question, goes on where one fails, and fails in the end.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from choices import arithmetic, fast_paths, precision, profile, train
from measure import ceiling, milliseconds, report, seconds, synchronise
from subject import (
    FAST,
    IMAGE_SIZES,
    TF32,
    build,
    forget_peak,
    images,
    peak_mb,
    quadratic,
    reserved,
)

from zipmap_ros.mapping.network import memory_need
from zipmap_ros.model import SceneState
from zipmap_ros.model.cameras import ray_map
from zipmap_ros.model.compiled import CompiledStream, compile_stream
from zipmap_ros.model.graph import QueryGraph, StreamGraph
from zipmap_ros.model.preprocess import fit_size

Rows = Iterator[dict[str, object]]
DENSE = ("depth",)  # what the node asks for, and what the paper timed
WARMUP = 3
LONG = 200  # frames; longer batches are timed once, after a warm-up
PERCENTILES = 5  # times as many repeats, for a p99


def batch(args: argparse.Namespace) -> Rows:
    """Seconds for N frames in one call, fast weights and quadratic attention."""
    model = build(args, "main")
    twin = quadratic(model, args)
    per_frame: dict[int, float] = {}
    for n in args.lengths:
        frames = images(args, n)
        forget_peak(args.device)
        repeats = 3 if n <= LONG else 1
        run = partial(model.reconstruct, frames, DENSE)
        ours = statistics.median(seconds(run, args.device, repeats))
        per_frame[n] = ours / n
        row: dict[str, object] = {"frames": n, "seconds": ours, "ms_per_frame": ours / n * 1e3}
        row["peak_mb"] = peak_mb(args.device)
        if n <= args.twin_up_to:
            run = partial(twin.reconstruct, frames, DENSE)
            theirs = statistics.median(seconds(run, args.device, repeats))
            row |= {"quadratic_seconds": theirs, "ratio": theirs / ours}
        yield row
    if {50, 500} <= per_frame.keys():
        yield {"frame_of_500_over_frame_of_50": per_frame[500] / per_frame[50]}


def stream(args: argparse.Namespace) -> Rows:
    """Frames a second and latency of a chunk, by chunk size."""
    model = build(args)
    for chunk in args.chunks:
        forget_peak(args.device)
        frames = images(args, chunk)
        _, state = model.stream(frames, model.new_state(), chunk, DENSE)
        fold = partial(model.stream, chunk_frames=chunk, outputs=DENSE)
        row: dict[str, object] = {"chunk": chunk}
        if args.graph:
            fold = StreamGraph(model, DENSE)
            for _ in range(WARMUP):  # records when the shape comes again
                _, state = fold(frames, state)
            exact = model.stream(frames, state, chunk, DENSE)[0].depth
            row["graph_difference"] = float((fold(frames, state)[0].depth - exact).abs().max())
        yield row | streamed(args, fold, frames, state, PERCENTILES * args.repeats)


def streamed(
    args: argparse.Namespace,
    fold: Callable[[torch.Tensor, SceneState], tuple[object, SceneState]],
    frames: torch.Tensor,
    state: SceneState,
    repeats: int,
) -> dict[str, object]:
    """Rate, latency and peak memory of folding the same chunk into a state again and again."""
    times = []
    for i in range(repeats + WARMUP):
        synchronise(args.device)
        start = time.perf_counter()
        _, state = fold(frames, state)
        synchronise(args.device)
        if i >= WARMUP:
            times.append(time.perf_counter() - start)
    rate = frames.shape[1] / statistics.median(times)
    row: dict[str, object] = {"frames_per_s": rate, **milliseconds(times)}
    return row | {"peak_mb": peak_mb(args.device), **reserved(args.device)}


def compiled(args: argparse.Namespace) -> Rows:
    """What `zipmap compile` makes beside the network itself, turn by turn, by chunk size."""
    model, weights = build(args), "0" * 64
    for chunk in args.chunks:
        frames, start = images(args, chunk), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = compile_stream(model, weights, *frames.shape[-2:], chunk, Path(folder))
            row: dict[str, object] = {"chunk": chunk, "compile_s": time.perf_counter() - start}
            folds = {"plain": partial(model.stream, chunk_frames=chunk, outputs=DENSE)}
            folds["compiled"] = CompiledStream(model, weights, Path(folder))
            row["package_mb"] = path.stat().st_size / 1e6
        states = dict.fromkeys(folds, folds["plain"](frames, model.new_state())[1])
        times: dict[str, list[float]] = {name: [] for name in folds}
        depths = {}
        for _ in range(PERCENTILES * args.repeats + WARMUP):
            for name, fold in folds.items():
                start = time.perf_counter()
                prediction, states[name] = fold(frames, states[name])
                times[name].append(time.perf_counter() - start)
                depths[name] = prediction.depth
        medians = {name: statistics.median(each[WARMUP:]) for name, each in times.items()}
        row |= {f"{name}_ms": 1e3 * median for name, median in medians.items()}
        row["ratio"] = medians["plain"] / medians["compiled"]
        difference = (depths["compiled"] / depths["plain"] - 1).abs().max()
        yield row | {"depth_difference": float(difference)}


def sizing(args: argparse.Namespace) -> Rows:
    """What each image size and chunk gives and takes; ``expected_mb`` is the node's estimate."""
    model = build(args)
    size, patch = model.config.image_size, model.config.patch_size
    for width, height in ((16, 9), (4, 3), (1, 1)):
        W, H = size, round(size * height / width / patch) * patch
        if not model.config.is_official:  # which gets them whole
            W, H = fit_size(width, height, size, patch)
        for chunk in args.chunks:
            forget_peak(args.device)
            frames = images(args, chunk, (H, W))
            _, state = model.stream(frames, model.new_state(), chunk, DENSE)
            fold = partial(model.stream, chunk_frames=chunk, outputs=DENSE)
            shape = f"{width}:{height}"
            row: dict[str, object] = {"image": f"{H}x{W}", "shape": shape, "chunk": chunk}
            need = memory_need(model.config, H, W, chunk, args.dtype)
            row |= streamed(args, fold, frames, state, args.repeats)
            yield row | {"expected_mb": need.total / 1e6}


def drift(args: argparse.Namespace) -> Rows:
    """A long stream: does a frame cost more in the end, does memory grow?"""
    model = build(args)
    frames, state = images(args, 1), model.new_state()
    for _ in range(WARMUP):
        _, state = model.stream(frames, state, outputs=DENSE)
    length = 1000 if args.frames >= 2000 else args.frames // 10
    parts: list[tuple[float, float]] = []
    for i in range(args.frames // length):
        forget_peak(args.device)
        times = []
        for _ in range(length):
            synchronise(args.device)
            start = time.perf_counter()
            _, state = model.stream(frames, state, outputs=DENSE)
            synchronise(args.device)
            times.append(time.perf_counter() - start)
        parts.append((statistics.median(times), peak_mb(args.device)))
        row = {"frames": (i + 1) * length, **milliseconds(times), "peak_mb": parts[-1][1]}
        yield row | {"state_mb": state.nbytes / 1e6}
    latency, memory = (last / first for first, last in zip(parts[0], parts[-1], strict=True))
    yield {
        "part_frames": length,
        "last_over_first_latency": latency,
        "last_over_first_peak": memory,
    }


def query(args: argparse.Namespace) -> Rows:
    """Views a second from a state that is only read."""
    model = build(args, "state_query")
    _, state = model.stream(images(args, 2), model.new_state(), 2, outputs=())
    H, W = IMAGE_SIZES[args.size]
    for views in args.chunks:
        pose = torch.eye(4, device=args.device).expand(1, views, 4, 4)
        K = torch.tensor([[W, 0, W / 2], [0, W, H / 2], [0, 0, 1]], device=args.device)
        rays = ray_map(pose, K.expand(1, views, 3, 3), H, W)
        ask = QueryGraph(model) if args.graph else model.query
        times = seconds(partial(ask, state, rays), args.device, args.repeats, WARMUP)
        rate = views / statistics.median(times)
        yield {"views": views, "views_per_s": rate, **milliseconds(times)}


def state(args: argparse.Namespace) -> Rows:
    """Size of a state, and what it takes to copy, write and read it."""
    model = build(args)
    _, scene = model.stream(images(args, 1), model.new_state(), outputs=())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        verbs = {
            "clone": lambda: scene.clone(),
            "save": lambda: scene.save(path),
            "load": lambda: SceneState.load(path, args.device),
        }
        for name, verb in verbs.items():
            times = seconds(verb, args.device, min(args.repeats, 5))
            yield {"verb": name, "state_mb": scene.nbytes / 1e6, **milliseconds(times)}


QUESTIONS = {
    f.__name__: f
    for f in (
        *(arithmetic, stream, sizing, query, state, profile, precision),
        *(fast_paths, batch, drift, train),
    )
}
ASKED_ALONE = {"compiled": compiled}  # a minute for each chunk size: not part of `all`
LENGTHS = {
    "official": [5, 50, 100, 200, 500, 750],
    "small": [5, 10, 25, 50, 100, 200, 500],
    "tiny": [2, 4],
}
TWIN_UP_TO = {"official": 200, "small": 500, "tiny": 4}  # minutes at 750 frames
NODE = ["cast", "kernels"]  # what the node makes fast on a GPU, and it records graphs
# What `all` measures once more on a GPU, by the question before the first "_".
VARIANTS: dict[str, dict[str, object]] = {
    "stream_node": {"fast": NODE, "graph": True},
    "stream_node_eager": {"fast": NODE},
    "stream_cast_graph": {"fast": ["cast"], "graph": True},
    "stream_node_heads": {"fast": [*NODE, "heads"], "graph": True},
    "stream_node_fused": {"fast": [*NODE, "fuse", "heads"], "graph": True},
    "stream_compiled_graph": {"fast": ["cast", "fuse", "heads", "compile"], "graph": True},
    "query_node": {"fast": NODE, "graph": True},
    "batch_node": {"fast": NODE, "twin_up_to": 0},
}
VARIANT_CHUNKS = [1, 8]
# Of a drift run; what `all` is to take on a CPU is little.
DRIFT = {"official": 2000, "small": 300, "tiny": 100}


def answer(question: str, args: argparse.Namespace, save: Path | None) -> bool:
    """Compute, print and save one question; whether all of it was answered.

    Where memory was short a last row says so.
    """

    def rows() -> Rows:
        try:
            yield from {**QUESTIONS, **ASKED_ALONE}[question](args)
        except torch.OutOfMemoryError as error:
            yield {"stopped": str(error).splitlines()[0]}

    reached = ceiling(args.device, args.dtype)
    args.peak_tflops = reached["matrix_tflops"]
    settings = {
        "size": args.size,
        "dtype": str(args.dtype).removeprefix("torch."),
        "tf32": args.tf32,
        "fast": args.fast,
        "graph": args.graph,
        **reached,
    }
    if question == "train":
        settings |= dict.fromkeys(("dtype", "tf32"), "the recipe's")
    taken = report(f"network {question}", args.device, settings, rows(), save)
    return bool(taken) and "stopped" not in taken[-1]


def main() -> None:
    """Answer one question, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=[*QUESTIONS, *ASKED_ALONE, "all"])
    parser.add_argument("--size", choices=IMAGE_SIZES, default="small")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tf32", choices=TF32, default="convolutions", help="torch's own default")
    parser.add_argument(
        "--fast", nargs="*", choices=FAST, help="default: channels_last on a CPU, as the node does"
    )
    parser.add_argument("--graph", action="store_true", help="stream, query: as CUDA graphs")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--lengths", type=int, nargs="+", help="frames of a batch")
    parser.add_argument("--twin-up-to", type=int, help="frames for the quadratic twin")
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--frames", type=int, default=0, help="of a drift run")
    parser.add_argument(
        "--only", nargs="+", choices=[*QUESTIONS, *VARIANTS], help="all: these, in this order"
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="all: begin no question after so many"
    )
    parser.add_argument("--save", type=Path, help="a .json file; its plot is put beside it")
    args = parser.parse_args()
    args.dtype = getattr(torch, args.dtype)
    if args.fast is None:
        args.fast = ["channels_last"] if args.device.type == "cpu" else []
    args.lengths = args.lengths or LENGTHS[args.size]
    args.frames = args.frames or DRIFT[args.size]
    if args.twin_up_to is None:
        args.twin_up_to = TWIN_UP_TO[args.size]
    if args.frames < 20:
        parser.error(f"--frames is {args.frames}: give at least 20")
    if args.device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device is {args.device}, but torch finds no GPU: install its drivers")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.question != "all":
        sys.exit(not answer(args.question, args, args.save))
    failed = answer_all(args)
    sys.exit(f"error: not all of it was answered: {', '.join(failed)}" if failed else 0)


def answer_all(args: argparse.Namespace) -> list[str]:
    """Every question, then the variants; those that failed, tracebacks printed."""
    failed = []
    names = args.only or [*QUESTIONS, *(VARIANTS if args.device.type == "cuda" else ())]
    end = time.perf_counter() + args.seconds
    for name in names:
        if time.perf_counter() > end:
            failed.append(f"{name} (no time left)")
            continue
        question, changes = name, {}
        if name in VARIANTS:
            question = name.split("_")[0]
            changes = {"chunks": VARIANT_CHUNKS, "tf32": "all", **VARIANTS[name]}
        save = args.save and args.save.with_name(f"{args.save.stem}_{name}.json")
        try:
            answered = answer(question, argparse.Namespace(**{**vars(args), **changes}), save)
        except Exception:  # one question that fails must not cost the others
            traceback.print_exc()
            answered = False
        if not answered:
            failed.append(name)
    return failed


if __name__ == "__main__":
    main()
