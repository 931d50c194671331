# SPDX-License-Identifier: Apache-2.0
"""Diagnostics of a topic: how often it is published, and how fresh its stamps are."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from rclpy.time import Time

from diagnostic_updater.tasks import CompositeDiagnosticTask
from diagnostic_updater.update_functions import (
    FrequencyStatus,
    FrequencyStatusParam,
    TimeStampStatus,
    TimeStampStatusParam,
)
from diagnostic_updater.updater import Updater


class HeaderlessTopicDiagnostic(CompositeDiagnosticTask):
    """The rate of a topic."""

    def __init__(self, name: str, diag: Updater, freq: FrequencyStatusParam) -> None:
        super().__init__(f"{name} topic status")
        self.diag = diag
        self.freq = FrequencyStatus(freq)
        self.addTask(self.freq)
        diag.add(self)

    def tick(self) -> None:
        """Count a message."""
        self.freq.tick()

    def clear_window(self) -> None:
        """Start counting again."""
        self.freq.clear()


class TopicDiagnostic(HeaderlessTopicDiagnostic):
    """The rate of a topic and the age of its stamps."""

    def __init__(
        self, name: str, diag: Updater, freq: FrequencyStatusParam, stamp: TimeStampStatusParam
    ) -> None:
        super().__init__(name, diag, freq)
        self.stamp = TimeStampStatus(stamp)
        self.addTask(self.stamp)

    def tick(self, stamp: Any) -> None:  # type: ignore[override]
        """Count a message with this stamp: an rclpy Time, or seconds."""
        self.stamp.tick(stamp)
        super().tick()


class DiagnosedPublisher(TopicDiagnostic):
    """A publisher that counts what it publishes."""

    def __init__(
        self,
        pub: Publisher,
        diag: Updater,
        freq: FrequencyStatusParam,
        stamp: TimeStampStatusParam,
    ) -> None:
        super().__init__(pub.topic_name, diag, freq, stamp)
        self.publisher = pub

    def publish(self, message: Any) -> None:
        """Count the message and publish it."""
        self.tick(Time.from_msg(message.header.stamp))
        self.publisher.publish(message)
