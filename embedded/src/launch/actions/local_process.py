# SPDX-License-Identifier: Apache-2.0
"""LocalProcess: one running process of an asyncio loop, its pipes and its process group."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import functools
import io
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
        self._read_ends: list[io.FileIO] = []
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
        pairs = [pty.openpty() if emulate_tty else os.pipe() for _ in range(2)]
        options: dict[str, Any] = {
            "stdin": asyncio.subprocess.PIPE,
            "stdout": pairs[0][1],
            "stderr": pairs[1][1],
            "cwd": cwd,
            "env": env,
            "start_new_session": True,
        }
        protocol = _ExitProtocol(self._exited)
        self._read_ends = [os.fdopen(read_end, "rb", 0) for read_end, _ in pairs]
        try:
            if shell:
                line = " ".join(cmd)
                started = await loop.subprocess_shell(lambda: protocol, line, **options)
            else:
                started = await loop.subprocess_exec(lambda: protocol, *cmd, **options)
        except OSError:
            for read_end in self._read_ends:
                read_end.close()
            raise
        finally:
            for _, write_end in pairs:
                os.close(write_end)
        self._transport = started[0]
        self.pid = self._transport.get_pid()

    async def wait(self) -> int:
        """Read until it exits; exit code, negative for a signal."""
        loop = asyncio.get_running_loop()
        for fd, read_end in zip((1, 2), self._read_ends, strict=True):
            closed: asyncio.Future[None] = loop.create_future()
            protocol = _ReadProtocol(functools.partial(self._on_output, fd), closed)
            reader, _ = await loop.connect_read_pipe(protocol.itself, read_end)
            self._readers.append((reader, closed))
        return await self._exited

    async def close(self) -> None:
        """Read what an exited process has left in its pipes, then close them."""
        assert self._transport is not None
        await asyncio.wait([closed for _, closed in self._readers], timeout=_DRAIN_TIMEOUT_S)
        for transport in (*(reader for reader, _ in self._readers), self._transport):
            transport.close()

    def send_signal(self, number: signal.Signals) -> None:
        """To the whole process group, or what an exit has left of it; nothing where it is gone."""
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

    def itself(self) -> _ReadProtocol:
        return self

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
