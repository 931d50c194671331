# SPDX-License-Identifier: Apache-2.0
"""``python -m zipmap_ros.training``, ``zipmap train``: render, train, resume, export."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from zipmap_ros.model import ModelError, load_checkpoint
from zipmap_ros.synthetic import SyntheticError, Textures
from zipmap_ros.synthetic.textures import folder_digest
from zipmap_ros.training import TrainingError
from zipmap_ros.training.config import PRESETS, TrainingConfig
from zipmap_ros.training.data import Clips, image_height
from zipmap_ros.training.network import check_start
from zipmap_ros.training.plot import plot_log
from zipmap_ros.training.pool import (
    load_pool,
    pool_recipe,
    render_pool,
    save_pool,
    whole_batch,
)
from zipmap_ros.training.processes import Processes, device_of_this_process
from zipmap_ros.training.trainer import CHECKPOINT, Trainer, preset_of

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


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="the recipe (default: that of the run in --out; of a new one small, or small_cpu)",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="checkpoints and log")
    parser.add_argument(
        "--weights", type=Path, help="a .safetensors file that a new run goes on from"
    )
    parser.add_argument(
        "--textures",
        type=Path,
        help="folder of images for the world's surfaces (default: those of the pool in --out; of "
        "a new one those that are built in)",
    )
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
    _add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        if arguments.validate_every < 1:
            raise TrainingError(f"--validate-every is {arguments.validate_every}: give 1 or more")
        device = device_of_this_process(arguments.device)
        usual = "small" if device.type == "cuda" else "small_cpu"
        before = preset_of(arguments.out)
        config = PRESETS[arguments.preset or (before if before in PRESETS else usual)]()
        if arguments.export and not (arguments.out / CHECKPOINT).exists():
            raise TrainingError(f"there is no run in {arguments.out} to export: train one first")
        if arguments.export and arguments.export.suffix != ".safetensors":
            raise TrainingError(
                f"--export is {arguments.export}: give a name that ends in .safetensors"
            )
        start = load_checkpoint(arguments.weights).state_dict() if arguments.weights else None
        if start and before:
            print(f"{arguments.out} goes on from its own checkpoint: --weights are for a new run")
        elif start:
            check_start(start, config.model, config.phases[0])
        processes = Processes.join(device)
        arguments.out.mkdir(parents=True, exist_ok=True)
        pool, unseen = _data(config, arguments, device, processes)
        last = config.phases[-1]
        batch = whole_batch(unseen, last.width, image_height(last.width, last.patch, 3 / 4))
        trainer = Trainer(config, pool, batch, arguments.out, device, processes, start)
        if arguments.export:
            trainer.export(arguments.export, {"training": config.to_json()})
            return 0
        trainer.run(arguments.validate_every)
        if processes.rank == 0:
            trainer.export(arguments.out / "small.safetensors", {"training": config.to_json()})
            plot_log(trainer.log_path, arguments.out / "loss.png")
    except (TrainingError, ModelError, SyntheticError, OSError) as error:
        print(f"zipmap train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


def _data(
    config: TrainingConfig,
    arguments: argparse.Namespace,
    device: torch.device,
    processes: Processes,
) -> tuple[Clips, Clips]:
    """The pool and the unseen clips, rendered by the first process if they are not there yet."""
    c, folder = config.pool, arguments.textures
    few, frames = min(c.clips, UNSEEN_CLIPS), min(c.frames, UNSEEN_FRAMES)
    unseen = replace(c, clips=few, frames=frames, first_seed=UNSEEN_SEED)
    paths = {arguments.out / "unseen.pt": unseen, arguments.out / "pool.pt": c}
    digest = folder_digest(folder) if folder else None  # not named, they are those of the pool
    if processes.rank == 0 and not all(path.exists() for path in paths):
        textures = Textures.load(folder) if folder else Textures.procedural()
        for path, pool_config in paths.items():
            rendered = render_pool(pool_config, textures, device)
            save_pool(rendered, path, pool_recipe(pool_config, digest or "built in"))
    processes.wait()
    clips, pool = (load_pool(path, pool_recipe(made, digest)) for path, made in paths.items())
    if device.type == "cuda" and pool.nbytes < POOL_SHARE * torch.cuda.mem_get_info(device)[0]:
        pool = pool.to(device)  # batches are cut where the pool is
    return pool, clips


if __name__ == "__main__":
    sys.exit(main())
