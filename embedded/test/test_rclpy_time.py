# SPDX-License-Identifier: Apache-2.0
"""Times and durations: arithmetic, comparison, messages."""

import builtin_interfaces.msg
import pytest
from rclpy.clock import Clock, ClockChange, JumpThreshold, ROSClock
from rclpy.clock_type import ClockType
from rclpy.context import Context
from rclpy.duration import Duration, Infinite
from rclpy.exceptions import NotInitializedException
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


@pytest.mark.parametrize("kind", [Time, Duration])
def test_order(kind):
    """Equal ones are neither less nor more, and none is a key of a dictionary."""
    one, same, two = kind(seconds=1), kind(nanoseconds=10**9), kind(seconds=2)
    assert one == same and one != two and one is not same
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert (one < two, one <= two, one > two, one >= two) == (True, True, False, False)
    assert (two < one, two <= one, two > one, two >= one) == (False, False, True, True)
    assert (one < same, one <= same, one > same, one >= same) == (False, True, False, True)


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
    assert steady.clock_type == ClockType.STEADY_TIME
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
        assert clock.now().clock_type == kind and clock.now() >= Time(clock_type=kind)
        assert isinstance(clock, ROSClock) == (kind is ClockType.ROS_TIME)
    assert not ROSClock().ros_time_is_active


def test_a_jump_is_heard_by_those_it_concerns():
    """From its threshold on, with what it was; before it the clock still shows the old time."""
    clock, heard, before = ROSClock(), [], []

    def hear(name, forward, backward, change):
        threshold = JumpThreshold(
            min_forward=forward, min_backward=backward, on_clock_change=change
        )
        return clock.create_jump_callback(
            threshold,
            pre_callback=lambda: before.append(clock.now().nanoseconds),
            post_callback=lambda jump: heard.append((name, jump.clock_change, jump.delta)),
        )

    handles = [
        hear("forward", Duration(seconds=5), None, False),
        hear("backward", None, Duration(seconds=-2), False),
        hear("change", None, None, True),
    ]

    def told(act):
        heard.clear()
        act()
        return {(name, change) for name, change, _ in heard}

    def set_to(seconds):
        return lambda: clock.set_ros_time_override(Time(seconds=seconds))

    assert told(set_to(100)) == set() and not clock.ros_time_is_active
    on, off = ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED
    same = ClockChange.ROS_TIME_NO_CHANGE
    found = told(lambda: clock._set_ros_time_is_active(True))
    assert found == {("change", on)} and heard[0][2] == Duration()
    assert told(lambda: clock._set_ros_time_is_active(True)) == set()
    before.clear()
    assert told(set_to(105)) == {("forward", same)} and heard[0][2] == Duration(seconds=5)
    assert before == [100 * 10**9] and clock.now().nanoseconds == 105 * 10**9
    assert told(set_to(109.9)) == set()
    assert told(set_to(107.9)) == {("backward", same)} and heard[0][2] == Duration(seconds=-2)
    assert told(set_to(106)) == set()
    handles[0].unregister()
    found = told(lambda: clock._set_ros_time_is_active(False))
    assert found == {("change", off)} and heard[0][2] == Duration()


@pytest.mark.parametrize(
    ("forward", "backward", "change"),
    [(Duration(), None, True), (None, Duration(), True), (None, None, False)],
)
def test_thresholds_that_say_nothing_are_refused(forward, backward, change):
    """A jump forward is above zero, one backward below it, and something is to be heard of."""
    with pytest.raises(ValueError):
        JumpThreshold(min_forward=forward, min_backward=backward, on_clock_change=change)


def test_what_a_clock_cannot_do_is_refused():
    """Calls of nothing, and sleep without a context or by another clock."""
    clock = ROSClock()
    threshold = JumpThreshold(min_forward=None, min_backward=None)
    for callbacks in ({}, {"pre_callback": 3}, {"post_callback": 3}):
        with pytest.raises(ValueError, match="must be callable"):
            clock.create_jump_callback(threshold, **callbacks)
    with pytest.raises(TypeError):
        ROSClock(clock_type=ClockType.ROS_TIME)
    with pytest.raises(NotInitializedException):
        clock.sleep_for(Duration(), context=Context())


def test_a_timer_leaves_out_what_a_jump_passed_over(graph):
    """It is called once, and next when a whole period has begun and passed."""
    node, clock, calls = graph.init().node(), ROSClock(), []
    clock._set_ros_time_is_active(True)
    clock.set_ros_time_override(Time(seconds=100, clock_type=ClockType.ROS_TIME))
    timer = node.create_timer(1.0, lambda: calls.append(clock.now().nanoseconds), clock=clock)
    for seconds, until_next in ((101.0, 1.0), (103.0, 1.0), (105.5, 0.5), (106.0, 1.0)):
        clock.set_ros_time_override(Time(seconds=seconds, clock_type=ClockType.ROS_TIME))
        for _ in range(10):
            graph.executor.spin_once(timeout_sec=0.01)
        assert timer.time_until_next_call() == until_next * 1e9
    assert calls == [seconds * 10**9 for seconds in (101, 103, 105.5, 106)]
