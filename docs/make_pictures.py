# SPDX-License-Identifier: Apache-2.0
"""Makes docs/viewer.png, growing.png and query.png: the web view of a real run, in a Chromium.

    python docs/make_pictures.py [--video CLIP] [--checkpoint FILE] [--seconds 40] [--out docs]

Launches camera, node and web view, takes the page while the map grows, and after a query. Takes
about two minutes; needs Chromium (apt install chromium) and the packages of the tests.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "test"))

from browser import Browser, find_chromium  # noqa: E402

PORT = 8099
PATIENCE_S = 120.0
WIDTH, HEIGHT = 1280, 760
PANEL = 318  # px, at the right
STAGES = (0.05, 0.25, 1.0)  # of the time that the map may grow
# Map units are about the distance that the camera sees, not metres: voxels of a fiftieth of that.
PARAMETERS = "/**:\n  ros__parameters:\n    map_voxel_m: 0.02\n"
# Only a browser without a GPU, as this one, says so in the corner.
CLOSE_MESSAGES = (
    "document.querySelectorAll('.mantine-Notification-root button').forEach(b => b.click())"
)

# What was pressed has scrolled the panel.
SCROLL_UP = "document.querySelectorAll('*').forEach(e => { if (e.scrollTop) e.scrollTop = 0 })"


def wait(condition: Callable[[], object], what: str) -> None:
    """Until it is true; ends the program when it does not become so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what} within {PATIENCE_S:.0f} s")
        time.sleep(0.2)


def is_served() -> bool:
    """Whether the page is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def press(browser: Browser, button: str) -> None:
    """Press what bears this text as soon as it is there."""
    wait(lambda: browser.click(button), f"no {button!r} on the page")


def mouse(browser: Browser, kind: str, dx: float, dy: float, **more: object) -> None:
    """A mouse event, so far from the middle of the scene."""
    x, y = (WIDTH - PANEL) / 2 + dx, HEIGHT / 2 + dy
    browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
    time.sleep(0.1)


def step_back_and_aside(browser: Browser) -> None:
    """Turn the mouse wheel over the scene, then drag it."""
    for _ in range(2):
        mouse(browser, "mouseWheel", 0, 0, deltaX=0, deltaY=300)
    mouse(browser, "mousePressed", 0, 0, button="left", buttons=1, clickCount=1)
    for step in range(1, 5):
        mouse(browser, "mouseMoved", 40 * step, 20 * step, button="left", buttons=1)
    mouse(browser, "mouseReleased", 160, 80, button="left", clickCount=1)


def save(picture: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) uint8."""
    Image.fromarray(picture).save(path, optimize=True)
    print(path, flush=True)


def take(browser: Browser, seconds: float, out: Path) -> None:
    """Take the map as it grows, then a query."""
    shot = out / "shot.png"
    browser.open(f"http://127.0.0.1:{PORT}")
    wait(lambda: "tracking" in browser.text(), "the node does not track")
    wait(lambda: (browser.screenshot(shot)[:, :-PANEL] > 110).mean() > 0.02, "no points appear")
    press(browser, "Reset")
    press(browser, "Forget everything")
    browser.evaluate(CLOSE_MESSAGES)
    began, stages = time.monotonic(), []
    for part in STAGES:
        time.sleep(max(began + part * seconds - time.monotonic(), 0.0))
        browser.evaluate(CLOSE_MESSAGES)
        browser.evaluate(SCROLL_UP)
        stages.append(browser.screenshot(shot))
    save(stages[-1], out / "viewer.png")
    scenes = [stage[:, :-PANEL] for stage in stages]
    save(np.concatenate(scenes, axis=1)[::2, ::2], out / "growing.png")
    # A view beside the robot's camera is asked for, and looked at from further back.
    press(browser, "Follow camera")
    time.sleep(3.0)
    press(browser, "Query this view")
    wait(lambda: "Remove answers" in browser.text(), "the query was not answered")
    press(browser, "Follow camera")
    step_back_and_aside(browser)
    time.sleep(3.0)
    save(browser.screenshot(shot), out / "query.png")
    shot.unlink()


@contextmanager
def launched(source: list[str]) -> Iterator[None]:
    """Camera, node and web view, until the end."""
    command = ["ros2", "launch", "zipmap_ros", "stream.launch.py", "viewer:=true"]
    process = subprocess.Popen([*command, f"viewer_port:={PORT}", *source], start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def main() -> None:
    """Launch, take, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", default="", help="default: the synthetic world")
    parser.add_argument("--checkpoint", default="", help="default: the small model that ships")
    parser.add_argument("--seconds", type=float, default=40.0, help="that the map may grow")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pictures")
    args = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        sys.exit("there is no Chromium: apt install chromium")
    source = ["source:=synthetic", "loop:=true"]
    if args.video:
        source = ["source:=auto", f"path:={Path(args.video).resolve()}"]
    if args.checkpoint:
        source.append(f"checkpoint:={Path(args.checkpoint).resolve()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was launched ends too
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parameters = Path(folder) / "parameters.yaml"
        parameters.write_text(PARAMETERS)
        with launched([*source, f"params_file:={parameters}"]):
            wait(is_served, "the viewer does not listen")
            browser = Browser(chromium, Path(folder) / "profile", WIDTH, HEIGHT)
            try:
                take(browser, args.seconds, args.out)
            finally:
                browser.close()


if __name__ == "__main__":
    main()
