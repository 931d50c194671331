# SPDX-License-Identifier: Apache-2.0
"""The `ros2` command in real processes, looking at a real node: words, form, Ctrl-C."""

import argparse
import contextlib
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from ros2cli import graph, param
from ros2cli.topic_hz import Rate
from waiting import PATIENCE_S, check_soon, soon

HERE = Path(__file__).parent
ROS2 = (sys.executable, "-m", "ros2cli.cli")


def start(*command):
    """Start a process with its output in pipes."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, number=None):
    """Send a signal, wait, return (exit code, stdout, stderr)."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def ros2(*words):
    """Run `ros2 ...` to its end; return its stdout."""
    code, out, err = finish(start(*ROS2, *words))
    assert code == 0, f"ros2 {' '.join(words)}: exit code {code}\n{out}\n{err}"
    return out


def ros2_each(*lines):
    """Run several `ros2 ...` lines side by side; return their stdouts."""
    processes = [start(*ROS2, *shlex.split(line)) for line in lines]
    results = [finish(process) for process in processes]
    for line, (code, out, err) in zip(lines, results, strict=True):
        assert code == 0, f"ros2 {line}: exit code {code}\n{out}\n{err}"
    return [out for _, out, _ in results]


def failing(*words):
    """Run `ros2 ...`, which must fail; return its stderr."""
    code, _, err = finish(start(*ROS2, *words))
    assert code == 1, f"ros2 {' '.join(words)}: exit code {code}\n{err}"
    assert "Traceback" not in err
    return err


@pytest.fixture(scope="module", autouse=True)
def demo():
    """/robot/talker and /robot/machine in a process of their own."""
    process = start(sys.executable, str(HERE / "demo_node.py"))
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        code, _, err = finish(process, signal.SIGINT)
        assert (code, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_topic_list():
    listed, verbose, count = ros2_each("topic list -t", "topic list -v", "topic list -c")
    listed = listed.splitlines()
    assert "/robot/chatter [std_msgs/msg/String]" in listed
    assert "/robot/image [sensor_msgs/msg/Image]" in listed
    assert "/tf [tf2_msgs/msg/TFMessage]" in listed
    assert listed == sorted(listed)
    assert int(count) == len(listed)
    assert verbose.startswith("Published topics:\n * ")
    assert " * /robot/orders [std_msgs/msg/String] 1 subscriber\n" in verbose


def test_topic_info():
    short, text, kind, found = ros2_each(
        "topic info /robot/chatter",
        "topic info -v /robot/image",
        "topic type /robot/pose",
        "topic find sensor_msgs/msg/Image",
    )
    assert short == "Type: std_msgs/msg/String\nPublisher count: 1\nSubscription count: 0\n"
    assert kind == "geometry_msgs/msg/PoseStamped\n"
    assert found == "/robot/image\n"
    assert text.startswith(
        "Type: sensor_msgs/msg/Image\n\nPublisher count: 1\n\nNode name: talker\n"
    )
    for line in (
        "Node namespace: /robot",
        "Topic type: sensor_msgs/msg/Image",
        "Endpoint type: PUBLISHER",
        "QoS profile:",
        "  Reliability: BEST_EFFORT",
        "  Durability: VOLATILE",
        "  Lifespan: Infinite",
        "  Deadline: Infinite",
        "  Liveliness: AUTOMATIC",
        "  Liveliness lease duration: Infinite",
    ):
        assert f"{line}\n" in text
    assert re.search(r"Topic type hash: RIHS01_[0-9a-f]{64}\n", text)
    assert re.search(r"GID: ([0-9a-f]{2}\.){15}[0-9a-f]{2}\n", text)
    assert text.endswith("Subscription count: 0\n\n")
    assert failing("topic", "info", "/nowhere") == "Unknown topic '/nowhere'\n"


def test_echo_prints_yaml_documents():
    out, latched = ros2_each("topic echo --once /robot/pose", "topic echo --once /robot/latched")
    assert out.endswith("---\n")
    message = yaml.safe_load(out.removesuffix("---\n"))
    assert message["header"]["frame_id"] == "map"
    assert message["pose"]["position"] == {"x": 2.5, "y": 0.0, "z": 0.0}
    assert out.startswith("header:\n  stamp:\n    sec: 0\n    nanosec: 0\n  frame_id: map\npose:\n")
    assert latched == "data: said once\n---\n"  # before this subscription was there


def test_echo_options():
    expected = {
        "": "data:\n- 0\n- 1\n",
        "--flow-style -l 3": "data: [0, 1, 2, '...']\n---\n",
        "--no-arr": "data: '<sequence type: uint8, length: 200>'\n---\n",
        "--csv -l 2 --no-str": "0,0,<string length: <0>>,10,20,",
        "--field header.stamp": "sec: 0\nnanosec: 0\n---\n",
        "--field data[7] --qos-reliability best_effort": "7\n---\n",
        "--filter 'm.width == 20' --field encoding": "mono8\n---\n",
    }
    topic = "/robot/image sensor_msgs/msg/Image"
    outputs = ros2_each(*(f"topic echo --once {topic} {options}" for options in expected))
    for out, part in zip(outputs, expected.values(), strict=True):
        assert part in out
    assert outputs[0].count("\n- ") == 129  # 128 values and '...'
    assert outputs[0].endswith("- 127\n- '...'\n---\n")


def test_echo_of_nothing_says_so():
    err = failing("topic", "echo", "/nowhere", "--spin-time", "0.5")
    assert err == (
        "WARNING: topic [/nowhere] does not appear to be published yet\n"
        "Could not determine the type for the passed topic\n"
    )
    assert "Invalid field" in failing("topic", "echo", "--once", "/robot/pose", "--field", "nose")
    assert "invalid" in failing("topic", "echo", "/robot/pose", "no_msgs/msg/Thing")
    assert failing("topic", "pub", "/1x", "std_msgs/msg/String").startswith("Invalid topic name")


@soon
def test_echo_and_hz_end_silently_at_ctrl_c():
    echo = start(*ROS2, "topic", "echo", "/robot/chatter")
    hz = start(*ROS2, "topic", "hz", "/robot/chatter")
    assert echo.stdout.readline().startswith("data: hello ")
    first = hz.stdout.readline()
    spread = hz.stdout.readline()
    begin = time.monotonic()
    for process in (echo, hz):
        code, _, err = finish(process, signal.SIGINT)
        assert (code, err) == (signal.SIGINT, "")
    check_soon(begin)
    # Of the 20 a second that are sent; a busy machine lets fewer through, or some at once.
    assert 2 < float(re.fullmatch(r"average rate: (\d+\.\d{3})\n", first)[1]) < 40
    assert re.fullmatch(
        r"\tmin: \d\.\d{3}s max: \d\.\d{3}s std dev: \d\.\d{5}s window: \d+\n", spread
    )


def test_ctrl_c_is_the_end_also_where_the_shutdown_is_seen_first():
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), graph.hidden_node(argparse.Namespace()):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert not rclpy.ok()
            raise ExternalShutdownException
    finally:
        signal.signal(signal.SIGINT, before)


