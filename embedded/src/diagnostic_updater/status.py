# SPDX-License-Identifier: Apache-2.0
"""A DiagnosticStatus message that knows how to fill itself."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


class DiagnosticStatusWrapper(DiagnosticStatus):
    """DiagnosticStatus with a summary and key-value pairs. Levels are single bytes."""

    def summary(self, *args: Any) -> None:
        """Set level and message: from another status, or `summary(level, message)`."""
        self.level, self.message = _level_and_message(*args)

    def clearSummary(self) -> None:
        """Set the level to OK and the message to nothing."""
        self.summary(DiagnosticStatus.OK, "")

    def mergeSummary(self, *args: Any) -> None:
        """Take the worse of two levels; messages of equal goodness are joined with "; "."""
        level, message = _level_and_message(*args)
        if (level > DiagnosticStatus.OK) == (self.level > DiagnosticStatus.OK):
            self.message = "; ".join(text for text in (self.message, message) if text)
        elif level > self.level:
            self.message = message
        self.level = max(level, self.level)

    def add(self, key: str, val: str) -> None:
        """Append a key and its value. Raises AssertionError for a value that is no text."""
        self.values.append(KeyValue(key=key, value=val))


def _level_and_message(*args: Any) -> tuple[bytes, str]:
    if len(args) == 1:
        return args[0].level, args[0].message
    level, message = args
    return level, str(message)
