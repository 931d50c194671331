# SPDX-License-Identifier: Apache-2.0
"""A browser that looks at the web view but draws nothing: the cost of the view without drawing."""

from __future__ import annotations

import threading
import time

import msgspec
import viser
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": (1, 0, 0, 0),
    "position": (0, 0, 0),
    "look_at": (0, 0, 1),
    "up_direction": (0, 0, 1),
    "fov": 1.0,
    "near": 0.1,
    "far": 100.0,
    "image_width": 800,
    "image_height": 600,
}


class Visitor:
    """Connected to a web view on this machine from construction until ``close``."""

    def __init__(self, port: int, timeout_s: float) -> None:
        """Raises OSError where nobody listens on ``port`` within ``timeout_s``."""
        self.received_mb = 0.0
        self._socket = _connected(port, timeout_s)
        self._socket.send(msgspec.msgpack.encode(CAMERA))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the web view still talks to us."""
        return self._thread.is_alive()

    def _read(self) -> None:
        try:
            for message in self._socket:
                self.received_mb += len(message) / 1e6
        except ConnectionClosed:
            pass

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def _connected(port: int, timeout_s: float) -> ClientConnection:
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            return connect(
                f"ws://127.0.0.1:{port}",
                origin=f"http://127.0.0.1:{port}",
                subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
                max_size=None,
            )
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)
