# SPDX-License-Identifier: Apache-2.0
"""How the robot moves, as wheels or others say: for the scale, and to lead where images do not."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from zipmap_ros.geometry import Array, invert, rotation_angle_deg, se3_exp, se3_log
from zipmap_ros.mapping.level import PRIOR

MAX_GAP_NS = 500_000_000
AHEAD_NS = 100_000_000  # that it is believed to go on as it went: images may come before it
JUMP_NS = 1_000_000_000  # odometry so much older than the newest is of another time
# Metres and radians, and those a second, that no robot goes: then its odometry was set elsewhere.
SET, SET_SPEED = np.array([0.5, 0.5]), np.array([20.0, 10.0])
# Standard deviation of the turns that it tells: radians, and a share of them, as wheels slip.
TURN, SLIP = 0.005, 0.1


class Odometry:
    """The last few seconds of odometry, to be asked for the pose at the stamp of an image."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Array]] = deque(maxlen=2000)

    def add(self, stamp_ns: int, odom_T_base: Array) -> None:
        """Add a (4, 4) pose, also a little later than a newer one, as cameras are not in step.

        A stamp more than JUMP_NS before the newest starts anew: time has jumped back. So does a
        pose that is too far from it, as where odometry was set to 0.
        """
        newer = []
        if self._entries and (
            stamp_ns < self._entries[-1][0] - JUMP_NS
            or _was_set(*self._entries[-1], stamp_ns, odom_T_base)
        ):
            self._entries.clear()
        while self._entries and self._entries[-1][0] >= stamp_ns:
            newer.append(self._entries.pop())
        if not newer or newer[-1][0] > stamp_ns:
            newer.append((stamp_ns, odom_T_base))
        self._entries.extend(reversed(newer))

    @property
    def entries(self) -> list[tuple[int, Array]]:
        """Stamps and poses, oldest first."""
        return list(self._entries)

    def at(self, stamp_ns: int) -> Array | None:
        """``odom_T_base`` at a stamp, (4, 4), between the entries before and after it.

        None unless these are at most MAX_GAP_NS apart.
        """
        after = bisect_left(self._entries, stamp_ns, key=lambda entry: entry[0])
        if after == len(self._entries):
            return None
        stamp_b, b = self._entries[after]
        if stamp_b == stamp_ns:
            return b
        if after == 0:
            return None
        stamp_a, a = self._entries[after - 1]
        if stamp_b - stamp_a > MAX_GAP_NS:
            return None
        return _between(stamp_a, a, stamp_b, b, stamp_ns)

    def is_whole(self, since_ns: int) -> bool:
        """Whether nothing is missing since a stamp: else it may be another odometry by now."""
        stamps = [ns for ns, _ in self._entries if ns >= since_ns - MAX_GAP_NS]
        return all(b - a <= MAX_GAP_NS for a, b in pairwise(stamps))

    def about(self, stamp_ns: int) -> Array | None:
        """As `at`, also shortly after the last entry, by the motion of as long before it: stamps
        of two entries may be next to each other."""
        T = self.at(stamp_ns)
        if T is None and self._entries:
            last_ns, last = self._entries[-1]
            before_ns = last_ns - AHEAD_NS
            before = self.at(before_ns)
            if before is not None and 0 < stamp_ns - last_ns <= AHEAD_NS:
                T = _between(before_ns, before, last_ns, last, stamp_ns)
        return T


def _was_set(stamp_a: int, a: Array, stamp_b: int, b: Array) -> bool:
    """Whether no robot goes from one pose to the other meanwhile."""
    moved = invert(a) @ b
    angle = np.deg2rad(rotation_angle_deg(moved[:3, :3]))
    gone = np.array([np.linalg.norm(moved[:3, 3]), angle])
    return not bool((gone <= SET + SET_SPEED * abs(stamp_b - stamp_a) * 1e-9).all())


def _between(stamp_a: int, a: Array, stamp_b: int, b: Array, stamp_ns: int) -> Array:
    """(4, 4) between two poses, or beyond, at an even motion."""
    share = (stamp_ns - stamp_a) / (stamp_b - stamp_a)
    T: Array = a @ se3_exp(share * se3_log(invert(a) @ b))
    return T


@dataclass(frozen=True, eq=False)
class Lead:
    """How cameras move by odometry, as far as it knows.

    scale  metres a network unit; None: not known yet, so that odometry tells turns alone
    sure   whether that is the scale of the map, and not only likely
    """

    odometry: Odometry
    scale: float | None
    sure: bool

    def step(
        self, base_T_camera: Array, before_ns: int, stamp_ns: int, said: Array | None = None
    ) -> Array | None:
        """(4, 4) the way of a camera between two stamps, as it saw it at the first; the mount and
        the answer in network units. None where there is no odometry of then.

        said  (4, 4) odom_T_base by which the camera was led to where it was at the first: what has
              come since mends that
        """
        before, now = self.odometry.about(before_ns), self.odometry.about(stamp_ns)
        if before is None or now is None:
            return None
        way = invert(before if said is None else said) @ now
        way[:3, 3] /= self.scale or np.inf
        step: Array = invert(base_T_camera) @ way @ base_T_camera
        return step

    @staticmethod
    def prior(step: Array) -> Array:
        """(8,) as `level.PRIOR`, around where a ``step`` led: its turn is trusted more."""
        prior = PRIOR.copy()
        prior[3:6] = np.hypot(TURN, SLIP * np.linalg.norm(se3_log(step)[3:]))
        return prior

    def led(self, pose: Array, other: Array, step: Array) -> Array:
        """(4, 4) where a camera is a ``step`` after ``pose``; what odometry does not know is as it
        is by ``other`` (4, 4)."""
        way = invert(pose) @ other
        way[:3, :3] = step[:3, :3]
        if self.scale is not None:
            way[:3, 3] = step[:3, 3]
        led: Array = pose @ way
        return led
