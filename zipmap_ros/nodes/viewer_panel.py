# SPDX-License-Identifier: Apache-2.0
"""The controls that all browsers share: status, pictures, sliders and buttons."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

import numpy as np
import viser
from numpy.typing import NDArray

from zipmap_ros.msg import Status
from zipmap_ros.nodes.viewer_cloud import COLOR_MODES
from zipmap_ros.nodes.viewer_pictures import (
    beside,
    confidence_picture,
    depth_picture,
    fit,
)
from zipmap_ros.nodes.viewer_scene import Settings
from zipmap_ros.nodes.viewer_server import ViewerError
from zipmap_ros.nodes.viewer_services import ZipmapServices

PICTURE = 400  # px, width of the pictures that are sent
CHOSEN = "\N{CHECK MARK} "  # before the button of the mode that is on
MODES = {Status.MAPPING: "mapping", Status.LOCALIZATION: "localisation"}
JPEG_RATIO = 12  # about how much smaller JPEG makes them
# What each state is called and coloured.
STATES = {
    Status.UNCONFIGURED: ("not configured", "#868e96"),
    Status.WAITING_FOR_IMAGE: ("waiting for images", "#f08c00"),
    Status.WAITING_FOR_TF: ("waiting for TF", "#f08c00"),
    Status.INITIALISING: ("initialising", "#1c7ed6"),
    Status.TRACKING: ("tracking", "#2f9e44"),
    Status.LOST: ("lost", "#e03131"),
    Status.PAUSED: ("paused", "#7950f2"),
}


class Panel:
    """The shared part of the page. Callbacks run on viser's threads and change `settings`."""

    def __init__(
        self, server: viser.ViserServer, settings: Settings, robot: ZipmapServices
    ) -> None:
        self._robot, self._settings = robot, settings
        self._paused = False
        self._shown = ""
        self._mode_shown: int | None = None
        gui = server.gui
        gui.configure_theme(
            dark_mode=True, show_logo=False, show_share_button=False, brand_color=(255, 140, 40)
        )
        gui.main_panel.dock_right()
        self._status = gui.add_html(status_html(None), order=0)
        with gui.add_folder("Camera", order=2):
            blank = fit(np.full((9, 16, 3), 30, np.uint8), PICTURE)
            self._image = gui.add_image(blank, label="Image", jpeg_quality=70)
            blank = fit(beside(blank, blank), PICTURE)
            self._depth = gui.add_image(blank, label="Depth | confidence", jpeg_quality=70)
        self._add_buttons(gui)
        self._add_display(gui)

    def show_status(self, status: Status | None, old_s: float = 0.0) -> None:
        """Write the status, and how old it is if it is old; sent only when its words change."""
        text = status_html(status, old_s)
        if text != self._shown:
            self._shown = self._status.content = text
        paused = status is not None and status.state == Status.PAUSED
        if paused != self._paused:
            self._paused = paused
            self._pause.label = "Resume" if paused else "Pause"
            self._pause.icon = viser.Icon.PLAYER_PLAY if paused else viser.Icon.PLAYER_PAUSE
        mode = None if status is None else status.mode
        if mode != self._mode_shown:
            self._mode_shown = mode
            self._mode.options = tuple(
                f"{CHOSEN}{name}" if value == mode else name for value, name in MODES.items()
            )

    def show_image(self, image: NDArray[np.uint8]) -> int:
        """Show the camera's image (H, W, 3); about how many bytes that is."""
        self._image.image = sized = fit(image, PICTURE)
        return sized.size // JPEG_RATIO

    def show_depth(self, depth: NDArray[np.float32], confidence: NDArray[np.float32]) -> int:
        """Show depth and confidence (H, W); about how many bytes that is."""
        picture = beside(depth_picture(depth), confidence_picture(confidence))
        self._depth.image = sized = fit(picture, PICTURE)
        label = depth_words(depth, confidence)
        if label != self._depth.label:
            self._depth.label = label
        return sized.size // JPEG_RATIO

    def _add_buttons(self, gui: viser.GuiApi) -> None:
        with gui.add_folder("Mapping", order=3):
            self._pause = gui.add_button("Pause", icon=viser.Icon.PLAYER_PAUSE)
            self._mode = gui.add_button_group("Mode", tuple(MODES.values()))
            name = gui.add_text("Save as", "", hint="empty: the time of day")
            save = gui.add_button("Save map", icon=viser.Icon.DEVICE_FLOPPY)
            reset = gui.add_button("Reset", icon=viser.Icon.REFRESH, color="red")

        @self._pause.on_click
        def _(event: viser.GuiEvent) -> None:
            _tell(event, "Pause", lambda: self._robot.pause(not self._paused))

        @self._mode.on_click
        def _(event: viser.GuiEvent) -> None:
            mapping = self._mode.value.endswith(MODES[Status.MAPPING])
            _tell(event, "Mode", lambda: self._robot.set_mapping(mapping))

        @save.on_click
        def _(event: viser.GuiEvent) -> None:
            chosen = name.value.strip() or time.strftime("map-%Y%m%d-%H%M%S")
            _tell(event, "Save", lambda: self._robot.save(chosen))

        @reset.on_click
        def _(event: viser.GuiEvent) -> None:
            self._confirm_reset(event)

    def _confirm_reset(self, event: viser.GuiEvent) -> None:
        client = event.client
        if client is None:
            return
        with client.gui.add_modal("Forget the map?") as modal:
            client.gui.add_markdown("State, map and trajectory go. What was saved stays.")
            sure = client.gui.add_button("Forget everything", color="red")
            keep = client.gui.add_button("Keep")
        keep.on_click(lambda _: modal.close())

        @sure.on_click
        def _(event: viser.GuiEvent) -> None:
            modal.close()
            _tell(event, "Reset", self._robot.reset)

    def _add_display(self, gui: viser.GuiApi) -> None:
        s, cloud = self._settings, self._settings.cloud
        with gui.add_folder("Display", order=4):
            color = gui.add_dropdown("Colour", COLOR_MODES, initial_value=cloud.mode)
            size = gui.add_slider("Point size", 0.2, 3.0, 0.1, s.point_size, hint="in voxels")
            voxel = gui.add_slider(
                "Voxel",
                cloud.voxel,
                10 * cloud.voxel,
                cloud.voxel / 2,
                cloud.voxel,
                hint="map units",
            )
            confidence = gui.add_slider("Confidence", 1.0, 10.0, 0.1, cloud.min_confidence)
            newest = gui.add_checkbox("Newest points", s.show_newest)
            frusta = gui.add_checkbox("Past cameras", s.show_frusta)
            path = gui.add_checkbox("Trajectory", s.show_path)
        for control, target, attribute in (
            (color, cloud, "mode"),
            (size, s, "point_size"),
            (voxel, cloud, "voxel"),
            (confidence, cloud, "min_confidence"),
            (newest, s, "show_newest"),
            (frusta, s, "show_frusta"),
            (path, s, "show_path"),
        ):
            control.on_update(_setter(target, attribute))


