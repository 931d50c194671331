# SPDX-License-Identifier: Apache-2.0
"""Timers and rates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.exceptions import ROSInterruptException, destroyed
from rclpy.impl.executable import Executable, awaitable
from rclpy.impl.wake import notify_all
from rclpy.time import Time

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.context import Context


class TimerInfo:
    """When a timer should have been called, and when it was."""

    def __init__(self, *, expected_call_time: Time, actual_call_time: Time) -> None:
        self.expected_call_time = expected_call_time
        self.actual_call_time = actual_call_time


class Timer(Executable):
    """Calls back periodically. Calls do not drift; those that were missed are left out.

    Once destroyed all but its clock and callback raise InvalidHandle.
    """

    _is_regular = True

    def __init__(
        self,
        callback: Callable | None,
        callback_group: CallbackGroup | None,
        timer_period_ns: int,
        clock: Clock,
        *,
        context: Context | None = None,
        autostart: bool = True,
    ) -> None:
        if timer_period_ns < 0:
            raise RCLError("failed to create timer: timer period must be non-negative")
        self.callback = callback
        self.callback_group = callback_group
        self._clock = clock
        self._period = int(timer_period_ns)
        self._canceled = not autostart
        self._destroyed = False
        self._last = clock._now_ns()
        self._next = self._last + self._period
        self._on_reset: Callable[[], None] | None = None
        self._jump_handle = clock.create_jump_callback(
            JumpThreshold(
                min_forward=Duration(nanoseconds=1),
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=True,
            ),
            post_callback=self._time_jumped,
        )

    @property
    def callback(self) -> Callable | None:
        """What is called: with a TimerInfo where a parameter is annotated with that."""
        return self._callback

    @callback.setter
    def callback(self, value: Callable | None) -> None:
        self._callback = value
        self._info_parameter = None if value is None else _info_parameter(value)

    @property
    def clock(self) -> Clock:
        """The clock it follows."""
        return self._clock

    @property
    def timer_period_ns(self) -> int:
        """Nanoseconds between calls."""
        self._check_handle()
        return self._period

    @timer_period_ns.setter
    def timer_period_ns(self, value: int) -> None:
        self._check_handle()
        self._period = int(value)
        self._wake()

    def destroy(self) -> None:
        """Never call back again."""
        self._destroyed = True
        self._jump_handle.unregister()

    def cancel(self) -> None:
        """Stop until `reset`."""
        self._check_handle()
        self._canceled = True

    def is_canceled(self) -> bool:
        """Whether it is stopped."""
        self._check_handle()
        return self._canceled

    def reset(self) -> None:
        """Start again: the next call is one period from now."""
        self._check_handle()
        self._last = self._clock._now_ns()
        self._next = self._last + self._period
        self._canceled = False
        self._wake()

    def is_ready(self) -> bool:
        """Whether it should be called now."""
        self._check_handle()
        return self._is_due()

    def time_since_last_call(self) -> int:
        """Nanoseconds since the last call (or the start)."""
        self._check_handle()
        return self._clock._now_ns() - self._last

    def time_until_next_call(self) -> int | None:
        """Nanoseconds until the next call, negative where it is late; None where canceled."""
        self._check_handle()
        return None if self._canceled else self._until()

    def _check_handle(self) -> None:
        if self._destroyed:
            raise destroyed()

    def _is_due(self) -> bool:
        return not self._canceled and not self._destroyed and self._until() <= 0

    def _until(self) -> int:
        return self._next - self._clock._now_ns()

    def _wake(self) -> None:
        if self._on_reset is not None:
            self._on_reset()

    def _time_jumped(self, jump: TimeJump) -> None:
        now = self._clock._now_ns()
        changed = jump.clock_change in (
            ClockChange.ROS_TIME_ACTIVATED,
            ClockChange.ROS_TIME_DEACTIVATED,
        )
        if changed or now < self._last:
            self._last = now
            self._next = now + self._period
        self._wake()

    def _delay_ns(self) -> int | None:
        """Nanoseconds until it is ready, None where no wait on the wall clock makes it so."""
        if self._canceled or self._destroyed:
            return None
        until = self._until()
        if until > 0 and self._clock._is_simulated():
            return None
        return max(0, until)

    def _take(self) -> TimerInfo | None:
        """Move on to the next call; None where it was canceled or reset meanwhile."""
        if not self._is_due():
            return None
        now, expected = self._clock._now_ns(), self._next
        self._next += self._period
        if not self._period:
            self._next = now
        elif self._next <= now:
            self._next += ((now - self._next) // self._period + 1) * self._period
        self._last = now
        kind = self._clock.clock_type
        return TimerInfo(
            expected_call_time=Time(nanoseconds=max(0, expected), clock_type=kind),
            actual_call_time=Time(nanoseconds=max(0, now), clock_type=kind),
        )

    def _execute(self, taken: TimerInfo) -> Any:
        callback, name = self._callback, self._info_parameter
        if callback is None:
            return None
        return awaitable(callback, callback() if name is None else callback(**{name: taken}))


def _info_parameter(callback: Callable) -> str | None:
    """Name of the parameter that is annotated with TimerInfo, where there is one."""
    try:
        parameters = signature(callback).parameters.values()
    except (TypeError, ValueError):
        return None
    return next((p.name for p in parameters if p.annotation == TimerInfo), None)


class Rate:
    """Sleeps at a rate; another thread has to spin."""

    def __init__(self, timer: Timer, *, context: Context) -> None:
        self._clock = timer.clock
        self._timer = timer
        self._event = threading.Condition()
        self._calls = 0
        self._shutdown = False
        self._destroyed = False
        timer.callback = self._tick
        self._context = context
        context.on_shutdown(self._on_shutdown)

    def _tick(self) -> None:
        with self._event:
            self._calls += 1
            self._event.notify_all()

    def _on_shutdown(self) -> None:
        self._shutdown = True
        self._wake()

    def _wake(self) -> None:
        notify_all(self._event)

    def destroy(self) -> None:
        """Wake whoever sleeps, and free the timer."""
        self._destroyed = True
        with self._event:
            self._event.notify_all()
        self._timer.destroy()

    def sleep(self) -> None:
        """Block until the timer's next call.

        Raises ROSInterruptException at shutdown, RuntimeError once destroyed.
        """
        self._context._add_waker(self._wake)
        try:
            with self._event:
                self._raise_if_over()
                calls = self._calls
                self._event.wait_for(
                    lambda: self._calls != calls or self._shutdown or self._destroyed
                )
                self._raise_if_over()
        finally:
            self._context._remove_waker(self._wake)

    def _raise_if_over(self) -> None:
        if self._shutdown:
            raise ROSInterruptException()
        if self._destroyed:
            raise RuntimeError("Rate cannot sleep because it has been destroyed")
