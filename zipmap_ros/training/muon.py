# SPDX-License-Identifier: Apache-2.0
"""Muon (Jordan et al., 2024): momentum whose every matrix is orthogonalised before the step.

torch.optim.Muon orthogonalises one matrix at a time, in bfloat16, which a CPU without bfloat16
products does fifty times slower than float32. This one batches matrices of a shape and takes the
dtype as an argument.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from zipmap_ros.model.fast_weights import newton_schulz


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for matrices inside blocks only."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """One step on every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                steps = newton_schulz(
                    torch.stack([self._momentum(p, group["momentum"]) for p in parameters]),
                    dtype=self.dtype,
                )
                lr = group["lr"] * math.sqrt(max(1, shape[0] / shape[1]))
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(step.to(parameter.dtype), alpha=-lr)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        grad = parameter.grad
        assert grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(grad, 1 - momentum)
        return grad.lerp(state["momentum"], momentum)
