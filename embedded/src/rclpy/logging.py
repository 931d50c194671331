# SPDX-License-Identifier: Apache-2.0
"""Loggers: to the console, and to /rosout for those of nodes."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.impl.arguments import Arguments
    from rclpy.impl.rcutils_logger import RcutilsLogger


class LoggingSeverity(IntEnum):
    """How grave a message is."""

    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50


# A function that sends one message: severity, logger name, text, file, function, line.
RosoutSink = Callable[[LoggingSeverity, str, str, str, str, int], None]

_FORMAT = "[{severity}] [{time}] [{name}]: {message}"
_COLOURS = {10: "\033[32m", 30: "\033[33m", 40: "\033[31m", 50: "\033[31m"}
_levels: dict[str, LoggingSeverity] = {}
_default_level = LoggingSeverity.INFO
_rosout: dict[str, weakref.WeakMethod[RosoutSink]] = {}
_lock = threading.Lock()
_console_enabled = True
_rosout_enabled = True


def get_logger(name: str) -> RcutilsLogger:
    """The logger of a name; raises ValueError for an empty one."""
    from rclpy.impl.rcutils_logger import RcutilsLogger

    if not name:
        raise ValueError("Logger name must not be empty.")
    return RcutilsLogger(name=name)


def initialize() -> None:
    """Nothing to do: kept for code that calls it."""


def shutdown() -> None:
    """Nothing to do: kept for code that calls it."""


def clear_config() -> None:
    """Forget levels that were set."""
    _levels.clear()


def set_logger_level(name: str, level: LoggingSeverity | int, detailed_error: bool = False) -> None:
    """Set the lowest severity of a logger and its children; UNSET takes the parent's again."""
    global _default_level
    level = LoggingSeverity(level)
    if name:
        _levels[name] = level
    else:
        _default_level = level or LoggingSeverity.INFO


def get_logger_level(name: str) -> LoggingSeverity:
    """What was set for this very logger, UNSET where nothing was."""
    return _levels.get(name, LoggingSeverity.UNSET)


def get_logger_effective_level(name: str) -> LoggingSeverity:
    """Lowest severity that a logger puts out: its own, or its closest parent's."""
    while name:
        level = _levels.get(name, LoggingSeverity.UNSET)
        if level is not LoggingSeverity.UNSET:
            return level
        name = name.rpartition(".")[0]
    return _default_level


def get_logging_severity_from_string(log_severity: str) -> LoggingSeverity:
    """Severity from its name; raises RuntimeError."""
    try:
        return LoggingSeverity[log_severity.upper()]
    except KeyError:
        raise RuntimeError(f"no logging severity is named '{log_severity}'") from None


def get_logging_directory() -> Path:
    """Where ROS keeps log files: ROS_LOG_DIR, or log/ in ROS_HOME (~/.ros)."""
    directory = os.environ.get("ROS_LOG_DIR")
    if directory:
        return Path(directory).expanduser()
    return Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser() / "log"


def _configure(arguments: Arguments) -> None:
    global _console_enabled, _rosout_enabled
    for name, level in arguments.log_levels.items():
        set_logger_level(name, get_logging_severity_from_string(level))
    _console_enabled = arguments.log_to_console
    _rosout_enabled = arguments.log_to_rosout


def _add_rosout(name: str, sink: RosoutSink) -> None:
    with _lock:
        _rosout[name] = weakref.WeakMethod(sink)


def _remove_rosout(name: str, sink: RosoutSink) -> None:
    with _lock:
        if _sink_of(name) == sink:
            del _rosout[name]


def _sink_of(name: str) -> RosoutSink | None:
    reference = _rosout.get(name)
    return None if reference is None else reference()


def _put_out(
    severity: LoggingSeverity, name: str, message: str, time_ns: int, place: tuple[str, str, int]
) -> None:
    """Write a message to the console and to /rosout."""
    if _console_enabled:
        _write(severity, name, message, time_ns, place)
    if not _rosout_enabled:
        return
    sink = None
    parent = name
    while parent and sink is None:
        sink = _sink_of(parent)
        parent = parent.rpartition(".")[0]
    if sink is not None:
        sink(severity, name, message, *place)


def _write(
    severity: LoggingSeverity, name: str, message: str, time_ns: int, place: tuple[str, str, int]
) -> None:
    file, function, line = place
    values: dict[str, Any] = {
        "severity": severity.name,
        "time": f"{time_ns // 10**9}.{time_ns % 10**9:09d}",
        "time_as_nanoseconds": time_ns,
        "name": name,
        "message": message,
        "file_name": file,
        "function_name": function,
        "line_number": line,
    }
    text = os.environ.get("RCUTILS_CONSOLE_OUTPUT_FORMAT") or _FORMAT
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    stream = sys.stdout if os.environ.get("RCUTILS_LOGGING_USE_STDOUT") == "1" else sys.stderr
    colour = _COLOURS.get(severity, "") if _is_colourful(stream) else ""
    try:
        stream.write(f"{colour}{text}\033[0m\n" if colour else f"{text}\n")
        stream.flush()
    except (ValueError, OSError):
        return


def _is_colourful(stream: Any) -> bool:
    wish = os.environ.get("RCUTILS_COLORIZED_OUTPUT")
    return wish == "1" if wish in ("0", "1") else stream.isatty()
