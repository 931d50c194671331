# SPDX-License-Identifier: Apache-2.0
"""A child that a process with rclpy forks: it ends when told to, and says nothing of its parent."""

import subprocess
import sys

import pytest
from waiting import PATIENCE_S

PARENT = """
import multiprocessing, os, sys, time
import rclpy
from rclpy import signals
from std_msgs.msg import String

rclpy.init()
node = rclpy.create_node("parent")
publisher = node.create_publisher(String, "words", 10)
executor = rclpy.executors.MultiThreadedExecutor()
executor.add_node(node)
executor.spin_once(timeout_sec=0.01)

def fails(call):
    try:
        call()
    except Exception as error:  # its text is what is judged
        return str(error)
    raise AssertionError(call)
"""
TERMINATED = """
signals._end_writes = lambda pipe: os._exit(5)  # for a signal that did not come
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
child.start()
child.terminate()
child.join()
assert child.exitcode == -15, child.exitcode
time.sleep(0.2)
assert rclpy.ok()
rclpy.shutdown()
"""
LEAVING = """
watcher = rclpy.Context()
watcher.init(args=[])
other = rclpy.create_node("watcher", context=watcher)
while "parent" not in other.get_node_names():
    time.sleep(0.01)
child = os.fork()
if not child:
    assert not rclpy.ok()
    assert "invalid" in fails(lambda: publisher.publish(String()))
    assert "not been called" in fails(lambda: rclpy.spin_once(node))
    node.get_logger().info("heard")
    node.destroy_node()
    assert "was forked from" in fails(rclpy.init)
    del executor
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
time.sleep(0.2)
assert "parent" in other.get_node_names()
publisher.publish(String())
watcher.destroy()
rclpy.shutdown()
"""


# What such a child does is undefined on others.
@pytest.mark.embedded
@pytest.mark.parametrize("script", [TERMINATED, LEAVING], ids=["terminated", "leaving"])
def test_a_forked_child_leaves_its_parent_alone(script):
    """It hung at its end, and a signal to it had its parent forget slow readers from then on."""
    done = subprocess.run(
        [sys.executable, "-c", PARENT + script],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_child_that_was_forked_first_is_a_process_like_any_other():
    """Importing rclpy is not using it."""
    script = """
import os, sys, time
import rclpy
from rclpy.node import Node
from std_msgs.msg import String
child = os.fork()
rclpy.init()
node = Node("child" if not child else "parent")
rclpy.spin_once(node, timeout_sec=0.01)
topic = f"words_{os.getpid()}"
publisher = node.create_publisher(String, topic, 1)
subscription = node.create_subscription(String, topic, print, 1)
while publisher.get_subscription_count() != 1:
    time.sleep(0.01)
node.destroy_subscription(subscription)
while publisher.get_subscription_count():
    time.sleep(0.01)
node.destroy_node()
rclpy.shutdown()
assert not child or os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE_S)
