# SPDX-License-Identifier: Apache-2.0
"""The demo as a process in a terminal: what is left when that is closed."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from rosbench import until

DOMAIN = 64
ROOT = Path(__file__).resolve().parent.parent
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def running(mark: str) -> dict[int, str]:
    """Process ids and command lines of those whose environment has ``mark``."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                line = (process / "cmdline").read_text().replace("\0", " ")
                found[int(process.name)] = line
        except OSError:  # it has ended, or is another user's
            continue
    return found


def test_nothing_is_left_of_a_demo_whose_terminal_is_closed(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    ours, theirs = pty.openpty()
    command = [sys.executable, "scripts/demo.py", "--out", str(tmp_path)]
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PATH": PATH, "DEMO_MARK": mark},
    )
    os.close(theirs)
    said: list[bytes] = []

    def read() -> None:
        while b"viewer]: open" not in b"".join(said):
            said.append(os.read(ours, 4096))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until(lambda: not reader.is_alive(), f"no web view: {said}")
        assert any("stream_node" in line for line in running(mark).values())
        os.close(ours)
        until(lambda: not running(mark), f"left: {running(mark)}")
        assert process.wait() in (0, 1)  # with and without anything to report
    finally:
        for pid in running(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_what_is_no_video_is_said_before_anything_starts() -> None:
    command = [sys.executable, "scripts/demo.py", "--video", "README.md"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "README.md cannot be opened as a video" in ended.stderr
