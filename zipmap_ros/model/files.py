# SPDX-License-Identifier: Apache-2.0
"""Files of tensors: written so that others may read them, and told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def file_sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_tensors(tensors: dict[str, Tensor], path: str | Path, metadata: dict[str, str]) -> None:
    """Write safetensors. The same tensors and metadata are the same bytes, and one SHA-256."""
    with new_file(path) as written:
        save_file(tensors, written, metadata=metadata)
        with open(written, "r+b") as file:  # safetensors itself writes metadata in any order
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            header["__metadata__"] = dict(sorted(metadata.items()))
            text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
            assert len(text) <= size, "the tensors come right after it"
            file.seek(8)
            file.write(text.ljust(size))


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """What is written to the path inside takes the place of ``path``, or leaves it as it was.

    safetensors before 0.8 spoils a file that it cannot write anew, and as of 0.8 makes files for
    their owner alone: a map that a robot saved as root could not be copied by who drives it.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    part.touch()
    mode = (path if path.exists() else part).stat().st_mode
    try:
        yield part
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
