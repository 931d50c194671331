# SPDX-License-Identifier: Apache-2.0
"""Blocking without polling: waitsets and the conditions that other threads trigger."""

from __future__ import annotations

import ctypes as ct

from rclpy.impl.dds.library import INFINITY, check, dds


class Trigger:
    """A condition that any thread can set; it stays set until taken."""

    def __init__(self, participant: int) -> None:
        self.handle = check(dds.dds_create_guardcondition(participant), "make a guard condition")

    def set(self) -> None:
        """Wake every waitset that waits for this. Does nothing once deleted."""
        if self.handle:
            dds.dds_set_guardcondition(self.handle, True)

    def take(self) -> bool:
        """Reset, and return whether it was set."""
        value = ct.c_bool()
        return bool(
            self.handle
            and dds.dds_take_guardcondition(self.handle, ct.byref(value)) == 0
            and value.value
        )

    def delete(self) -> None:
        """Free it. Later calls do nothing."""
        if self.handle:
            dds.dds_delete(self.handle)
            self.handle = 0


class WaitSet:
    """Waits for any of a set of conditions and entities, named by their handles."""

    def __init__(self, participant: int) -> None:
        self._handle = check(dds.dds_create_waitset(participant), "make a waitset")
        self._attached: set[int] = set()

    def attach_only(self, handles: set[int]) -> None:
        """Wait for exactly these from now on. Handles that no longer exist are passed over."""
        if handles == self._attached:
            return
        for handle in self._attached - handles:
            dds.dds_waitset_detach(self._handle, handle)
        added = {
            handle
            for handle in handles - self._attached
            if dds.dds_waitset_attach(self._handle, handle, handle) >= 0
        }
        self._attached = (self._attached & handles) | added

    def wait(self, timeout_ns: int | None = None) -> set[int]:
        """Block until something is triggered; returns its handles, none on timeout."""
        room = len(self._attached) + 1
        triggered = (ct.c_ssize_t * room)()
        timeout = INFINITY if timeout_ns is None else max(0, timeout_ns)
        count = check(dds.dds_waitset_wait(self._handle, triggered, room, timeout), "wait")
        return set(triggered[: min(count, room)])

    def delete(self) -> None:
        """Free it; a thread that waits must have been woken before."""
        if self._handle:
            dds.dds_delete(self._handle)
            self._handle = 0