def test_hz_counts_what_is_between_arrivals():
    rate = Rate(window=2)
    assert rate.text() == ""
    for now in (0.0, 5.0, 5.1, 5.4):  # the first interval has left the window
        rate.arrived(now)
    assert rate.text() == (
        "average rate: 5.000\n\tmin: 0.100s max: 0.300s std dev: 0.10000s window: 2"
    )


def test_pub_reaches_a_subscription():
    echo = start(*ROS2, "topic", "echo", "--once", "/greeting", "std_msgs/msg/Header")
    out = ros2(
        "topic", "pub", "-t", "3", "-r", "20", "/greeting", "std_msgs/msg/Header",
        "{frame_id: map, stamp: now}",
    )  # fmt: skip
    code, heard, _ = finish(echo)
    assert code == 0
    assert "frame_id: map\n" in heard
    assert "sec: 0\n" not in heard
    assert "publisher: beginning loop\npublishing #1: std_msgs.msg.Header(" in out
    assert "publishing #3" in out
    err = failing("topic", "pub", "--once", "/greeting", "std_msgs/msg/String", "{nose: 1}")
    assert err == "Failed to populate field: 'String' object has no attribute 'nose'\n"


@pytest.mark.parametrize(
    "line",
    [
        "topic pub --once /x sensor_msgs/msg/Image '{data: [1, 300]}'",
        "topic pub --once /x std_msgs/msg/String '{data: [1'",
        "service call /x std_srvs/srv/SetBool '{data: ]'",
        "service call /x std_srvs/srv/SetBool '{data: 3}'",
        "topic pub --once /x std_msgs/msg/Int32 '{data: !!int \"\"}'",
    ],
)
def test_values_that_cannot_be_used_are_refused_in_a_line(line):
    """Numbers that are too large, what is no YAML, what is of another type."""
    err = failing(*shlex.split(line))
    assert err.startswith("Failed to ") and err.count("\n") == 1


@pytest.mark.parametrize("verb", ["echo", "hz"])
@pytest.mark.parametrize("expression", ["(", "m.nose", "nothing"])
def test_filters_that_cannot_be_used_are_refused_in_a_line(verb, expression):
    """What is no expression, and what fails for a message."""
    err = failing("topic", verb, "/robot/chatter", "--filter", expression)
    assert "ilter expression" in err and expression in err and err.count("\n") == 1


