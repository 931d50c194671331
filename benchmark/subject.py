# SPDX-License-Identifier: Apache-2.0
"""The network that a benchmark measures: its size, its input, and the fast choices it runs with."""

from __future__ import annotations

import argparse
import gc
import re
from dataclasses import replace
from pathlib import Path

import torch

from zipmap_ros.model import ModelConfig, ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.model.speed import (
    cast_weights,
    compile_blocks,
    fuse_newton_schulz,
    kernels_run,
    use_kernels,
)
from zipmap_ros.training.twin import attention_twin


def _shipped_size() -> tuple[int, int]:
    """Height and width of a 4:3 image for the model that ships."""
    config = load_checkpoint(shipped_checkpoint()).config
    height = round(0.75 * config.image_size / config.patch_size) * config.patch_size
    return height, config.image_size


IMAGE_SIZES = {"official": (392, 518), "small": _shipped_size(), "tiny": (28, 42)}
# Choices that --fast makes. The node makes the first two on a GPU, the last on a CPU.
FAST = ("cast", "kernels", "fuse", "compile", "heads", "channels_last")
TF32 = ("none", "convolutions", "all")


def build(args: argparse.Namespace, variant: str = "online") -> ZipMap:
    """The network of the size asked for, on the device, in eval mode, with its choices made."""
    torch.manual_seed(0)
    if args.size == "small":
        model = load_checkpoint(shipped_checkpoint())
    elif args.size == "tiny":
        model = ZipMap(ModelConfig.tiny())
    else:
        with torch.device(args.device):
            model = ZipMap(ModelConfig.official(variant))
    return choose(model.to(args.device).eval(), args)


def quadratic(model: ZipMap, args: argparse.Namespace) -> ZipMap:
    """The twin of ``model`` with VGGT's global attention: as many heads as its frame attention."""
    config = replace(model.config, fast_heads=model.config.heads)
    with torch.device(args.device):
        twin = attention_twin(config)
    return choose(twin.to(args.device).eval(), args)


def choose(model: ZipMap, args: argparse.Namespace) -> ZipMap:
    """Set the precision and the fast choices of ``args`` on a network in eval mode."""
    model.compute_dtype = args.dtype
    if "cast" in args.fast and args.dtype != torch.float32:
        cast_weights(model, args.dtype)
    if "kernels" in args.fast and args.dtype == torch.bfloat16:
        use_kernels(model, kernels_run(args.device))
    if "fuse" in args.fast:
        fuse_newton_schulz(model)
    if "heads" in args.fast:
        model.head_dtype = torch.bfloat16
    if "channels_last" in args.fast:
        model.to(memory_format=torch.channels_last)
    if "compile" in args.fast:
        compile_blocks(model, dynamic=False)
    allow_tf32(args.tf32)
    return model


def allow_tf32(where: str) -> None:
    """Let float32 products on NVIDIA's tensor cores round to TF32: none, convolutions or all.

    torch allows it in convolutions unless told otherwise.
    """
    torch.backends.cuda.matmul.allow_tf32 = where == "all"
    torch.backends.cudnn.allow_tf32 = where != "none"


def images(
    args: argparse.Namespace, frames: int, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Random frames (1, frames, 3, H, W); ``size`` (H, W): that of ``args`` unless given."""
    generator = torch.Generator(args.device).manual_seed(1)
    shape = (1, frames, 3, *(size or IMAGE_SIZES[args.size]))
    return torch.rand(shape, generator=generator, device=args.device)


def forget_peak(device: torch.device) -> None:
    """Measure the peak from here. On a CPU that needs Linux."""
    if device.type == "cuda":
        gc.collect()  # recorded graphs refer to themselves
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device) -> float:
    """Peak memory since ``forget_peak``: of the GPU's tensors, or of this whole process.

    What a recorded CUDA graph works in belongs to no tensor: see `reserved`.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def reserved(device: torch.device) -> dict[str, object]:
    """All that the GPU's allocator held at most since ``forget_peak``, graphs' memory included."""
    if device.type != "cuda":
        return {}
    return {"reserved_mb": torch.cuda.max_memory_reserved(device) / 1e6}
