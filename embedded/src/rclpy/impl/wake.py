# SPDX-License-Identifier: Apache-2.0
"""Waking what sleeps, from signal handlers too."""

from __future__ import annotations

import threading


def notify_all(condition: threading.Condition) -> None:
    """Wake whoever waits for a condition.

    In the main thread, where handlers of signals run, it does not wait for the lock and may do
    nothing. The thread that watches signals calls it too, and gets the lock once the main thread
    sleeps or is about to look again.
    """
    if condition.acquire(blocking=threading.current_thread() is not threading.main_thread()):
        try:
            condition.notify_all()
        finally:
            condition.release()
