# SPDX-License-Identifier: Apache-2.0
"""`rclpy` itself: init to shutdown, the default context and executor, signals, log levels."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import rclpy
from rclpy import logging
from rclpy._rclpy_pybind11 import RCLError, RCLInvalidROSArgsError
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, get_current_signal_handlers_options
from rclpy.task import Future
from rclpy.topic_or_service_is_hidden import topic_or_service_is_hidden
from rclpy.type_support import check_for_type_support
from rclpy.utilities import get_default_context, remove_ros_args
from std_msgs.msg import String
from std_srvs.srv import Trigger


@contextmanager
def running(**options):
    """Between init and shutdown."""
    rclpy.init(args=[], **options)
    try:
        yield
    finally:
        rclpy.try_shutdown(context=options.get("context"))


def test_from_init_to_shutdown():
    """Once each, and again; each shutdown gives the signals back."""
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        assert not rclpy.ok()
        rclpy.init(args=[])
        assert rclpy.ok() and get_default_context().ok()
        with pytest.raises(RuntimeError, match="once"):
            rclpy.init(args=[])
        assert get_current_signal_handlers_options() == SignalHandlerOptions.ALL
        rclpy.shutdown()
        assert not rclpy.ok() and signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError, match="must be initialized"):
        rclpy.shutdown()
    rclpy.try_shutdown()


@pytest.mark.skipif(os.environ.get("ROS_DISTRO") == "jazzy", reason="init returns None there")
def test_init_can_be_a_block():
    """At its end the context is shut down; a callback hears of it."""
    heard = []
    with rclpy.init(args=[], domain_id=7) as inside:
        assert inside.context.get_domain_id() == 7
        inside.context.on_shutdown(lambda: heard.append(1))
    assert heard == [1] and not rclpy.ok()


def test_signals_are_left_alone_where_that_is_asked_for():
    """And for a context that is not the default one."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with running(signal_handler_options=SignalHandlerOptions.NO):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    context = Context()
    with running(context=context):
        assert context.ok() and not rclpy.ok()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert not context.ok()
    with running(signal_handler_options=SignalHandlerOptions.SIGTERM):
        assert signal.getsignal(signal.SIGINT) is before[0]
        assert get_current_signal_handlers_options() == SignalHandlerOptions.SIGTERM


def test_the_global_executor_spins_nodes_one_after_the_other():
    """The same one until shutdown; a node is spun only while it is asked for."""
    with running():
        executor = rclpy.get_global_executor()
        assert isinstance(executor, SingleThreadedExecutor)
        first, second = rclpy.create_node("first"), rclpy.create_node("second")
        calls = []
        first.create_timer(0.001, lambda: calls.append("first"))
        second.create_timer(0.001, lambda: calls.append("second"))
        while len(calls) < 3:
            rclpy.spin_once(second, timeout_sec=1.0)
        assert set(calls) == {"second"}
        assert rclpy.get_global_executor() is executor and executor.get_nodes() == []
        over = Future()
        over.set_result(1)
        rclpy.spin_until_future_complete(first, over)
        assert set(calls) == {"second"}
        for node in (first, second):
            node.destroy_node()


def test_arguments_for_ros_are_removed():
    """What is between --ros-args and -- is not the program's."""
    arguments = ["prog", "a", "--ros-args", "-r", "b:=c", "--", "d"]
    assert remove_ros_args(arguments) == ["prog", "a", "d"]
    assert remove_ros_args(["prog", "--ros-args", "-p", "x:=1"]) == ["prog"]


@pytest.mark.parametrize(
    "arguments",
    [
        "-r", "-r x", "-r a:=", "-r :=b", "-r a:=b:=c", "-r a:=9b", "-r a:=b/", "-r a//b:=c",
        "-r a:={node}/b", "-r a-b:=c", "-r a__b:=c", "-r n/m:a:=b", "-r __x:=y", "-r __ns:=a",
        "-r __ns:=/1a", "-r __node:=a/b", "-r __node:=1a", "-r rostopic://a:=rostopic://b",
        "-p", "-p a", "-p a:=", "-p :=1", "-p a..b:=1", "-p a.1:=1", "-p a-b:=1", "-p ~/a:=1",
        "-p /n:a:=1", "-p a:=[1,b]", "-p a:={b:1}", "--params-file", "--params-file /nowhere.yaml",
        "--log-level", "--log-level loud", "--log-level 10", "--log-level a:=",
        "--log-level :=info",
    ],
)  # fmt: skip
def test_arguments_for_ros_that_cannot_be_read(context, arguments):
    """A context says so as an RCLError, programs and nodes that read them by a closer name."""
    given = ["--ros-args", *arguments.split()]
    with pytest.raises(RCLError, match=r"(?s)^failed to initialize rcl: Couldn't parse"):
        Context().init(args=given)
    with pytest.raises(RCLInvalidROSArgsError, match="Failed to parse ROS arguments: "):
        remove_ros_args(given)
    with pytest.raises(RCLInvalidROSArgsError, match="Failed to parse ROS arguments: "):
        Node("tested", context=context, cli_args=given)


