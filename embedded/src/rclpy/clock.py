# SPDX-License-Identifier: Apache-2.0
"""Clocks: system, steady, and ROS time, which a simulator may set."""

from __future__ import annotations

import threading
import time as _time
import weakref
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.exceptions import NotInitializedException
from rclpy.impl.wake import notify_all
from rclpy.time import Time

if TYPE_CHECKING:
    from rclpy.context import Context


class ClockChange(IntEnum):
    """What happened to the source of ROS time at a jump."""

    ROS_TIME_NO_CHANGE = 1
    ROS_TIME_ACTIVATED = 2
    ROS_TIME_DEACTIVATED = 3
    SYSTEM_TIME_NO_CHANGE = 4


class JumpThreshold:
    """Which jumps a callback wants to hear of."""

    def __init__(
        self,
        *,
        min_forward: Duration | None,
        min_backward: Duration | None,
        on_clock_change: bool = True,
    ) -> None:
        if min_forward is not None and min_forward.nanoseconds <= 0:
            raise ValueError("min_forward must be a positive non-zero duration")
        if min_backward is not None and min_backward.nanoseconds >= 0:
            raise ValueError("min_backward must be a negative non-zero duration")
        if min_forward is None and min_backward is None and not on_clock_change:
            raise ValueError("At least one jump threshold must be enabled")
        self.min_forward = min_forward
        self.min_backward = min_backward
        self.on_clock_change = on_clock_change


class TimeJump:
    """A jump: what changed, and by how much."""

    def __init__(self, clock_change: ClockChange, delta: Duration) -> None:
        if not isinstance(clock_change, ClockChange):
            raise TypeError("clock_change must be an instance of rclpy.clock.ClockChange")
        self._clock_change = clock_change
        self._delta = delta

    @property
    def clock_change(self) -> ClockChange:
        """What happened to the source of time."""
        return self._clock_change

    @property
    def delta(self) -> Duration:
        """New time minus old time."""
        return self._delta


class JumpHandle:
    """Keeps a jump callback registered; also a context manager."""

    def __init__(
        self,
        *,
        clock: Clock,
        threshold: JumpThreshold,
        pre_callback: Callable[[], None] | None,
        post_callback: Callable[[TimeJump], None] | None,
    ) -> None:
        if pre_callback is None and post_callback is None:
            raise ValueError("One of pre_callback or post_callback must be callable")
        if pre_callback is not None and not callable(pre_callback):
            raise ValueError("pre_callback must be callable if given")
        if post_callback is not None and not callable(post_callback):
            raise ValueError("post_callback must be callable if given")
        self._clock: Clock | None = clock
        self._threshold = threshold
        self._pre_callback = pre_callback
        self._post_callback = post_callback
        clock._jump_handles.add(self)

    def unregister(self) -> None:
        """Stop being called."""
        if self._clock is not None:
            self._clock._jump_handles.discard(self)
            self._clock = None

    def _concerns(self, jump: TimeJump) -> bool:
        threshold, delta = self._threshold, jump.delta
        changed = jump.clock_change in (
            ClockChange.ROS_TIME_ACTIVATED,
            ClockChange.ROS_TIME_DEACTIVATED,
        )
        return (
            (changed and threshold.on_clock_change)
            or (threshold.min_forward is not None and delta >= threshold.min_forward)
            or (threshold.min_backward is not None and delta <= threshold.min_backward)
        )

    def __enter__(self) -> JumpHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()


