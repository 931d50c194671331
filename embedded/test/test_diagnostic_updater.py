# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: what tasks say, and what arrives on /diagnostics."""

import time
from types import SimpleNamespace

import diagnostic_updater
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
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


def test_values_are_text():
    """As in ROS 2, where a number ends the node that wants to publish it."""
    status = diagnostic_updater.DiagnosticStatusWrapper()
    with pytest.raises(AssertionError, match="'value' field must be of type 'str'"):
        status.add("celsius", 71)


def test_a_composite_task_says_what_each_part_says():
    def says(level, text):
        def fill(status):
            status.summary(level, text)
            status.add(text, "1")
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


def test_a_rate_is_of_the_last_updates(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bounds = diagnostic_updater.FrequencyStatusParam({"min": 15.0, "max": 15.0}, 0.2, 2)
    task = diagnostic_updater.FrequencyStatus(bounds)
    expected = [
        (10, WARN, "Frequency too low.", (10, 10, "1.000000", "10.000000")),
        (30, WARN, "Frequency too high.", (40, 40, "2.000000", "20.000000")),
        (0, OK, "Desired frequency met", (30, 40, "2.000000", "15.000000")),
        (0, ERROR, "No events recorded.", (0, 40, "2.000000", "0.000000")),
    ]
    keys = ("Events in window", "Events since startup", "Duration of window (s)")
    for ticks, *said, numbers in expected:
        for _ in range(ticks):
            task.tick()
        now[0] += 1
        level, message, values = run(task)
        assert [level, message] == said
        assert tuple(values[key] for key in (*keys, "Actual frequency (Hz)")) == tuple(
            map(str, numbers)
        )
    assert values["Target frequency (Hz)"] == "15.000000"
    assert values["Minimum acceptable frequency (Hz)"] == "12.000000"
    assert values["Maximum acceptable frequency (Hz)"] == "18.000000"
    task.tick()
    task.clear()
    assert run(task)[2]["Events since startup"] == "0"
    bounds.freq_bound = {"min": 0.0}
    assert not {key for key in run(task)[2] if "acceptable" in key or "Target" in key}


def test_the_ages_of_stamps_are_told_and_begin_anew():
    task = diagnostic_updater.TimeStampStatus()  # of at most one second ahead and five old
    assert task.getName() == "Timestamp Status"
    task.clock = SimpleNamespace(now=lambda: Time(seconds=1000))
    for ages, level, counts in (
        ((2, 10, -0.5), ERROR, "100"),
        ((5, -1), OK, "100"),
        ((7, -1.5, 1), ERROR, "210"),
        ((3,), OK, "210"),
    ):
        for age in ages:
            task.tick(1000 - age)
        found, _, values = run(task)
        assert found == level
        assert float(values["Earliest timestamp delay:"]) == min(ages)
        assert float(values["Latest timestamp delay:"]) == max(ages)
        told = [values[f"{name} diagnostic update count:"] for name in ("Late", "Early")]
        assert "".join([*told, values["Zero seen diagnostic update count:"]]) == counts
    task.tick(0)
    assert run(task)[2]["Zero seen diagnostic update count:"] == "1"
    assert run(task)[:2] == (WARN, "No data since last update.")


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


def test_an_updater_follows_its_parameters(node):
    node.declare_parameter("diagnostic_updater.use_fqn", True)
    updater = diagnostic_updater.Updater(node, period=5.0)
    assert updater.node_name == "/front/camera"
    assert (updater.period, updater.timer.timer_period_ns) == (5.0, 5 * 10**9)
    timer = updater.timer
    updater.update()
    assert updater.timer is timer, "the same period leaves it as it is"
    node.set_parameters([Parameter("diagnostic_updater.period", value=0.5)])
    updater.update()
    assert (updater.period, updater.timer.timer_period_ns) == (0.5, 5 * 10**8)
    assert list(node.timers) == [updater.timer]


def test_all_tasks_can_be_said_to_be_in_one_state(node, monkeypatch, capfd):
    updater = diagnostic_updater.Updater(node)
    published = []
    monkeypatch.setattr(updater.publisher, "publish", published.append)
    for name, level in (("first", OK), ("second", ERROR)):
        updater.add(name, lambda status, level=level: status.summary(level, "ran") or status)
    assert [(a.status[0].name, a.status[0].message) for a in published] == [
        ("camera: first", "Node starting up"),
        ("camera: second", "Node starting up"),
    ]
    updater.setHardwareID("cam-1")
    updater.broadcast(WARN, "stopping")
    assert [(s.name, s.level, s.message, s.hardware_id) for s in published[-1].status] == [
        ("camera: first", WARN, "stopping", "cam-1"),
        ("camera: second", WARN, "stopping", "cam-1"),
    ]
    for verbose in (False, True):
        updater.verbose = verbose
        updater.force_update()
        told = capfd.readouterr().err
        assert ("Name: second, status 2: ran" in told) == verbose
        assert "Name: first" not in told and "no hardware ID" not in told
    assert [s.level for s in published[-1].status] == [OK, ERROR]
    assert updater.removeByName("second")
    updater.setHardwareID("")
    updater.force_update()
    updater.force_update()
    assert capfd.readouterr().err.count("no hardware ID was set") == 1
    assert [s.name for s in published[-1].status] == ["camera: first"]


def test_the_updater_publishes_all_tasks(node):
    arrays = []
    node.create_subscription(DiagnosticArray, "/diagnostics", arrays.append, 10)
    updater = diagnostic_updater.Updater(node, period=0.05)
    updater.setHardwareID("cam-1")

    def temperature(status):
        status.summary(WARN, "warm")
        status.add("celsius", "71")
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
    keys = {item.key for item in topic.values}
    assert {"Actual frequency (Hz)", "Latest timestamp delay:"} <= keys
    assert complete().header.stamp.sec > 0

    assert updater.removeByName("temperature")
    assert not updater.removeByName("temperature")
    assert node.get_parameter("diagnostic_updater.period").value == 0.05