@pytest.mark.parametrize("name", ["a", "", "/a/", "/a b", "/a//b", "/1a"])
def test_enclaves_have_names(name):
    with pytest.raises(RCLError, match="Enclave name is not valid"):
        Context().init(args=["--ros-args", "--enclave", name])


@pytest.mark.parametrize(
    "arguments",
    [
        "-r a:=/b", "-r ~/a:=~/b", "-r n:a:=b", "-r __ns:=/", "-r __ns:=/a/b", "-r n:__node:=b",
        "-r _a_:=b_", "-r rosservice://~/a:=b", "-p a/b:=1", "-p /a:=1", "-p a__b:=1", "-p n:a:=1",
        "-p a:=b:=c", "-p qos_overrides./x/y.publisher.depth:=3", "--log-level a/b:=info",
        "--log-level Warn", "--enclave /a", "--disable-rosout-logs",
    ],
)  # fmt: skip
def test_arguments_for_ros_that_can(context, arguments):
    Node("tested", context=context, cli_args=["--ros-args", *arguments.split()])


def test_log_levels_of_the_command_line():
    """In a process of its own: levels are its."""
    code = "import rclpy, rclpy.logging as l; rclpy.init(); print([*map(l.get_logger_level, 'ab')])"
    given = ["--ros-args", "--log-level", "a:=error", "--log-level", "b:=DEBUG"]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)
    assert "ERROR" in done.stdout and "DEBUG" in done.stdout


def test_a_log_message_is_text(context):
    """Whatever else there is has to be made text; what is not put out is not looked at."""
    logger = Node("tested", context=context).get_logger()
    for message in (5, ValueError("x"), [b"x"]):
        with pytest.raises(TypeError):
            logger.info(message)
    assert not logger.debug(5)


def test_what_a_node_is_made_of_comes_with_it():
    """Programs import it from there."""
    from rclpy.node import (
        Client,
        MutuallyExclusiveCallbackGroup,
        Publisher,
        ReentrantCallbackGroup,
        Service,
        Subscription,
        Timer,
    )

    groups = {MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup}
    assert len(groups | {Client, Publisher, Service, Subscription, Timer}) == 7


def test_all_of_lifecycle():
    """No second Node."""
    names = {}
    exec("from rclpy.lifecycle import *", names)
    assert "LifecycleNode" in names and "Node" not in names and "Publisher" not in names


def test_log_levels():
    """A logger has its own, or its parent's; names are read in any case."""
    logging.set_logger_level("robot", LoggingSeverity.WARN)
    child = logging.get_logger("robot.arm")
    assert child.get_effective_level() == LoggingSeverity.WARN
    assert logging.get_logger_effective_level("robot.arm") == LoggingSeverity.WARN
    assert logging.get_logger_level("robot.arm") == LoggingSeverity.UNSET
    assert not child.is_enabled_for(LoggingSeverity.INFO)
    child.set_level(LoggingSeverity.DEBUG)
    assert child.is_enabled_for(LoggingSeverity.DEBUG)
    assert logging.get_logging_severity_from_string("error") is LoggingSeverity.ERROR
    with pytest.raises(RuntimeError):
        logging.get_logging_severity_from_string("loud")
    logging.clear_config()
    logging.set_logger_level("robot", LoggingSeverity.UNSET)
    child.set_level(LoggingSeverity.UNSET)


def test_log_directory(monkeypatch):
    """ROS_LOG_DIR, or log/ in ROS_HOME."""
    monkeypatch.setenv("ROS_HOME", "/home/robot/.ros")
    monkeypatch.delenv("ROS_LOG_DIR", raising=False)
    assert str(logging.get_logging_directory()) == "/home/robot/.ros/log"
    monkeypatch.setenv("ROS_LOG_DIR", "/var/log/ros")
    assert str(logging.get_logging_directory()) == "/var/log/ros"


@pytest.mark.embedded
def test_submodules_and_parameter_are_there_when_asked_for():
    """With nothing but `import rclpy`, which loads none of them; what there is not is not there."""
    lines = (
        "import sys, rclpy",
        "assert not {'rclpy.node', 'rclpy.executors', 'rclpy.parameter'} & set(sys.modules)",
        "assert rclpy.parameter.Parameter('a', rclpy.Parameter.Type.STRING, 'b').value == 'b'",
        "rclpy.executors.MultiThreadedExecutor, rclpy.qos.QoSProfile, rclpy.type_support",
        "assert rclpy.node.HIDDEN_NODE_PREFIX == '_' and rclpy.node.SetParametersResult",
        "from rclpy import Parameter, time, waitable_thing",
    )
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert "cannot import name 'waitable_thing' from 'rclpy'" in ended.stderr
    assert not hasattr(rclpy, "nothing") and not hasattr(rclpy, "_nothing")


def test_hidden_names_and_interface_classes():
    """A name is hidden where a part of it begins with an underscore."""
    assert topic_or_service_is_hidden("/robot/_action/status")
    assert not topic_or_service_is_hidden("/robot/action_")
    check_for_type_support(String)
    check_for_type_support(Trigger)
    with pytest.raises(AttributeError):
        check_for_type_support(str)
