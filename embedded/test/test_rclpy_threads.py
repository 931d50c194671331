# SPDX-License-Identifier: Apache-2.0
"""The threads of a MultiThreadedExecutor: who runs a callback, and that none is forgotten."""

import random
import subprocess
import sys
import threading
import time

import pytest
from rclpy import executors
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from spinning import Spinning
from std_msgs.msg import String
from std_srvs.srv import Trigger
from waiting import PATIENCE_S


@pytest.fixture
def node(context):
    """A node in it, without services of its own."""
    node = Node("tested", context=context, start_parameter_services=False)
    yield node
    node.destroy_node()


def wait_until(ready):
    """Wait until a condition holds that another thread makes true."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < end, "condition never held"
        time.sleep(0.01)


@pytest.mark.embedded
def test_brief_callbacks_run_where_work_is_found(context, node, monkeypatch):
    """All but the first of each, of which nothing is known, and never in the thread that spins."""
    monkeypatch.setattr(executors, "_BRIEF_S", PATIENCE_S)  # also on a machine that is busy
    monkeypatch.setattr(executors, "_STUCK_S", PATIENCE_S)
    threads = []
    publisher = node.create_publisher(String, "topic", 10)

    def tick():
        threads.append(threading.get_ident())
        publisher.publish(String(data="x"))

    node.create_subscription(String, "topic", lambda _: threads.append(threading.get_ident()), 10)
    node.create_timer(0.002, tick)
    spinning = Spinning(context, node)
    with spinning:
        wait_until(lambda: len(threads) > 200)
    assert len(set(threads[100:])) == 1
    assert spinning.thread.ident not in threads


def test_a_brief_callback_that_waits_after_all_holds_nobody_up(context, node):
    """For a service of the same node, say: another thread looks for work until it is done."""
    calls, answers = [0], {}
    inner = node.create_client(Trigger, "inner", callback_group=ReentrantCallbackGroup())

    def serve(_, response):
        response.message = f"at call {calls[0]}"
        return response

    def tick():
        calls[0] += 1
        if calls[0] == 50:
            answer = inner.call(Trigger.Request(), timeout_sec=PATIENCE_S)
            answers[calls[0]] = answer and answer.message

    node.create_service(Trigger, "inner", serve)
    node.create_timer(0.005, tick, callback_group=MutuallyExclusiveCallbackGroup())
    with Spinning(context, node):
        wait_until(lambda: calls[0] > 60)
    assert answers == {50: "at call 50"}


def test_what_comes_while_its_group_is_busy_is_not_forgotten(context, node):
    """It waits for the end of the callback, and for nothing else."""
    begun, end, got = threading.Event(), threading.Event(), []
    group = MutuallyExclusiveCallbackGroup()
    publisher = node.create_publisher(String, "topic", 10)
    node.create_subscription(
        String, "topic", lambda m: got.append((m.data, end.is_set())), 10, callback_group=group
    )

    def work():
        timer.cancel()
        begun.set()
        end.wait(PATIENCE_S)

    timer = node.create_timer(0.0, work, callback_group=group, autostart=False)
    with Spinning(context, node):
        wait_until(publisher.get_subscription_count)
        timer.reset()
        assert begun.wait(PATIENCE_S)
        publisher.publish(String(data="early"))
        time.sleep(0.1)  # most probably it has been found by now
        end.set()
        wait_until(lambda: got)
    assert got == [("early", True)]


@pytest.mark.parametrize(
    "error", [ValueError, pytest.param(SystemExit, marks=pytest.mark.embedded)]
)
def test_what_a_callback_raises_comes_out_of_spin(context, node, error):
    """Also what ends a program, for which others wait for ever."""

    def work():
        raise error("on purpose")

    node.create_timer(0.0, work)
    with MultiThreadedExecutor(2, context=context) as executor:
        executor.add_node(node)
        with pytest.raises(error, match="on purpose"):
            executor.spin()


def test_spinning_ends_with_its_future_or_its_time(context, node):
    """And can begin again."""
    calls, future = [0], Future()

    def tick():
        calls[0] += 1
        if calls[0] == 20:
            future.set_result(None)

    node.create_timer(0.005, tick)
    with MultiThreadedExecutor(2, context=context) as executor:
        executor.add_node(node)
        begin = time.monotonic()
        executor.spin_until_future_complete(Future(), timeout_sec=0.05)
        assert time.monotonic() - begin >= 0.05
        executor.spin_until_future_complete(future, timeout_sec=PATIENCE_S)
    assert calls[0] >= 20


def lagging(monkeypatch, owner, *names):
    """Have threads lose their turn before and after these methods."""
    chance = random.Random(7)

    def lags(plain):
        def call(*args, **kwargs):
            time.sleep(chance.random() * 0.005)
            try:
                return plain(*args, **kwargs)
            finally:
                time.sleep(chance.random() * 0.005)

        return call

    for name in names:
        monkeypatch.setattr(owner, name, lags(getattr(owner, name)))


@pytest.mark.embedded
def test_the_thread_that_looked_holds_up_nobody_afterwards(context, node, monkeypatch):
    """It may be about to sleep when spinning ends; nothing else would wake it here."""
    lagging(monkeypatch, executors.Executor, "wake", "_next_work", "_sleep")

    def spin():
        for _ in range(40):
            executor.spin_until_future_complete(Future(), timeout_sec=0.01)
            executor.spin_once(timeout_sec=0.01)

    with MultiThreadedExecutor(2, context=context) as executor:
        executor.add_node(node)
        thread = threading.Thread(target=spin)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.embedded
@pytest.mark.parametrize("spinning", [1, 2])
def test_no_wake_is_lost_between_threads(context, node, monkeypatch, spinning):
    """Threads that lose their turn wherever that could matter, and callbacks of every length.

    A node whose entities all share one group has nothing else to wake it: one that is left out of
    a wait by mistake is left out for ever.
    """
    lagging(monkeypatch, executors.Executor, "wake", "_end", "_next_work", "_sleep")
    lagging(monkeypatch, executors._Lead, "lend", "resume", "take")
    monkeypatch.setattr(executors, "_BRIEF_S", PATIENCE_S)
    monkeypatch.setattr(executors, "_STUCK_S", 0.02)
    ticks = [0]
    publisher = node.create_publisher(String, "topic", 10)

    def tick():
        ticks[0] += 1
        publisher.publish(String())
        time.sleep(random.choice([0.0, 0.01, 0.03, 0.06]))

    node.create_subscription(String, "topic", lambda _: None, 10)
    node.create_timer(0.01, tick)
    with Spinning(context, node) as executor:
        others = [threading.Thread(target=executor.spin) for _ in range(spinning - 1)]
        for thread in others:
            thread.start()
        wait_until(lambda: ticks[0] > 60)
    for thread in others:
        thread.join(PATIENCE_S)


_LEAVING = """
import threading, rclpy
from std_msgs.msg import String

rclpy.init(args=["-", "--ros-args", "--disable-stdout-logs"])
errors = set()

def publish(publisher, logger):
    try:
        while True:
            publisher.publish(String(data="x"))
    except Exception as error:
        errors.add(type(error).__name__)
    logger.info("still logs")

def log(logger, stop):
    while not stop.wait(0.0005):
        logger.info("x")

for _ in range(40):
    node, stop = rclpy.create_node("leaving"), threading.Event()
    publisher = node.create_publisher(String, "topic", 10)
    threads = [
        threading.Thread(target=publish, args=(publisher, node.get_logger()), daemon=True),
        threading.Thread(target=log, args=(node.get_logger(), stop), daemon=True),
        threading.Thread(target=log, args=(node.get_logger(), stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    stop.wait(0.02)
    node.destroy_node()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
print(*errors)
"""


def test_a_node_may_go_while_other_threads_use_it():
    """Who publishes hears that it is gone, who logs logs on; a write into freed memory ended both.

    In a process of its own, which that would end.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _LEAVING], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "InvalidHandle\n", "")
