# SPDX-License-Identifier: Apache-2.0
"""Transforms between processes, late listeners, and sim time that jumps back."""

import functools
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf2_msgs.srv import FrameGraph
from waiting import PATIENCE_S
from waiting import spin_until as spin_executor_until

HERE = Path(__file__).parent


@pytest.fixture
def node():
    rclpy.init()
    node = rclpy.create_node("listener")
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def demo():
    """A process that broadcasts map -> base at 20 Hz, and base -> camera once."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "demo_node.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def spin_until(node, condition):
    """Spin the node until the condition holds."""
    spin_executor_until(functools.partial(rclpy.spin_once, node), condition)


def transform(stamp, parent="map", child="base", x=1.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = stamp.to_msg()
    message.transform.translation.x = x
    return message


def test_a_late_listener_gets_static_and_moving_transforms(node, demo):
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, node, spin_thread=True)
    found = buffer.lookup_transform("map", "camera", Time(), timeout=Duration(seconds=PATIENCE_S))
    assert found.transform.translation.x == pytest.approx(4.0)
    later = Time.from_msg(found.header.stamp) + Duration(seconds=0.3)
    assert buffer.can_transform("map", "base", later, timeout=Duration(seconds=PATIENCE_S))
    ahead = node.get_clock().now() + Duration(seconds=3600)
    with pytest.raises(tf2_ros.ExtrapolationException, match="into the future"):
        buffer.lookup_transform("map", "base", ahead)
    rclpy.shutdown()
    listener.dedicated_listener_thread.join(timeout=PATIENCE_S)
    assert not listener.dedicated_listener_thread.is_alive()


def test_a_static_listener_hears_only_what_is_static(node, demo):
    buffer = tf2_ros.Buffer()
    tf2_ros.StaticTransformListener(buffer, node)
    spin_until(node, lambda: buffer.can_transform("base", "camera", Time()))
    assert not buffer._frameExists("map")


def test_a_static_transform_from_the_command_line(node):
    buffer = tf2_ros.Buffer()
    tf2_ros.TransformListener(buffer, node)
    new = "--x 1 --yaw 1.5707963 --frame-id base --child-frame-id new --ros-args -r __ns:=/robot"
    old = "0 2 0 0 0 0 1 base old"
    publisher = [
        sys.executable,
        "-m",
        "ros2cli.cli",
        "run",
        "tf2_ros",
        "static_transform_publisher",
    ]
    processes = [subprocess.Popen([*publisher, *words.split()]) for words in (new, old)]
    try:
        spin_until(node, lambda: buffer.can_transform("new", "old", Time()))
        found = buffer.lookup_transform("new", "old", Time()).transform
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=PATIENCE_S) == 0
    t, q = found.translation, found.rotation
    assert (t.x, t.y) == pytest.approx((2.0, 1.0), abs=1e-6)
    assert (q.z, q.w) == pytest.approx((-math.sqrt(0.5), math.sqrt(0.5)), abs=1e-6)


def test_both_broadcasters_take_one_or_many(node):
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, node)
    moving, static = tf2_ros.TransformBroadcaster(node), tf2_ros.StaticTransformBroadcaster(node)
    stamp = node.get_clock().now()
    static.sendTransform(transform(stamp, "robot", "lidar"))
    spin_until(node, lambda: moving.pub_tf.get_subscription_count() == 1)
    moving.sendTransform([transform(stamp, "world", "robot"), transform(stamp, "world", "goal")])
    spin_until(node, lambda: buffer.can_transform("goal", "lidar", stamp))
    listener.unregister()
    spin_until(node, lambda: node.count_subscribers("/tf") == 0)


def test_await_in_a_callback(node, demo):
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, node)
    found = []

    async def look_up():
        timer.cancel()
        found.append(await buffer.lookup_transform_async("map", "camera", Time()))

    timer = node.create_timer(0.01, look_up)
    spin_until(node, lambda: found)
    assert found[0].transform.translation.x == pytest.approx(4.0)
    assert listener.buffer is buffer


def test_a_buffer_of_a_node_tells_its_frames(node):
    buffer = tf2_ros.Buffer(node=node)
    buffer.set_transform_static(transform(Time(), "base", "camera"), "test")
    client = node.create_client(FrameGraph, "tf2_frames")
    spin_until(node, client.service_is_ready)
    future = client.call_async(FrameGraph.Request())
    spin_until(node, future.done)
    assert future.result().frame_yaml == buffer.all_frames_as_yaml() != "[]"


def test_time_that_jumps_back_empties_the_buffer(node):
    buffer = tf2_ros.Buffer(node=node)
    buffer.set_transform(transform(node.get_clock().now()), "test")
    node.set_parameters([Parameter("use_sim_time", value=True)])
    assert not buffer.can_transform("map", "base", Time()), "its stamps are of another clock"
    clock = node.create_publisher(Clock, "/clock", 10)
    spin_until(node, lambda: clock.get_subscription_count() > 0)

    def set_clock(seconds):
        clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
        spin_until(
            node,
            lambda: node.get_clock().now() == Time(seconds=seconds, clock_type=ClockType.ROS_TIME),
        )

    set_clock(100)
    buffer.set_transform(transform(Time(seconds=100)), "test")
    buffer.set_transform_static(transform(Time(), "base", "camera"), "test")
    set_clock(101)
    assert buffer.can_transform("map", "camera", Time())
    set_clock(50)
    assert not buffer.can_transform("map", "base", Time())
    assert buffer.can_transform("base", "camera", Time())
    buffer.set_transform(transform(Time(seconds=50)), "test")
    node.set_parameters([Parameter("use_sim_time", value=False)])  # a jump forward
    assert not buffer.can_transform("map", "base", Time())