class Clock:
    """A clock of one kind. `Clock(clock_type=ClockType.ROS_TIME)` makes a ROSClock."""

    def __new__(cls, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> Clock:
        if not isinstance(clock_type, ClockType):
            raise TypeError("Clock type must be a ClockType enum")
        return super().__new__(ROSClock if clock_type is ClockType.ROS_TIME else cls)

    def __init__(self, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> None:
        self._clock_type = clock_type
        self._jump_handles: weakref.WeakSet[JumpHandle] = weakref.WeakSet()
        self._changed = threading.Condition()

    @property
    def clock_type(self) -> ClockType:
        """What it shows."""
        return self._clock_type

    def __repr__(self) -> str:
        return f"Clock(clock_type={self.clock_type.name})"

    def _now_ns(self) -> int:
        if self._clock_type is ClockType.STEADY_TIME:
            return _time.monotonic_ns()
        return _time.time_ns()

    def now(self) -> Time:
        """The time now."""
        return Time(nanoseconds=max(0, self._now_ns()), clock_type=self.clock_type)

    def create_jump_callback(
        self,
        threshold: JumpThreshold,
        *,
        pre_callback: Callable[[], None] | None = None,
        post_callback: Callable[[TimeJump], None] | None = None,
    ) -> JumpHandle:
        """Call back before and after a jump, for as long as the handle is kept."""
        return JumpHandle(
            clock=self,
            threshold=threshold,
            pre_callback=pre_callback,
            post_callback=post_callback,
        )

    def sleep_until(self, until: Time, context: Context | None = None) -> bool:
        """Sleep until a time of this clock; False where shut down or the clock's source changed.

        Raises ValueError for a time of another clock, NotInitializedException without context.
        """
        from rclpy.utilities import get_default_context

        context = get_default_context() if context is None else context
        if not context.ok():
            raise NotInitializedException()
        if until.clock_type != self._clock_type:
            raise ValueError("until's clock type does not match this clock's type")
        source = self._source()
        context._add_waker(self._wake)
        try:
            with self._changed:
                while context.ok() and self._source() == source:
                    left = until.nanoseconds - self._now_ns()
                    if left <= 0:
                        return True
                    self._changed.wait(None if self._is_simulated() else left * 1e-9)
        finally:
            context._remove_waker(self._wake)
        return False

    def sleep_for(self, rel_time: Duration, context: Context | None = None) -> bool:
        """Sleep for a length of time of this clock; see `sleep_until`."""
        return self.sleep_until(self.now() + rel_time, context)

    def _is_simulated(self) -> bool:
        return False

    def _source(self) -> Any:
        return self._is_simulated()

    def _wake(self) -> None:
        notify_all(self._changed)


class ROSClock(Clock):
    """System time, unless something else sets it: then it shows what was set."""

    def __new__(cls) -> ROSClock:
        return object.__new__(ROSClock)

    def __init__(self, *, clock_type: ClockType = ClockType.ROS_TIME) -> None:
        super().__init__(clock_type=ClockType.ROS_TIME)
        self._override: int | None = None
        self._last_set = 0

    def _now_ns(self) -> int:
        override = self._override
        return super()._now_ns() if override is None else override

    def _is_simulated(self) -> bool:
        return self._override is not None

    @property
    def ros_time_is_active(self) -> bool:
        """Whether somebody else sets the time."""
        return self._override is not None

    def _set_ros_time_is_active(self, enabled: bool) -> None:
        if enabled == self.ros_time_is_active:
            return
        new = self._last_set if enabled else None
        change = ClockChange.ROS_TIME_ACTIVATED if enabled else ClockChange.ROS_TIME_DEACTIVATED
        self._jump(new, change)

    def set_ros_time_override(self, time: Time) -> None:
        """Show this time, once ROS time is active."""
        if not isinstance(time, Time):
            raise TypeError(
                f"Time must be specified as rclpy.time.Time. Received type: {type(time)}"
            )
        self._last_set = time.nanoseconds
        if self.ros_time_is_active:
            self._jump(time.nanoseconds, ClockChange.ROS_TIME_NO_CHANGE)

    def _jump(self, new: int | None, change: ClockChange) -> None:
        stays = new is not None and change is ClockChange.ROS_TIME_NO_CHANGE
        delta = new - self._now_ns() if stays else 0  # times of two sources do not differ
        jump = TimeJump(change, Duration(nanoseconds=delta))
        concerned = [handle for handle in list(self._jump_handles) if handle._concerns(jump)]
        for handle in concerned:
            if handle._pre_callback is not None:
                handle._pre_callback()
        with self._changed:
            self._override = new
            self._changed.notify_all()
        for handle in concerned:
            if handle._post_callback is not None:
                handle._post_callback(jump)
