# SPDX-License-Identifier: Apache-2.0
"""What every source of frames is."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array

NS = 1_000_000_000
T = TypeVar("T")


class SourceError(ValueError):
    """A source that cannot be opened or read; the message says which, and what to do."""


def without_pixels() -> NDArray[np.uint8]:
    """(0, 0, 3): the image of a frame whose own cannot be read. Mappers count and drop it."""
    return np.zeros((0, 0, 3), np.uint8)


def read_or(otherwise: T, read: Callable[[], T]) -> T:
    """What ``read`` gives, or ``otherwise`` and a warning for a SourceError: one file, or message,
    that cannot be read does not end a recording."""
    try:
        return read()
    except SourceError as error:
        warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
        return otherwise


def finite(pose: Array, what: str) -> Array:
    """``pose`` itself. Raises SourceError for one with NaN or infinity, which some data sets write
    where tracking was lost."""
    if not np.isfinite(pose).all():
        raise SourceError(f"{what} is not finite")
    return pose


class Source(ABC):
    """Frames in order of time; iterating anew starts at the beginning where that is possible.

    A frame whose image cannot be read has one without pixels; depth that cannot be read, and a pose
    that is none or not finite, are left out with a warning.

    name       for people, e.g. the file's name
    fps        frames a second at which the source plays in real time
    has_truth  whether frames carry their true pose, though not all of them need to
    """

    name: str
    fps: float
    has_truth: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames."""


class RecordedSource(Source):
    """A source of which the length is known."""

    @abstractmethod
    def __len__(self) -> int:
        """How many frames there are."""