def test_nodes():
    listed, text = ros2_each("node list", "node info /robot/talker")
    assert listed == "/robot/machine\n/robot/talker\n"
    assert text.startswith("/robot/talker\n  Subscribers:\n")
    publishers = text.split("  Publishers:\n")[1].split("  Service Servers:\n")[0]
    assert "    /robot/chatter: std_msgs/msg/String\n" in publishers
    assert "    /tf: tf2_msgs/msg/TFMessage\n" in publishers
    assert "    /robot/trigger: std_srvs/srv/Trigger\n" in text
    assert "    /robot/orders: std_msgs/msg/String\n" in text.split("  Publishers:")[0]
    assert failing("node", "info", "/nobody") == "Unable to find node '/nobody'\n"


def test_services():
    listed, kind, triggered, switched, info, found = ros2_each(
        "service list -t",
        "service type /robot/set_bool",
        "service call /robot/trigger std_srvs/srv/Trigger",
        "service call /robot/set_bool std_srvs/srv/SetBool 'data: true'",
        "service info /robot/trigger",
        "service find std_srvs/srv/SetBool",
    )
    assert "/robot/trigger [std_srvs/srv/Trigger]\n" in listed
    assert kind == "std_srvs/srv/SetBool\n"
    assert triggered.startswith(
        "requester: making request: std_srvs.srv.Trigger_Request()\n\nresponse:\n"
    )
    assert "std_srvs.srv.Trigger_Response(success=True, message='called after" in triggered
    assert "SetBool_Response(success=True, message='')" in switched
    assert found == "/robot/set_bool\n"
    assert info.startswith("Type: std_srvs/srv/Trigger\nClients count: ")
    assert info.endswith("Services count: 1\n")
    assert failing("service", "call", "/robot/trigger", "std_srvs/srv/No") == (
        "The passed service type is invalid\n"
    )


def test_parameters():
    names, value, described, dumped = ros2_each(
        "param list /robot/talker",
        "param get /robot/talker speed",
        "param describe /robot/talker speed",
        "param dump /robot/talker",
    )
    assert names.splitlines()[:2] == ["  camera.name", "  camera.sizes"]
    assert value == "Double value is: 1.5\n"
    assert described == (
        "Parameter name: speed\n  Type: double\n  Description: How fast, in m/s\n"
        "  Constraints:\n    Min value: 0.0\n    Max value: 10.0\n"
    )
    parameters = yaml.safe_load(dumped)["/robot/talker"]["ros__parameters"]
    assert parameters["camera"] == {"name": "front", "sizes": [640, 480]}
    assert "rooms" in names and "rooms" not in parameters  # it is not set
    assert ros2("param", "set", "/robot/talker", "speed", "2.5") == "Set parameter successful\n"
    assert ros2("param", "get", "--hide-type", "/robot/talker", "speed") == "2.5\n"
    assert failing("param", "set", "/robot/talker", "camera.name", "rear") == (
        "Setting parameter failed: there is no rear camera\n"
    )
    assert failing("param", "get", "/nobody", "speed") == "Node not found\n"


def test_parameters_of_foreign_nodes_are_shown():
    """Whose names begin with those of others, or whose types are new."""
    tree = {}
    for number, name in enumerate(("a", "a.b", "c.d", "c.e.f")):
        param._plant(tree, name, number)
    assert tree == {"a": 0, "a.b": 1, "c": {"d": 2, "e": {"f": 3}}}
    lines = param._descriptor_lines(ParameterDescriptor(name="a", type=77))
    assert lines[1] == "  Type: unknown (77)"


def test_parameter_files_and_several_at_once(tmp_path):
    file = tmp_path / "talker.yaml"
    file.write_text("/**:\n  ros__parameters:\n    camera:\n      sizes: [320, 240]\n")
    loaded = ros2("param", "load", "/robot/talker", str(file))
    assert loaded == "Set parameter camera.sizes successful\n"
    together = ros2(
        "param", "set", "--atomic", "/robot/talker", "speed", "3.0", "camera.name", "left"
    )
    assert together == "Set parameters atomically successful\n"
    dumped = yaml.safe_load(ros2("param", "dump", "/robot/talker"))
    parameters = dumped["/robot/talker"]["ros__parameters"]
    assert parameters["camera"] == {"name": "left", "sizes": [320, 240]}
    refused, wrong = (
        failing("param", "set", "/robot/talker", "speed", "99.0"),
        failing("param", "set", "/robot/talker", "speed", "fast"),
    )
    assert refused.startswith("Setting parameter failed: ")
    assert wrong.startswith("Setting parameter failed: ")


def test_a_node_that_is_busy_is_waited_for():
    """For longer than a service is looked for, until it answers; the command gave up after 5 s."""
    words = ("param", "set", "/robot/talker", "camera.name")
    assert ros2(*words, "far") == "Set parameter successful\n"
    assert ros2(*words, "left") == "Set parameter successful\n"


