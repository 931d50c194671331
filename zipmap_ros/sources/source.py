# SPDX-License-Identifier: Apache-2.0
"""What every source of frames is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from zipmap_ros.frame import Frame

NS = 1_000_000_000


class SourceError(ValueError):
    """A source that cannot be opened or read; the message says which, and what to do."""


class Source(ABC):
    """Frames in order of time; iterating anew starts at the beginning where that is possible.

    name  for people, e.g. the file's name
    fps   frames a second at which the source plays in real time
    """

    name: str
    fps: float

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames."""


class RecordedSource(Source):
    """A source of which the length is known."""

    @abstractmethod
    def __len__(self) -> int:
        """How many frames there are."""
