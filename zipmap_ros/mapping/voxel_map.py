# SPDX-License-Identifier: Apache-2.0
"""The accumulated cloud: one point a voxel, merged by confidence, never larger than its bounds.

Points lie in dense arrays in the order in which their voxels were first seen; a hash table (open
addressing, linear probing, built and probed for all points at once) leads from a voxel to its
place in them. Everything is sized by the bounds when the map is made: memory that is not used yet
is address space only, and nothing is ever copied to grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array
from zipmap_ros.mapping.errors import MappingError

# Evidence of a voxel stops adding up here, so that it can still follow a changed scene.
MAX_WEIGHT = 200.0
# When the map is full this part of it goes at once: 1 / EVICTED.
EVICTED = 8
# Insertions after which a voxel's evidence counts half when the worst are evicted.
HALF_LIFE = 500.0

_BITS = 21
_OFFSET = 1 << (_BITS - 1)
_HASH = np.uint64(0x9E3779B97F4A7C15)
# Columns of a row: one cache line holds all that merging touches.
_XYZ, _RGB, _CONFIDENCE, _WEIGHT = slice(0, 3), slice(3, 6), 6, 7
_COLUMNS = 8
_POINT_BYTES = 4 * _COLUMNS + 4 + 8


@dataclass(frozen=True)
class Cloud:
    """Points of a map: xyz (N, 3) float32, rgb (N, 3) uint8, confidence (N,) float32 >= 1."""

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.points)


class VoxelMap:
    """A bounded cloud of at most one point in each cube of ``voxel`` metres (map units).

    max_points, max_mb  whichever is reached first makes the oldest and least confident points go
    """

    def __init__(self, voxel: float, max_points: int, max_mb: float) -> None:
        self.voxel = float(voxel)
        self.capacity = min(int(max_points), _affordable(max_mb))
        self._table_bits = max(int(2 * self.capacity - 1).bit_length(), 4)
        self.clear()

    def clear(self) -> None:
        """Forget all points and the count of evicted ones."""
        self.evicted = 0
        self.insertions = 0
        self._size = 0
        self._rows = np.empty((self.capacity, _COLUMNS), np.float32)
        self._seen = np.empty(self.capacity, np.int32)
        self._keys = np.empty(self.capacity, np.int64)
        self._table = np.zeros(1 << self._table_bits, np.int32)  # 0 free, else place + 1

    def __len__(self) -> int:
        return self._size

    def check_near(self, position: Array) -> None:
        """Raise MappingError for a place (3,), map units, around which there can be no map."""
        reach = _OFFSET / 2 * self.voxel
        if not (np.abs(position) < reach).all():
            raise MappingError(
                f"the position {position.tolist()} is too far out for voxels of {self.voxel:g}: "
                f"stay within {reach:g} of the map's origin on each axis"
            )

    @property
    def megabytes(self) -> float:
        """Memory in use, 10^6 bytes."""
        return (self._size * _POINT_BYTES + self._table.nbytes) / 1e6

    def insert(
        self,
        points: NDArray[np.floating],
        colors: NDArray[np.uint8],
        confidence: NDArray[np.floating],
    ) -> None:
        """Merge (N, 3) map points with (N, 3) uint8 colours and (N,) confidences >= 1.

        Each voxel keeps the confidence-weighted mean of what fell into it. Points that are not
        finite or believed by nobody, or a million voxels away, are left out.
        """
        believed = np.isfinite(confidence) & (confidence > 0)
        if not believed.all():
            points, colors, confidence = points[believed], colors[believed], confidence[believed]
        rows = np.empty((len(points), _COLUMNS), np.float32)
        rows[:, _XYZ] = points
        rows[:, _RGB] = colors
        rows[:, _CONFIDENCE] = rows[:, _WEIGHT] = confidence
        self.insertions += 1
        self._merge(rows, np.full(len(points), self.insertions, np.int32))

    def cloud(self, every: int = 1) -> Cloud:
        """All points, or one of so many, oldest voxel first, in arrays of their own."""
        rows = self._rows[: self._size : every]
        points, colors = np.empty((len(rows), 3), np.float32), np.empty((len(rows), 3), np.uint8)
        for axis in range(3):  # column by column, rounding without a temporary: twice as fast
            points[:, axis] = rows[:, axis]
            np.add(rows[:, 3 + axis], np.float32(0.5), out=colors[:, axis], casting="unsafe")
        return Cloud(points, colors, rows[:, _CONFIDENCE].copy())

    def distance(self, position: Array) -> float:
        """How far (3,) ``position`` is outside of the box around all points; inf without points."""
        if not self._size:
            return float("inf")
        columns = self._rows[: self._size, _XYZ].T  # one by one, which is faster
        below = np.array([column.min() for column in columns]) - position
        above = position - np.array([column.max() for column in columns])
        return float(np.linalg.norm(np.maximum(np.maximum(below, above), 0)))

    def transform(self, new_T_old: Array, scale: float = 1.0) -> None:
        """Move all points to ``new_T_old @ (scale * point)`` and sort them into voxels anew."""
        n = self._size
        rows, seen = self._rows[:n].copy(), self._seen[:n].copy()
        rows[:, _XYZ] = scale * rows[:, _XYZ] @ new_T_old[:3, :3].T + new_T_old[:3, 3]
        self._table.fill(0)
        self._size = 0
        self._merge(rows, seen)

    def absorb(self, other: VoxelMap) -> None:
        """Merge all points of another map, perhaps of other voxels or bounds, into this one."""
        n = other._size
        self.insertions = max(self.insertions, other.insertions)
        self.evicted += other.evicted
        self._merge(other._rows[:n], other._seen[:n])

    def state(self) -> dict[str, NDArray]:
        """Arrays from which ``restore`` makes a map that goes on exactly like this one."""
        n = self._size
        return {
            "rows": self._rows[:n].copy(),
            "seen": self._seen[:n].copy(),
            "keys": self._keys[:n].copy(),
            "counts": np.array([self.insertions, self.evicted], np.int64),
        }

    def restore(self, state: dict[str, NDArray]) -> None:
        """Become the map that ``state`` was taken from.

        Raises MappingError when it holds more points than fit here.
        """
        n = len(state["keys"])
        if n > self.capacity:
            raise MappingError(
                f"the saved map has {n} points, this one takes {self.capacity}: "
                "raise map_max_points or map_max_mb"
            )
        self.clear()
        self._size = n
        self._rows[:n], self._seen[:n], self._keys[:n] = state["rows"], state["seen"], state["keys"]
        self._claim(np.arange(n))
        self.insertions, self.evicted = (int(count) for count in state["counts"])

    def _merge(self, rows: NDArray[np.float32], seen: NDArray[np.int32]) -> None:
        """Merge any rows, several of which may fall into one voxel."""
        keys, valid = self._key(rows[:, _XYZ])
        if not valid.all():
            keys, rows, seen = keys[valid], rows[valid], seen[valid]
        keys, group = np.unique(keys, return_inverse=True)
        weight = rows[:, _WEIGHT]
        total = np.bincount(group, weight)
        mean = np.empty((len(keys), _COLUMNS), np.float32)
        for column in range(_WEIGHT):
            mean[:, column] = np.bincount(group, weight * rows[:, column]) / total
        mean[:, _WEIGHT] = np.minimum(total, MAX_WEIGHT)
        newest = np.zeros(len(keys), np.int32)
        np.maximum.at(newest, group, seen)
        self._store(keys, mean, newest)

    def _store(self, keys: NDArray, mean: NDArray, seen: NDArray) -> None:
        """Merge one row for each of some different voxels."""
        place = self._find(keys)
        known = np.flatnonzero(place >= 0)
        at, added = place[known], mean.take(known, axis=0)
        rows = self._rows.take(at, axis=0)  # much faster than indexing
        weight = rows[:, _WEIGHT] + added[:, _WEIGHT]
        rows += (added[:, _WEIGHT] / weight)[:, None] * (added - rows)
        rows[:, _WEIGHT] = np.minimum(weight, MAX_WEIGHT)
        self._rows[at] = rows
        self._seen[at] = np.maximum(self._seen[at], seen[known])
        new = np.flatnonzero(place < 0)
        if len(new) > self.capacity:
            self.evicted += len(new) - self.capacity
            worth = _worth(mean[new, _WEIGHT], seen[new])
            new = np.sort(new[np.argpartition(worth, -self.capacity)[-self.capacity :]])
        self._append(keys[new], mean.take(new, axis=0), seen[new])

    def _append(self, keys: NDArray, rows: NDArray, seen: NDArray) -> None:
        """Add voxels that are not in the map; no more than it takes at all."""
        if self._size + len(keys) > self.capacity:
            self._evict(max(self._size + len(keys) - self.capacity, self._size // EVICTED))
        start, stop = self._size, self._size + len(keys)
        self._rows[start:stop] = rows
        self._seen[start:stop] = seen
        self._keys[start:stop] = keys
        self._size = stop
        self._claim(np.arange(start, stop))

    def _evict(self, count: int) -> None:
        """Drop the points that are worth least."""
        n = self._size
        worth = _worth(self._rows[:n, _WEIGHT], self._seen[:n])
        keep = np.ones(n, bool)
        keep[np.argpartition(worth, min(count, n - 1))[:count]] = False
        kept = np.flatnonzero(keep)
        self._size = len(kept)
        for array in (self._rows, self._seen, self._keys):
            array[: self._size] = array.take(kept, axis=0)
        self.evicted += count
        self._table.fill(0)
        self._claim(np.arange(self._size))

    def _key(self, points: NDArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The voxel of each of (N, 3) points as one integer, and which points have one."""
        cell = np.floor(points.T / np.float32(self.voxel))
        valid = (np.abs(cell) < _OFFSET).all(axis=0)  # false for NaN too
        x, y, z = np.where(valid, cell, 0).astype(np.int64) + _OFFSET
        return (x << 2 * _BITS) | (y << _BITS) | z, valid

    def _slot(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        shift = np.uint64(64 - self._table_bits)
        return ((keys.view(np.uint64) * _HASH) >> shift).astype(np.int64)

    def _find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each voxel, -1 where it is not in the map."""
        place = np.full(len(keys), -1, np.int64)
        asking, slot = np.arange(len(keys)), self._slot(keys)
        mask = len(self._table) - 1
        while len(asking):
            found = self._table[slot] - 1
            match = (found >= 0) & (self._keys[found] == keys[asking])
            place[asking[match]] = found[match]
            on = (found >= 0) & ~match
            asking, slot = asking[on], (slot[on] + 1) & mask
        return place

    def _claim(self, places: NDArray[np.int64]) -> None:
        """Enter places, whose voxels are not in the table yet, at the first free slots."""
        slot = self._slot(self._keys[places])
        mask = len(self._table) - 1
        while len(places):
            free = self._table[slot] == 0
            self._table[slot[free]] = places[free] + 1
            # Of several that took one slot the last has it: the others go on.
            on = self._table[slot] != places + 1
            places, slot = places[on], (slot[on] + 1) & mask


def _worth(weight: NDArray[np.float32], seen: NDArray[np.int32]) -> NDArray[np.floating]:
    """Of points: the logarithm of their evidence, halved every HALF_LIFE insertions."""
    return np.log2(weight) + seen / HALF_LIFE


def _affordable(max_mb: float) -> int:
    """Points that ``max_mb`` megabytes hold, their share of a table at its emptiest included."""
    return max(int(max_mb * 1e6) // (_POINT_BYTES + 4 * 4), 1)
