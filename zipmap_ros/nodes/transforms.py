# SPDX-License-Identifier: Apache-2.0
"""TF: extrinsics and odometry looked up, map -> odom -> base published (REP-105).

Four ways, by the parameter tf_mode:
map_to_odom   someone else publishes odom -> base; we publish map -> odom. Odometry that comes only
              on the topic odom we put on TF as well: without it map -> base could not be asked
odom_and_map  we publish both; odom -> base is continuous: jumps of the gauge, and those to a place
              that was found again, move only map -> odom
camera        map -> optical frame, where nothing else parents it
off           nothing
All are published at the stamp of each estimate, so that what carries that stamp can be placed
exactly. A timer publishes map -> odom again, stamped ahead, so that lookups of the present succeed.
What moves it repeats only while no new estimates come, as when the tracker is lost: between them a
place of the past with a stamp of the future would make the robot jump to and fro.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, Array, invert, rigid, rotation_angle_deg
from zipmap_ros.nodes import convert
from zipmap_ros.parameters import Parameters
from zipmap_ros.sources.source import LAST_STAMP_NS

# Stamps that differ more than this from the node's clock belong to another clock.
FOREIGN_CLOCK_NS = 10 * convert.NS
# A mount that has turned or moved further is no fixed one.
MOUNT_DEG, MOUNT_M = 2.0, 0.02
# Odometry of a topic goes on TF once nobody else has placed the base there for this long.
OTHERS_SILENT_S = 2.0
# Transforms of ours that may be on their way back to us.
MOST_EXPECTED = 1000


class TransformError(LookupError):
    """A transform that TF does not have; the message names both frames and what to do."""


class _Buffer(Buffer):
    """A buffer that knows when others have last placed a frame on TF, and in which parent.

    What we broadcast comes back to us: what is in ``ours`` is not others', but only once, since
    drivers give their transform and their odometry message the same stamp.
    """

    def __init__(self, node: Node) -> None:
        self._ours: dict[tuple[str, int], int] = {}  # by child and stamp, the oldest first
        self._others: dict[str, tuple[float, str]] = {}  # when, on the steady clock, and where
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        super().__init__(node=node)

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    def others_silent_s(self, child: str) -> float:
        """Seconds since others have placed a frame, or since the start."""
        if child not in self._others:
            return self.age_s
        return time.monotonic() - self._others[child][0]

    def others_parent(self, child: str) -> str:
        """Where others place a frame; "" while they do not."""
        at_s, parent = self._others.get(child, (-math.inf, ""))
        return parent if time.monotonic() - at_s < OTHERS_SILENT_S else ""

    def expect_ours(self, child: str, stamp_ns: int) -> None:
        """The next transform of a frame with this stamp is ours."""
        with self._lock:  # two of synchronised cameras have one stamp
            self._ours[child, stamp_ns] = self._ours.get((child, stamp_ns), 0) + 1
            if len(self._ours) > MOST_EXPECTED:  # what never came back
                del self._ours[next(iter(self._ours))]

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        if authority != "odom":
            child = transform.child_frame_id.lstrip("/")
            key = (child, convert.stamp_to_ns(transform.header.stamp))
            with self._lock:
                expected = self._ours.pop(key, 0)
                if expected > 1:
                    self._ours[key] = expected - 1
                elif not expected:
                    self._others[child] = (time.monotonic(), _parent(transform))
        super().set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        self._others[transform.child_frame_id.lstrip("/")] = (math.inf, _parent(transform))
        super().set_transform_static(transform, authority)


class Transforms:
    """What the node asks of TF and tells it. `parameters` gives the current values."""

    def __init__(self, node: Node, parameters: Callable[[], Parameters]) -> None:
        self._node, self._parameters = node, parameters
        self._buffer = _Buffer(node)
        self._listener = TransformListener(self._buffer, node)
        self._broadcaster = TransformBroadcaster(node)
        self._base_T_camera: dict[str, Array] = {}
        self._map_T_odom: Array = np.eye(4)
        self._odom_T_base: Array | None = None
        self._gauge: tuple[int, float] | None = None
        self._held: dict[tuple[str, str], Array] = {}
        self._placed: dict[str, tuple[str, str]] = {}  # frames of each camera, without a base
        # Stamp, source and map_T_body of the last estimate.
        self._last: tuple[int, str, Array] | None = None
        self._last_s = -math.inf  # when that was, on the steady clock
        self._foreign_ns = 0

    def clear(self) -> None:
        """Forget what moves on TF: time has jumped, or the scene is another. Extrinsics stay."""
        self._buffer.clear()
        self._held = {}  # another thread may be reading the old one
        self._gauge = self._last = None

    def forget_mounts(self) -> None:
        """Look extrinsics up anew."""
        self._base_T_camera.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    @property
    def has_base(self) -> bool:
        """Whether poses are those of base_frame (else of the camera's optical frame)."""
        return self._parameters().tf_mode != "camera"

    def base_T_camera(self, frame_id: str) -> Array:
        """(4, 4) mount of a camera, looked up once and kept. Raises TransformError.

        Where there is no base, optical axes turned to x forward, z up (REP-103).
        """
        if not self.has_base:
            return BODY_T_OPTICAL
        if frame_id not in self._base_T_camera:
            base = self._parameters().base_frame
            try:
                self._base_T_camera[frame_id] = self._lookup(base, frame_id, Time())
            except TransformError as error:
                raise TransformError(
                    f"{error}; publish the camera's mount (robot_state_publisher, or "
                    "static_transform_publisher), set base_frame, or set tf_mode to camera"
                ) from error
        return self._base_T_camera[frame_id]

    def has_moved(self, frame_id: str, base_T_camera: Array) -> bool:
        """Whether a camera's mount is now another than that one, which was looked up and kept."""
        try:
            now = self._lookup(self._parameters().base_frame, frame_id, Time(), 0.0)
        except (TransformError, convert.ConvertError):
            return False
        moved = invert(base_T_camera) @ now
        turned_deg = float(rotation_angle_deg(moved[:3, :3]))
        return turned_deg > MOUNT_DEG or float(np.linalg.norm(moved[:3, 3])) > MOUNT_M

    def odom_T_base(self, stamp_ns: int, at_most_s: float = math.inf) -> Array:
        """(4, 4) odometry of others at a stamp, waited for up to tf_timeout_s or ``at_most_s``.

        Raises TransformError.
        """
        p = self._parameters()
        try:
            stamp = Time(nanoseconds=stamp_ns)
            return self._lookup(p.odom_frame, p.base_frame, stamp, at_most_s)
        except TransformError as error:
            raise TransformError(
                f"{error}; publish odometry at the stamps of the images, on TF or on the topic "
                "odom, raise tf_timeout_s, or set tf_mode to odom_and_map"
            ) from error

    def add_odometry(self, odometry: Odometry) -> None:
        """Use odometry from a topic where TF has none (map_to_odom): here, and on TF for all.

        Raises TransformError where all that there is is between other frames than odom_frame and
        base_frame.
        """
        p = self._parameters()
        if p.tf_mode != "map_to_odom":
            return
        others = self._buffer.others_silent_s(p.base_frame) < OTHERS_SILENT_S
        frames = (odometry.header.frame_id.lstrip("/"), odometry.child_frame_id.lstrip("/"))
        if frames != (p.odom_frame, p.base_frame):
            on_tf = self._buffer.can_transform(p.odom_frame, p.base_frame, Time())
            if on_tf or self._buffer.age_s < OTHERS_SILENT_S:  # others may be about to begin
                return
            raise TransformError(
                f"odom is of {frames[1]!r} in {frames[0]!r}, not of base_frame {p.base_frame!r} in "
                f"odom_frame {p.odom_frame!r}: set these parameters to its frames"
            )
        transform = TransformStamped(
            header=convert.make_header(convert.stamp_to_ns(odometry.header.stamp), p.odom_frame),
            child_frame_id=p.base_frame,
            transform=convert.matrix_to_transform(convert.pose_to_matrix(odometry.pose.pose)),
        )
        self._buffer.set_transform(transform, "odom")
        if not others:
            self._buffer.expect_ours(p.base_frame, convert.stamp_to_ns(odometry.header.stamp))
            self._broadcaster.sendTransform(transform)

    def fixed_T_base(self, frame: str) -> Array:
        """(4, 4) where base_frame is on a part of the robot to which it does not move.

        Raises TransformError.
        """
        base = self._parameters().base_frame
        if frame == base:
            return np.eye(4)
        # What moves, as odom -> base does, has no transform of then.
        return self._lookup(frame, base, Time(nanoseconds=LAST_STAMP_NS), 0.0)

    def to_map(self, pose: PoseStamped, at_most_s: float = math.inf) -> Array:
        """(4, 4) map_T_pose of a pose in any TF frame; no frame means map_frame.

        The latest transform is used where the stamp is 0. Raises TransformError, and ConvertError
        for a pose that is none.
        """
        frame_T_pose = convert.pose_to_matrix(pose.pose)
        map_frame = self._parameters().map_frame
        frame = pose.header.frame_id.lstrip("/") or map_frame
        if frame == map_frame:
            return frame_T_pose
        stamp = Time.from_msg(pose.header.stamp)
        return self._lookup(map_frame, frame, stamp, at_most_s) @ frame_T_pose

    def map_T_body(self, estimate: Estimate) -> Array:
        """(4, 4) pose of base_frame, or of the optical frame where there is no base."""
        if not self.has_base:
            return estimate.map_T_camera
        return estimate.map_T_camera @ invert(self.base_T_camera(estimate.frame_id))

    def publish(self, estimate: Estimate, gauge_id: int) -> None:
        """Publish what an estimate says, at its stamp. Raises TransformError (map_to_odom)."""
        p = self._parameters()
        map_T_body = self.map_T_body(estimate)
        self._last = (estimate.stamp_ns, estimate.source, map_T_body)
        self._last_s = time.monotonic()
        if p.tf_mode == "camera":
            pair = (p.map_frame, estimate.frame_id)
            if (before := self._placed.get(estimate.source, pair)) != pair:  # its driver renamed it
                self._held = {held: T for held, T in self._held.items() if held != before}
            self._placed[estimate.source] = pair
            self._send({pair: map_T_body}, estimate.stamp_ns)
        elif p.tf_mode == "map_to_odom":
            map_T_odom = map_T_body @ invert(self.odom_T_base(estimate.stamp_ns))
            self._send({(p.map_frame, p.odom_frame): map_T_odom}, estimate.stamp_ns)
        elif p.tf_mode == "odom_and_map":
            gauge = (gauge_id, estimate.scale)
            if self._odom_T_base is not None and gauge != self._gauge:
                self._map_T_odom = map_T_body @ invert(self._odom_T_base)
            elif estimate.jump is not None:
                self._map_T_odom = rigid(estimate.jump @ self._map_T_odom)
            self._gauge = gauge
            self._odom_T_base = invert(self._map_T_odom) @ map_T_body
            both = {
                (p.map_frame, p.odom_frame): self._map_T_odom,
                (p.odom_frame, p.base_frame): self._odom_T_base,
            }
            self._send(both, estimate.stamp_ns)

    def moved_since(self) -> Array:
        """(4, 4) how the base moved since the last estimate, as far as odometry of others tells."""
        p, last = self._parameters(), self._last
        map_T_odom = self._held.get((p.map_frame, p.odom_frame))
        if p.tf_mode != "map_to_odom" or last is None or map_T_odom is None:
            return np.eye(4)
        try:
            odom_T_base = self._lookup(p.odom_frame, p.base_frame, Time(), 0.0)
        except (TransformError, convert.ConvertError):
            return np.eye(4)
        return invert(last[2]) @ map_T_odom @ odom_T_base

    def rival(self) -> str:
        """What to do about others who place on TF what we do; "" while nobody does."""
        p = self._parameters()
        for _, child in self._held:
            if not (parent := self._buffer.others_parent(child)):
                continue
            said = f"others place {child!r} on TF as well, in {parent!r}"
            if child == p.odom_frame:
                return f"{said}: stop them, or set tf_mode to off"
            if child != p.base_frame:
                return f"{said}: set tf_mode to odom_and_map"
            return (
                f"{said}: if that is odometry, set odom_frame to it and tf_mode to map_to_odom; "
                "else set base_frame to it"
            )
        return ""

    @property
    def silent_s(self) -> float:
        """Seconds since the last estimate."""
        return time.monotonic() - self._last_s

    def anchor(self, known: tuple[int, str, Array] | None) -> None:
        """The map was anchored anew, loaded or forgotten: hold no transform of the map before.

        known  stamp, source and map_T_body (4, 4) of the last pose in the new map, if it has one.
               Is it the last estimate's, then what is held moves along; else it is not known where
               in this map the robot is.
        """
        last, change = self._last, None
        if known is not None and last is not None and known[:2] == last[:2]:
            change = known[2] @ invert(last[2])
        self._last = known
        map_frame, held = self._parameters().map_frame, {}
        for (parent, child), parent_T_child in self._held.items():
            if parent != map_frame:
                held[parent, child] = parent_T_child
            elif change is not None:
                held[parent, child] = change @ parent_T_child
        self._held = held

    def hold(self, moving: bool) -> None:
        """Publish map -> odom again, stamped tf_tolerance_s ahead of now; with ``moving`` all.

        Images with another clock's stamps (a bag without /clock) are followed in their time.
        """
        ahead_ns = int(self._parameters().tf_tolerance_s * convert.NS)
        now_ns = self._node.get_clock().now().nanoseconds
        odom_frame = self._parameters().odom_frame
        held = {pair: T for pair, T in self._held.items() if moving or pair[1] == odom_frame}
        stamp_ns = now_ns + ahead_ns - self._foreign_ns
        self._broadcast(held, min(stamp_ns, LAST_STAMP_NS))

    def _send(self, transforms: dict[tuple[str, str], Array], stamp_ns: int) -> None:
        self._held = {**self._held, **transforms}
        behind_ns = self._node.get_clock().now().nanoseconds - stamp_ns
        self._foreign_ns = behind_ns if abs(behind_ns) > FOREIGN_CLOCK_NS else 0
        self._broadcast(transforms, stamp_ns)

    def _broadcast(self, transforms: dict[tuple[str, str], Array], stamp_ns: int) -> None:
        if not transforms:
            return
        for _, child in transforms:
            self._buffer.expect_ours(child, stamp_ns)
        self._broadcaster.sendTransform(
            [
                TransformStamped(
                    header=convert.make_header(stamp_ns, parent),
                    child_frame_id=child,
                    transform=convert.matrix_to_transform(parent_T_child),
                )
                for (parent, child), parent_T_child in transforms.items()
            ]
        )

    def _lookup(self, target: str, source: str, stamp: Time, at_most_s: float = math.inf) -> Array:
        timeout = Duration(seconds=min(self._parameters().tf_timeout_s, at_most_s))
        try:
            found = self._buffer.lookup_transform(target, source, stamp, timeout)
        except TransformException as error:
            raise TransformError(
                f"no transform from {source!r} to {target!r}: {str(error).strip()}"
            ) from error
        return convert.transform_to_matrix(found.transform)


def _parent(transform: TransformStamped) -> str:
    return transform.header.frame_id.lstrip("/")
