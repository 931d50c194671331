# SPDX-License-Identifier: Apache-2.0
"""The history of one frame: which parent it had, and where in it, at each stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tf2_py.exceptions import ExtrapolationException
from tf2_py.rigid import Transform, interpolate

Entry = tuple[str, Transform]  # (parent, parent_T_frame)


def format_time(stamp_ns: int) -> str:
    """Seconds with six decimals, as tf2's messages have them."""
    return f"{stamp_ns / 1e9:.6f}"


class TimeCache:
    """Entries of one moving frame, sorted by stamp, none older than the newest by `max_age_ns`."""

    is_static = False

    def __init__(self, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._stamps: list[int] = []
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def oldest(self) -> int:
        """Stamp of the oldest entry in nanoseconds; 0 when there is none."""
        return self._stamps[0] if self._stamps else 0

    @property
    def latest(self) -> int:
        """Stamp of the newest entry in nanoseconds; 0 when there is none."""
        return self._stamps[-1] if self._stamps else 0

    def latest_parent(self) -> str | None:
        """Parent in the newest entry."""
        return self._entries[-1][0] if self._entries else None

    def insert(self, stamp: int, parent: str, parent_T_frame: Transform) -> bool:
        """Add an entry; False, and nothing added, when it is older than the cache reaches."""
        if self._stamps and stamp < self.latest - self._max_age_ns:
            return False
        entry = (parent, parent_T_frame)
        at = bisect_right(self._stamps, stamp)
        if at > 0 and self._stamps[at - 1] == stamp and self._entries[at - 1] == entry:
            return True
        self._stamps.insert(at, stamp)
        self._entries.insert(at, entry)
        expired = bisect_left(self._stamps, self.latest - self._max_age_ns)
        if expired:
            del self._stamps[:expired], self._entries[:expired]
        return True

    def at(self, stamp: int) -> Entry:
        """Return the entry at `stamp`, interpolated; stamp 0 means the newest.

        Raises:
            ExtrapolationException: the history does not reach to `stamp`.
        """
        stamps, asked = self._stamps, format_time(stamp)
        if not stamps:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {asked}, but the buffer is empty"
            )
        if stamp in (0, stamps[-1]):
            return self._entries[-1]
        if len(stamps) == 1:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {asked}, "
                f"but only time {format_time(stamps[0])} is in the buffer"
            )
        if stamp > stamps[-1]:
            raise ExtrapolationException(
                "Lookup would require extrapolation into the future.  "
                f"Requested time {asked} but the latest data is at time {format_time(stamps[-1])}"
            )
        if stamp < stamps[0]:
            raise ExtrapolationException(
                "Lookup would require extrapolation into the past.  "
                f"Requested time {asked} but the earliest data is at time {format_time(stamps[0])}"
            )
        older = bisect_right(stamps, stamp) - 1
        parent, transform = self._entries[older]
        next_parent, next_transform = self._entries[older + 1]
        if stamps[older] == stamp or next_parent != parent:
            return self._entries[older]
        ratio = (stamp - stamps[older]) / (stamps[older + 1] - stamps[older])
        return parent, interpolate(transform, next_transform, ratio)

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._entries.clear()


class StaticCache(TimeCache):
    """One entry, true at all times, which a clear of the buffer leaves alone."""

    is_static = True

    def __init__(self) -> None:
        super().__init__(0)

    def insert(self, stamp: int, parent: str, parent_T_frame: Transform) -> bool:
        """Replace the entry."""
        self._stamps, self._entries = [0], [(parent, parent_T_frame)]
        return True

    def at(self, stamp: int) -> Entry:
        """Return the entry."""
        return self._entries[-1]

    def clear(self) -> None:
        """Do nothing: what is static was said once and will not be said again."""
