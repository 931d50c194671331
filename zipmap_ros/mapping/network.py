# SPDX-License-Identifier: Apache-2.0
"""The network that the parameters ask for: which weights, on which device, in which precision."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch

from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.model import (
    ModelConfig,
    ZipMap,
    file_sha256,
    load_checkpoint,
    shipped_checkpoint,
)
from zipmap_ros.model.speed import make_fast, product_weights
from zipmap_ros.parameters import Parameters

AMX_WIDTH = 512  # channels from which bfloat16 pays on a CPU
# The network's depth is computed for so many frames of a chunk at once.
DENSE_FRAMES = 4


def load_network(parameters: Parameters) -> tuple[ZipMap, str]:
    """Load the checkpoint that the parameters name: the network, and the SHA-256 of its file.

    Raises MappingError for a device that is not there or has too little memory (see `check_memory`)
    or a file with another SHA-256, and the model's error for a file that is no checkpoint.
    """
    device = resolve_device(parameters.device)
    path = Path(parameters.checkpoint or shipped_checkpoint()).expanduser()
    if not path.is_file():
        raise MappingError(f"there is no checkpoint {path}: check the parameter checkpoint")
    sha256 = file_sha256(path)
    wanted = parameters.checkpoint_sha256.lower()
    if wanted and sha256 != wanted:
        raise MappingError(
            f"{path} has the SHA-256 {sha256}, not {wanted}: download it again, or correct the "
            "parameter checkpoint_sha256"
        )
    model = load_checkpoint(path)
    model.compute_dtype = resolve_precision(parameters.precision, device, model.config.width)
    allow_tf32(model.compute_dtype != torch.float32)
    free = free_memory(device)
    if free is not None:
        check_memory(model.config, parameters.chunk_frames, model.compute_dtype, device, free)
    make_fast(model, device)
    return model.to(device), sha256


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on the device: weights, scene states (a chunk is computed on a candidate), and what
    else a chunk needs while it is computed."""

    weights: int
    states: int
    chunk: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.states + self.chunk


def memory_need(
    config: ModelConfig,
    height: int,
    width: int,
    chunk_frames: int,
    dtype: torch.dtype,
    graph: bool = False,
) -> MemoryNeed:
    """What streaming chunks of ``chunk_frames`` network inputs (height, width) takes on a device.

    weights  4 bytes a parameter; states  4 bytes an element, twice
    chunk    the four levels of tokens that the heads read (8 floats a token and channel), and the
             larger of what one fast-weight layer and what the depth head hold at once:
      layer  a token's 4 float copies and 6 of ``dtype`` in width, 6 of ``dtype`` in hidden
             channels; 4 float and 3 Newton-Schulz copies of the layer's three matrices (2 in
             float32, where sums are fused into the products)
      head   up to DENSE_FRAMES frames, 4 floats of dense_width at 8 x 8 a patch, or a float a
             pixel of half of that and of the last 32 channels
    With ``graph``, as on a GPU: the backbone's matrices take ``dtype``, and a graph is recorded of
    a state that is still held (three), and keeps what its chunk takes while a chunk of another
    size, which goes without, takes it again. Workspaces of the device's libraries come on top.
    """
    with torch.device("meta"):
        model = ZipMap(config)
        state = model.new_state()
    patches = (height // config.patch_size) * (width // config.patch_size)
    tokens = chunk_frames * (config.special_tokens + patches)
    size, exact = dtype.itemsize, getattr(torch, config.newton_schulz_dtype).itemsize
    hidden = config.fast_heads * config.fast_hidden
    layer = tokens * (config.width * (4 * 4 + 6 * size) + hidden * 6 * size)
    layer += 3 * config.width * config.fast_hidden * (4 * 4 + (2 if exact == 4 else 3) * exact)
    fused = 64 * patches * config.dense_width * 4
    pixels = height * width * 4 * (config.dense_width // 2 + 32)
    head = min(chunk_frames, DENSE_FRAMES) * max(4 * fused, pixels)
    weights = 4 * sum(p.numel() for p in model.parameters())
    if graph:
        weights -= (4 - size) * sum(p.numel() for p in product_weights(model))
    chunk = tokens * config.width * 8 * 4 + max(layer, head)
    states, chunks = (3, 2) if graph else (2, 1)
    return MemoryNeed(weights, states * state.nbytes, chunks * chunk)


def check_memory(
    config: ModelConfig,
    chunk_frames: int,
    dtype: torch.dtype,
    device: object,
    free: int,
) -> None:
    """Raise MappingError, with the numbers, where ``free`` bytes are too few to stream 4:3 images
    with graphs, as on a GPU.

    ``device`` is named in the message.
    """
    width = config.image_size
    height = max(round(0.75 * width / config.patch_size), 1) * config.patch_size

    def need(frames: int) -> MemoryNeed:
        return memory_need(config, height, width, frames, dtype, graph=True)

    wanted = need(chunk_frames)
    if wanted.total <= free:
        return
    fitting = next((n for n in range(chunk_frames - 1, 0, -1) if need(n).total <= free), 0)
    remedy = f"set chunk_frames to {fitting}" if fitting else "take smaller weights"
    raise MappingError(
        f"the {config.variant} network takes about {wanted.total / 1e6:.0f} MB "
        f"({wanted.weights / 1e6:.0f} weights, {wanted.states / 1e6:.0f} state, "
        f"{wanted.chunk / 1e6:.0f} for chunks of {chunk_frames} images of {width}x{height}), "
        f"{device} has {free / 1e6:.0f} MB free: {remedy}, end other programs, or set device to cpu"
    )


def free_memory(device: torch.device) -> int | None:
    """Free bytes of a GPU; None for the CPU, where the system lends what it has."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


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


def allow_tf32(allowed: bool) -> None:
    """Whether NVIDIA's tensor cores may round what goes into float32 products, in this process.

    torch by itself lets them do so in convolutions: float32 would not be what it says.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def resolve_precision(name: str, device: torch.device, width: int) -> torch.dtype:
    """The dtype of the parameter ``precision``; auto is bfloat16 where the device has units for it
    and the network's ``width`` keeps them busy.

    Those are tensor cores on a GPU and AMX on a CPU. AVX-512 with bfloat16 is not enough: products
    were slower with it than in float32; and a narrow network loses more to casts on a CPU than its
    products gain.
    """
    if name == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            # torch 2.5 has none
            flags = getattr(torch.cpu, "get_capabilities", dict[str, object])()
            fast = bool(flags.get("amx_bf16")) and width >= AMX_WIDTH
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
