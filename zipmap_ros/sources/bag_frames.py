# SPDX-License-Identifier: Apache-2.0
"""The TF of a bag: where a camera is mounted, and how the robot moved, without tf2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from zipmap_ros.geometry import Array, GeometryError, invert, matrix_from_quaternion, pose
from zipmap_ros.sources.source import NS, SourceError, read_or, true_pose


class FrameTree:
    """Frames by the last transform that was heard of each."""

    def __init__(self, messages: Iterable[Any]) -> None:
        """Takes all transforms of tf2_msgs/TFMessages."""
        self._parents: dict[str, tuple[str, Array]] = {}
        for message in messages:
            for transform in message.transforms:
                self.add(transform)

    def add(self, stamped: Any) -> str | None:
        """Take a geometry_msgs/TransformStamped; its child frame, None if it had to be left out."""
        parent, child = (f.lstrip("/") for f in (stamped.header.frame_id, stamped.child_frame_id))
        t, q = stamped.transform.translation, stamped.transform.rotation
        parent_T_child = read_or(None, partial(to_matrix, t, q))
        if parent_T_child is None:
            return None
        self._parents[child] = (parent, parent_T_child)
        return child

    def ancestors(self, frame: str) -> dict[str, Array]:
        """(4, 4) ancestor_T_frame of the frame itself, its parent, and so on up to the root."""
        above = {frame: np.eye(4)}
        T = above[frame]
        while frame in self._parents:
            frame, parent_T_child = self._parents[frame]
            if frame in above:
                break
            T = above[frame] = parent_T_child @ T
        return above

    def find(self, target: str, source: str) -> Array | None:
        """(4, 4) target_T_source, or None where the two are not connected."""
        above_target, above_source = self.ancestors(target), self.ancestors(source)
        for frame, frame_T_source in above_source.items():
            if frame in above_target:
                return invert(above_target[frame]) @ frame_T_source
        return None


def odometry_from_tf(
    tree: FrameTree, messages: Iterable[Any], odom_frame: str, base_frame: str
) -> Iterator[tuple[int, Array]]:
    """Stamp (ns) and (4, 4) odom_T_base for each transform between the two in TFMessages.

    ``tree`` holds the static transforms, and takes the others as they come.
    """
    for message in messages:
        for stamped in message.transforms:
            child = tree.add(stamped)
            above = tree.ancestors(base_frame)
            frames = list(above)
            if odom_frame in above and child in frames[: frames.index(odom_frame)]:
                yield stamp_ns(stamped), above[odom_frame]


def stamp_ns(message: Any) -> int:
    """The stamp of a message's header."""
    return message.header.stamp.sec * NS + message.header.stamp.nanosec


def to_matrix(p: Any, q: Any) -> Array:
    """(4, 4) of a position and a quaternion message. Raises SourceError where it is no pose."""
    try:
        T = pose(matrix_from_quaternion((q.x, q.y, q.z, q.w)), np.array((p.x, p.y, p.z)))
    except GeometryError as error:
        raise SourceError(f"the bag has a pose that is none: {error}") from error
    return true_pose(T, f"a pose of the bag, at {p.x, p.y, p.z},")
