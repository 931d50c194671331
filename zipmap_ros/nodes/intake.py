# SPDX-License-Identifier: Apache-2.0
"""What comes in while the node is active: images, placed on the robot or dropped and counted."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import qos_profile_sensor_data

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.camera_input import CameraInput
from zipmap_ros.nodes.convert import NS, ConvertError
from zipmap_ros.nodes.transforms import FOREIGN_CLOCK_NS, TransformError

if TYPE_CHECKING:
    from zipmap_ros.nodes.stream_node import StreamNode

# So many images in a row, from one this much older than the last on, say that time jumped back.
TIME_JUMP_NS = NS
JUMPED_AFTER = 3
# So many in a row that are not newer than the last, and no jump, are worth a word.
STALE_AFTER = 10
# Odometry may miss so many images in a row before the state is WAITING_FOR_TF.
ODOMETRY_PATIENCE = 3
# The scale, for which TF had no odometry, does without for so long before it waits for it again.
ODOMETRY_AGAIN_S = 2.0
# Cameras of one body whose stamps are further apart than this do not carry each other; so many
# images tell it from a delay.
APART_NS, APART_AFTER = NS, 10
# The z axis of a camera's frame along that of the base: more than this is no view ahead or down.
LOOKS_UP = 0.7
# How long the first /clock may take.
CLOCK_PATIENCE_S = 2.0
NO_CLOCK = (
    "use_sim_time is set but nothing comes on /clock: play the bag with --clock, or set "
    "use_sim_time to false"
)


class Intake:
    """The subscriptions of an active node, and what is wrong with what comes in.

    An image goes to the worker once TF has said where its camera is and, with tf_mode map_to_odom,
    where the robot was at its stamp: what cannot be placed on the robot is not mapped either.
    """

    def __init__(self, node: StreamNode, last_stamps: dict[str, int]) -> None:
        """``last_stamps``, by the name of the camera, are those of the activation before: time may
        have jumped back since. They are kept up to date."""
        self._node, self._worker = node, node.worker
        self._seen = False
        self._clockless_s = math.inf  # since when images come while time stands at 0
        # All by the name of the camera.
        self._last_stamps = last_stamps
        self._older: dict[str, list[int]] = {}  # last stamps, since one was newer
        self._ahead: set[str] = set()  # whose last image was from ahead of time
        self._stale: dict[str, tuple[int, str]] = {}  # images in a row that were none, and why
        self._jumped: dict[str, int] = {}  # how often the queue was emptied when a frame said so
        self._told: dict[str, str] = {}  # the frame whose mount the mapper knows
        self._unplaced: dict[str, tuple[int, str]] = {}  # images in a row, and why
        self._no_odometry_s = -math.inf  # when TF had none for the scale
        self._clock_hints: dict[str, str] = {}
        self._behind: dict[str, tuple[int, ...]] = {}  # stamps of the last images, behind now
        self._cameras = [
            CameraInput(node, name, node.values, self._on_frame, node.worker.drop)
            for name in node.values.cameras or ("",)
        ]
        self._odometry = node.create_subscription(
            Odometry,
            "odom",
            self._on_odometry,
            qos_profile_sensor_data,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def close(self) -> None:
        """Unsubscribe."""
        for camera in self._cameras:
            camera.close()
        self._node.destroy_subscription(self._odometry)

    def want_depth(self, wanted: bool) -> None:
        """Subscribe to measured depth, or no longer; all else goes on."""
        for camera in self._cameras:
            camera.want_depth(wanted)

    def forget(self, reason: str) -> None:
        """Any stamp may come next; what waits for its depth is counted as dropped by ``reason``."""
        for camera in self._cameras:
            camera.forget(reason)
        self._last_stamps.clear()
        self._stale.clear()
        self._seen = False

    def trouble(self) -> tuple[int, str] | None:
        """The state that says what is missing, with what to do; None while images come in."""
        silent = {c.name: c.silence() for c in self._silent()}
        unplaced = tuple(self._unplaced.items())
        missing = [why for name, (_, why) in unplaced if why and name not in silent]
        if missing:
            return Status.WAITING_FOR_TF, "; ".join([*missing, *silent.values()])
        if silent or not self._seen:
            unusable = [c.problem for c in self._cameras if c.problem]
            return Status.WAITING_FOR_IMAGE, "; ".join(silent.values() or unusable)
        if stale := [why for _, why in tuple(self._stale.values()) if why]:
            return Status.WAITING_FOR_IMAGE, "; ".join(stale)
        return None

    @property
    def clock_hint(self) -> str:
        """What to do about stamps of another clock; "" while there are none."""
        return next((hint for hint in tuple(self._clock_hints.values()) if hint), "")

    def warn_of_silence(self) -> None:
        """Name the topics of each camera from which nothing comes."""
        limit_s = self._node.values.no_data_warn_s
        for camera in self._silent():
            text = f"no image for {limit_s:g} s: {camera.silence()}"
            self._node.warn(f"silence of {camera.name}", text, every_s=limit_s)

    def _silent(self) -> list[CameraInput]:
        limit_s = self._node.values.no_data_warn_s
        return [c for c in self._cameras if time.monotonic() - c.last_image_s > limit_s]

    def _on_frame(self, frame: Frame) -> None:
        emptied = self._worker.emptied  # now: whoever pauses or resets from here on means it too
        if self._node.paused:
            self._worker.drop("paused")
        elif self._in_order(frame):
            self._check_clock(frame)
            if self._place(frame):
                self._worker.submit(frame, max(emptied, self._jumped.get(frame.source, 0)))
        self._node.refresh_status()

    def _in_order(self, frame: Frame) -> bool:
        """Whether the frame is newer than the last, or of a time that has jumped back.

        A lone old stamp is no jump: a driver's first, or those of a second publisher. Nor is one
        from ahead of time.
        """
        if self._is_first_ahead(frame):
            self._worker.drop("out_of_order")
            return False
        last_ns = self._last_stamps.get(frame.source, frame.stamp_ns - 1)
        if frame.stamp_ns > last_ns:
            self._older.pop(frame.source, None)
            self._stale.pop(frame.source, None)
        else:
            older = [*self._older.get(frame.source, ()), frame.stamp_ns][-JUMPED_AFTER:]
            self._older[frame.source] = older
            rises = all(a < b for a, b in pairwise(older))
            if len(older) < JUMPED_AFTER or not rises or older[0] >= last_ns - TIME_JUMP_NS:
                self._worker.drop("out_of_order")
                self._count_stale(frame, last_ns)
                return False
            self._stale.pop(frame.source, None)
            self._node.time_jumped(f"images are {(last_ns - frame.stamp_ns) / NS:.1f} s older")
            self._jumped[frame.source] = self._worker.emptied
        self._last_stamps[frame.source] = frame.stamp_ns
        self._seen = True
        return True

    def _is_first_ahead(self, frame: Frame) -> bool:
        """Whether a frame, and not the one before it, is of a time to come by this node's clock: a
        slip, or a clock that was set, as the next one will tell.

        Believed, a slip keeps the present away from TF, and looks like a jump back afterwards.
        """
        now_ns = self._node.now_ns()
        if not now_ns or frame.stamp_ns <= now_ns + TIME_JUMP_NS:
            self._ahead.discard(frame.source)
            return False
        is_first = frame.source not in self._ahead
        self._ahead.add(frame.source)
        return is_first

    def _count_stale(self, frame: Frame, last_ns: int) -> None:
        """One more image whose stamp is not newer: ten in a row are a driver that sets none."""
        count, why = self._stale.get(frame.source, (0, ""))[0] + 1, ""
        if count >= STALE_AFTER:
            images = f"{frame.source}/image" if frame.source else "images"
            why = (
                f"stamps of {images} do not rise: {STALE_AFTER} in a row are not after "
                f"{last_ns / NS:.3f} s: let the driver stamp each image when it is taken"
            )
            self._node.warn(f"stamps of {frame.source}", why, every_s=60.0)
        self._stale[frame.source] = count, why

    def _check_clock(self, frame: Frame) -> None:
        """Warn once while a camera's stamps belong to another clock."""
        now_ns = self._node.now_ns()
        behind_ns = now_ns - frame.stamp_ns
        hint = ""
        if now_ns:
            self._clockless_s = math.inf
        else:  # simulated time has not begun: the first /clock is still on its way
            self._clockless_s = min(self._clockless_s, time.monotonic())
            waited_s = time.monotonic() - self._clockless_s
            hint = NO_CLOCK if waited_s > CLOCK_PATIENCE_S else ""
        if now_ns and abs(behind_ns) >= FOREIGN_CLOCK_NS:
            images = f"{frame.source}/image" if frame.source else "images"
            hint = (
                f"stamps of {images} are {behind_ns / NS:.0f} s behind this node's clock: for a "
                "bag, play it with --clock and set use_sim_time to true; else set the camera's "
                "clock"
            )
        elif now_ns and self._node.transforms.has_base:
            hint = self._apart(frame.source, behind_ns)
        if hint and self._clock_hints.get(frame.source):
            return  # said already
        self._clock_hints[frame.source] = hint
        if hint:
            self._node.warn(f"clock of {frame.source}", hint, every_s=60.0)

    def _apart(self, source: str, behind_ns: int) -> str:
        """What to do about images that come with stamps of before those of another camera."""
        self._behind[source] = (*self._behind.get(source, ()), behind_ns)[-APART_AFTER:]
        every = tuple(self._behind.items())
        least = {name: min(behind) for name, behind in every if len(behind) == APART_AFTER}
        first = min(least, key=lambda name: least[name], default=source)
        apart_ns = least.get(source, 0) - least.get(first, 0)
        if source not in least or apart_ns <= APART_NS:
            return ""
        return (
            f"stamps of {source}/image are {apart_ns / NS:.1f} s behind those of {first}/image, "
            "which come with them: set both clocks, or make the delay shorter"
        )

    def _place(self, frame: Frame) -> bool:
        """Tell the mapper where camera and robot are; False where TF cannot say."""
        try:
            base_T_camera = self._node.transforms.base_T_camera(frame.frame_id)
        except (TransformError, ConvertError) as error:
            self._worker.drop("no_transform")
            self._missed(frame, str(error), patience=1)
            return False
        if not self._place_robot(frame):
            return False
        self._unplaced.pop(frame.source, None)
        has_mount = self._node.transforms.has_base
        if has_mount and self._told.get(frame.source) != frame.frame_id:
            shared = [name for name, other in tuple(self._told.items()) if other == frame.frame_id]
            if shared:
                self._node.warn(
                    f"frame of {frame.source}",
                    f"{frame.source}/image has the frame_id of {shared[0]}/image, "
                    f"{frame.frame_id!r}, and so its mount: give each camera a frame of its own",
                )
            if base_T_camera[2, 2] > LOOKS_UP:
                self._node.warn(
                    f"axes of {frame.source}",
                    f"{frame.frame_id!r} looks up on TF: unless the camera does, it is no optical "
                    "frame (z forward, x right), and the map will lie on its side",
                )
            self._told[frame.source] = frame.frame_id
            self._worker.tell(lambda m: m.set_extrinsic(frame.source, base_T_camera))
        if has_mount and self._node.transforms.has_moved(frame.frame_id, base_T_camera):
            base = self._node.values.base_frame
            self._node.warn(
                f"mount of {frame.source}",
                f"{frame.frame_id!r} moves in {base!r}, where it is taken to be fixed: poses of "
                f"{base!r} are off by that; set tf_mode to map_to_odom, and base_frame to a frame "
                "that moves with the camera",
                every_s=60.0,
            )
        return True

    def _place_robot(self, frame: Frame) -> bool:
        """As `_place`, by the odometry of others, where it is asked for."""
        p = self._node.values
        if p.tf_mode != "map_to_odom" and p.scale_source != "tf":
            return True
        needed = p.tf_mode == "map_to_odom"  # else it is for the scale only, which can wait
        waits = needed or time.monotonic() - self._no_odometry_s > ODOMETRY_AGAIN_S
        try:
            at_most_s = math.inf if waits else 0.0
            odom_T_base = self._node.transforms.odom_T_base(frame.stamp_ns, at_most_s)
        except (TransformError, ConvertError) as error:
            if not needed:
                if waits:
                    self._no_odometry_s = time.monotonic()
                self._node.warn("odometry", f"no odometry on TF for the scale: {error}")
                return True
            self._worker.drop("no_odometry")
            self._missed(frame, str(error), ODOMETRY_PATIENCE)
            return False
        if p.scale_source != "odom":
            self._worker.tell(lambda m: m.add_odometry(frame.stamp_ns, odom_T_base))
        return True

    def _missed(self, frame: Frame, why: str, patience: int) -> None:
        """An image could not be placed; ``patience`` of them in a row are a state to be in."""
        count = self._unplaced.get(frame.source, (0, ""))[0] + 1
        self._unplaced[frame.source] = (count, why if count >= patience else "")
        self._node.warn(f"place of {frame.source}", why)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            odom_T_child = convert.pose_to_matrix(message.pose.pose)
            convert.check_stamp(convert.stamp_to_ns(message.header.stamp))
        except ConvertError as error:
            self._node.warn("odometry", f"odom: {error}")
            return
        try:
            self._node.transforms.add_odometry(message)
        except TransformError as error:  # good enough for the scale all the same
            self._node.warn("odometry", str(error))
        p = self._node.values
        by_tf = p.tf_mode == "map_to_odom" or p.scale_source == "tf"  # of `_place_robot`
        if p.scale_source == "odom" or (self._node.transforms.has_base and not by_tf):
            stamp_ns = convert.stamp_to_ns(message.header.stamp)
            odom_T_base = odom_T_child @ self._child_T_base(message.child_frame_id.lstrip("/"))
            self._worker.tell(lambda m: m.add_odometry(stamp_ns, odom_T_base))

    def _child_T_base(self, child: str) -> Array:
        """(4, 4) base_frame on what odometry is of; the same, where nothing says otherwise."""
        if not child or not self._node.transforms.has_base:
            return np.eye(4)
        try:
            return self._node.transforms.fixed_T_base(child)
        except (TransformError, ConvertError) as error:
            base = self._node.values.base_frame
            self._node.warn(
                "base of odometry", f"odom is of {child!r}, taken for {base!r}: {error}"
            )
            return np.eye(4)
