# SPDX-License-Identifier: Apache-2.0
"""Whether to believe what the network says of a chunk, and when to call tracking LOST."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zipmap_ros.geometry import Array
from zipmap_ros.mapping.keyframes import motion

NOT_FINITE = "not_finite"
JUMP = "jump"
LOST = "lost"
BLANK = "blank"


@dataclass
class Tracker:
    """Poses by camera name in network units, and how long they have been good or bad.

    believed  the last accepted pose of each camera
    latest    the last finite pose of each camera, believed or not
    doubted   frames of each camera in a row that were refused, or blank
    good      consistent frames in a row of each camera that is lost
    steady    the cameras that were believed and not lost since; a saved session does not keep them,
              since it may go on with others
    covered   the cameras whose frames show nothing; no more than ``steady`` in a session
    """

    believed: dict[str, Array] = field(default_factory=dict)
    latest: dict[str, Array] = field(default_factory=dict)
    doubted: dict[str, int] = field(default_factory=dict)
    good: dict[str, int] = field(default_factory=dict)
    steady: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)

    @property
    def lost(self) -> bool:
        """Whether cameras are, and none is steady."""
        return bool(self.good or self.covered) and not self.steady

    def judge(
        self,
        sources: Sequence[str],
        poses: Sequence[Array] | None,
        max_jump: float,
        max_turn_deg: float,
        lost_after: int,
        found_after: int,
        jumps: Sequence[Array | None] = (),
    ) -> str | None:
        """Why a chunk is refused (NOT_FINITE, JUMP, LOST), or None when it is believed.

        ``sources`` and ``poses`` (4, 4) belong together; None says the output was not finite. Each
        pose may differ from the last believed one of its camera by ``max_jump`` (network units)
        and ``max_turn_deg``; what a place that was seen again moved the poses by is no motion: its
        (4, 4) of ``jumps``. ``lost_after`` frames refused in a row make a camera lost; then it is
        compared with its last finite pose instead, since it may have gone anywhere, and
        ``found_after`` consistent frames end it.
        """
        frames = Counter(sources)
        self.covered -= frames.keys()
        suspects = set(sources)
        if poses is not None:
            moved = jumps or [None] * len(poses)
            suspects = self._jumped(sources, poses, moved, max_jump, max_turn_deg)
        for source in suspects:
            self.doubted[source] = self.doubted.get(source, 0) + frames[source]
            if self.doubted[source] >= lost_after or source in self.good:
                self.good[source] = 0
                self.steady.discard(source)
        if suspects:
            return NOT_FINITE if poses is None else JUMP
        for source in frames.keys() & self.good.keys():
            self.good[source] += frames[source]
        if any(self.good.get(source, found_after) < found_after for source in frames):
            return LOST
        for source in frames:
            self.good.pop(source, None)
            self.doubted.pop(source, None)
            self.believed[source] = self.latest[source]
            self.steady.add(source)
        return None

    def blind(self, source: str, lost_after: int) -> None:
        """A frame shows nothing. What is lost so long is found by the first image that fits."""
        if source in self.believed:
            self.doubted[source] = self.doubted.get(source, 0) + 1
            if self.doubted[source] >= lost_after:
                self.covered.add(source)
                self.steady.discard(source)

    def move(self, poses: Mapping[str, Array]) -> None:
        """Take other poses for the last that were believed, by camera."""
        self.believed.update({name: poses[name] for name in self.believed.keys() & poses.keys()})

    def _jumped(
        self,
        sources: Sequence[str],
        poses: Sequence[Array],
        jumps: Sequence[Array | None],
        max_jump: float,
        max_turn_deg: float,
    ) -> set[str]:
        """The cameras that moved too far since their last pose."""
        last = self.believed | {source: self.latest.get(source) for source in self.good}
        jumped = set()
        for source, pose, jump in zip(sources, poses, jumps, strict=True):
            if jump is not None:
                last = {name: T if T is None else jump @ T for name, T in last.items()}
            before = last.get(source)
            if before is not None:
                distance, angle = motion(before, pose)
                if distance > max_jump or angle > max_turn_deg:
                    jumped.add(source)
            last[source] = pose
        self.latest.update(zip(sources, poses, strict=True))
        return jumped
