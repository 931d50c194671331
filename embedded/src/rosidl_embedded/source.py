# SPDX-License-Identifier: Apache-2.0
"""Generated Python source."""

from __future__ import annotations

from typing import Any


def run_source(source: str, scope: dict[str, Any]) -> None:
    """Run generated source; what it defines is in `scope` afterwards.

    It is compiled first: where `exec` of a string is interrupted, CPython later ends the process as
    killed by SIGINT, also when the KeyboardInterrupt was handled.
    """
    exec(compile(source, "<generated>", "exec"), scope)