def depth_words(depth: NDArray[np.float32], confidence: NDArray[np.float32]) -> str:
    """What the picture of depth and confidence spans."""
    known = depth[np.isfinite(depth)]
    near, far = np.percentile(known, [2, 98]) if len(known) else (0.0, 0.0)
    words = f"Depth {near:.1f} to {far:.1f}" if len(known) else "Depth: nowhere confident"
    return f"{words} | confidence up to {np.nanmax(confidence):.1f}"


def _setter(target: object, attribute: str) -> Callable[[viser.GuiEvent], None]:
    return lambda event: setattr(target, attribute, event.target.value)


def _tell(event: viser.GuiEvent, title: str, act: Callable[[], str]) -> None:
    """Do it, and say in the browser that asked what came of it."""
    try:
        text, failed = act(), False
    except ViewerError as error:
        text, failed = str(error), True
    if event.client is not None:
        event.client.add_notification(
            title, text, auto_close_seconds=6.0, color="red" if failed else "green"
        )


def status_html(status: Status | None, old_s: float = 0.0) -> str:
    """The status as a small table, and its age unless 0; what nodes say is escaped."""
    if status is None:
        return _padded(
            _chip("no node", "#868e96") + _hint("nothing heard on the topic zipmap/status")
        )
    name, color = STATES.get(status.state, (f"state {status.state}", "#868e96"))
    dropped = sum(int(pair.value) for pair in status.frames_dropped)
    reasons = ", ".join(f"{pair.key} {pair.value}" for pair in status.frames_dropped)
    scale = f"metric ({status.scale_source})" if status.metric else "not metric"
    rows = {
        "Speed": f"{status.output_rate:.1f} fps of {status.input_rate:.1f}",
        "Latency": f"{status.latency_p50 * 1e3:.0f} ms, p95 {status.latency_p95 * 1e3:.0f} ms",
        "Frames": f"{status.frames_used:,} used, {status.frames_gated:,} gated",
        "Dropped": f"{dropped:,}" + (f" ({reasons})" if reasons else ""),
        "Map": f"{status.map_points:,} points, {status.map_mb:.0f} MB",
        "Lengths": scale,
        "Network": f"{status.variant} on {status.device}",
    }
    cells = "".join(
        f'<tr><td style="opacity:.6;padding-right:1em">{key}</td><td>{html.escape(value)}</td></tr>'
        for key, value in rows.items()
    )
    return _padded(
        _chip(name, color)
        + _chip(MODES.get(status.mode, f"mode {status.mode}"), "#495057")
        + f'<table style="font-size:.8em;margin-top:.5em;line-height:1.5">{cells}</table>'
        + (_hint(status.hint) if status.hint else "")
        + (_hint(f"last heard of {old_s:.0f} s ago") if old_s else "")
    )


def _padded(content: str) -> str:
    return f'<div style="padding:.2em .8em .6em">{content}</div>'


def _chip(text: str, color: str) -> str:
    return (
        f'<span style="background:{color};color:#fff;border-radius:1em;padding:.15em .8em;'
        f'margin-right:.4em;font-size:.85em;font-weight:600">{html.escape(text)}</span>'
    )


def _hint(text: str) -> str:
    return f'<div style="font-size:.8em;margin-top:.5em;color:#f08c00">{html.escape(text)}</div>'
