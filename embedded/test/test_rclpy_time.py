# SPDX-License-Identifier: Apache-2.0
"""Times and durations: arithmetic, comparison, messages."""

import builtin_interfaces.msg
import pytest
from rclpy.clock import Clock, ROSClock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration, Infinite
from rclpy.time import Time


def test_arithmetic():
    """Times differ by durations, which move them."""
    time = Time(seconds=2, nanoseconds=5)
    assert time.nanoseconds == 2_000_000_005
    assert time.seconds_nanoseconds() == (2, 5)
    assert time + Duration(seconds=1.5) == Time(nanoseconds=3_500_000_005)
    assert Duration(seconds=1) + time == Time(nanoseconds=3_000_000_005)
    assert time - Duration(seconds=2) == Time(nanoseconds=5)
    assert time - Time(seconds=3) == Duration(nanoseconds=-999_999_995)
    assert Time(seconds=1) < time <= time and time > Time() and time >= time
    assert Duration(seconds=-1) < Duration() < Duration(nanoseconds=1) < Infinite
    assert str(Infinite) == "Infinite" and repr(Duration(nanoseconds=3)).endswith("3)")


def test_what_cannot_be_is_refused():
    """Negative times, too large ones, and times of two clocks together."""
    with pytest.raises(ValueError, match="negative"):
        Time(seconds=-1)
    with pytest.raises(ValueError, match="negative"):
        _ = Time(seconds=1) - Duration(seconds=2)
    with pytest.raises(OverflowError):
        Time(nanoseconds=2**63)
    with pytest.raises(OverflowError):
        _ = Time(nanoseconds=2**63 - 1) + Duration(nanoseconds=1)
    with pytest.raises(OverflowError):
        Duration(nanoseconds=2**63)
    ros = Time(seconds=1, clock_type=ClockType.ROS_TIME)
    for compare in (Time.__eq__, Time.__lt__, Time.__sub__):
        with pytest.raises(TypeError, match="different clock types"):
            compare(ros, Time(seconds=1))
    with pytest.raises(TypeError):
        _ = Time() + 1


def test_messages_and_back():
    """A message's time is of the ROS clock unless said otherwise; durations may be negative."""
    time = Time(seconds=7, nanoseconds=9, clock_type=ClockType.ROS_TIME)
    assert Time.from_msg(time.to_msg()) == time
    steady = Time.from_msg(time.to_msg(), ClockType.STEADY_TIME)
    assert steady.clock_type is ClockType.STEADY_TIME
    duration = Duration(nanoseconds=-1)
    assert duration.to_msg() == builtin_interfaces.msg.Duration(sec=-1, nanosec=999_999_999)
    assert Duration.from_msg(duration.to_msg()) == duration
    with pytest.raises(TypeError):
        Time.from_msg(builtin_interfaces.msg.Duration())
    with pytest.raises(TypeError):
        Duration.from_msg(builtin_interfaces.msg.Time())


def test_clocks_go_forward():
    """By their type; a ROS clock shows the system's time unless told otherwise."""
    for kind in (ClockType.SYSTEM_TIME, ClockType.STEADY_TIME, ClockType.ROS_TIME):
        clock = Clock(clock_type=kind)
        assert clock.now().clock_type is kind and clock.now() >= Time(clock_type=kind)
        assert isinstance(clock, ROSClock) == (kind is ClockType.ROS_TIME)
    assert not ROSClock().ros_time_is_active
