# SPDX-License-Identifier: Apache-2.0
"""The default context and small functions around it."""

from __future__ import annotations

import sys
import threading

from rclpy.constants import S_TO_NS
from rclpy.context import Context

g_default_context: Context | None = None
g_context_lock = threading.Lock()


def get_default_context(*, shutting_down: bool = False) -> Context:
    """The context that is used where none is given."""
    global g_default_context
    with g_context_lock:
        if g_default_context is None:
            g_default_context = Context()
        if shutting_down:
            old, g_default_context = g_default_context, None
            return old
        return g_default_context


def remove_ros_args(args: list[str] | None = None) -> list[str]:
    """Arguments without those for ROS; of the process by default.

    Raises RCLInvalidROSArgsError or UnknownROSArgsError where those cannot be read.
    """
    from rclpy.impl.arguments import parse_own_arguments, split_arguments

    args = sys.argv if args is None else args
    parse_own_arguments(args)
    return split_arguments(args)[0]


def ok(*, context: Context | None = None) -> bool:
    """Whether a context is initialised and not shut down."""
    return (get_default_context() if context is None else context).ok()


def shutdown(*, context: Context | None = None) -> None:
    """Shut a context down."""
    if context is None:
        context = get_default_context(shutting_down=True)
        context.shutdown()
    else:
        context.shutdown()


def try_shutdown(*, context: Context | None = None) -> None:
    """Shut a context down, if not done already."""
    if context is None:
        global g_default_context
        with g_context_lock:
            if g_default_context is None:
                return
            context, g_default_context = g_default_context, None
    context.try_shutdown()


def get_rmw_implementation_identifier() -> str:
    """What this speaks."""
    return "rmw_cyclonedds_cpp"


def timeout_sec_to_nsec(timeout_sec: float | None) -> int | None:
    """Seconds as nanoseconds; None and negative mean without limit (None)."""
    if timeout_sec is None or timeout_sec < 0:
        return None
    return int(float(timeout_sec) * S_TO_NS)
