# SPDX-License-Identifier: Apache-2.0
"""The transform tree: every frame's history, and lookups between any two frames at a time.

A frame has one parent at a time. A lookup climbs from both frames to the first they share.
Frames' names, error classes and messages are those of tf2.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time
from std_msgs.msg import Header

from tf2_py import rigid
from tf2_py.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from tf2_py.time_cache import StaticCache, TimeCache

DEFAULT_CACHE_TIME_S = 10.0
NORM_TOLERANCE = 0.01  # on the squared length of a quaternion that comes in
SECOND_NS = 1_000_000_000
_END_OF_TIME = 2**31 * SECOND_NS  # which no stamp that goes out can say


def nanoseconds(time: Any) -> int:
    """Return the nanoseconds of an rclpy Time or of a builtin_interfaces Time message."""
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return int(time.sec) * SECOND_NS + int(time.nanosec)
    return int(time.nanoseconds)


def transform_tuple(message: Transform) -> rigid.Transform:
    """Return a geometry_msgs/Transform as (x, y, z, qx, qy, qz, qw)."""
    t, q = message.translation, message.rotation
    return (t.x, t.y, t.z, q.x, q.y, q.z, q.w)


def transform_message(transform: rigid.Transform) -> Transform:
    """Return (x, y, z, qx, qy, qz, qw) as a geometry_msgs/Transform."""
    x, y, z, qx, qy, qz, qw = transform
    return Transform(
        translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
    )


class BufferCore:
    """Keeps transforms for `cache_time` and answers lookups; safe to use from several threads."""

    def __init__(self, cache_time: Duration | None = None) -> None:
        if cache_time is None:
            cache_time = Duration(seconds=DEFAULT_CACHE_TIME_S)
        self._max_age_ns = cache_time.nanoseconds
        self._caches: dict[str, TimeCache] = {}
        self._authorities: dict[str, str] = {}
        self._frames: dict[str, None] = {}  # every name ever heard, in order
        self._changed = threading.Condition(threading.RLock())

    # ---------------------------------------------------------------- what comes in

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform of a moving frame; one that is unusable is logged and ignored."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times."""
        self._insert(transform, authority, is_static=True)

    def clear(self) -> None:
        """Forget the history of all moving frames; static ones stay."""
        with self._changed:
            for cache in self._caches.values():
                cache.clear()

    def _insert(self, message: TransformStamped, authority: str, is_static: bool) -> None:
        parent = message.header.frame_id.removeprefix("/")
        child = message.child_frame_id.removeprefix("/")
        parent_T_child = transform_tuple(message.transform)
        stamp = nanoseconds(message.header.stamp)
        problem = _problem(parent, child, parent_T_child, authority)
        if not problem and stamp >= _END_OF_TIME:
            problem = (
                f'TF_INVALID_STAMP: Ignoring transform for child_frame_id "{child}" '
                f'from authority "{authority}" because of its stamp'
            )
        if problem:
            get_logger("tf2").error(problem)
            return
        with self._changed:
            cache = self._caches.get(child)
            if cache is None or cache.is_static != is_static:
                cache = StaticCache() if is_static else TimeCache(self._max_age_ns)
                self._caches[child] = cache
            self._frames.setdefault(child)
            self._frames.setdefault(parent)
            accepted = cache.insert(stamp, parent, parent_T_child)
            if accepted:
                self._authorities[child] = authority
                self._changed.notify_all()
        if not accepted:
            get_logger("tf2").warning(
                f"TF_OLD_DATA ignoring data from the past for frame {child} at time "
                f"{stamp / 1e9:.6f} according to authority {authority}"
            )

    # ---------------------------------------------------------------- what goes out

    def lookup_transform_core(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return target_T_source at `time` (zero: the latest time common to the chain).

        Raises:
            LookupException, ConnectivityException, ExtrapolationException,
            InvalidArgumentException: as their names say.
        """
        with self._changed:
            transform, stamp = self._lookup(target_frame, source_frame, nanoseconds(time))
        return _stamped(transform, target_frame, source_frame, stamp)

    def lookup_transform_full_core(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> TransformStamped:
        """Return the transform from source at source_time to target at target_time.

        `fixed_frame` is the one that did not move in between.
        """
        with self._changed:
            for argument, frame in (
                ("target_frame", target_frame),
                ("source_frame", source_frame),
                ("fixed_frame", fixed_frame),
            ):
                self._check_frame(f"lookupTransform argument {argument}", frame)
            fixed_T_source, _ = self._lookup(fixed_frame, source_frame, nanoseconds(source_time))
            target_T_fixed, stamp = self._lookup(
                target_frame, fixed_frame, nanoseconds(target_time)
            )
        transform = rigid.compose(target_T_fixed, fixed_T_source)
        return _stamped(transform, target_frame, source_frame, stamp)

    def can_transform_core(
        self, target_frame: str, source_frame: str, time: Time
    ) -> tuple[bool, str]:
        """Return whether `lookup_transform_core` would succeed and, if not, why."""
        with self._changed:
            if target_frame == source_frame:
                return True, ""
            return self._can(target_frame, source_frame, nanoseconds(time))

    def can_transform_full_core(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> tuple[bool, str]:
        """Return whether `lookup_transform_full_core` would succeed and, if not, why."""
        with self._changed:
            possible, why = self._can(target_frame, fixed_frame, nanoseconds(target_time))
            if not possible:
                return possible, why
            return self._can(fixed_frame, source_frame, nanoseconds(source_time))

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the latest time at which every transform between the two frames is known."""
        with self._changed:
            self._check_frame("get_latest_common_time argument target_frame", target_frame)
            self._check_frame("get_latest_common_time argument source_frame", source_frame)
            return Time(nanoseconds=self._latest_common(target_frame, source_frame))

    def all_frames_as_string(self) -> str:
        """One line for each frame that has a parent."""
        with self._changed:
            return "".join(
                f"Frame {frame} exists with parent {cache.latest_parent()}.\n"
                for frame, cache in self._caches.items()
                if len(cache)
            )

    def all_frames_as_yaml(self) -> str:
        """Parent, broadcaster, rate and time span of each frame, as YAML."""
        with self._changed:
            known = {frame: cache for frame, cache in self._caches.items() if len(cache)}
            return "".join(self._as_yaml(*item) for item in known.items()) or "[]"

    def _as_yaml(self, frame: str, cache: TimeCache) -> str:
        span_s = (cache.latest - cache.oldest) / 1e9
        return (
            f"{frame}: \n"
            f"  parent: '{cache.latest_parent()}'\n"
            f"  broadcaster: '{self._authorities[frame]}'\n"
            f"  rate: {len(cache) / max(span_s, 0.0001):.3f}\n"
            f"  most_recent_transform: {cache.latest / 1e9:.6f}\n"
            f"  oldest_transform: {cache.oldest / 1e9:.6f}\n"
            f"  buffer_length: {span_s:.3f}\n"
        )

    def _frameExists(self, frame_id: str) -> bool:
        return frame_id in self._frames

    def _getFrameStrings(self) -> list[str]:
        return list(self._frames)

    def lookupVelocityCore(self, *args: Any) -> Any:
        """Not built."""
        raise NotImplementedError("BufferCore.lookupVelocityCore needs a full ROS 2")

    def lookupVelocityFullCore(self, *args: Any) -> Any:
        """Not built."""
        raise NotImplementedError("BufferCore.lookupVelocityFullCore needs a full ROS 2")

    # ---------------------------------------------------------------- the climb

    def _check_frame(self, argument: str, frame: str) -> None:
        if not frame:
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" passed to {argument} - '
                "in tf2 frame_ids cannot be empty"
            )
        if frame.startswith("/"):
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" passed to {argument} - '
                "in tf2 frame_ids cannot start with a '/'"
            )
        if frame not in self._frames:
            raise LookupException(f'"{frame}" passed to {argument} does not exist. ')

    def _can(self, target: str, source: str, stamp: int) -> tuple[bool, str]:
        for argument, frame in (("target_frame", target), ("source_frame", source)):
            reason = ""
            if not frame:
                reason = "in tf2 frame_ids cannot be empty"
            elif frame.startswith("/"):
                reason = "in tf2 frame_ids cannot start with a '/'"
            elif frame not in self._frames:
                reason = "frame does not exist"
            if reason:
                return False, (
                    f'Invalid frame ID "{frame}" passed to canTransform argument {argument} - '
                    f"{reason}"
                )
        try:
            self._lookup(target, source, stamp)
        except (LookupException, ConnectivityException, ExtrapolationException) as error:
            return False, str(error)
        return True, ""

    def _lookup(self, target: str, source: str, stamp: int) -> tuple[rigid.Transform, int]:
        """Return target_T_source and the stamp it holds at."""
        if target == source:
            if stamp == 0 and target in self._caches:
                stamp = self._caches[target].latest
            return rigid.IDENTITY, stamp
        self._check_frame("lookupTransform argument target_frame", target)
        self._check_frame("lookupTransform argument source_frame", source)
        if stamp == 0:
            stamp = self._latest_common(target, source)
        try:
            return self._climb(target, source, stamp), stamp
        except ExtrapolationException as error:
            raise ExtrapolationException(
                f"{error}, when looking up transform from frame [{source}] to frame [{target}]"
            ) from None

    def _climb(self, target: str, source: str, stamp: int) -> rigid.Transform:
        above_source = {source: rigid.IDENTITY}  # frame -> frame_T_source
        frame, gap = source, None
        while frame != target and frame in self._caches:
            try:
                parent, parent_T_frame = self._caches[frame].at(stamp)
            except ExtrapolationException as error:
                gap = error  # the target may still hang below this frame
                break
            self._refuse_loop(parent, above_source)
            above_source[parent] = rigid.compose(parent_T_frame, above_source[frame])
            frame = parent
        above_target = {target: rigid.IDENTITY}  # frame -> frame_T_target
        frame = target
        while frame not in above_source:
            if frame not in self._caches:
                raise gap or _unconnected(target, source)
            parent, parent_T_frame = self._caches[frame].at(stamp)
            self._refuse_loop(parent, above_target)
            above_target[parent] = rigid.compose(parent_T_frame, above_target[frame])
            frame = parent
        return rigid.compose(rigid.inverse(above_target[frame]), above_source[frame])

    def _latest_common(self, target: str, source: str) -> int:
        """Return the smallest of the newest stamps on the way; 0 when all of it is static."""
        source_chain, target_chain = self._ancestors(source), self._ancestors(target)
        shared = next((frame for frame in source_chain if frame in target_chain), None)
        if shared is None:
            raise _unconnected(target, source)
        below = [
            self._caches[frame].latest
            for chain in (source_chain, target_chain)
            for frame in chain[: chain.index(shared)]
        ]
        return min((stamp for stamp in below if stamp != 0), default=0)

    def _ancestors(self, frame: str) -> list[str]:
        chain = {frame: None}
        while frame in self._caches:
            parent = self._caches[frame].latest_parent()
            if parent is None:
                break
            self._refuse_loop(parent, chain)
            chain[parent] = None
            frame = parent
        return list(chain)

    def _refuse_loop(self, frame: str, passed: dict[str, Any]) -> None:
        if frame in passed:
            raise LookupException(
                "The tf tree is invalid because it contains a loop.\n" + self.all_frames_as_string()
            )


