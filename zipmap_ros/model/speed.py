# SPDX-License-Identifier: Apache-2.0
"""Choices that trade start-up time, exactness or trainability for speed.

None is made unless asked for, as the node does with `make_fast`; `benchmark/network.py precision`
measures what each costs in error and gains in time.
"""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache

import torch
from torch import nn

from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.zipmap import ZipMap


def product_weights(model: ZipMap) -> list[nn.Parameter]:
    """The backbone's matrices and their biases, which `cast_weights` casts."""
    kinds = (nn.Linear, nn.Conv2d)
    modules = [m for m in model.aggregator.modules() if isinstance(m, kinds)]
    return [parameter for module in modules for parameter in module.parameters()]


def cast_weights(model: ZipMap, dtype: torch.dtype = torch.bfloat16) -> None:
    """Keep the backbone's matrices in ``dtype`` and compute in it: cast once, not at every call.

    Gives the bits of ``model.compute_dtype = dtype`` and needs half the memory for these weights.
    For inference only: the float32 weights are gone. Raises ModelError in training mode.
    """
    if model.training:
        raise ModelError("cast_weights is for inference: call model.eval() first")
    for weight in product_weights(model):
        weight.data = weight.data.to(dtype)
    model.compute_dtype = dtype


@cache
def kernels_run(device: torch.device) -> bool:
    """Whether the kernels of `kernels` run on a device: one of CUDA's, where one of them was tried.

    It is tried once in a process. Where triton is there but cannot build it, as without a C
    compiler, a RuntimeWarning says why.
    """
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    try:
        _try_kernel(device)
    except Exception as error:  # of triton, of the compiler that it starts, of the driver
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"the network's kernels are not used, which is slower: {reason}; triton builds them "
            "with a C compiler such as gcc",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _try_kernel(device: torch.device) -> None:
    from zipmap_ros.model import kernels

    with torch.cuda.device(device):
        ones = torch.ones(16, dtype=torch.bfloat16, device=device)
        kernels.swiglu_(ones, ones.clone())
        torch.cuda.synchronize(device)


def use_kernels(model: ZipMap, used: bool = True) -> None:
    """Do what lies between the matrix products in kernels of our own, where `kernels_run` says so.

    For a network that computes in bfloat16; while gradients are recorded the plain form is taken.
    Raises ModelError for one that does not.
    """
    if used and model.compute_dtype != torch.bfloat16:
        raise ModelError(f"the kernels are for bfloat16, not {model.compute_dtype}: cast first")
    for module in model.aggregator.modules():
        if hasattr(module, "kernels"):
            setattr(module, "kernels", used)  # noqa: B010 (to mypy a Module has no such attribute)


def make_fast(model: ZipMap, device: torch.device) -> None:
    """Ready a network in eval mode, whose ``compute_dtype`` is set, for ``device``.

    On a CPU convolutions take channels last, as tokens have them; for bfloat16 on a GPU weights
    are cast once, and kernels are used if they run. Call it before the weights go there: they are
    fewer bytes then. Raises ModelError in training mode.
    """
    if device.type == "cpu":
        # torch's stubs know no Module.to with a memory format; its documentation does.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    elif model.compute_dtype == torch.bfloat16:
        cast_weights(model)
        use_kernels(model, kernels_run(device))


def fuse_newton_schulz(model: ZipMap) -> None:
    """Fuse Newton-Schulz in bfloat16 too: fewer roundings than the official function, not the same.

    Its sums then pass through memory once instead of four times a step.
    """
    for layer in model.fast_weight_layers():
        layer.fuse = True


def compile_blocks(model: ZipMap, **options: object) -> None:
    """Compile every transformer block (``options`` of torch.compile); the parameters stay in place.

    The first call of each image and chunk size compiles three graphs, one for each kind of block,
    in which elementwise parts are fused.
    """
    backbone = model.aggregator
    for blocks in (backbone.patch_embed.blocks, backbone.frame_blocks, backbone.global_blocks):
        for block in blocks:
            block.compile(**options)
