# SPDX-License-Identifier: Apache-2.0
"""Events of processes: what happened to one, and what one is asked to do."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..event import Event

if TYPE_CHECKING:
    from ..actions import ExecuteLocal


class RunningProcessEvent(Event):
    """Something happened to a process."""

    name = "launch.events.process.RunningProcessEvent"

    def __init__(
        self,
        *,
        action: ExecuteLocal,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: Mapping[str, str] | None,
        pid: int,
    ) -> None:
        self.action = action
        self.execute_process_action = action
        self.process_name = name
        self.cmd = cmd
        self.cwd = cwd
        self.env = env
        self.pid = pid


class ProcessStarted(RunningProcessEvent):
    """A process runs."""

    name = "launch.events.process.ProcessStarted"


class ProcessExited(RunningProcessEvent):
    """A process has ended; a negative return code is the signal that ended it."""

    name = "launch.events.process.ProcessExited"

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.returncode = returncode


class ProcessIO(RunningProcessEvent):
    """Bytes from or for a process; `fd` is 0, 1 or 2."""

    name = "launch.events.process.ProcessIO"

    def __init__(self, *, text: bytes, fd: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.fd = fd

    @property
    def from_stdin(self) -> bool:
        """Whether the bytes are for standard input."""
        return self.fd == 0

    @property
    def from_stdout(self) -> bool:
        """Whether the bytes came from standard output."""
        return self.fd == 1

    @property
    def from_stderr(self) -> bool:
        """Whether the bytes came from standard error."""
        return self.fd == 2


class ProcessStdin(ProcessIO):
    """Bytes to be written to the standard input of `action`'s process."""

    name = "launch.events.process.ProcessStdin"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=0, **kwargs)


class ProcessStdout(ProcessIO):
    """A process wrote to standard output."""

    name = "launch.events.process.ProcessStdout"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=1, **kwargs)


class ProcessStderr(ProcessIO):
    """A process wrote to standard error."""

    name = "launch.events.process.ProcessStderr"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=2, **kwargs)


class ProcessTargetedEvent(Event):
    """Addressed to the processes whose action `process_matcher` accepts."""

    name = "launch.events.process.ProcessTargetedEvent"

    def __init__(self, *, process_matcher: Callable[[ExecuteLocal], bool]) -> None:
        self.process_matcher = process_matcher


class ShutdownProcess(ProcessTargetedEvent):
    """Stop: SIGINT, then SIGTERM, then SIGKILL."""

    name = "launch.events.process.ShutdownProcess"


class SignalProcess(ProcessTargetedEvent):
    """Send one signal, given as number, `signal.Signals` or name."""

    name = "launch.events.process.SignalProcess"

    def __init__(
        self,
        *,
        signal_number: int | str | signals.Signals,
        process_matcher: Callable[[ExecuteLocal], bool],
    ) -> None:
        super().__init__(process_matcher=process_matcher)
        if isinstance(signal_number, str):
            self.signal = signals.Signals[signal_number]
        else:
            self.signal = signals.Signals(signal_number)

    @property
    def signal_name(self) -> str:
        """`SIGINT` for instance."""
        return self.signal.name