def test_parameter_is_deleted_where_its_type_is_free():
    assert ros2("param", "delete", "/robot/talker", "note") == "Deleted parameter successfully\n"
    gone, typed = (
        failing("param", "get", "/robot/talker", "note"),
        failing("param", "delete", "/robot/talker", "speed"),
    )
    assert gone == "Parameter not set\n"
    assert typed.startswith("Deleting parameter failed: ")


def test_lifecycle():
    nodes, state, transitions = ros2_each(
        "lifecycle nodes", "lifecycle get /robot/machine", "lifecycle list /robot/machine"
    )
    assert nodes == "/robot/machine\n"
    assert state == "unconfigured [1]\n"
    assert "- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n" in transitions
    assert ros2("lifecycle", "set", "/robot/machine", "configure") == "Transitioning successful\n"
    assert ros2("lifecycle", "get") == "/robot/machine: inactive [2]\n"
    assert failing("lifecycle", "set", "/robot/machine", "fly").startswith(
        "Unknown transition requested, available ones are:\n- "
    )


def test_interfaces_need_no_node():
    shown, service, messages, of_one, packages = ros2_each(
        "interface show --no-comments geometry_msgs/msg/PointStamped",
        "interface show std_srvs/srv/SetBool",
        "interface list -m",
        "interface package std_srvs",
        "interface packages",
    )
    assert shown == (
        "std_msgs/Header header\n\tbuiltin_interfaces/Time stamp\n\t\tint32 sec\n"
        "\t\tuint32 nanosec\n\tstring frame_id\ngeometry_msgs/Point point\n"
        "\tfloat64 x\n\tfloat64 y\n\tfloat64 z\n"
    )
    assert service == "bool data\n---\nbool success\nstring message\n"
    assert "    sensor_msgs/msg/Image\n" in messages
    assert of_one == "std_srvs/srv/Empty\nstd_srvs/srv/SetBool\nstd_srvs/srv/Trigger\n"
    assert {"geometry_msgs", "std_srvs"} <= set(packages.split())
    assert "no_msgs/msg/Thing" in failing("interface", "show", "no_msgs/msg/Thing")
    assert "package/msg/Name" in failing("interface", "show", "std_msgs/String")


LAUNCH_FILE = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("word", default_value="nothing", description="What to say"),
        DeclareLaunchArgument("volume", description="How loud", choices=["low", "high"]),
        Node(package="toy", executable="say", output="screen",
             arguments=[LaunchConfiguration("word"), LaunchConfiguration("volume")]),
    ])
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An installed package `toy` with one executable and one launch file."""
    share, lib = tmp_path / "share" / "toy", tmp_path / "lib" / "toy"
    (share / "launch").mkdir(parents=True)
    lib.mkdir(parents=True)
    (share / "package.xml").write_text("<package><name>toy</name></package>")
    (share / "launch" / "toy.launch.py").write_text(LAUNCH_FILE)
    (lib / "say").write_text("#!/usr/bin/env python3\nimport sys\nprint('said', *sys.argv[1:3])\n")
    (lib / "say").chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    return share / "launch" / "toy.launch.py"


def test_run_and_launch(toy):
    ran, by_name, by_path, arguments = ros2_each(
        "run toy say a b",
        "launch toy toy.launch.py word:=hello volume:=low",
        f"launch {toy} volume:=high",
        "launch --show-args toy toy.launch.py",
    )
    assert ran == "said a b\n"
    assert "said hello low\n" in by_name
    assert "said nothing high\n" in by_path
    assert arguments == (
        "Arguments (pass arguments as '<name>:=<value>'):\n\n"
        "    'word':\n        What to say\n        (default: 'nothing')\n\n"
        "    'volume':\n        How loud. Valid choices are: ['low', 'high']\n"
    )
    assert failing("launch", "toy", "no.launch.py").startswith("file 'no.launch.py' was not found")
    assert failing("launch", "nothere", "x.launch.py") == "Package 'nothere' not found\n"
    assert failing("run", "toy", "shout") == "No executable found\n"
    assert failing("launch", "toy", "toy.launch.py", "word=1").startswith(
        "malformed launch argument 'word=1'"
    )


def test_a_pipe_that_closes_is_no_error():
    listing = start(*ROS2, "interface", "list")
    listing.stdout.close()
    listing.wait(timeout=PATIENCE_S)
    assert listing.stderr.read() == ""
    listing.stderr.close()


def test_what_is_not_built_says_so():
    code, _, err = finish(start(*ROS2, "action", "list"))
    assert code != 0
    assert err == "`ros2 action` needs a full ROS 2\n"
