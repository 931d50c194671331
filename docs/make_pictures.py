# SPDX-License-Identifier: Apache-2.0
"""Makes docs/query.png: the web view of a real run, in a headless Chromium.

    python docs/make_pictures.py [--checkpoint FILE] [--seconds 40]

Launches camera, node and web view, lets the map grow, queries a view and takes a picture. Needs
Chromium (apt install chromium) and the packages of the tests.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "test"))

from browser import Browser, find_chromium  # noqa: E402

PORT = 8099
PATIENCE_S = 120.0
# Only a browser without a GPU, as this one, says so in the corner.
CLOSE_MESSAGES = (
    "document.querySelectorAll('.mantine-Notification-root button').forEach(b => b.click())"
)


def wait(condition: Callable[[], bool], what: str) -> None:
    """Until it is true; ends the program when it does not become so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what} within {PATIENCE_S:.0f} s")
        time.sleep(0.5)


def is_served() -> bool:
    """Whether the page is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def take(browser: Browser, seconds: float) -> None:
    """Wait for the map, query a view, and take the picture."""
    browser.open(f"http://127.0.0.1:{PORT}")
    wait(lambda: "tracking" in browser.text(), "the node does not track")
    time.sleep(seconds)
    browser.evaluate(CLOSE_MESSAGES)
    time.sleep(1.0)
    browser.click("Query this view")
    wait(lambda: "Remove answers" in browser.text(), "the query was not answered")
    time.sleep(2.0)
    browser.screenshot(DOCS / "query.png")


def main() -> None:
    """Launch, take, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="", help="default: the small model that ships")
    parser.add_argument("--seconds", type=float, default=40.0, help="that the map may grow")
    args = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        sys.exit("there is no Chromium: apt install chromium")
    arguments = ["source:=synthetic", "loop:=true", "viewer:=true", f"viewer_port:={PORT}"]
    if args.checkpoint:
        arguments.append(f"checkpoint:={Path(args.checkpoint).resolve()}")
    launched = subprocess.Popen(
        ["ros2", "launch", "zipmap_ros", "stream.launch.py", *arguments], start_new_session=True
    )
    try:
        wait(is_served, "the viewer does not listen")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = Browser(chromium, Path(profile), 1440, 860)
            try:
                take(browser, args.seconds)
            finally:
                browser.close()
    finally:
        launched.send_signal(signal.SIGINT)
        launched.wait(20)
    print(DOCS / "query.png")


if __name__ == "__main__":
    main()
