# SPDX-License-Identifier: Apache-2.0
"""Which chunks are worth keeping in the state: those in which a camera has moved or turned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from zipmap_ros.geometry import Array, invert, rotation_angle_deg

# After a gap this part of the usual motion is enough.
GAP_SHARE = 0.25


def motion(a: Array, b: Array) -> tuple[float, float]:
    """Distance and angle in degrees between two (4, 4) poses."""
    return (
        float(np.linalg.norm(a[:3, 3] - b[:3, 3])),
        float(rotation_angle_deg(invert(a)[:3, :3] @ b[:3, :3])),
    )


@dataclass
class Keyframes:
    """Remembers where each camera was when a chunk was last kept.

    last  (4, 4) pose by camera name; gap  frames dropped since
    """

    last: dict[str, Array] = field(default_factory=dict)
    gap: int = 0

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

    def kept(self, poses: Iterable[tuple[str, Array]]) -> None:
        """The chunk with these poses was folded into the state."""
        self.last.update(poses)
        self.gap = 0

    def dropped(self, frames: int) -> None:
        """A chunk of so many frames was computed and not kept."""
        self.gap += frames
