# SPDX-License-Identifier: Apache-2.0
"""This process among those that train together, and the device that is its own."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from zipmap_ros.training import TrainingError


def own_device(name: str) -> str:
    """``cuda`` as the GPU that is this process' own where torchrun started several; other names as
    they are."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if name == "cuda" and rank is not None else name


def device_of_this_process(name: str) -> torch.device:
    """cpu, cuda or cuda:N. Raises TrainingError for one that is not there."""
    name = own_device(name)
    try:
        device = torch.zeros(0, device=name).device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device
    except (RuntimeError, AssertionError) as error:  # torch's for unknown, and for absent, devices
        why = str(error).splitlines()[0]
        raise TrainingError(f"cannot train on {name!r}: {why}: give --device cpu") from error


@dataclass(frozen=True)
class Processes:
    """This process among those that train together (torchrun); one alone is rank 0 of 1."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Processes:
        """Meet the others that torchrun started, if it did."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Make every process' gradients the mean of all."""
        if self.count == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        flat /= self.count
        for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))
