# SPDX-License-Identifier: Apache-2.0
"""Matchers for events that address processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import matches_action

if TYPE_CHECKING:
    from ..actions import ExecuteLocal

__all__ = ["matches_action", "matches_executable", "matches_name", "matches_pid"]


def matches_pid(pid: int) -> Callable[[ExecuteLocal], bool]:
    """Accepts the action whose process has this id."""
    return lambda action: (action.process_details or {}).get("pid") == pid


def matches_name(name: str) -> Callable[[ExecuteLocal], bool]:
    """Accepts the action whose process has this name, number included: `talker-1`."""
    return lambda action: (action.process_details or {}).get("name") == name


def matches_executable(executable: str) -> Callable[[ExecuteLocal], bool]:
    """Accepts actions whose command starts with `executable`."""
    return lambda action: (action.process_details or {}).get("cmd", [None])[0] == executable
