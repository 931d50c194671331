# SPDX-License-Identifier: Apache-2.0
"""The training loop: phases of batches, two optimisers, an average of the weights, checkpoints.

Every process draws its own clips; gradients are averaged over processes before each step. All
randomness is a function of (seed, phase, step, process): a run that is stopped and resumed takes
the same steps as one that is not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from tqdm import tqdm

from zipmap_ros.model import SceneState, ZipMap, save_checkpoint
from zipmap_ros.model.cameras import invert, ray_map, unproject
from zipmap_ros.model.dense_head import DenseHead, activate_depth, activate_points
from zipmap_ros.training import TrainingError
from zipmap_ros.training.config import Phase, TrainingConfig
from zipmap_ros.training.data import Batch, BatchPlan, Clips, image_height, sample_batch
from zipmap_ros.training.files import read_whole, rewind_log, write_whole
from zipmap_ros.training.graphs import Recorder, Task
from zipmap_ros.training.losses import (
    LossWeights,
    camera_loss,
    depth_loss,
    gradient_loss,
    motion_loss,
    patch_motion,
    patch_points,
    point_loss,
    query_loss,
)
from zipmap_ros.training.muon import Muon
from zipmap_ros.training.network import (
    CELLS,
    Parameters,
    PatchPoints,
    fresh_network,
    phase_config,
    whiten_patches,
)
from zipmap_ros.training.processes import Processes
from zipmap_ros.training.transfer import Transfer
from zipmap_ros.training.twin import is_twin, transplant
from zipmap_ros.training.validate import shrink, validate

T = TypeVar("T")
CHECKPOINT = "last.pt"
SAVE_EVERY_S = 60.0
WHITENING_CLIPS = 64
CAMERA_LR_SHARE = 0.25  # of the camera head in AdamW's learning rate


class Trainer:
    """One run: ``run()`` goes on from wherever the checkpoint in ``out`` stands."""

    def __init__(
        self,
        config: TrainingConfig,
        pool: Clips,
        unseen: Batch,
        out: Path,
        device: torch.device,
        processes: Processes | None = None,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        """``unseen`` are the clips to validate on, at the last phase's image size.

        ``start`` is the state dict of an earlier network to go on from, if not from nothing; a
        checkpoint in ``out`` goes before it.
        """
        self.config, self.pool, self.unseen, self.out = config, pool, unseen, out
        self.device, self.processes = device, processes or Processes()
        self.phase_index = self.step = 0
        self.levels: list[Tensor] = []  # what the heads are to see of the pass that is under way
        out.mkdir(parents=True, exist_ok=True)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32
        if self.checkpoint_path.exists():
            self._resume()
        else:
            self._begin_phase(start)

    @property
    def checkpoint_path(self) -> Path:
        return self.out / CHECKPOINT

    @property
    def log_path(self) -> Path:
        return self.out / "log.jsonl"

    @property
    def matrix_dtype(self) -> torch.dtype:
        """Of the backbone's and Muon's products; most CPUs are slower with bfloat16."""
        on_gpu = self.device.type == "cuda"
        return getattr(torch, self.config.gpu_dtype) if on_gpu else torch.float32

    @property
    def phase(self) -> Phase:
        return self.config.phases[self.phase_index]

    @property
    def progress(self) -> float:
        """How much of the phase is done, in [0, 1]."""
        return self.step / self.phase.steps

    def run(self, validate_every: int = 100) -> None:
        """Train to the end of the last phase."""
        if self.processes.rank == 0:
            names = [phase.name for phase in self.config.phases]
            rewind_log(self.log_path, names, (self.phase_index, self.step))
        while True:
            self._run_phase(validate_every)
            self.save()
            if self.phase_index + 1 == len(self.config.phases):
                return
            self.next_phase()

    def next_phase(self) -> None:
        """Hand the averaged weights over to the next phase's network."""
        self.phase_index, self.step = self.phase_index + 1, 0
        self._begin_phase(self.average)

    def train_step(self) -> dict[str, float]:
        """One optimiser step; returns the unweighted loss terms of this process."""
        phase = self.phase
        self._set_learning_rates()
        terms = self._gradients(self._draw())
        self.processes.average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(
            [p for p in self.parameters if p.grad is not None], self.config.clip_gradient
        )
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        self._average(min(phase.ema, (1 + self.step) / (10 + self.step)))
        # Read last, so that a GPU need not wait for what is read before it gets its next work.
        values = {name: float(value) for name, value in (terms | {"gradient_norm": norm}).items()}
        if not math.isfinite(values["gradient_norm"]):
            raise TrainingError(
                f"the gradient is {values['gradient_norm']} in phase {phase.name}, step "
                f"{self.step}: begin anew in another --out, with smaller learning rates of that "
                "phase in zipmap_ros/training/config.py"
            )
        return values

    def averaged_network(self) -> ZipMap:
        """The network with averaged weights, in eval mode."""
        config = phase_config(self.config.model, self.phase)
        model = fresh_network(config, self.phase.twin, 1.0).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()

    def export(self, path: Path, notes: dict[str, str]) -> None:
        """Write the averaged network in the product's format, as float16. A twin cannot be."""
        if self.phase.twin:
            raise TrainingError("the attention twin is a teacher: train on before exporting")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.averaged_network().half(), path, notes)
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"cannot write {path}: {error}: give another file") from error

    def _run_phase(self, validate_every: int) -> None:
        phase, main = self.phase, self.processes.rank == 0
        saved = time.monotonic()
        bar = tqdm(
            total=phase.steps, initial=self.step, desc=phase.name, disable=not main, mininterval=5
        )
        while self.step < phase.steps:
            started = time.monotonic()
            terms = self.train_step()
            record = {"seconds": time.monotonic() - started, **terms}
            if self.step % validate_every == 0 or self.step == phase.steps:
                record |= self._validate() if main else {}
            if main:
                self._log(record)
                bar.set_postfix_str(_short(terms))
                bar.update()
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self.save()
                    saved = time.monotonic()
        bar.close()

    def _validate(self) -> dict[str, float]:
        model = self.averaged_network()
        scale = self.phase.width / self.unseen.images.shape[-1]
        errors = validate(model, shrink(self.unseen, scale).to(self.device))
        tqdm.write(f"{self.phase.name} {self.step}: {_short(errors)}")
        return {f"unseen_{key}": value for key, value in errors.items()}

    def _draw(self) -> Task:
        """This step's work, as the seed has it."""
        phase, count = self.phase, self.processes.count
        seed = (self.config.seed, self.phase_index, self.step)
        shared = torch.Generator().manual_seed(_mix(*seed, 0))

        def choose(options: Sequence[T]) -> T:
            return options[int(torch.randint(len(options), (), generator=shared))]

        views, chunk, stride = choose(phase.views), choose(phase.chunks), choose(phase.strides)
        asked = phase.query_views
        seen = views * phase.segments
        total = seen + asked
        height = image_height(phase.width, phase.patch, choose(phase.aspects))
        plan = BatchPlan(max(1, phase.frames // count // total), total, stride, phase.width, height)
        own = torch.Generator().manual_seed(_mix(*seed, 1 + self.processes.rank))
        batch = sample_batch(self.pool, plan, own).to(self.device)
        among = torch.linspace(1, total - 2, asked).long()
        rest = torch.tensor([i for i in range(total) if i not in among.tolist()])
        batch = batch.views(torch.cat([rest, among]).to(self.device))
        share = max(1, round(views * phase.dense_share))
        dense = [
            torch.randperm(views, generator=shared)[:share].sort()[0] for _ in range(phase.segments)
        ]
        return Task(batch, torch.stack(dense).to(self.device), seen, chunk or views)

    def _plain_gradients(self, task: Task) -> dict[str, Tensor]:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        return self._accumulate(task)

    def _accumulate(self, task: Task) -> dict[str, Tensor]:
        """Gradients of one task, segment by segment with the state carried and detached."""
        batch, chunk, phase = task.batch, task.chunk, self.phase
        seen = batch.views(slice(0, task.seen))
        asked = batch.views(slice(task.seen, None))
        asks = asked.images.shape[1] > 0
        if self.transfer:
            loss = self.transfer.loss(
                self.model, seen.images, chunk, _rays(asked) if asks else None
            )
            loss.backward()
            return {"transfer": loss.detach()}
        state = self.model.new_state(len(batch.images))
        sums: dict[str, Tensor] = {}
        views = task.seen // phase.segments
        for i in range(phase.segments):
            part = seen.views(slice(i * views, (i + 1) * views))
            prediction, state = self.model(part.images, state, chunk, outputs=())
            losses = self._frame_losses(part, prediction.pose_encoding, task.dense[i])
            if asks and i == phase.segments - 1:
                losses["query"] = self._query_loss(state, asked)
            total_loss = _weighted(losses, self.config.weights) / phase.segments
            total_loss.backward()
            state = state.detach()
            for name, value in losses.items():
                share = 1 if name == "query" else phase.segments
                sums[name] = sums.get(name, 0.0) + value.detach() / share
        self.levels = []  # nothing of this pass is to live on into the recording of another
        return sums

    def _frame_losses(self, part: Batch, encoding: Tensor, dense: Tensor) -> dict[str, Tensor]:
        """Camera and patch points of all frames; the costly dense heads on those of ``dense``."""
        patch, levels = self.phase.patch, [level.float() for level in self.levels]
        H, W = part.depth.shape[-2:]
        grid = (H // patch, W // patch)
        points, depth = patch_points(part.depth, part.camera_T_world, part.K, patch // CELLS)
        places, motion = self.points(levels[-1], grid)
        losses = {
            "camera": camera_loss(encoding, part.camera_T_world, part.K, (H, W)),
            "points": point_loss(places, points, depth),
            "motion": motion_loss(motion, *patch_motion(points, depth, part.K, (H, W))),
        }
        some, few = part.views(dense), [level.index_select(1, dense) for level in levels]
        predicted, confidence = activate_depth(self._dense(self.model.depth_head, few, grid))
        losses["depth"] = depth_loss(predicted, confidence, some.depth)
        losses["gradient"] = gradient_loss(predicted, some.depth)
        if self.config.model.local_points:
            own = activate_points(self._dense(self.model.local_point_head, few, grid))
            losses["local_points"] = point_loss(own, unproject(some.depth, some.K), some.depth)
        return losses

    def _dense(self, head: DenseHead, levels: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """The raw maps of a dense head, in the model's ``head_dtype`` as in a query."""
        with torch.autocast(self.device.type, self.model.head_dtype, self.device.type == "cuda"):
            return head(levels, grid).float()

    def _query_loss(self, state: SceneState, part: Batch) -> Tensor:
        """Of the unseen views of some of the clips: a view costs as much as many seen frames."""
        clips = max(1, round(self.phase.query_share * len(part.images)))
        few, heads = part.clips(clips), self.config.model.fast_heads
        view = self.model.query(state.scenes(clips, heads), _rays(few))
        return query_loss(view, few.images, few.depth)

    def _begin_phase(self, source: dict[str, Tensor] | None) -> None:
        """The phase's network and optimisers; ``source`` is what the last phase learned."""
        config = phase_config(self.config.model, self.phase)
        torch.manual_seed(_mix(self.config.seed, self.phase_index))
        self.model = fresh_network(config, self.phase.twin, self.config.layer_scale)
        if source is None:
            self._whiten()
        else:
            transplant(source, self.model)
        if not hasattr(self, "points"):
            self.points = PatchPoints(2 * config.width).to(self.device)
        self.transfer = None
        if self.phase.transfer:
            twin = self._taught_by(source)
            self.transfer = Transfer(twin, config, self.device)
        self.model.to(self.device).train()
        self.model.compute_dtype = self.matrix_dtype
        if self.device.type == "cuda":
            self.model.head_dtype = torch.bfloat16  # half of a step would be theirs
        self.model.aggregator.register_forward_hook(self._keep_levels)
        self.optimisers = self._optimisers(Parameters.of(self.model))
        self.parameters = [p for o in self.optimisers for g in o.param_groups for p in g["params"]]
        self._gradients: Callable[[Task], dict[str, Tensor]] = self._plain_gradients
        if self.device.type == "cuda":
            self._gradients = Recorder(self._accumulate, self.parameters)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _taught_by(self, source: dict[str, Tensor] | None) -> dict[str, Tensor]:
        if source is None or not is_twin(source):
            raise TrainingError(
                f"phase {self.phase.name} transfers attention: a phase of the twin comes before it"
            )
        return source

    def _optimisers(self, split: Parameters) -> list[torch.optim.Optimizer]:
        matrices, others = split.matrices, [*split.others, *self.points.parameters()]
        if not self.phase.muon_lr:
            matrices, others = [], [*matrices, *others]
        decay = self.config.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": split.camera, "lr_share": CAMERA_LR_SHARE},
        ]
        fused = self.device.type == "cuda"
        adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=decay, fused=fused)
        if not matrices:
            return [adam]
        return [Muon(matrices, weight_decay=decay, dtype=self.matrix_dtype), adam]

    def _whiten(self) -> None:
        width, patch = self.phase.width, self.phase.patch
        plan = BatchPlan(WHITENING_CLIPS, 1, 1, width, 3 * width // 4 // patch * patch)
        some = sample_batch(self.pool, plan, torch.Generator().manual_seed(self.config.seed))
        whiten_patches(self.model, some.images.cpu())

    def _keep_levels(self, module: nn.Module, inputs: tuple, output: tuple) -> None:
        self.levels = output[0]

    def _set_learning_rates(self) -> None:
        phase = self.phase
        warm = min(1.0, (self.step + 1) / max(1, phase.warmup))
        left = 1 - self.progress
        factor = warm * (phase.floor + (1 - phase.floor) * left)
        for optimiser in self.optimisers:
            lr = phase.muon_lr if isinstance(optimiser, Muon) else phase.adam_lr
            for group in optimiser.param_groups:
                group["lr"] = lr * factor * group.get("lr_share", 1.0)

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        now = self.model.state_dict()
        torch._foreach_lerp_([self.average[name] for name in now], list(now.values()), 1 - decay)

    def save(self) -> None:
        """Write the checkpoint that the next Trainer in this folder goes on from."""
        if self.processes.rank:
            return
        content = {
            "config": self.config.to_json(),
            "phase": self.phase_index,
            "step": self.step,
            "model": self.model.state_dict(),
            "points": self.points.state_dict(),
            "average": self.average,
            "twin": self.transfer.twin.state_dict() if self.transfer else None,
            "optimisers": [o.state_dict() for o in self.optimisers],
        }
        write_whole(content, self.checkpoint_path)

    def _resume(self) -> None:
        content = read_whole(self.checkpoint_path, "config", self.device)
        if content["config"] != self.config.to_json():
            raise TrainingError(
                f"{self.checkpoint_path} was made by another recipe, of the preset "
                f"{preset_of(self.out)!r}: go on with that, or give another --out"
            )
        self.phase_index, self.step = content["phase"], content["step"]
        self._begin_phase(content["twin"])
        self.model.load_state_dict(content["model"])
        self.points.load_state_dict(content["points"])
        self.average = content["average"]
        for optimiser, state in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(state)

    def _log(self, record: dict[str, float]) -> None:
        place = {"phase": self.phase.name, "step": self.step}
        with open(self.log_path, "a") as file:
            file.write(json.dumps({**place, **record}) + "\n")


def preset_of(out: Path) -> str:
    """The name of the configuration that a run in this folder has; "" where there is none."""
    if not (out / CHECKPOINT).exists():
        return ""
    content = read_whole(out / CHECKPOINT, "config")
    return str(json.loads(content["config"])["name"])


def _rays(batch: Batch) -> Tensor:
    """The ray maps (B, S, 9, H, W) of a batch's views."""
    return ray_map(invert(batch.camera_T_world), batch.K, *batch.images.shape[-2:])


def _weighted(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    terms = [getattr(weights, name) * value for name, value in losses.items()]
    return torch.stack(terms).sum()


def _mix(*numbers: int) -> int:
    """One seed of several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (1 << 62)
    return seed


def _short(values: dict[str, float]) -> str:
    return " ".join(f"{key} {value:.3g}" for key, value in values.items())
