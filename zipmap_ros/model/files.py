# SPDX-License-Identifier: Apache-2.0
"""Files of tensors: written so that others may read them, and told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def file_sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """What is written to the path inside gets the mode that other new files have.

    safetensors makes files for their owner alone, as of 0.8: a map that a robot saved as root could
    not be copied by who drives it. Where writing fails, no empty file is left.
    """
    path = Path(path)
    path.touch()
    mode = path.stat().st_mode
    try:
        yield path
    except Exception:  # of the system, of safetensors, of what it was given
        if not path.stat().st_size:
            path.unlink()
        raise
    path.chmod(mode)
