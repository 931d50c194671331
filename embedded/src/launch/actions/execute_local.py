# SPDX-License-Identifier: Apache-2.0
"""ExecuteLocal: run a process, show what it writes, restart it, and make it stop."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..conditions import evaluate_condition_expression
from ..descriptions import Executable
from ..event import Event
from ..event_handler import BaseEventHandler, as_entities
from ..event_handlers import OnProcessExit, OnShutdown, Reaction
from ..events.process import (
    ProcessExited,
    ProcessStarted,
    ProcessStderr,
    ProcessStdin,
    ProcessStdout,
    ProcessTargetedEvent,
    ShutdownProcess,
    SignalProcess,
)
from ..logging import get_logger, get_output_loggers
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

if TYPE_CHECKING:
    import asyncio

    from ..launch_context import LaunchContext
    from ..launch_description_entity import LaunchDescriptionEntity
    from .local_process import LocalProcess


class ExecuteLocal(Action):
    """Run an `Executable` on this machine.

    output: `screen`, `log`, `both`, `own_log`, `full` or a dict; see `launch.logging`. The
        environment variable OVERRIDE_LAUNCH_PROCESS_OUTPUT wins over it.
    output_format: a line on the screen, with `line` and `this` (this action).
    on_exit: entities, or a function of event and context, for every exit of the process.
    respawn: start again after an exit, after `respawn_delay` s, at most `respawn_max_retries`
        times (negative: for ever), never during shutdown.
    sigterm_timeout, sigkill_timeout: seconds from SIGINT to SIGTERM, and from that to SIGKILL;
        by default the launch configurations of these names, else 5.
    cached_output: keep all output for `get_stdout` and `get_stderr`.
    emulate_tty: the process sees a terminal, so that it does not buffer its output.

    The process leads its own process group and signals go to the whole group, so that Ctrl-C
    reaches a process once, and what a shell started does not outlive it.
    """

    def __init__(
        self,
        *,
        process_description: Executable,
        shell: bool = False,
        sigterm_timeout: SomeSubstitutionsType = LaunchConfiguration(  # noqa: B008
            "sigterm_timeout", default=5
        ),
        sigkill_timeout: SomeSubstitutionsType = LaunchConfiguration(  # noqa: B008
            "sigkill_timeout", default=5
        ),
        emulate_tty: bool = False,
        output: SomeSubstitutionsType | dict[str, Any] = "log",
        output_format: str = "[{this.process_description.final_name}] {line}",
        cached_output: bool = False,
        log_cmd: bool = False,
        on_exit: Reaction = None,
        respawn: bool | SomeSubstitutionsType = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.process_description = process_description
        self.shell = shell
        self.emulate_tty = emulate_tty
        self.sigterm_timeout = normalize_to_list_of_substitutions(sigterm_timeout)
        self.sigkill_timeout = normalize_to_list_of_substitutions(sigkill_timeout)
        output = os.environ.get("OVERRIDE_LAUNCH_PROCESS_OUTPUT") or output
        self.output = (
            output if isinstance(output, dict) else normalize_to_list_of_substitutions(output)
        )
        self.__output_format = output_format
        self.__cached_output = cached_output
        self.__log_cmd = log_cmd
        self.__on_exit = on_exit
        self.__respawn = normalize_typed_substitution(respawn, bool)
        self.__respawn_delay = respawn_delay or 0.0
        self.__retries_left = respawn_max_retries
        self.__details: dict[str, Any] | None = None
        self.__process: LocalProcess | None = None
        self.__return_code: int | None = None
        self.__timeouts_s: list[float] = []
        self.__logger = get_logger()
        self.__output_loggers: tuple[logging.Logger, logging.Logger] | None = None
        self.__stdout: list[str] = []
        self.__stderr: list[str] = []
        self.__stop_requested: asyncio.Event | None = None
        self.__completed: asyncio.Future[None] | None = None

    # ---- what is known of the process

    @property
    def process_details(self) -> dict[str, Any] | None:
        """action, name, cmd, cwd, env and, once started, pid. None before execution."""
        return self.__details

    @property
    def return_code(self) -> int | None:
        """Exit code of the last run, negative for a signal; None while it runs."""
        return self.__return_code

    def get_stdout(self) -> str:
        """All of standard output so far. RuntimeError without `cached_output`."""
        return self._cached(self.__stdout)

    def get_stderr(self) -> str:
        """All of standard error so far. RuntimeError without `cached_output`."""
        return self._cached(self.__stderr)

    def _cached(self, texts: list[str]) -> str:
        if not self.__cached_output:
            raise RuntimeError(
                f"cached_output must be true to read the output of {self.describe()}"
            )
        return "".join(texts)

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return [] if callable(self.__on_exit) else as_entities(self.__on_exit)

    def get_asyncio_future(self) -> asyncio.Future[None] | None:
        return self.__completed

    # ---- execution

    def prepare(self, context: LaunchContext) -> None:
        """Perform the substitutions; `process_details` is known afterwards."""
        description = self.process_description
        description.prepare(context, self)
        self.__details = {
            "action": self,
            "name": description.final_name,
            "cmd": description.final_cmd,
            "cwd": description.final_cwd,
            "env": description.final_env,
        }

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        import asyncio

        if self.__details is not None:
            raise RuntimeError(f"{self.describe()} executed more than once: {self.__details}")
        self.prepare(context)
        if context.is_shutdown:
            return None
        assert self.__details is not None
        name = self.__details["name"]
        output: Any = self.output
        if not isinstance(output, dict):
            output = perform_substitutions(context, output)
        self.__logger = get_logger(name)
        self.__output_loggers = get_output_loggers(name, output)
        self.__respawn = perform_typed_substitution(context, self.__respawn, bool)
        self.__timeouts_s = [
            float(perform_substitutions(context, parts))
            for parts in (self.sigterm_timeout, self.sigkill_timeout)
        ]
        tty = context.launch_configurations.get("emulate_tty")
        if tty is not None:
            self.emulate_tty = evaluate_condition_expression(
                context, normalize_to_list_of_substitutions(tty)
            )
        self.__stop_requested = asyncio.Event()
        self.__completed = context.asyncio_loop.create_future()
        handlers = self._event_handlers()
        for handler in handlers:
            context.register_event_handler(handler)
        task = context.asyncio_loop.create_task(self._run(context))
        task.add_done_callback(lambda done: self._complete(context, handlers, done))
        return None

    def _event_handlers(self) -> list[BaseEventHandler]:
        handlers: list[BaseEventHandler] = [
            _Addressed(self, ShutdownProcess, lambda event: self._request_stop()),
            _Addressed(self, SignalProcess, lambda event: self._send_signal(event.signal)),
            _Addressed(self, ProcessStdin, lambda event: self._write_stdin(event.text)),
            OnShutdown(on_shutdown=lambda *_: self._request_stop()),
        ]
        if self.__on_exit is not None:
            handlers.append(OnProcessExit(target_action=self, on_exit=self.__on_exit))
        return handlers

    def _complete(
        self,
        context: LaunchContext,
        handlers: list[BaseEventHandler],
        task: asyncio.Task[None],
    ) -> None:
        # The handler of on_exit stays: the last exit is still in the queue.
        for handler in handlers:
            if not isinstance(handler, OnProcessExit):
                context.unregister_event_handler(handler)
        assert self.__completed is not None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.__completed.set_exception(error)
        else:
            self.__completed.set_result(None)

    async def _run(self, context: LaunchContext) -> None:
        import asyncio

        assert self.__stop_requested is not None
        while await self._run_once(context):
            if not self.__respawn or self.__stop_requested.is_set() or self.__retries_left == 0:
                return
            self.__retries_left -= 1
            try:
                await asyncio.wait_for(self.__stop_requested.wait(), self.__respawn_delay)
                return
            except asyncio.TimeoutError:
                pass

    async def _run_once(self, context: LaunchContext) -> bool:
        """One life of the process; False where it could not be started."""
        import asyncio

        from .local_process import LocalProcess

        assert self.__details is not None and self.__stop_requested is not None
        details = self.__details
        if self.__log_cmd:
            self.__logger.info(
                f"process details: cmd='{' '.join(details['cmd'])}', cwd='{details['cwd']}'"
            )
        process = LocalProcess(lambda fd, data: self._on_output(context, fd, data))
        try:
            await process.start(
                details["cmd"], details["cwd"], details["env"], self.shell, self.emulate_tty
            )
        except OSError as error:
            self.__logger.error(f"cannot start '{' '.join(details['cmd'])}': {error}")
            return False
        self.__process, self.__return_code = process, None
        details["pid"] = process.pid
        self.__logger.info(f"process started with pid [{process.pid}]")
        context.emit_event_sync(ProcessStarted(**details))
        stopping = asyncio.ensure_future(self._stop_when_requested(process))
        try:
            returncode = await process.wait()
        finally:
            stopping.cancel()
        if self.__stop_requested.is_set():
            process.send_signal(signal.SIGTERM)  # to children that it left behind
        await process.close()
        self._flush_lines(process)
        self.__return_code = returncode
        self._log_exit(process.pid, returncode)
        context.emit_event_sync(ProcessExited(returncode=returncode, **details))
        return True

    def _log_exit(self, pid: int, returncode: int) -> None:
        assert self.__details is not None
        if returncode == 0:
            self.__logger.info(f"process has finished cleanly [pid {pid}]")
        else:
            self.__logger.error(
                f"process has died [pid {pid}, exit code {returncode}, "
                f"cmd '{' '.join(self.__details['cmd'])}']."
            )

    # ---- output

    def _on_output(self, context: LaunchContext, fd: int, data: bytes) -> None:
        assert self.__process is not None and self.__details is not None
        text = self.__process.decode(fd, data)
        if self.__cached_output:
            (self.__stdout if fd == 1 else self.__stderr).append(text)
        for line in self.__process.complete_lines(fd, text):
            self._show(fd, line)
        event = ProcessStdout if fd == 1 else ProcessStderr
        context.emit_event_sync(event(text=data, **self.__details))

    def _flush_lines(self, process: LocalProcess) -> None:
        for fd in (1, 2):
            rest = process.rest(fd)
            if rest:
                self._show(fd, rest)

    def _show(self, fd: int, line: str) -> None:
        assert self.__output_loggers is not None
        self.__output_loggers[fd - 1].info(self.__output_format.format(line=line, this=self))

    # ---- stopping and signals

    def _request_stop(self) -> None:
        assert self.__stop_requested is not None
        self.__stop_requested.set()

    async def _stop_when_requested(self, process: LocalProcess) -> None:
        """SIGINT, then SIGTERM, then SIGKILL, each when the one before did not help in time."""
        import asyncio

        assert self.__stop_requested is not None and self.__details is not None
        await self.__stop_requested.wait()
        self._send_signal(signal.SIGINT)
        steps = ((signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGKILL))
        for timeout, (sent, following) in zip(self.__timeouts_s, steps, strict=True):
            await asyncio.sleep(timeout)
            self.__logger.error(
                f"process[{self.__details['name']}] failed to terminate '{timeout:g}' seconds "
                f"after receiving '{sent.name}', escalating to '{following.name}'"
            )
            self._send_signal(following)

    def _send_signal(self, number: signal.Signals) -> None:
        assert self.__details is not None
        if self.__process is not None and self.__return_code is None:
            self.__logger.info(
                f"sending signal '{number.name}' to process[{self.__details['name']}]"
            )
            self.__process.send_signal(number)

    def _write_stdin(self, text: bytes) -> None:
        if self.__process is not None and self.__return_code is None:
            self.__process.write_stdin(text)


class _Addressed(BaseEventHandler):
    """Reacts to events of one class that address one action."""

    def __init__(
        self, action: ExecuteLocal, event_class: type[Event], react: Callable[[Any], None]
    ) -> None:
        def matches(event: Event) -> bool:
            if not isinstance(event, event_class):
                return False
            if isinstance(event, ProcessTargetedEvent):
                return event.process_matcher(action)
            return event.action is action  # type: ignore[attr-defined]

        super().__init__(matcher=matches)
        self.__react = react

    def handle(self, event: Event, context: LaunchContext) -> None:
        self.__react(event)
