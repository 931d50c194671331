# SPDX-License-Identifier: Apache-2.0
"""Processes that tests talk with."""

import os
import queue
import subprocess
import threading
import time

from waiting import PATIENCE_S


class Process:
    """A process that is driven by lines and says what happens in lines."""

    def __init__(self, command, **environment):
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines, self._new = [], queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.wait_for("up")

    def _listen(self):
        for line in self._process.stdout:
            self._new.put(line.rstrip("\n"))
        self._new.put(None)

    def tell(self, word):
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def wait_for(self, line, patience_s=PATIENCE_S):
        """Wait until it has said so (part of a line), since last asked; whether it did in time."""
        end = time.monotonic() + patience_s
        while (left := end - time.monotonic()) > 0:
            try:
                heard = self._new.get(timeout=left)
            except queue.Empty:
                break
            assert heard is not None, f"it has ended, without '{line}': {self.lines}"
            self.lines.append(heard)
            if line in heard:
                return True
        assert patience_s < PATIENCE_S, f"never '{line}': {self.lines}"
        return False

    def leave(self):
        """End it; everything it said."""
        if self._process.poll() is None:
            self.tell("leave")
        self._process.wait(PATIENCE_S)
        self._listener.join()
        while (line := self._new.get()) is not None:
            self.lines.append(line)
        return self.lines

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._process.stdin.close()
        self._process.stdout.close()
