# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium for tests, driven by the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
# The middle of the smallest visible element with this text, or null.
FIND = """(() => {
  const shown = [...document.querySelectorAll('button, label, p, h2, span, div, td')].filter(
    e => e.textContent.trim() === %s && e.getClientRects().length);
  if (!shown.length) return null;
  const e = shown[shown.length - 1];
  e.scrollIntoView({block: 'center'});
  const r = e.getBoundingClientRect();
  return [r.left + r.width / 2, r.top + r.height / 2];
})()"""


def find_chromium() -> str | None:
    """The path of a Chromium, if any."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a browser and a profile of its own. ``requests`` has what it asked the net."""

    def __init__(
        self, executable: str, profile: Path, width: int = 1120, height: int = 700
    ) -> None:
        self._process = subprocess.Popen(
            [
                executable,
                *FLAGS,
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        end = time.monotonic() + 120
        while not (port_file.exists() and len(port_file.read_text().split()) == 2):
            assert self._process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < end, "Chromium did not start within 120 s"
            time.sleep(0.05)
        port, path = port_file.read_text().split()
        self._socket = connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None)
        self._ids = itertools.count(1)
        self._session: str | None = None
        self.requests: list[str] = []
        (page,) = [
            t["targetId"]
            for t in self.send("Target.getTargets")["targetInfos"]
            if t["type"] == "page"
        ]
        self._session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.send("Network.enable")
        self.send("Page.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def close(self) -> None:
        """End the browser."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(60)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(120))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str) -> None:
        """Go to a page."""
        self.send("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        """All that can be read on the page."""
        return self.evaluate("document.body ? document.body.innerText : ''")

    def click(self, text: str) -> bool:
        """Click what bears this text, as a mouse would; whether it is there."""
        place = self.evaluate(FIND % json.dumps(text))
        if place is None:
            return False
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._mouse(kind, *place)
        return True

    def drag(self, start: tuple[int, int], end: tuple[int, int], steps: int = 10) -> None:
        """Hold the left button from one pixel (x, y) to another."""
        self._mouse("mousePressed", *start)
        for x, y in np.linspace(start, end, steps + 1)[1:]:
            self._mouse("mouseMoved", x, y, held=True)
        self._mouse("mouseReleased", *end)

    def _mouse(self, kind: str, x: float, y: float, held: bool = False) -> None:
        presses = kind != "mouseMoved"
        button = "left" if presses or held else "none"
        fields = {"x": float(x), "y": float(y), "button": button, "clickCount": int(presses)}
        self.send("Input.dispatchMouseEvent", type=kind, **fields)

    def screenshot(self, path: Path) -> np.ndarray:
        """The page as (H, W, 3) uint8 RGB, kept as a PNG."""
        data = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
