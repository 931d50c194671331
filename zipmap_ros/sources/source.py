# SPDX-License-Identifier: Apache-2.0
"""What every source of frames is."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, GeometryError, matrix_from_quaternion, pose

NS = 1_000_000_000
LAST_STAMP_NS = (2**31 - 86_400) * NS  # a day before the seconds of a message are full
T = TypeVar("T")
_ROUNDED = 0.02  # of R @ R.T: poses written with two digits


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


def registered(
    depth: NDArray[np.float32], rgb: NDArray[np.uint8], where: str
) -> NDArray[np.float32]:
    """``depth`` itself. Raises SourceError where its image, if it could be read, has another
    size."""
    if rgb.size and depth.shape != rgb.shape[:2]:
        raise SourceError(
            f"depth {where} has {depth.shape[1]}x{depth.shape[0]} pixels, "
            f"images {rgb.shape[1]}x{rgb.shape[0]}: record depth registered to the image"
        )
    return depth


def true_pose(T: Array, what: str) -> Array:
    """``T`` (4, 4) itself. Raises SourceError for one with NaN or infinity, which some data sets
    write where tracking was lost, or without a rotation."""
    if not np.isfinite(T).all():
        raise SourceError(f"{what} is not finite")
    R = T[:3, :3]
    turns = np.allclose(R @ R.T, np.eye(3), rtol=0, atol=_ROUNDED) and np.linalg.det(R) > 0
    if not turns or not np.allclose(T[3], (0, 0, 0, 1)):
        raise SourceError(f"{what} is no rotation and translation")
    return T


def pose_from_words(words: Sequence[str], name: str) -> Array:
    """(4, 4) from the words x, y, z, qx, qy, qz, qw of a file of the recording ``name``. Raises
    SourceError where they are no pose."""
    what = f"{name}: the pose {' '.join(words)!r}"
    try:
        x, y, z, *quaternion = map(float, words)
        T = pose(matrix_from_quaternion(quaternion), (x, y, z))
    except (ValueError, GeometryError) as error:
        raise SourceError(f"{what} cannot be used: {error}") from error
    return true_pose(T, what)


def nearest(rows: Sequence[tuple[int, T]], stamp_ns: int, most_ns: int) -> T | None:
    """The value of the (stamp, value) row, of rows in order of time, that is nearest in time; None
    where that is further than ``most_ns``."""
    after = bisect_left(rows, stamp_ns, key=itemgetter(0))
    near = [row for row in rows[max(after - 1, 0) : after + 1] if abs(row[0] - stamp_ns) <= most_ns]
    return min(near, key=lambda row: abs(row[0] - stamp_ns))[1] if near else None


def to_stamp_ns(seconds: Decimal | Fraction, what: str) -> int:
    """Nanoseconds. Raises SourceError for a time before 0 or beyond what a message can hold."""
    if not 0 <= seconds <= LAST_STAMP_NS // NS:
        raise SourceError(f"{what} is before 0 or beyond 2038")
    return round(seconds * NS)


class Source(ABC):
    """Frames in order of time; iterating anew starts at the beginning where that is possible.

    A frame whose image cannot be read has one without pixels; depth that cannot be read or is of
    another size than the image, and a pose that is none, are left out with a warning.

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
