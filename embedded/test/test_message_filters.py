# SPDX-License-Identifier: Apache-2.0
"""Message filters on hand-fed messages, one of them behind a real subscription."""

import functools

import message_filters
import pytest
import rclpy
from rclpy.clock import ClockType
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from waiting import spin_until


def message(seconds, type_=Image):
    """A message with that stamp."""
    result = type_()
    result.header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    return result


def seconds(*messages):
    return tuple(Time.from_msg(m.header.stamp).nanoseconds / 1e9 for m in messages)


@pytest.fixture
def inputs():
    return [message_filters.SimpleFilter() for _ in range(2)]


def collect(filter_):
    sets = []
    filter_.registerCallback(lambda *messages: sets.append(seconds(*messages)))
    return sets


def test_exact_stamps_are_matched_in_any_order_of_arrival(inputs):
    sets = collect(message_filters.TimeSynchronizer(inputs, 3))
    for t in (1.0, 2.0, 3.0):
        inputs[0].signalMessage(message(t))
    for t in (2.0, 2.5, 1.0):
        inputs[1].signalMessage(message(t))
    assert sets == [(2.0, 2.0), (1.0, 1.0)]


def test_a_full_queue_forgets_its_oldest(inputs):
    sets = collect(message_filters.TimeSynchronizer(inputs, 2))
    for t in (1.0, 2.0, 3.0):
        inputs[0].signalMessage(message(t))
    for t in (1.0, 3.0):
        inputs[1].signalMessage(message(t))
    assert sets == [(3.0, 3.0)]


def test_near_stamps_are_matched_with_the_nearest_once(inputs):
    sets = collect(message_filters.ApproximateTimeSynchronizer(inputs, 10, slop=0.1))
    for t in (1.00, 1.06, 1.30):
        inputs[0].signalMessage(message(t))
    for t in (1.05, 1.02, 1.45):
        inputs[1].signalMessage(message(t))
    assert sets == [(1.06, 1.05), (1.00, 1.02)]


def test_a_callback_may_feed_the_synchronizer(inputs):
    """The lock is not held while callbacks run."""
    synchronizer = message_filters.TimeSynchronizer(inputs, 3)
    done = []

    def again(*messages):
        done.append(seconds(*messages))
        if len(done) == 1:
            inputs[0].signalMessage(message(9.0))

    synchronizer.registerCallback(again)
    inputs[0].signalMessage(message(1.0))
    inputs[1].signalMessage(message(1.0))
    assert done == [(1.0, 1.0)]


def test_messages_without_a_header_are_dropped_unless_allowed(inputs):
    refused = collect(message_filters.ApproximateTimeSynchronizer(inputs, 3, 0.5))
    counts = []
    allowed = message_filters.ApproximateTimeSynchronizer(inputs, 3, 0.5, allow_headerless=True)
    allowed.registerCallback(lambda *messages: counts.append(len(messages)))
    for input_ in inputs:
        input_.signalMessage(String(data="x"))
    assert (refused, counts) == ([], [2])


def test_a_cache_is_asked_by_time(inputs):
    cache = message_filters.Cache(inputs[0], cache_size=3)
    passed_on = collect(cache)
    for t in (1.0, 2.0, 3.0, 4.0):
        inputs[0].signalMessage(message(t))

    def at(s):
        return Time(nanoseconds=round(s * 1e9), clock_type=ClockType.ROS_TIME)

    assert len(passed_on) == 4
    for last in (3.0, 3.5):
        assert seconds(*cache.getInterval(at(2.0), at(last))) == (2.0, 3.0)
    assert seconds(*cache.getInterval(at(3.0), at(3.0))) == (3.0,)
    for asked in (2.5, 3.0):
        assert seconds(cache.getElemAfterTime(at(asked))) == (3.0,)
    for asked in (2.5, 2.0):
        assert seconds(cache.getElemBeforeTime(at(asked))) == (2.0,)
    assert cache.getElemBeforeTime(at(1.5)) is None
    assert (cache.getOldestTime(), cache.getLastestTime()) == (at(2.0), at(4.0))
    assert seconds(cache.getLast()) == (4.0,)


def test_a_cache_keeps_the_last_with_a_stamp(capfd):
    cache = message_filters.Cache()
    assert (cache.getLast(), cache.getLastestTime(), cache.getOldestTime()) == (None, None, None)
    for m in (message(1.0), message(2.0), String(data="x")):
        cache.add(m)
    assert seconds(*cache.cache_msgs) == (2.0,) and cache.cache_size == 1
    assert "String" in capfd.readouterr().err


def test_callbacks_get_their_own_arguments(inputs):
    got = []
    inputs[0].registerCallback(lambda m, *rest: got.append(rest), "a", 2)
    inputs[0].signalMessage(message(1.0))
    assert got == [("a", 2)]


def test_subscribers_feed_a_synchronizer():
    rclpy.init()
    node = rclpy.create_node("sync")
    try:
        subscribers = [
            message_filters.Subscriber(node, Image, "image", qos_profile=5),
            message_filters.Subscriber(node, CameraInfo, "camera_info"),
        ]
        by_place = message_filters.Subscriber(node, Image, "image", 7)
        depths = [s.qos_profile.depth for s in (*subscribers, by_place)]
        assert depths == [5, 10, 7]
        sets = collect(message_filters.TimeSynchronizer(subscribers, 10))
        publishers = [
            node.create_publisher(Image, "image", 5),
            node.create_publisher(CameraInfo, "camera_info", 5),
        ]
        assert subscribers[0].getTopic() == "image"
        assert subscribers[1].topic_name == "/camera_info"
        spin_once = functools.partial(rclpy.spin_once, node)
        spin_until(spin_once, lambda: all(p.get_subscription_count() for p in publishers))
        publishers[0].publish(message(1.0))
        publishers[1].publish(message(1.0, CameraInfo))
        spin_until(spin_once, lambda: sets)
        assert sets == [(1.0, 1.0)]
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_all_of_a_set_are_near_each_other():
    inputs = [message_filters.SimpleFilter() for _ in range(3)]
    sets = collect(message_filters.ApproximateTimeSynchronizer(inputs, 10, slop=0.1))
    for input_, stamp_s in zip(inputs, (1.00, 1.16, 1.08), strict=True):  # all near the last
        input_.signalMessage(message(stamp_s))
    assert sets == []
