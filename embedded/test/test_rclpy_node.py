# SPDX-License-Identifier: Apache-2.0
"""Nodes: topics, names, logging, lifecycle; the process around them."""

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Log
from rclpy import exceptions, logging
from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
from rclpy.context import Context
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.qos import (
    DurabilityPolicy,
    QoSPolicyKind,
    QoSProfile,
    qos_profile_sensor_data,
)
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.wait_for_message import wait_for_message
from std_msgs.msg import Int32, String
from std_srvs.srv import Trigger
from waiting import PATIENCE_S

# Topics


def test_late_joiner(graph):
    """A transient local subscription gets what was published before; a volatile one does not."""
    node = graph.init().node()
    latched = QoSProfile(depth=2, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(String, "map", latched)
    for text in "abc":
        publisher.publish(String(data=text))
    got, volatile = [], []
    node.create_subscription(String, "map", lambda m: got.append(m.data), latched)
    node.create_subscription(String, "map", volatile.append, 10)
    graph.spin_until(lambda: len(got) == 2)
    assert got == ["b", "c"] and not volatile


def test_incompatible_qos_is_named_on_both_sides(graph, capfd):
    """Publisher and subscription each warn, with the policy."""
    node = graph.init().node()
    node.create_publisher(String, "sensor", qos_profile_sensor_data)
    events = []
    node.create_subscription(String, "sensor", print, 10)
    node.create_subscription(
        String, "sensor", print, 10,
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=events.append),
    )  # fmt: skip
    graph.spin_until(lambda: events)
    assert events[0].last_policy_kind == QoSPolicyKind.RELIABILITY
    warnings = ""

    def both_warned():
        nonlocal warnings
        warnings += capfd.readouterr().err
        return (
            "offering incompatible QoS. No messages will be received" in warnings
            and "requesting incompatible QoS. No messages will be sent" in warnings
        )

    graph.spin_until(both_warned)
    assert "Last incompatible policy: RELIABILITY\n" in warnings


def test_raw_and_serialised(graph):
    """Publishers take serialised messages, raw subscriptions give them."""
    node = graph.init().node()
    got = []
    publisher = node.create_publisher(String, "raw", 10)
    node.create_subscription(String, "raw", got.append, 10, raw=True)
    graph.spin_until(publisher.get_subscription_count)
    publisher.publish(serialize_message(String(data="bytes")))
    graph.spin_until(lambda: got)
    assert deserialize_message(got[0], String) == String(data="bytes")
    with pytest.raises(TypeError):
        publisher.publish(Int32())


@pytest.mark.embedded
def test_damaged_samples_are_dropped_with_one_warning(graph, capfd):
    """Samples that are no messages of the type never reach a callback, nor raise.

    Some DDS do not publish them.
    """
    node = graph.init().node()
    got = []
    publisher = node.create_publisher(Int32, "damaged", 10)
    for _ in range(2):
        node.create_subscription(Int32, "damaged", got.append, 10)
    graph.spin_until(lambda: publisher.get_subscription_count() == 2)
    for _ in range(5):
        publisher.publish(bytes.fromhex("00010000010000000000000000000000"))
    publisher.publish(Int32(data=7))
    graph.spin_until(lambda: len(got) == 2)
    assert [message.data for message in got] == [7, 7]
    assert capfd.readouterr().err.count("was dropped") == 1


def test_wait_for_message(graph):
    """Gets a latched message, or gives up in time."""
    node = graph.init().node()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(String, "latched", latched).publish(String(data="x"))
    found, message = wait_for_message(
        String, node, "latched", qos_profile=latched, time_to_wait=PATIENCE_S
    )
    assert found and message.data == "x"
    assert wait_for_message(String, node, "silent", time_to_wait=0.05) == (False, None)


def test_endpoints_made_and_destroyed_leave_nothing(graph):
    """500 of each kind: no threads, descriptors or endpoints stay, and little memory."""
    node = graph.init().node()

    def cycle(count):
        for _ in range(count):
            node.destroy_publisher(node.create_publisher(String, "churn", 10))
            node.destroy_subscription(node.create_subscription(String, "churn", print, 10))
            node.destroy_service(node.create_service(Trigger, "churn_service", print))
            node.destroy_client(node.create_client(Trigger, "churn_service"))
            node.destroy_timer(node.create_timer(1.0, print))

    def usage():
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        return resident, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    cycle(50)
    gc.collect()  # what earlier tests left
    memory, files, threads = usage()
    cycle(500)
    memory_after, files_after, threads_after = usage()
    assert memory_after - memory < 8 * 2**20
    assert files_after <= files and threads_after <= threads

    def names():
        return [name for name, _ in node.get_topic_names_and_types(no_demangle=True)]

    graph.spin_until(lambda: not any("churn" in name for name in names()))


# Names


