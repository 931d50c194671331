# SPDX-License-Identifier: Apache-2.0
"""Poses by stamp, the newest so many of them, and the TUM file format."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, quaternion_from_matrix


class Trajectory:
    """``map_T_camera`` of every accepted frame in the order in which they came."""

    def __init__(self, max_poses: int) -> None:
        self._entries: deque[tuple[int, str, Array]] = deque(maxlen=max_poses)

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, stamp_ns: int, source: str, map_T_camera: Array) -> None:
        """Add a (4, 4) pose of the camera named ``source``; the oldest goes when full."""
        self._entries.append((stamp_ns, source, map_T_camera))

    def resize(self, max_poses: int) -> None:
        """Keep this many from now on."""
        self._entries = deque(self._entries, maxlen=max_poses)

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """(N,) int64 nanoseconds."""
        return np.array([stamp for stamp, _, _ in self._entries], np.int64)

    @property
    def sources(self) -> list[str]:
        """The camera of each pose."""
        return [source for _, source, _ in self._entries]

    @property
    def poses(self) -> Array:
        """(N, 4, 4) float64 ``map_T_camera``."""
        return np.array([pose for _, _, pose in self._entries]).reshape(-1, 4, 4)

    def transform(self, new_T_old: Array, scale: float = 1.0) -> None:
        """Move all poses: positions to ``new_T_old @ (scale * position)``, turned alike."""
        poses = self.poses
        poses[:, :3, 3] *= scale
        moved = new_T_old @ poses
        self._entries = deque(
            (
                (stamp, source, T)
                for (stamp, source, _), T in zip(self._entries, moved, strict=True)
            ),
            maxlen=self._entries.maxlen,
        )

    def to_tum(self) -> str:
        """Lines of ``seconds x y z qx qy qz qw``, seconds with all nine decimals."""
        return "".join(
            f"{stamp // 10**9}.{stamp % 10**9:09d} "
            + " ".join(f"{value:.9f}" for value in (*T[:3, 3], *quaternion_from_matrix(T)))
            + "\n"
            for stamp, _, T in self._entries
        )

    def write_tum(self, path: str | Path) -> None:
        """Write `to_tum` (the format of the TUM RGB-D benchmark, read by evo)."""
        Path(path).write_text(self.to_tum())
