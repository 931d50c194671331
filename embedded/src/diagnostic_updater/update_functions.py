# SPDX-License-Identifier: Apache-2.0
"""Ready-made tasks: the rate of an event, the age of its stamps, a heartbeat."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock

from diagnostic_updater.status import DiagnosticStatusWrapper
from diagnostic_updater.tasks import DiagnosticTask


class FrequencyStatusParam:
    """Bounds of a rate: `freq_bound` {"min": Hz, "max": Hz, optional}, read at each update.

    Rates from min * (1 - tolerance) to max * (1 + tolerance) are fine, counted over the last
    `window_size` updates.
    """

    def __init__(
        self, freq_bound: dict[str, float], tolerance: float = 0.1, window_size: int = 5
    ) -> None:
        self.freq_bound = freq_bound
        self.tolerance = tolerance
        self.window_size = window_size


class FrequencyStatus(DiagnosticTask):
    """Warns when an event is too rare or too frequent; an error when it does not happen."""

    def __init__(self, params: FrequencyStatusParam, name: str = "FrequencyStatus") -> None:
        super().__init__(name)
        self.params = params
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Start counting again."""
        with self.lock:
            self.count = 0
            self._history = deque([(time.monotonic(), 0)], maxlen=self.params.window_size)

    def tick(self) -> None:
        """Count an event."""
        with self.lock:
            self.count += 1

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Judge the rate since `window_size` updates ago."""
        with self.lock:
            now = time.monotonic()
            start, count_then = self._history[0]
            self._history.append((now, self.count))
            count = self.count
        events, window = count - count_then, now - start
        frequency = events / window if window > 0 else 0.0
        bound = self.params.freq_bound
        low = bound["min"] * (1 - self.params.tolerance)
        high = bound["max"] * (1 + self.params.tolerance) if "max" in bound else None
        if events == 0:
            stat.summary(DiagnosticStatus.ERROR, "No events recorded.")
        elif frequency < low:
            stat.summary(DiagnosticStatus.WARN, "Frequency too low.")
        elif high is not None and frequency > high:
            stat.summary(DiagnosticStatus.WARN, "Frequency too high.")
        else:
            stat.summary(DiagnosticStatus.OK, "Desired frequency met")
        stat.add("Events in window", str(events))
        stat.add("Events since startup", str(count))
        stat.add("Duration of window (s)", f"{window:f}")
        stat.add("Actual frequency (Hz)", f"{frequency:f}")
        if bound.get("max") == bound["min"]:
            stat.add("Target frequency (Hz)", f"{bound['min']:f}")
        if bound["min"] > 0:
            stat.add("Minimum acceptable frequency (Hz)", f"{low:f}")
        if high is not None:
            stat.add("Maximum acceptable frequency (Hz)", f"{high:f}")
        return stat


class TimeStampStatusParam:
    """Bounds, in seconds, of the age of stamps: negative ages lie in the future."""

    def __init__(self, min_acceptable: float = -1, max_acceptable: float = 5) -> None:
        self.max_acceptable = max_acceptable
        self.min_acceptable = min_acceptable


class TimeStampStatus(DiagnosticTask):
    """An error when a stamp since the last update was too old, too new, or zero."""

    def __init__(
        self, params: TimeStampStatusParam | None = None, name: str = "Timestamp Status"
    ) -> None:
        super().__init__(name)
        self.params = TimeStampStatusParam() if params is None else params
        self.lock = threading.Lock()
        self.clock = Clock()
        self.early_count = self.late_count = self.zero_count = 0
        self._start_over()

    def _start_over(self) -> None:
        self.zero_seen = False
        self.deltas_valid = False
        self.max_delta = self.min_delta = 0.0

    def tick(self, stamp: Any) -> None:
        """Take a stamp: an rclpy Time, or seconds."""
        seconds = stamp if isinstance(stamp, (int, float)) else stamp.nanoseconds / 1e9
        with self.lock:
            if seconds == 0:
                self.zero_seen = True
                return
            delta = self.clock.now().nanoseconds / 1e9 - seconds
            self.max_delta = max(delta, self.max_delta) if self.deltas_valid else delta
            self.min_delta = min(delta, self.min_delta) if self.deltas_valid else delta
            self.deltas_valid = True

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Judge the stamps since the last run."""
        with self.lock:
            stat.summary(DiagnosticStatus.OK, "Timestamps are reasonable.")
            if not self.deltas_valid and not self.zero_seen:
                stat.summary(DiagnosticStatus.WARN, "No data since last update.")
            if self.deltas_valid and self.min_delta < self.params.min_acceptable:
                stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in future seen.")
                self.early_count += 1
            if self.deltas_valid and self.max_delta > self.params.max_acceptable:
                stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in past seen.")
                self.late_count += 1
            if self.zero_seen:
                stat.summary(DiagnosticStatus.ERROR, "Zero timestamp seen.")
                self.zero_count += 1
            stat.add("Earliest timestamp delay:", f"{self.min_delta:f}")
            stat.add("Latest timestamp delay:", f"{self.max_delta:f}")
            stat.add("Earliest acceptable timestamp delay:", f"{self.params.min_acceptable:f}")
            stat.add("Latest acceptable timestamp delay:", f"{self.params.max_acceptable:f}")
            stat.add("Late diagnostic update count:", str(self.late_count))
            stat.add("Early diagnostic update count:", str(self.early_count))
            stat.add("Zero seen diagnostic update count:", str(self.zero_count))
            self._start_over()
        return stat


class Heartbeat(DiagnosticTask):
    """Always OK: the node runs."""

    def __init__(self) -> None:
        super().__init__("Heartbeat")

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Say so."""
        stat.summary(DiagnosticStatus.OK, "Alive")
        return stat
