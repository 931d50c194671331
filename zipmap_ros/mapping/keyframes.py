# SPDX-License-Identifier: Apache-2.0
"""Which chunks are worth keeping: in the map those in which a camera has moved or turned, in the
state those of them that show what it does not know.

Each update costs the state a little of what it remembers, and what it has seen already it gains
nothing from. So a camera that goes round and round leaves it alone after the first round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from zipmap_ros.geometry import Array, rotation_angle_deg

# After a gap this part of the usual motion is enough.
GAP_SHARE = 0.25
# A view is new where no view in the state was as near: so small a share of its depth away, and
# turned by so few degrees. The last MOST_VIEWS of those are known.
NEW_SHARE, NEW_DEG, MOST_VIEWS = 0.2, 10.0, 1000


def motion(a: Array, b: Array) -> tuple[Array, Array]:
    """Distances and angles in degrees between (..., 4, 4) poses."""
    turned = np.swapaxes(a[..., :3, :3], -1, -2) @ b[..., :3, :3]
    return np.linalg.norm(a[..., :3, 3] - b[..., :3, 3], axis=-1), rotation_angle_deg(turned)


@dataclass
class Keyframes:
    """Remembers where each camera was when a chunk was last kept, and what the state has seen.

    last   (4, 4) pose by camera name; gap  frames dropped since
    views  (N, 4, 4) poses of what is in the state
    """

    last: dict[str, Array] = field(default_factory=dict)
    gap: int = 0
    views: Array = field(default_factory=lambda: np.zeros((0, 4, 4)))

    def wants(
        self,
        poses: Iterable[tuple[str, Array]],
        translation: float,
        rotation_deg: float,
        max_gap: int,
    ) -> bool:
        """Whether a chunk of (camera name, pose) is to be kept.

        It is when one of its cameras is new, has moved by ``translation`` (in the unit of the
        poses) or turned by ``rotation_deg`` since the last kept chunk; after ``max_gap`` frames
        without one, GAP_SHARE of that is enough. A camera that stands still is never kept.
        """
        share = GAP_SHARE if self.gap >= max_gap else 1.0
        for source, pose in poses:
            if source not in self.last:
                return True
            distance, angle = motion(self.last[source], pose)
            if distance > share * translation or angle > share * rotation_deg:
                return True
        return False

    def are_new(self, poses: Sequence[Array], depths: Sequence[float]) -> bool:
        """Whether the state lacks one of these views, with (4, 4) poses and median depths."""
        for pose, depth in zip(poses, depths, strict=True):
            distance, angle = motion(self.views, pose)
            if ((distance > NEW_SHARE * depth) | (angle > NEW_DEG)).all():
                return True
        return False

    def kept(self, poses: Iterable[tuple[str, Array]]) -> None:
        """The chunk with these poses was kept."""
        self.last.update(poses)
        self.gap = 0

    def folded(self, poses: Sequence[Array]) -> None:
        """The chunk with these poses was folded into the state."""
        self.views = np.concatenate([self.views, poses])[-MOST_VIEWS:]

    def dropped(self, frames: int) -> None:
        """A chunk of so many frames was computed and not kept."""
        self.gap += frames
