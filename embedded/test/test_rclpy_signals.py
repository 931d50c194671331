# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end a process, whatever it is waiting for."""

import signal
import subprocess
import sys
import time

import pytest
from waiting import PATIENCE_S, check_soon, soon

SPIN = """
import time
import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("signalled")
node.create_timer(0.05, lambda: print("alive", flush=True))
try:
    {spin}
except (KeyboardInterrupt, ExternalShutdownException):
    pass
except RCLError as error:
    assert "rcl node's context is invalid" in str(error)
finally:
    time.sleep({wait_s})  # others may still be at the shutdown that came with the signal
    rclpy.try_shutdown()
"""
SPINS = {
    "spin": "rclpy.spin(node)",
    "multi": "rclpy.spin(node, MultiThreadedExecutor())",
    "take": "print('alive', flush=True); from rclpy.wait_for_message import wait_for_message; "
    "wait_for_message(String, node, 'nothing')",
    "service": "print('alive', flush=True); from std_srvs.srv import Trigger; "
    "node.create_client(Trigger, 'nobody').wait_for_service()",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", SPINS)
@pytest.mark.parametrize("wait_s", [0.33, pytest.param(0.0, marks=pytest.mark.embedded)])
@soon
def test_signals_end_a_process_quietly(name, number, wait_s):
    """Within two seconds, with status 0 and without a traceback.

    Others raise an RCLError where the signal comes while a callback runs, or just before a wait.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", SPIN.format(spin=SPINS[name], wait_s=wait_s)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "alive\n"
    time.sleep(wait_s)
    begin = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    check_soon(begin)
    assert process.returncode == 0 and errors == ""


PUBLISH = """
import time
import rclpy
from std_msgs.msg import String
rclpy.init()
publisher = rclpy.create_node("signalled").create_publisher(String, "said", 1)
while True:
    publisher.publish(String(data="alive"))
    print("alive", flush=True)
    time.sleep(0.05)
"""


@soon
def test_a_loop_that_only_publishes_ends_with_sigterm():
    """It never asks whether the context is there still: publishing says so, as in ROS 2."""
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    check_soon(begin)
    assert process.returncode == 1
    assert "RCLError: Failed to publish: publisher's context is invalid" in errors


ON_THE_WAY = """
import os, signal, time
import rclpy
rclpy.init()
node = rclpy.create_node("signalled")

def looks_once():
    over = not rclpy.ok()
    if not over:
        os.kill(os.getpid(), signal.SIGTERM)  # its handler runs before the next line
        time.sleep(0.2)  # others see the signal before this thread sleeps
    return over

node.context._add_waker(node._ros_graph.wake)  # as waiting for a service does
assert node._ros_graph.wait_for(looks_once, None)
"""


@pytest.mark.embedded
@pytest.mark.parametrize("what", ["codec", "class"])
def test_an_interrupt_that_was_handled_leaves_no_trace(what):
    """Also where it came while source is generated, as when a message is the first of its type."""
    script = f"""
import sys
from rosidl_embedded import message_class, registry
from rosidl_embedded.cdr import serialize
from std_msgs.msg import String

def interrupt(frame, event, arg):
    code = frame.f_code
    if event == "call" and (code.co_filename[0], code.co_name) == ("<", "<module>"):
        raise KeyboardInterrupt

message = String(data="x")
sys.setprofile(interrupt)
try:
    if {what == "codec"}:
        serialize(message)
    else:
        import geometry_msgs.msg
        geometry_msgs.msg.Pose()
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


@pytest.mark.embedded
def test_signal_between_looking_and_sleeping():
    """A wait that found the context alive is woken although the handler ran before it slept."""
    subprocess.run([sys.executable, "-c", ON_THE_WAY], timeout=PATIENCE_S, check=True)


LISTENER = """
import rclpy
from std_msgs.msg import UInt8MultiArray
rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(UInt8MultiArray, "stuck", lambda message: None, 10)
rclpy.spin(node)
"""
WRITER = """
import os, signal, sys, threading, time
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import HistoryPolicy, QoSProfile
from std_msgs.msg import UInt8MultiArray
rclpy.init()
node = rclpy.create_node("writer")
keep_all = QoSProfile(history=HistoryPolicy.KEEP_ALL)
publisher = node.create_publisher(UInt8MultiArray, "stuck", keep_all)
sent = 0

def watch():
    seen = -1
    while seen != sent or not sent:
        seen = sent
        time.sleep(0.5)
    print("stuck", flush=True)

def publish():
    global sent
    if publisher.get_subscription_count():
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
        while rclpy.ok():
            publisher.publish(UInt8MultiArray(data=bytes(200_000)))
            sent += 1

threading.Thread(target=watch, daemon=True).start()
node.create_timer(0.05, publish)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
finally:
    rclpy.try_shutdown()
"""


# How long others wait for a stopped reader is their DDS vendor's.
@pytest.mark.embedded
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@soon
def test_a_write_that_waits_for_a_stopped_reader_is_interrupted(number):
    """Without waiting for its lease, 10 s for every participant of ROS."""
    listener = subprocess.Popen([sys.executable, "-c", LISTENER])
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(listener.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert writer.stdout.readline() == "stuck\n"
        begin = time.monotonic()
        writer.send_signal(number)
        _, errors = writer.communicate(timeout=PATIENCE_S)
        check_soon(begin)
        assert writer.returncode == 0 and errors == ""
    finally:
        for process in (listener, writer):
            process.kill()
            process.wait()


ASKER = """
import os, signal, sys, time
import rclpy
from std_msgs.msg import UInt8MultiArray
rclpy.init()
node = rclpy.create_node("asker")
publisher = node.create_publisher(UInt8MultiArray, "stuck", 10)
while not publisher.get_subscription_count():
    time.sleep(0.05)
os.kill(int(sys.argv[1]), signal.SIGSTOP)
time.sleep(0.3)
publisher.publish(UInt8MultiArray(data=bytes(200)))
try:
    print("stuck", flush=True)
    assert not publisher.wait_for_all_acked()
except KeyboardInterrupt:
    pass
print("interrupted", flush=True)
rclpy.try_shutdown()
"""


@pytest.mark.embedded
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@soon
def test_waiting_for_acknowledgements_is_interrupted(number):
    """Of a stopped reader, without waiting for its lease."""
    listener = subprocess.Popen([sys.executable, "-c", LISTENER])
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, str(listener.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert asker.stdout.readline() == "stuck\n"
        begin = time.monotonic()
        asker.send_signal(number)
        assert asker.stdout.readline() == "interrupted\n"
        check_soon(begin)
        _, errors = asker.communicate(timeout=PATIENCE_S)
        assert asker.returncode == 0 and errors == ""
    finally:
        for process in (listener, asker):
            process.kill()
            process.wait()


FIVE_LISTENERS = """
import rclpy
from std_msgs.msg import UInt8MultiArray
rclpy.init()
node = rclpy.create_node("listener")
for i in range(5):
    node.create_subscription(UInt8MultiArray, f"stuck{i}", lambda message: None, 10)
rclpy.spin(node)
"""
LEAVER = """
import os, signal, sys, time
import rclpy
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import UInt8MultiArray
rclpy.init()
node = rclpy.create_node("leaver")
publishers = [node.create_publisher(UInt8MultiArray, f"stuck{i}", 10) for i in range(5)]
while not all(publisher.get_subscription_count() for publisher in publishers):
    time.sleep(0.05)
os.kill(int(sys.argv[1]), signal.SIGSTOP)
time.sleep(0.3)
for publisher in publishers:
    publisher.publish(UInt8MultiArray(data=bytes(200)))
try:
    print("stuck", flush=True)
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
finally:
    rclpy.try_shutdown()
"""


@pytest.mark.embedded
@soon
def test_leaving_does_not_wait_long_for_readers_that_do_not_answer():
    """Five writers with samples that nobody acknowledges once took a second each."""
    listener = subprocess.Popen([sys.executable, "-c", FIVE_LISTENERS])
    leaver = subprocess.Popen(
        [sys.executable, "-c", LEAVER, str(listener.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert leaver.stdout.readline() == "stuck\n"
        begin = time.monotonic()
        leaver.send_signal(signal.SIGINT)
        _, errors = leaver.communicate(timeout=PATIENCE_S)
        check_soon(begin)
        assert leaver.returncode == 0 and errors == ""
    finally:
        for process in (listener, leaver):
            process.kill()
            process.wait()


ENDED = """
import rclpy, time
from rclpy.executors import ExternalShutdownException
rclpy.init()
node = rclpy.create_node("signalled")
print("alive", flush=True)
try:
    while rclpy.ok():
        rclpy.spin_once(node)
except ExternalShutdownException:
    print("heard")
time.sleep(0.33)
"""


@pytest.mark.embedded
def test_a_loop_of_spin_once_hears_of_a_signal():
    """As in rclpy, where such a process hangs now and then."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    time.sleep(0.33)
    process.send_signal(signal.SIGTERM)
    heard, errors = process.communicate(timeout=PATIENCE_S)
    assert (heard, errors, process.returncode) == ("heard\n", "", 0)
