# SPDX-License-Identifier: Apache-2.0
"""The network that the parameters ask for: which weights, on which device, in which precision."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.model import ZipMap, checkpoint_sha256, load_checkpoint, shipped_checkpoint
from zipmap_ros.parameters import Parameters


def load_network(parameters: Parameters) -> tuple[ZipMap, str]:
    """Load the checkpoint that the parameters name: the network, and the SHA-256 of its file.

    Raises MappingError for a device that is not there or a file with another SHA-256, and the
    model's error for a file that is no checkpoint.
    """
    device = resolve_device(parameters.device)
    path = Path(parameters.checkpoint or shipped_checkpoint()).expanduser()
    if not path.is_file():
        raise MappingError(f"there is no checkpoint {path}: check the parameter checkpoint")
    sha256 = checkpoint_sha256(path)
    wanted = parameters.checkpoint_sha256.lower()
    if wanted and sha256 != wanted:
        raise MappingError(
            f"{path} has the SHA-256 {sha256}, not {wanted}: download it again, or correct the "
            "parameter checkpoint_sha256"
        )
    try:
        model = load_checkpoint(path, device=device)
    except torch.cuda.OutOfMemoryError as error:
        free, total = (size / 1e6 for size in torch.cuda.mem_get_info(device))
        raise MappingError(
            f"the weights of {path} take {path.stat().st_size / 1e6:.0f} MB, {device} has "
            f"{free:.0f} of {total:.0f} MB free: end other programs, or set device to cpu"
        ) from error
    model.compute_dtype = resolve_precision(parameters.precision, device)
    return model, sha256


def release_memory() -> None:
    """Hand the memory of networks that nobody holds any more back to the GPU, for others to use."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def resolve_device(name: str) -> torch.device:
    """The device of the parameter ``device``; auto is the first GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MappingError(
            f"device {name} is not there, this machine has {torch.cuda.device_count()} GPUs: "
            "set device to cpu or auto"
        )
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the parameter ``precision``; auto is bfloat16 on GPUs that multiply in it."""
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
