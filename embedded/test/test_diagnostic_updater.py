# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: what tasks say, and what arrives on /diagnostics."""

import time

import diagnostic_updater
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.time import Time
from sensor_msgs.msg import Image
from waiting import spin_until

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@pytest.fixture
def node():
    rclpy.init()
    node = rclpy.create_node("camera", namespace="/front")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def run(task):
    """What a task says: level, message, values."""
    status = task.run(diagnostic_updater.DiagnosticStatusWrapper())
    return status.level, status.message, {item.key: item.value for item in status.values}


def test_levels_are_merged_to_the_worst():
    status = diagnostic_updater.DiagnosticStatusWrapper()
    status.summary(OK, "fine")
    status.mergeSummary(WARN, "warm")
    assert (status.level, status.message) == (WARN, "warm")
    status.mergeSummary(ERROR, "hot")
    assert (status.level, status.message) == (ERROR, "warm; hot")
    status.mergeSummary(OK, "fine")
    assert (status.level, status.message) == (ERROR, "warm; hot")
    other = diagnostic_updater.DiagnosticStatusWrapper()
    other.summary(status)
    assert other.message == "warm; hot"
    other.clearSummary()
    assert (other.level, other.message) == (OK, "")


def test_a_composite_task_says_what_each_part_says():
    def says(level, text):
        def fill(status):
            status.summary(level, text)
            status.add(text, 1)
            return status

        return fill

    task = diagnostic_updater.CompositeDiagnosticTask("all")
    task.addTask(diagnostic_updater.FunctionDiagnosticTask("a", says(OK, "fine")))
    task.addTask(diagnostic_updater.FunctionDiagnosticTask("b", says(WARN, "warm")))
    assert run(task) == (WARN, "warm", {"fine": "1", "warm": "1"})


@pytest.mark.parametrize(
    ("ticks", "level", "message"),
    [
        (0, ERROR, "No events recorded."),
        (1, WARN, "Frequency too low."),
        (20, OK, "Desired frequency met"),
        (500, WARN, "Frequency too high."),
    ],
)
def test_a_rate_is_judged_against_its_bounds(ticks, level, message, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bounds = diagnostic_updater.FrequencyStatusParam({"min": 9.0, "max": 11.0})
    task = diagnostic_updater.FrequencyStatus(bounds)
    for _ in range(ticks):
        task.tick()
    now[0] += 2.0
    found = run(task)
    assert found[:2] == (level, message)
    assert float(found[2]["Actual frequency (Hz)"]) == ticks / 2
    assert found[2]["Minimum acceptable frequency (Hz)"] == "8.100000"


def test_stamps_are_judged_by_their_age():
    task = diagnostic_updater.TimeStampStatus(diagnostic_updater.TimeStampStatusParam(-1, 5))
    now = time.time()
    assert run(task)[:2] == (WARN, "No data since last update.")
    task.tick(now)
    assert run(task)[:2] == (OK, "Timestamps are reasonable.")
    task.tick(Time(nanoseconds=int((now - 60) * 1e9)))
    assert run(task)[1] == "Timestamps too far in past seen."
    task.tick(now + 60)
    assert run(task)[1] == "Timestamps too far in future seen."
    task.tick(0.0)
    level, message, values = run(task)
    assert (level, message) == (ERROR, "Zero timestamp seen.")
    assert values["Late diagnostic update count:"] == "1"


def test_the_updater_publishes_all_tasks(node):
    arrays = []
    node.create_subscription(DiagnosticArray, "/diagnostics", arrays.append, 10)
    updater = diagnostic_updater.Updater(node, period=0.05)
    updater.setHardwareID("cam-1")

    def temperature(status):
        status.summary(WARN, "warm")
        status.add("celsius", 71)
        return status

    updater.add("temperature", temperature)
    updater.add(diagnostic_updater.Heartbeat())
    publisher = diagnostic_updater.DiagnosedPublisher(
        node.create_publisher(Image, "image", 1),
        updater,
        diagnostic_updater.FrequencyStatusParam({"min": 1.0}),
        diagnostic_updater.TimeStampStatusParam(),
    )

    def complete():
        return next((a for a in arrays if len(a.status) == 3), None)

    def publish_and_spin(timeout_sec):
        image = Image()
        image.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(image)
        rclpy.spin_once(node, timeout_sec=timeout_sec)

    spin_until(publish_and_spin, complete)
    warm, alive, topic = complete().status
    assert warm.name == "camera: temperature"
    assert (warm.level, warm.message, warm.hardware_id) == (WARN, "warm", "cam-1")
    assert [(item.key, item.value) for item in warm.values] == [("celsius", "71")]
    assert (alive.name, alive.message) == ("camera: Heartbeat", "Alive")
    assert topic.name == "camera: /front/image topic status"
    assert complete().header.stamp.sec > 0

    assert updater.removeByName("temperature")
    assert not updater.removeByName("temperature")
    assert node.get_parameter("diagnostic_updater.period").value == 0.05
