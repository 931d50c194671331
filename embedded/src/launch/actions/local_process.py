# SPDX-License-Identifier: Apache-2.0
"""LocalProcess: one running process of an asyncio loop, its pipes and its process group."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import pty
import signal
from collections.abc import Callable, Mapping
from typing import Any

# What a process that has exited may still have in its pipes is there already; longer than this
# they stay open only when it left children behind that hold them.
_DRAIN_TIMEOUT_S = 0.5


class LocalProcess:
    """A process that leads its own session. `on_output(fd, data)` gets what it writes."""

    def __init__(self, on_output: Callable[[int, bytes], None]) -> None:
        self._on_output = on_output
        self._decoders = {fd: codecs.getincrementaldecoder("utf-8")("replace") for fd in (1, 2)}
        self._partial = {1: "", 2: ""}
        self._transport: asyncio.SubprocessTransport | None = None
        self._readers: list[tuple[asyncio.BaseTransport, asyncio.Future[None]]] = []

    async def start(
        self,
        cmd: list[str],
        cwd: str | None,
        env: Mapping[str, str] | None,
        shell: bool,
        emulate_tty: bool,
    ) -> None:
        """Start it. OSError where that is not possible. With `shell` the words are joined."""
        loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = loop.create_future()
        write_ends = [await self._open(fd, emulate_tty) for fd in (1, 2)]
        options: dict[str, Any] = {
            "stdin": asyncio.subprocess.PIPE,
            "stdout": write_ends[0],
            "stderr": write_ends[1],
            "cwd": cwd,
            "env": env,
            "start_new_session": True,
        }
        protocol = _ExitProtocol(self._exited)
        try:
            if shell:
                line = " ".join(cmd)
                started = await loop.subprocess_shell(lambda: protocol, line, **options)
            else:
                started = await loop.subprocess_exec(lambda: protocol, *cmd, **options)
        except OSError:
            self._close_readers()
            raise
        finally:
            for write_end in write_ends:
                os.close(write_end)
        self._transport = started[0]
        self.pid = self._transport.get_pid()

    async def _open(self, fd: int, emulate_tty: bool) -> int:
        """Read one end of a new pipe or terminal from now on; return the other."""
        loop = asyncio.get_running_loop()
        read_end, write_end = pty.openpty() if emulate_tty else os.pipe()
        closed: asyncio.Future[None] = loop.create_future()
        transport, _ = await loop.connect_read_pipe(
            lambda: _ReadProtocol(lambda data: self._on_output(fd, data), closed),
            os.fdopen(read_end, "rb", 0),
        )
        self._readers.append((transport, closed))
        return write_end

    async def wait(self) -> int:
        """Exit code (negative: the signal), after all output has been handed on."""
        returncode = await self._exited
        await asyncio.wait([closed for _, closed in self._readers], timeout=_DRAIN_TIMEOUT_S)
        self._close_readers()
        assert self._transport is not None
        self._transport.close()
        return returncode

    def _close_readers(self) -> None:
        for transport, _ in self._readers:
            transport.close()

    def send_signal(self, number: signal.Signals) -> None:
        """To the whole process group; nothing where it is gone."""
        if self._exited.done():
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def write_stdin(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._transport is not None
        pipe = self._transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)
        pipe.write(data)

    def decode(self, fd: int, data: bytes) -> str:
        """The text of `data`; a character cut in two comes with its second half."""
        return self._decoders[fd].decode(data)

    def complete_lines(self, fd: int, text: str) -> list[str]:
        """The lines that `text` completes, without their ends."""
        *lines, self._partial[fd] = (self._partial[fd] + text).split("\n")
        return [line.removesuffix("\r") for line in lines]

    def rest(self, fd: int) -> str:
        """What follows the last line end."""
        rest, self._partial[fd] = self._partial[fd], ""
        return rest


class _ExitProtocol(asyncio.SubprocessProtocol):
    def __init__(self, exited: asyncio.Future[int]) -> None:
        self._exited = exited

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def process_exited(self) -> None:
        returncode = self._transport.get_returncode()
        assert returncode is not None
        if not self._exited.done():
            self._exited.set_result(returncode)


class _ReadProtocol(asyncio.Protocol):
    def __init__(self, on_data: Callable[[bytes], None], closed: asyncio.Future[None]) -> None:
        self._on_data = on_data
        self._closed = closed

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
