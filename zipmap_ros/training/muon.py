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
                momenta = [self._momentum(p) for p in parameters]
                grads = [p.grad for p in parameters if p.grad is not None]
                torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
                nesterov = torch._foreach_lerp(grads, momenta, group["momentum"])
                steps = newton_schulz(torch.stack(nesterov), dtype=self.dtype)
                lr = group["lr"] * math.sqrt(max(1, shape[0] / shape[1]))
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, steps.to(parameters[0].dtype).unbind(), alpha=-lr)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]
