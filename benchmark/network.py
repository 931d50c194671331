# SPDX-License-Identifier: Apache-2.0
"""How fast the network is, and whether a frame costs the same for ever.

    python benchmark/network.py batch   --size official --device cuda --dtype bfloat16
    python benchmark/network.py stream  --size small
    python benchmark/network.py drift   --size tiny --frames 10000
    python benchmark/network.py query
    python benchmark/network.py state

batch   seconds for N frames at once, beside the same network with quadratic attention over all
        tokens in place of the fast weights
stream  frames a second and latency by chunk size
drift   latency and memory of the last tenth of a long stream over those of the first tenth
query   views a second from a frozen state
state   bytes, and seconds to clone, save and load

Sizes: official (392x518, random weights: they do not change the arithmetic), small (the model that
ships), tiny. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from measure import ceiling, milliseconds, report, seconds, synchronise

from zipmap_ros.model import ModelConfig, SceneState, ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.model.cameras import ray_map
from zipmap_ros.training.twin import attention_twin

IMAGE_SIZES = {"official": (392, 518), "small": (96, 128), "tiny": (28, 42)}


def build(args: argparse.Namespace, variant: str = "online") -> ZipMap:
    """The network of the size asked for, on the device, in eval mode."""
    torch.manual_seed(0)
    if args.size == "small":
        model = load_checkpoint(shipped_checkpoint())
    elif args.size == "tiny":
        model = ZipMap(ModelConfig.tiny())
    else:
        with torch.device(args.device):
            model = ZipMap(ModelConfig.official(variant))
    model = model.to(args.device).eval()
    model.compute_dtype = args.dtype
    return model


def images(args: argparse.Namespace, frames: int) -> torch.Tensor:
    """Random frames (1, frames, 3, H, W)."""
    generator = torch.Generator(args.device).manual_seed(1)
    size = (1, frames, 3, *IMAGE_SIZES[args.size])
    return torch.rand(size, generator=generator, device=args.device)


def memory_mb(device: torch.device) -> float:
    """Peak memory so far: of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def batch(args: argparse.Namespace) -> list[dict[str, object]]:
    """Seconds for N frames in one call, fast weights and quadratic attention."""
    model = build(args, "main")
    with torch.device(args.device):
        twin = attention_twin(model.config).eval()
    twin.compute_dtype = args.dtype
    rows: list[dict[str, object]] = []
    for n in args.lengths:
        frames = images(args, n)
        repeats = 3 if n <= 100 else 1
        run = partial(model.reconstruct, frames)
        ours = statistics.median(seconds(run, args.device, repeats))
        row: dict[str, object] = {"frames": n, "seconds": ours, "ms_per_frame": ours / n * 1e3}
        if n <= args.twin_up_to:
            run = partial(twin.reconstruct, frames)
            theirs = seconds(run, args.device, 1, warmup=int(n <= 100))[0]
            row |= {"quadratic_seconds": theirs, "ratio": theirs / ours}
        else:
            row |= {"quadratic_seconds": "-", "ratio": "-"}
        rows.append(row)
    return rows


def stream(args: argparse.Namespace) -> list[dict[str, object]]:
    """Frames a second and latency of a chunk, by chunk size."""
    model = build(args)
    rows: list[dict[str, object]] = []
    for chunk in args.chunks:
        frames = images(args, chunk)
        state = model.new_state()
        times = []
        for i in range(args.repeats + 3):
            synchronise(args.device)
            start = time.perf_counter()
            _, state = model.stream(frames, state, chunk, outputs=("depth",))
            synchronise(args.device)
            if i >= 3:
                times.append(time.perf_counter() - start)
        rate = chunk / statistics.median(times)
        rows.append({"chunk": chunk, "frames_per_s": rate, **milliseconds(times)})
    return rows


def drift(args: argparse.Namespace) -> list[dict[str, object]]:
    """A long stream: does a frame cost more in the end, does memory grow?"""
    model = build(args)
    frames, state = images(args, 1), model.new_state()
    times, peaks = [], []
    for i in range(args.frames):
        synchronise(args.device)
        start = time.perf_counter()
        _, state = model.stream(frames, state, outputs=("depth",))
        synchronise(args.device)
        times.append(time.perf_counter() - start)
        if (i + 1) % (args.frames // 10) == 0:
            peaks.append(memory_mb(args.device))
    tenth = args.frames // 10
    rows: list[dict[str, object]] = []
    for i in range(10):
        part = times[i * tenth : (i + 1) * tenth]
        rows.append({"frames": f"{i * tenth}..{(i + 1) * tenth}", **milliseconds(part)})
        rows[-1] |= {"peak_mb": peaks[i], "state_mb": state.nbytes / 1e6}
    first, last = (statistics.median(times[part]) for part in (slice(tenth), slice(-tenth, None)))
    print(
        f"last tenth over first tenth: latency {last / first:.3f}, peak {peaks[-1] / peaks[0]:.3f}"
    )
    return rows


def query(args: argparse.Namespace) -> list[dict[str, object]]:
    """Views a second from a state that is only read."""
    model = build(args, "state_query")
    _, state = model.stream(images(args, 2), model.new_state(), 2, outputs=())
    H, W = IMAGE_SIZES[args.size]
    rows: list[dict[str, object]] = []
    for views in args.chunks:
        pose = torch.eye(4, device=args.device).expand(1, views, 4, 4)
        K = torch.tensor([[W, 0, W / 2], [0, W, H / 2], [0, 0, 1]], device=args.device)
        rays = ray_map(pose, K.expand(1, views, 3, 3), H, W)
        times = seconds(partial(model.query, state, rays), args.device, args.repeats, 3)
        rate = views / statistics.median(times)
        rows.append({"views": views, "views_per_s": rate, **milliseconds(times)})
    return rows


def state(args: argparse.Namespace) -> list[dict[str, object]]:
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
        return [
            {"verb": name, "state_mb": scene.nbytes / 1e6, **milliseconds(times)}
            for name, verb in verbs.items()
            for times in [seconds(verb, args.device, args.repeats)]
        ]


QUESTIONS = {f.__name__: f for f in (batch, stream, drift, query, state)}


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--size", choices=IMAGE_SIZES, default="small")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 25, 50, 100, 200])
    parser.add_argument("--twin-up-to", type=int, default=200, help="frames for the quadratic twin")
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--frames", type=int, default=1000, help="of a drift run")
    args = parser.parse_args()
    args.dtype = getattr(torch, args.dtype)
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = QUESTIONS[args.question](args)
    settings = {"size": args.size, "dtype": str(args.dtype).removeprefix("torch.")}
    report(
        f"network {args.question}", args.device, settings | ceiling(args.device, args.dtype), rows
    )


if __name__ == "__main__":
    main()
