# SPDX-License-Identifier: Apache-2.0
"""A run's files: written whole or not at all, read or refused by name; and its log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zipmap_ros.training import TrainingError


def write_whole(content: dict[str, Any], path: Path) -> None:
    """Write what ``read_whole`` reads. Where that fails, as on a full disk, what was there before
    stays, and TrainingError is raised."""
    unfinished = path.with_suffix(".part")
    try:
        torch.save(content, unfinished)
        unfinished.replace(path)
    except (OSError, RuntimeError) as error:  # torch's own for a disk that is full
        unfinished.unlink(missing_ok=True)
        raise TrainingError(f"cannot write {path}: {_first(error)}: is the disk full?") from error


def read_whole(
    path: Path, key: str, device: torch.device | str = "cpu", mmap: bool = False
) -> dict[str, Any]:
    """What ``write_whole`` wrote, with ``key`` among it. Raises TrainingError for other files."""
    try:
        content = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
        content[key]
    except Exception as error:  # torch's are of every kind for what is damaged
        if isinstance(error, (torch.OutOfMemoryError, PermissionError)):
            raise  # which say themselves what is wrong
        raise TrainingError(
            f"{path} cannot be read, it is damaged or of no run ({_first(error)}): put a whole "
            "copy in its place, or delete it to have that part of the run made anew"
        ) from error
    return dict(content)


def rewind_log(log: Path, phases: Sequence[str], reached: tuple[int, int]) -> None:
    """Leave in the log one record of each step up to ``reached``, a phase's number and a step.

    A run that goes on takes the steps again that came after its checkpoint. Half a record, of a
    power cut, is left out as well.
    """
    if not log.exists():
        return
    kept: dict[tuple[int, int], str] = {}
    for line in log.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
            place = phases.index(record["phase"]), int(record["step"])
        except (ValueError, TypeError, LookupError):
            continue
        if place <= reached:
            kept[place] = line + "\n"
    unfinished = log.with_suffix(".part")
    unfinished.write_text("".join(kept.values()))
    unfinished.replace(log)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
