# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in and out: the official .pt files and our own safetensors, both strict."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from zipmap_ros.model.config import VARIANTS, ModelConfig
from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.files import save_tensors
from zipmap_ros.model.zipmap import ZipMap

MODEL_FORMAT = "zipmap_model_1"
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "small.safetensors"


def shipped_checkpoint() -> Path:
    """The small model that comes with the package."""
    return SHIPPED


def load_checkpoint(
    path: str | Path,
    device: torch.device | str = "cpu",
    variant: str | None = None,
    ema: bool = False,
) -> ZipMap:
    """The network of a checkpoint, in eval mode, on ``device``.

    path     our .safetensors, which carry their config, or an official file: .pt, or .safetensors
             of the same tensors
    variant  main, ref_view, online or state_query, for official files; found from the keys, and
             between main and ref_view, which have the same keys, from the file's name
    ema      take the averaged weights of a wrapped .pt file (under ``ema``), not ``model``
    Raises ModelError that says what is missing, unexpected, of another shape, or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"there is no checkpoint {path}: check the path")
    if path.suffix == ".safetensors":
        if ema:
            raise ModelError(f"{path} holds no averaged weights beside others: load it without ema")
        tensors, config = _read_safetensors(path, variant)
    else:
        tensors, config = _read_official(path, ema), None
    config = config or ModelConfig.official(variant or recognise_variant(tensors, path.name))
    return build(config, tensors, str(path), device).to(device).eval()


def save_checkpoint(model: ZipMap, path: str | Path, notes: dict[str, str] | None = None) -> None:
    """Write the network as safetensors, its config in the metadata, with further ``notes``.

    Raises ModelError for a name that ``load_checkpoint`` would take for an official file.
    """
    if Path(path).suffix != ".safetensors":
        raise ModelError(f"the checkpoint is to be {path}: give a name that ends in .safetensors")
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {**(notes or {}), "format": MODEL_FORMAT, "config": model.config.to_json()}
    save_tensors(tensors, path, metadata)


def build(
    config: ModelConfig,
    tensors: dict[str, Tensor],
    name: str,
    device: torch.device | str | None = None,
) -> ZipMap:
    """A network of ``tensors``, which must be exactly those of ``config``.

    Its parameters are float32 copies on ``device``, by default where each tensor is: a tensor may
    lie in a file, which others may write to. Raises ModelError for other tensors; ``name`` is
    named in it.
    """
    with torch.device("meta"):
        model = ZipMap(config)
    expected = model.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - expected.keys())
    both = sorted(expected.keys() & tensors.keys())
    reshaped = [
        f"{key} is {tuple(tensors[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in both
        if tensors[key].shape != expected[key].shape
    ]
    retyped = [f"{key} is {tensors[key].dtype}" for key in both if not _holds_floats(tensors[key])]
    if missing or unexpected or reshaped or retyped:
        problems = [
            f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for what, keys in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", reshaped),
                ("not of floating point values", retyped),
            )
            if keys
        ]
        raise ModelError(
            f"{name} does not hold the {config.variant} network: tensors " + "; ".join(problems)
        )
    own = {
        key: tensor.detach().to(device or tensor.device, torch.float32, copy=True)
        for key, tensor in tensors.items()
    }
    model.load_state_dict(own, strict=True, assign=True)
    return model


def _holds_floats(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not tensor.is_meta
    return plain and tensor.is_floating_point()


def recognise_variant(tensors: dict[str, Tensor], name: str) -> str:
    """The official variant that has these keys; ``name`` decides between main and ref_view."""
    if any(key.startswith("camera_mlp_head.") for key in tensors):
        return "online"
    if any(key.startswith("nvs_head.") for key in tensors):
        return "state_query"
    if not any(key.startswith("aggregator.") for key in tensors):
        raise ModelError(
            f"{name} is no ZipMap checkpoint: it has no tensor under 'aggregator.', but "
            f"{', '.join(sorted(tensors)[:3]) or 'none at all'}"
        )
    for variant, mark in (("ref_view", "ref_view"), ("main", "aff_inv"), ("main", "main")):
        if mark in name:
            return variant
    raise ModelError(
        f"{name} may be main or ref_view, whose keys are the same but whose results differ: "
        "say which with the variant argument, or keep the official file name"
    )


def _read_safetensors(
    path: Path, variant: str | None
) -> tuple[dict[str, Tensor], ModelConfig | None]:
    """The tensors of a file, and its config where it is one of ours."""
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # of the system, of safetensors, of torch
        raise _unreadable(path, str(error)) from error
    ours = metadata.get("format") == MODEL_FORMAT
    if not ours and "config" not in metadata:
        return tensors, None
    if not ours or "config" not in metadata:
        raise ModelError(
            f"{path} has no config of format {MODEL_FORMAT} in its metadata: "
            "write it with save_checkpoint"
        )
    config = ModelConfig.from_json(metadata["config"])
    if variant is not None and variant != config.variant:
        raise ModelError(f"{path} holds the variant {config.variant}, not {variant}")
    return tensors, config


def _read_official(path: Path, ema: bool) -> dict[str, Tensor]:
    try:
        zipped = zipfile.is_zipfile(path)  # as torch.save writes since 1.6; older files cannot map
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # for what is damaged: KeyError, IndexError, struct.error...
        reason = str(error)
        told = isinstance(error, (OSError, EOFError, RuntimeError))
        if not told or "weights_only" in reason:  # which tells how to run what the file holds
            reason = "it is damaged, or holds other things than tensors"
        raise _unreadable(path, reason) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    if ema and "ema" not in content:
        raise ModelError(f"{path} holds no averaged weights (no key 'ema'): load it without ema")
    wrappers = ("ema",) if ema else ("model", "ema")
    wrapped = next(
        (content[key] for key in wrappers if isinstance(content.get(key), dict)), content
    )
    tensors = {k: v for k, v in wrapped.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(content)[:5]))
        raise ModelError(f"{path} holds no tensors with names, only the keys {keys}")
    return tensors


def _unreadable(path: Path, reason: str) -> ModelError:
    first = (reason.splitlines() or ["it ends too early"])[0]
    return ModelError(f"cannot read {path}: {first}; is the download complete?")


def config_from_tensors(
    tensors: dict[str, Tensor], encoder_heads: int, reference_view: bool, exact: bool = False
) -> ModelConfig:
    """The config that gives these keys and shapes.

    The heads of the encoder and the use of a reference view leave no trace in them.
    ``exact`` runs Newton-Schulz in float32.
    """
    prefix = "aggregator."

    def shape(key: str) -> torch.Size:
        if key not in tensors:
            raise ModelError(f"there is no tensor {key}: this is no ZipMap network")
        return tensors[key].shape

    def count(part: str) -> int:
        return len({k.split(".")[part.count(".") + 1] for k in tensors if k.startswith(part + ".")})

    width = shape(prefix + "camera_token")[-1]
    patch = shape(prefix + "patch_embed.patch_embed.proj.weight")[-1]
    grid = int((shape(prefix + "patch_embed.pos_embed")[1] - 1) ** 0.5)
    ttt = prefix + "global_blocks.0.ttt_block."
    fast_heads, _, fast_hidden = shape(ttt + "w0")
    head_dim = shape(prefix + "frame_blocks.0.attn.q_norm.weight")[0]
    config = replace(
        ModelConfig.official(VARIANTS[0]),
        variant="custom",
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        encoder_depth=count(prefix + "patch_embed.blocks"),
        encoder_heads=encoder_heads,
        depth=count(prefix + "frame_blocks"),
        heads=width // head_dim,
        registers=shape(prefix + "register_token")[2],
        fast_heads=fast_heads,
        fast_hidden=fast_hidden,
        fast_bias=ttt + "to_qkv.bias" in tensors,
        fast_gate=ttt + "gate_fn.0.weight" in tensors,
        reference_view=reference_view,
        camera_head="mlp" if "camera_mlp_head.mlp.fc1.weight" in tensors else "refine",
        dense_width=shape("depth_head.scratch.layer1_rn.weight")[0],
        dense_channels=tuple(shape(f"depth_head.projects.{i}.weight")[0] for i in range(4)),
        local_points="local_point_head.norm.weight" in tensors,
        query="nvs_head.norm.weight" in tensors,
    )
    return replace(config, newton_schulz_dtype="float32") if exact else config
