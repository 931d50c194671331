# SPDX-License-Identifier: Apache-2.0
"""Where a launch writes: the screen, `launch.log`, and one file per process on request.

The log directory is `$ROS_LOG_DIR/<start>-<host>-<pid>`, else `$ROS_HOME/log/...`, else
`~/.ros/log/...`; it is made when the first line is written.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable

OUTPUTS = {
    "screen": {"both": {"screen"}},
    "log": {"both": {"log"}, "stderr": {"screen"}},
    "both": {"both": {"log", "screen"}},
    "own_log": {"both": {"own_log"}, "stdout": {"own_log"}, "stderr": {"own_log"}},
    "full": {
        "both": {"screen", "log", "own_log"},
        "stdout": {"own_log"},
        "stderr": {"own_log"},
    },
}
_ALIASES = {"screen", "log", "own_log"}


class _ScreenHandler(logging.StreamHandler):
    """Writes to what sys.stdout is at that moment."""

    def __init__(self, form: str) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter(form, style="{"))

    @property
    def stream(self):
        return sys.stdout


class _FileHandler(logging.FileHandler):
    """Makes the log directory and the file with the first line."""

    def __init__(self, name: str, form: str) -> None:
        super().__init__(os.path.join(launch_config.log_dir, name), encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter(form, style="{"))

    def _open(self):
        os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
        return super()._open()


class LaunchConfig:
    """Log directory and level, for the whole process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget loggers and the log directory: the next line starts a new one."""
        for handler in getattr(self, "_files", {}).values():
            handler.close()
        self._log_dir: str | None = None
        self._level = logging.INFO
        self._files: dict[tuple[str, str], logging.Handler] = {}
        self._loggers: dict[str, logging.Logger] = {}

    @property
    def level(self) -> int:
        """Level below which nothing is written, `logging.INFO` by default."""
        return self._level

    @level.setter
    def level(self, new_level: int) -> None:
        self._level = new_level
        for logger in self._loggers.values():
            logger.setLevel(new_level)

    @property
    def log_dir(self) -> str:
        """The directory of this launch's log files; it need not exist yet."""
        if self._log_dir is None:
            now = time.time()
            start = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(now))
            name = f"{start}-{int(now % 1 * 1e6):06}-{os.uname().nodename}-{os.getpid()}"
            self._log_dir = os.path.join(_log_root(), name)
        return self._log_dir

    @log_dir.setter
    def log_dir(self, new_log_dir: str) -> None:
        self._log_dir = os.path.abspath(os.path.expanduser(new_log_dir))

    def get_log_file_path(self, file_name: str = "launch.log") -> str:
        """The path of a file in the log directory."""
        return os.path.join(self.log_dir, file_name)

    def _file(self, name: str, form: str) -> logging.Handler:
        return self._files.setdefault((name, form), _FileHandler(name, form))

    def _logger(self, name: str, handlers: Iterable[logging.Handler]) -> logging.Logger:
        # Not in Python's own tree of loggers: a process may be named like a library.
        logger = logging.Logger(name, self._level)
        for handler in handlers:
            logger.addHandler(handler)
        return logger


launch_config = LaunchConfig()

_MESSAGES = _ScreenHandler("[{levelname}] [{name}]: {msg}")
_LINES = _ScreenHandler("{msg}")
_FILE_FORM = "{created:.7f} [{levelname}] [{name}]: {msg}"


def _log_root() -> str:
    home = os.environ.get("ROS_HOME") or os.path.join("~", ".ros")
    return os.path.expanduser(os.environ.get("ROS_LOG_DIR") or os.path.join(home, "log"))


def get_logger(name: str = "launch") -> logging.Logger:
    """The logger of a part of the launch, or of a process by its name: screen and launch.log."""
    logger = launch_config._loggers.get(name)
    if logger is None:
        handlers = [_MESSAGES, launch_config._file("launch.log", _FILE_FORM)]
        logger = launch_config._loggers[name] = launch_config._logger(name, handlers)
    return logger


def get_output_loggers(
    process_name: str, output_config: str | dict[str, str | set[str]]
) -> tuple[logging.Logger, logging.Logger]:
    """Loggers for the lines a process writes to stdout and to stderr.

    `output_config` is `screen`, `log` (stderr on the screen too), `both`, `own_log`, `full`, or a
    dict from `stdout`, `stderr`, `both` to any of `screen`, `log`, `own_log`.
    """
    if isinstance(output_config, str):
        if output_config not in OUTPUTS:
            raise ValueError(
                f"'{output_config}' is not a valid output: use one of {sorted(OUTPUTS)}"
            )
        targets: dict[str, set[str]] = OUTPUTS[output_config]
    else:
        targets = {k: {v} if isinstance(v, str) else set(v) for k, v in output_config.items()}
    unknown = (
        set(targets) - {"stdout", "stderr", "both"} | set().union(*targets.values()) - _ALIASES
    )
    if unknown:
        raise ValueError(f"unknown source or target {sorted(unknown)} in output {output_config!r}")
    stdout, stderr = (
        launch_config._logger(f"{process_name}-{source}", _handlers(process_name, source, targets))
        for source in ("stdout", "stderr")
    )
    return stdout, stderr


def _handlers(process_name: str, source: str, targets: dict[str, set[str]]) -> list:
    wanted = targets.get("both", set()) | targets.get(source, set())
    handlers: list[logging.Handler] = []
    if "screen" in wanted:
        handlers.append(_LINES)
    if "log" in wanted:
        handlers.append(launch_config._file("launch.log", "{created:.7f} {msg}"))
    if "own_log" in targets.get("both", set()):
        handlers.append(launch_config._file(f"{process_name}.log", "{msg}"))
    if "own_log" in targets.get(source, set()):
        handlers.append(launch_config._file(f"{process_name}-{source}.log", "{msg}"))
    return handlers


def log_launch_config(*, logger: logging.Logger) -> None:
    """Say where the log files are."""
    logger.info(f"All log files can be found below {launch_config.log_dir}")
    level = logging.getLevelName(launch_config.level)
    logger.info(f"Default logging verbosity is set to {level}")


def reset() -> None:
    """Forget loggers and the log directory."""
    launch_config.reset()
