# SPDX-License-Identifier: Apache-2.0
"""Nodes that a pool of threads spins while a test goes on."""

import contextlib
import threading

from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from waiting import PATIENCE_S


class Spinning:
    """A multi-threaded executor in a thread of its own."""

    def __init__(self, context, *nodes):
        self.executor = MultiThreadedExecutor(4, context=context)
        for node in nodes:
            self.executor.add_node(node)
        self.thread = threading.Thread(target=self._spin)

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def __enter__(self):
        self.thread.start()
        return self.executor

    def __exit__(self, *_):
        self.executor.shutdown()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
