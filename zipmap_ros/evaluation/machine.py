# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: the machine, the software, the network."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from zipmap_ros.model import ZipMap, file_sha256

# Notes of a checkpoint: how it was trained, and for how long; 0 steps mark random weights.
TRAINING_NOTE, STEPS_NOTE = "training", "training_steps"


def describe_machine(model: ZipMap) -> dict[str, object]:
    """Processor, device, threads, load, versions and, in a git checkout, the commit.

    ``load`` is the number of processes that wanted to run over the last minute: above the number of
    processors, times are longer than the machine alone would give.
    """
    device = next(model.parameters()).device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "processor": processor(),
        "device": str(device),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def describe_model(model: ZipMap, path: Path) -> dict[str, object]:
    """File, identity, size, and the notes that the checkpoint carries; ``trained`` may be None."""
    notes = _notes(path)
    known = STEPS_NOTE in notes or TRAINING_NOTE in notes
    return {
        "file": path.name,
        "sha256": file_sha256(path),
        "variant": model.config.variant,
        "parameters": sum(p.numel() for p in model.parameters()),
        "image_size": model.config.image_size,
        "precision": str(model.compute_dtype).removeprefix("torch."),
        "streams": model.config.streams,
        "queries": model.config.query,
        "notes": notes,
        "trained": notes.get(STEPS_NOTE) != "0" if known else None,
    }


def _notes(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return {}
    return {key: value for key, value in metadata.items() if key not in ("format", "config")}


def processor() -> str:
    """How many processors and which, as ``2 x AMD EPYC``."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that this file lies in, with + for local changes, or None."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "--short=12", "HEAD") if git("ls-files", __file__) else ""
        return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "") or None
    except OSError:
        return None
