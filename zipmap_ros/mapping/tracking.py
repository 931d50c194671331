# SPDX-License-Identifier: Apache-2.0
"""Whether to believe what the network says of a chunk, and when to call tracking LOST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zipmap_ros.geometry import Array
from zipmap_ros.mapping.keyframes import motion

NOT_FINITE = "not_finite"
JUMP = "jump"
LOST = "lost"


@dataclass
class Tracker:
    """Poses by camera name in network units, and how long they have been good or bad.

    believed  the last accepted pose of each camera
    latest    the last finite pose of each camera, believed or not
    doubted   frames of each camera refused in a row
    good      consistent frames in a row while lost
    """

    believed: dict[str, Array] = field(default_factory=dict)
    latest: dict[str, Array] = field(default_factory=dict)
    doubted: dict[str, int] = field(default_factory=dict)
    good: int = 0
    lost: bool = False

    def judge(
        self,
        sources: Sequence[str],
        poses: Sequence[Array] | None,
        max_jump: float,
        max_turn_deg: float,
        lost_after: int,
        found_after: int,
    ) -> str | None:
        """Why a chunk is refused (NOT_FINITE, JUMP, LOST), or None when it is believed.

        ``sources`` and ``poses`` (4, 4) belong together; None says the output was not finite. Each
        pose may differ from the last believed one of its camera by ``max_jump`` (network units)
        and ``max_turn_deg``. While lost it is compared with the last finite one instead, since the
        camera may have gone anywhere, and ``found_after`` consistent frames end it.
        """
        reason = self._suspicion(sources, poses, max_jump, max_turn_deg)
        if reason:
            for source in sources:
                self.doubted[source] = self.doubted.get(source, 0) + 1
            self.good = 0
            self.lost |= max(self.doubted.values()) >= lost_after
            return reason
        if self.lost:
            self.good += len(sources)
            if self.good < found_after:
                return LOST
            self.lost, self.good = False, 0
            self.doubted, self.believed = {}, dict(self.latest)
        for source in sources:
            self.doubted.pop(source, None)
            self.believed[source] = self.latest[source]
        return None

    def _suspicion(
        self,
        sources: Sequence[str],
        poses: Sequence[Array] | None,
        max_jump: float,
        max_turn_deg: float,
    ) -> str | None:
        if poses is None:
            return NOT_FINITE
        last = dict(self.latest if self.lost else self.believed)
        jumped = False
        for source, pose in zip(sources, poses, strict=True):
            distance, angle = motion(last.get(source, pose), pose)
            jumped |= distance > max_jump or angle > max_turn_deg
            last[source] = pose
        self.latest.update(zip(sources, poses, strict=True))
        return JUMP if jumped else None
