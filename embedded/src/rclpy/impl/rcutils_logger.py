# SPDX-License-Identifier: Apache-2.0
"""The logger class, with filters per place in the code: once, throttled, not the first time."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from rclpy import logging
from rclpy.clock import Clock
from rclpy.logging import LoggingSeverity

_FILTERS = frozenset(("once", "skip_first", "throttle_duration_sec", "throttle_time_source_type"))


@dataclass
class _Place:
    """What happened at one place in the code."""

    severity: LoggingSeverity
    filters: dict[str, Any]
    calls: int = 0
    last_ns: int = 0


class RcutilsLogger:
    """Logs under a name; `a.b` is a child of `a`."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._places: dict[tuple[tuple[str, str, int], int], _Place] = {}

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    def get_child(self, name: str) -> RcutilsLogger:
        """The logger `<this>.<name>`; raises ValueError for an empty name."""
        if not name:
            raise ValueError("Child logger name must not be empty.")
        return type(self)(f"{self._name}.{name}" if self._name else name)

    def set_level(self, level: LoggingSeverity | int) -> None:
        """Set the lowest severity that is put out."""
        logging.set_logger_level(self._name, level)

    def get_effective_level(self) -> LoggingSeverity:
        """Lowest severity that is put out."""
        return logging.get_logger_effective_level(self._name)

    def is_enabled_for(self, severity: LoggingSeverity | int) -> bool:
        """Whether messages of a severity are put out."""
        return severity >= self.get_effective_level()

    def debug(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Log for developers."""
        return self.log(message, LoggingSeverity.DEBUG, **kwargs)

    def info(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Log what happens."""
        return self.log(message, LoggingSeverity.INFO, **kwargs)

    def warning(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Log what may be wrong."""
        return self.log(message, LoggingSeverity.WARN, **kwargs)

    def warn(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Same as `warning`."""
        return self.log(message, LoggingSeverity.WARN, **kwargs)

    def error(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Log a failure."""
        return self.log(message, LoggingSeverity.ERROR, **kwargs)

    def fatal(self, message: str | bytes | None, **kwargs: Any) -> bool:
        """Log a failure after which the process ends."""
        return self.log(message, LoggingSeverity.FATAL, **kwargs)

    def log(self, message: Any, severity: LoggingSeverity | int, **kwargs: Any) -> bool:
        """Log a message; returns whether it was put out.

        `once`, `skip_first` and `throttle_duration_sec` (with `throttle_time_source_type`, a
        clock) filter by the call's place in the code. Raises TypeError for other keywords and for
        a message to be put out that is no text, ValueError where one place changes its severity or
        filters.
        """
        unknown = kwargs.keys() - _FILTERS
        if unknown:
            raise TypeError(f"log() got unexpected keyword arguments {sorted(unknown)}")
        if "throttle_time_source_type" in kwargs and "throttle_duration_sec" not in kwargs:
            raise TypeError("throttle_time_source_type needs throttle_duration_sec")
        severity = LoggingSeverity(severity)
        if not self.is_enabled_for(severity):
            return False
        place, index = _caller()
        if not self._passes(severity, (place, index), kwargs):
            return False
        if not isinstance(message, str | bytes | None):
            raise TypeError(f"a log message is a str, not {type(message).__name__}")
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        logging._put_out(severity, self._name, text, time.time_ns(), place)
        return True

    def _passes(
        self, severity: LoggingSeverity, place: tuple[tuple[str, str, int], int], given: dict
    ) -> bool:
        filters = {name: value for name, value in given.items() if value}
        state = self._places.setdefault(place, _Place(severity, filters))
        if state.severity != severity:
            raise ValueError("Logger severity cannot be changed between calls.")
        if filters.keys() != state.filters.keys():
            raise ValueError("Requested logging filters cannot be changed between calls.")
        if filters != state.filters:
            raise ValueError("Logging filter parameters cannot be changed between calls.")
        if not filters:
            return True
        state.calls += 1
        if filters.get("skip_first") and state.calls == 1:
            return False
        if filters.get("once") and state.calls > (2 if filters.get("skip_first") else 1):
            return False
        duration = filters.get("throttle_duration_sec")
        if duration is None:
            return True
        clock = filters.get("throttle_time_source_type")
        now = clock.now().nanoseconds if isinstance(clock, Clock) else time.monotonic_ns()
        if state.last_ns and 0 <= now - state.last_ns < duration * 1e9:
            return False
        state.last_ns = now
        return True


def _caller() -> tuple[tuple[str, str, int], int]:
    """The first caller outside this file: file, function and line, and where in the line."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    code = frame.f_code
    return (os.path.abspath(code.co_filename), code.co_name, frame.f_lineno), frame.f_lasti
