# SPDX-License-Identifier: Apache-2.0
"""A history of the last messages, to be asked by time."""

from __future__ import annotations

from collections import deque
from typing import Any

from rclpy.time import Time

from message_filters.simple_filter import SimpleFilter, stamp_of


class Cache(SimpleFilter):
    """Keeps the last `cache_size` messages of a filter and passes them on."""

    def __init__(
        self, f: SimpleFilter | None = None, cache_size: int = 1, allow_headerless: bool = False
    ) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self._entries: deque[tuple[Time, Any]] = deque(maxlen=cache_size)
        if f is not None:
            self.connectInput(f)

    @property
    def cache_msgs(self) -> list[Any]:
        """The messages kept, in order of arrival."""
        return [message for _, message in self._entries]

    @property
    def cache_times(self) -> list[Time]:
        """Their stamps."""
        return [stamp for stamp, _ in self._entries]

    def connectInput(self, f: SimpleFilter) -> None:
        """Take messages from `f`."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Take a message."""
        stamp = stamp_of(msg, self.allow_headerless, "message_filters_cache")
        if stamp is not None:
            self._entries.append((stamp, msg))
            self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the messages from one stamp to another, both included."""
        assert from_stamp <= to_stamp
        return [message for stamp, message in self._entries if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any | None:
        """Return the first message at or after a stamp."""
        return next((message for time, message in self._entries if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any | None:
        """Return the last message at or before a stamp."""
        return next((message for time, message in reversed(self._entries) if time <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Return the stamp of the last message (spelt as message_filters spells it)."""
        return self._entries[-1][0] if self._entries else None

    def getOldestTime(self) -> Time | None:
        """Return the stamp of the first message kept."""
        return self._entries[0][0] if self._entries else None

    def getLast(self) -> Any | None:
        """Return the last message."""
        return self._entries[-1][1] if self._entries else None
