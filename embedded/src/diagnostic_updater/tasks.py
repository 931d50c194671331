# SPDX-License-Identifier: Apache-2.0
"""Diagnostic tasks: each fills a status when it is run."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_updater.status import DiagnosticStatusWrapper


class DiagnosticTask:
    """Something with a name that fills a status."""

    def __init__(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        """Return the name."""
        return self.name

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill `stat` and return it; a subclass says with what."""
        return stat


class FunctionDiagnosticTask(DiagnosticTask):
    """A task that is a function."""

    def __init__(
        self, name: str, fn: Callable[[DiagnosticStatusWrapper], DiagnosticStatusWrapper]
    ) -> None:
        super().__init__(name)
        self.fn = fn

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Let the function fill `stat`."""
        return self.fn(stat)


class CompositeDiagnosticTask(DiagnosticTask):
    """Several tasks in one status: the worst level, the messages of all that are not OK."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tasks: list[DiagnosticTask] = []

    def addTask(self, t: DiagnosticTask) -> None:
        """Add a task."""
        self.tasks.append(t)

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Run all tasks on `stat` and merge what they say."""
        combined, original = DiagnosticStatusWrapper(), DiagnosticStatusWrapper()
        original.summary(stat)
        for task in self.tasks:
            stat.summary(original)
            stat = task.run(stat)
            combined.mergeSummary(stat)
        stat.summary(combined)
        return stat
