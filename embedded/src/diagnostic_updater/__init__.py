# SPDX-License-Identifier: Apache-2.0
"""How a node reports its health on /diagnostics: tasks that fill a status, an updater."""

from diagnostic_updater.publisher import (
    DiagnosedPublisher,
    HeaderlessTopicDiagnostic,
    TopicDiagnostic,
)
from diagnostic_updater.status import DiagnosticStatusWrapper
from diagnostic_updater.tasks import (
    CompositeDiagnosticTask,
    DiagnosticTask,
    FunctionDiagnosticTask,
)
from diagnostic_updater.update_functions import (
    FrequencyStatus,
    FrequencyStatusParam,
    Heartbeat,
    TimeStampStatus,
    TimeStampStatusParam,
)
from diagnostic_updater.updater import DiagnosticTaskVector, Updater

__all__ = [
    "CompositeDiagnosticTask",
    "DiagnosedPublisher",
    "DiagnosticStatusWrapper",
    "DiagnosticTask",
    "DiagnosticTaskVector",
    "FrequencyStatus",
    "FrequencyStatusParam",
    "FunctionDiagnosticTask",
    "HeaderlessTopicDiagnostic",
    "Heartbeat",
    "TimeStampStatus",
    "TimeStampStatusParam",
    "TopicDiagnostic",
    "Updater",
]