def test_remaps_from_the_command_line(graph):
    """Names, namespaces, topics and services; rules for one node only."""
    node = graph.init(
        "--ros-args", "-r", "__ns:=/robot1", "-r", "tested:__node:=cam", "-r", "image:=/camera/raw",
        "-r", "~/set:=set_it", "-r", "other:__node:=never",
    ).node()  # fmt: skip
    assert node.get_fully_qualified_name() == "/robot1/cam"
    assert node.get_logger().name == "robot1.cam"
    publisher = node.create_publisher(String, "image", 10)
    assert publisher.topic_name == "/camera/raw"
    assert node.create_publisher(String, "plain", 10).topic_name == "/robot1/plain"
    assert node.create_publisher(String, "~/private", 10).topic_name == "/robot1/cam/private"
    assert node.resolve_service_name("~/set") == "/robot1/set_it"
    assert node.resolve_topic_name("image", only_expand=True) == "/robot1/image"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("node", "a b"), ("node", "1a"), ("namespace", "a//b"), ("topic", "a/~b"), ("topic", "9a"),
     ("topic", ""), ("topic", "a/")],
)  # fmt: skip
def test_invalid_names(graph, kind, name):
    """Each is refused with the exception that names the kind."""
    graph.init()
    if kind == "topic":
        with pytest.raises(exceptions.InvalidTopicNameException):
            graph.node().create_publisher(String, name, 10)
    elif kind == "node":
        with pytest.raises(exceptions.InvalidNodeNameException):
            graph.node(name)
    else:
        with pytest.raises(exceptions.InvalidNamespaceException):
            graph.node(namespace=name)


def test_unknown_ros_argument():
    """Says which."""
    with pytest.raises(UnknownROSArgsError, match="--nonsense"):
        Context().init(args=["--ros-args", "--nonsense"])


# Logging, lifecycle


def test_logging(graph, capfd):
    """Levels, filters by place, children, and /rosout."""
    graph.init()
    logging.set_logger_level("logging.quiet", LoggingSeverity.ERROR)
    # Of a name that no earlier test had: rclpy forgets a name's /rosout once any such node is gone.
    node, other = graph.node("logging"), graph.node("listener")
    heard = []
    other.create_subscription(
        Log, "/rosout", heard.append,
        QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )  # fmt: skip
    logger = node.get_logger()
    for index in range(3):
        logger.info(f"once {index}", once=True)
        logger.info(f"later {index}", skip_first=True)
        logger.warning(f"seldom {index}", throttle_duration_sec=60.0)
    logger.debug("hidden")
    assert not logger.get_child("quiet").warning("hidden, too")
    logger.get_child("child").error("from the child")
    graph.spin_until(lambda: len(heard) >= 5)
    texts = ["once 0", "later 1", "later 2", "seldom 0", "from the child"]
    assert sorted(entry.msg for entry in heard) == sorted(texts)
    child = next(entry for entry in heard if entry.msg == "from the child")
    assert (child.name, child.level) == ("logging.child", 40)
    assert child.file == __file__ and child.function == "test_logging"
    lines = capfd.readouterr().err
    assert all(text in lines for text in texts) and "hidden" not in lines
    assert "] [logging.child]: from the child" in lines
    logging.set_logger_level("logging.quiet", LoggingSeverity.UNSET)
    logging.clear_config()


def test_lifecycle(graph):
    """Transitions by call; failures and errors lead where REP-2002 says."""

    class Managed(LifecycleNode):
        outcome = TransitionCallbackReturn.SUCCESS

        def on_activate(self, state):
            if self.outcome is None:
                raise RuntimeError("broken")
            super().on_activate(state)
            return self.outcome

    node = graph.init().node("managed", Managed)
    asker = graph.node("asker")
    client = asker.create_client(GetState, "managed/get_state")
    assert client.wait_for_service(PATIENCE_S)

    def label():
        return graph.result(client.call_async(GetState.Request())).current_state.label

    publisher = node.create_lifecycle_publisher(String, "words", 10)
    got = []
    node.create_subscription(String, "words", got.append, 10)
    graph.spin_until(publisher.get_subscription_count)
    publisher.publish(String(data="too early"))
    node.trigger_configure()
    node.outcome = TransitionCallbackReturn.FAILURE
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert label() == "inactive"
    node.outcome = TransitionCallbackReturn.SUCCESS
    node.trigger_activate()
    publisher.publish(String(data="now"))
    graph.spin_until(lambda: got)
    assert [message.data for message in got] == ["now"]
    with contextlib.suppress(RCLError):  # from Kilted on ERROR is returned
        assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert label() == "active"
    node.trigger_deactivate()
    node.outcome = None
    assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert label() == "unconfigured"
    node.trigger_shutdown()
    assert label() == "finalized"


# The process


def test_messages_before_rclpy():
    """isort puts `sensor_msgs` after `rclpy`, `geometry_msgs` before: any order has to do."""
    code = "from geometry_msgs.msg import Point; import rclpy; print(Point(x=1.0).x)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"


@pytest.mark.embedded
def test_refuses_where_a_full_ros_is_sourced(tmp_path):
    """Our rclpy does not stand in for a real one that AMENT_PREFIX_PATH promises."""
    manifest = tmp_path / "share" / "rclpy" / "package.xml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("<package/>")
    environment = {**os.environ, "AMENT_PREFIX_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", "import rclpy"], env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode != 0 and "a full ROS 2 is sourced" in done.stderr
