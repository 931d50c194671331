# SPDX-License-Identifier: Apache-2.0
"""``python -m zipmap_ros.training``, ``zipmap train``: render, train, resume, export."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from zipmap_ros.model import ModelError, load_checkpoint
from zipmap_ros.synthetic import Textures
from zipmap_ros.training import TrainingError
from zipmap_ros.training.config import PRESETS, TrainingConfig
from zipmap_ros.training.data import Clips, image_height
from zipmap_ros.training.plot import plot_log
from zipmap_ros.training.pool import load_pool, render_pool, save_pool, whole_batch
from zipmap_ros.training.processes import Processes, device_of_this_process
from zipmap_ros.training.trainer import Trainer, preset_of

EXAMPLES = """examples:
  zipmap train --out runs/small --textures PHOTOS      the recipe of the weights that ship
  torchrun --nproc-per-node 2 -m zipmap_ros.training --out runs/small
  zipmap train --out runs/next --weights zipmap_ros/weights/small.safetensors
  zipmap train --out runs/small --export now.safetensors

started again with the same --out, a run goes on from its last checkpoint
"""
UNSEEN_SEED = 5_000_000  # validation worlds: neither trained on nor among the evaluation's
UNSEEN_CLIPS, UNSEEN_FRAMES = 16, 48
POOL_SHARE = 0.5  # of a GPU's free memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="the recipe (default: that of the run in --out; of a new one small, or small_cpu)",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="checkpoints and log")
    parser.add_argument(
        "--weights", type=Path, help="a .safetensors file that a new run goes on from"
    )
    parser.add_argument("--textures", type=Path, help="folder of images for the world's surfaces")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda or cuda:N (default: cuda where there is one)",
    )
    parser.add_argument(
        "--validate-every",
        type=int,
        default=100,
        metavar="STEPS",
        help="steps between two looks at unseen worlds (default: 100)",
    )
    parser.add_argument(
        "--export", type=Path, help="write what the run has learned so far here, train no further"
    )


def main(argv: list[str] | None = None) -> int:
    """Train, or go on training, or export. Returns the process' exit code."""
    parser = argparse.ArgumentParser(
        prog="zipmap train",
        description="Train the small model: render worlds, train, resume, export.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(arguments: argparse.Namespace) -> int:
    """What ``main`` does once the arguments are parsed."""
    try:
        if arguments.validate_every < 1:
            raise TrainingError(f"--validate-every is {arguments.validate_every}: give 1 or more")
        device = device_of_this_process(arguments.device)
        usual = "small" if device.type == "cuda" else "small_cpu"
        before = preset_of(arguments.out)
        config = PRESETS[arguments.preset or (before if before in PRESETS else usual)]()
        processes = Processes.join(device)
        arguments.out.mkdir(parents=True, exist_ok=True)
        pool, unseen = _data(config, arguments, device, processes)
        last = config.phases[-1]
        batch = whole_batch(unseen, last.width, image_height(last.width, last.patch, 3 / 4))
        start = load_checkpoint(arguments.weights).state_dict() if arguments.weights else None
        trainer = Trainer(config, pool, batch, arguments.out, device, processes, start)
        if arguments.export:
            trainer.export(arguments.export, {"training": config.to_json()})
            return 0
        trainer.run(arguments.validate_every)
        if processes.rank == 0:
            plot_log(arguments.out / "log.jsonl", arguments.out / "loss.png")
            trainer.export(arguments.out / "small.safetensors", {"training": config.to_json()})
    except (TrainingError, ModelError) as error:
        print(f"zipmap train: {error}", file=sys.stderr)
        return 2
    return 0


def _data(
    config: TrainingConfig,
    arguments: argparse.Namespace,
    device: torch.device,
    processes: Processes,
) -> tuple[Clips, Clips]:
    """The pool and the unseen clips, rendered by the first process if they are not there yet."""
    paths = [arguments.out / "pool.pt", arguments.out / "unseen.pt"]
    if processes.rank == 0 and not all(path.exists() for path in paths):
        textures = (
            Textures.load(arguments.textures) if arguments.textures else Textures.procedural()
        )
        c = config.pool
        few = replace(c, frames=min(c.frames, UNSEEN_FRAMES))
        count = min(c.clips, UNSEEN_CLIPS)
        save_pool(render_pool(few, UNSEEN_SEED, count, textures, device), paths[1])
        save_pool(render_pool(c, c.first_seed, c.clips, textures, device), paths[0])
    processes.wait()
    pool = load_pool(paths[0])
    if device.type == "cuda" and pool.nbytes < POOL_SHARE * torch.cuda.mem_get_info(device)[0]:
        pool = pool.to(device)  # batches are cut where the pool is
    return pool, load_pool(paths[1])


if __name__ == "__main__":
    sys.exit(main())
