# SPDX-License-Identifier: Apache-2.0
"""Runs one node from start to SIGINT, without a traceback."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import rclpy
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node
from rclpy.task import Future

_POLL_S, _POLLS = 0.0005, 200


class ThreadedExecutor(MultiThreadedExecutor):
    """rclpy's, which looks for the next callback only once a thread has begun with the one before.

    Before 10.0.4 it does not wait, is offered the same callback anew, hundreds of times a second,
    and holds Python's lock while it looks, which the network wants: a third of the images was used
    (https://github.com/ros2/rclpy/issues/1452).
    """

    _handed: Any = None

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """What rclpy's method returns and raises."""
        task = self._handed
        for _ in range(_POLLS):  # all threads may be busy, and a coroutine may be waiting
            if task is None or task.executing() or task.done():
                break
            time.sleep(_POLL_S)
        ready: Any = super().wait_for_ready_callbacks(*args, **kwargs)
        self._handed = ready[0]
        return ready


def run(make_node: Callable[[], Node]) -> NoReturn:
    """Make a node, run it until a signal comes or its future ``finished`` (if any) is done, exit.

    It has as many threads as its attribute ``threads`` says, or one.

    The process ends here, with 0, or 1 when the node could not be made: taking torch apart would
    cost the interpreter seconds, and a network that is busy on a slow device cannot be interrupted.
    """
    code = _spin(make_node)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _spin(make_node: Callable[[], Node]) -> int:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which rclpy's builds on
        rclpy.init()
    except KeyboardInterrupt:
        return 0
    try:
        node = make_node()
    except (ValueError, ParameterException) as error:  # one line for whoever started us
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    except (KeyboardInterrupt, Exception):
        if rclpy.ok():
            raise  # else a signal came
        return 0
    threads = getattr(node, "threads", 1)
    executor = ThreadedExecutor(threads) if threads > 1 else SingleThreadedExecutor()
    executor.add_node(node)
    done = getattr(node, "finished", None) or Future()
    try:
        while rclpy.ok() and not done.done():
            with suppress(InvalidHandle):  # rclpy's: one thread destroyed what was due on another
                executor.spin_until_future_complete(done)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise  # else a callback was still publishing when the signal came
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would end in a traceback
        # That of rclpy's MultiThreadedExecutor waits, without limit, for callbacks that still run.
        Executor.shutdown(executor, timeout_sec=0.5)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
