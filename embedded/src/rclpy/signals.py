# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM shut contexts down; whoever spins is woken at once."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from enum import IntEnum
from types import FrameType
from typing import Any

from rclpy.context import open_participants, shut_down_all_contexts, wake_all_contexts


class SignalHandlerOptions(IntEnum):
    """Which signals are handled."""

    NO = 0
    SIGINT = 1
    SIGTERM = 2
    ALL = 3


_SIGNALS = {
    SignalHandlerOptions.SIGINT: signal.SIGINT,
    SignalHandlerOptions.SIGTERM: signal.SIGTERM,
}
_previous: dict[signal.Signals, Any] = {}
_options = SignalHandlerOptions.NO
_pipe: tuple[int, int] | None = None
_previous_fd = -1
_forking = threading.local()


def install_signal_handlers(
    options: SignalHandlerOptions = SignalHandlerOptions.ALL,
) -> None:
    """Handle the signals; in any other thread than the main one this does nothing."""
    global _options
    if threading.current_thread() is not threading.main_thread():
        return
    _options = SignalHandlerOptions(_options | options)
    for option, number in _SIGNALS.items():
        if options & option and number not in _previous:
            _previous[number] = signal.signal(number, _handle)
    if options:
        _watch()


def get_current_signal_handlers_options() -> SignalHandlerOptions:
    """What is handled now."""
    return _options


def uninstall_signal_handlers() -> None:
    """Give the signals back."""
    global _options
    if threading.current_thread() is threading.main_thread():
        for number, handler in _previous.items():
            if signal.getsignal(number) is _handle:
                signal.signal(number, handler)
        _previous.clear()
        _options = SignalHandlerOptions.NO


def _handle(number: int, frame: FrameType | None) -> None:
    previous = _previous.get(signal.Signals(number))
    try:
        shut_down_all_contexts()
    finally:  # whatever the shutdown meets in what it interrupts
        if callable(previous):
            previous(number, frame)


def _watch() -> None:
    """Wake sleepers from a thread: Python runs handlers only when the main thread returns from C.

    The signal writes a byte into a pipe on which that thread sleeps.
    """
    global _pipe, _previous_fd
    if _pipe is not None:
        return
    _pipe = os.pipe()
    os.set_blocking(_pipe[1], False)
    _previous_fd = signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    threading.Thread(
        target=_wake_on_signal, args=(_pipe[0],), name="ros-signals", daemon=True
    ).start()


def _wake_on_signal(pipe: int) -> None:
    while True:
        numbers = os.read(pipe, 64)
        if _previous_fd >= 0:
            os.write(_previous_fd, numbers)
        wake_all_contexts()
        if any(signal.getsignal(number) is _handle for number in numbers):
            _end_writes(pipe)


def _end_writes(pipe: int) -> None:
    """Forget readers that writes wait for, until what is shut down has left or a signal comes.

    The main thread runs the handler only once its write has returned, and nothing else makes it.
    """
    from rclpy.impl.dds.endpoint import writers_that_wait

    ending = open_participants()
    while ending & open_participants() and not select.select([pipe], [], [], 0)[0]:
        waiting = writers_that_wait()
        for participant in ending:
            participant.forget_readers(w for w in waiting if w.participant == participant.handle)


def _hold() -> None:
    """Before a fork: whose signal it is, is known once the child has its handlers."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, tuple(_previous))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _give_back_in_child() -> None:
    """In a child that was forked: its signals end it, and not the sleep of its parent."""
    global _pipe
    try:
        if _pipe is not None:
            with suppress(OSError, ValueError):  # whose it was may have closed it
                signal.set_wakeup_fd(_previous_fd)
            for end in _pipe:
                os.close(end)
            _pipe = None
        uninstall_signal_handlers()
    finally:
        _release()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_give_back_in_child)
