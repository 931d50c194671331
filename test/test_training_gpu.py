# SPDX-License-Identifier: Apache-2.0
"""Training on CUDA: recorded steps do what plain ones do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import _config, _wall_clips

from zipmap_ros.training.data import Clips
from zipmap_ros.training.graphs import Recorder
from zipmap_ros.training.pool import whole_batch
from zipmap_ros.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def _trainer(out: Path, device: str) -> Trainer:
    clips = _wall_clips()
    config = replace(_config(), gpu_dtype="float32")
    pool = Clips(*(t.to(device) for t in vars(clips).values()))
    return Trainer(config, pool, whole_batch(clips, 32, 24), out, torch.device(device))


def _gradients(trainer: Trainer) -> dict[int, torch.Tensor]:
    return {i: p.grad for i, p in enumerate(trainer.parameters) if p.grad is not None}


def test_recorded_gradients_are_those_of_the_plain_step(tmp_path: Path, monkeypatch) -> None:
    """In every phase, for another batch of the same shape than the one that was recorded."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    trainer = _trainer(tmp_path, "cuda")
    for index in range(len(trainer.config.phases)):
        if index:
            trainer.next_phase()
        assert isinstance(trainer._gradients, Recorder)
        trainer._gradients(trainer._draw())
        trainer.step = 3
        task = trainer._draw()
        terms = {k: float(v) for k, v in trainer._gradients(task).items()}
        recorded = {
            i: p.grad.clone() for i, p in enumerate(trainer.parameters) if p.grad is not None
        }
        plain = trainer._plain_gradients(task)
        for name, value in plain.items():
            assert terms[name] == pytest.approx(float(value), rel=1e-4), name
        exact = _gradients(trainer)
        assert recorded.keys() == exact.keys()
        largest = max(float(g.abs().max()) for g in exact.values())
        for i, gradient in exact.items():
            assert torch.allclose(recorded[i], gradient, atol=1e-4 * largest), i
        trainer.step = 0


def test_a_run_on_cuda_learns_what_one_on_the_cpu_does(tmp_path: Path) -> None:
    there, here = _trainer(tmp_path / "cuda", "cuda"), _trainer(tmp_path / "cpu", "cpu")
    for _ in range(3):
        ours, plain = there.train_step(), here.train_step()
    # Noise on the images is drawn by the device.
    for name, value in plain.items():
        assert ours[name] == pytest.approx(value, rel=0.1), name