def _unconnected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not "
        "part of the same tree.Tf has two or more unconnected trees."
    )


def _problem(parent: str, child: str, parent_T_child: rigid.Transform, authority: str) -> str:
    """Say what makes a transform unusable, in tf2's words; empty when nothing does."""
    if not child:
        return (
            f'TF_NO_CHILD_FRAME_ID: Ignoring transform from authority "{authority}" '
            "because child_frame_id not set "
        )
    if not parent:
        return (
            f'TF_NO_FRAME_ID: Ignoring transform with child_frame_id "{child}" '
            f'from authority "{authority}" because frame_id not set'
        )
    if child == parent:
        return (
            f'TF_SELF_TRANSFORM: Ignoring transform from authority "{authority}" with frame_id '
            f'and child_frame_id "{child}" because they are the same'
        )
    ignoring = f'Ignoring transform for child_frame_id "{child}" from authority "{authority}"'
    if not all(math.isfinite(value) for value in parent_T_child):
        return f"TF_NAN_INPUT: {ignoring} because of a nan value in the transform {parent_T_child}"
    if abs(sum(value * value for value in parent_T_child[3:]) - 1.0) >= NORM_TOLERANCE:
        return (
            f"TF_DENORMALIZED_QUATERNION: {ignoring} because of an invalid quaternion "
            f"in the transform {parent_T_child[3:]}"
        )
    return ""


def _stamped(
    target_T_source: rigid.Transform, target: str, source: str, stamp: int
) -> TransformStamped:
    sec, nanosec = divmod(stamp, SECOND_NS)
    return TransformStamped(
        header=Header(stamp=TimeMessage(sec=sec, nanosec=nanosec), frame_id=target),
        child_frame_id=source,
        transform=transform_message(target_T_source),
    )
