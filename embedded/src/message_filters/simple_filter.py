# SPDX-License-Identifier: Apache-2.0
"""The base of all filters: a list of callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time


class SimpleFilter:
    """Signals its callbacks with each output."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(output..., *args)` for each output; return the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Hand an output to the callbacks."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)


def stamp_of(message: Any, allow_headerless: bool, asked_by: str) -> Time | None:
    """Return the stamp of a message; without a header the present time, or None with a warning."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if stamp is not None:
        return Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(asked_by).warning(
        f"{type(message).__name__} has no header: message dropped "
        "(allow_headerless=True would stamp it on arrival)"
    )
    return None
