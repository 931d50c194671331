# SPDX-License-Identifier: Apache-2.0
"""Files that others may read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """What is written to the path inside gets the mode that other new files have.

    safetensors makes files for their owner alone, as of 0.8: a map that a robot saved as root could
    not be copied by who drives it.
    """
    path = Path(path)
    path.touch()
    mode = path.stat().st_mode
    yield path
    path.chmod(mode)
