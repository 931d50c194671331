# SPDX-License-Identifier: Apache-2.0
"""The executor of the nodes that have several threads."""

import threading
import time

import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor, TimeoutException
from rclpy.task import Task

from zipmap_ros.nodes import spin
from zipmap_ros.nodes.spin import ThreadedExecutor

ENDLESS = 10**6


class Offers:
    """What rclpy before 10.0.4 does: a task is offered until a thread has begun with it."""

    def __init__(self, task):
        self.task, self.times = task, 0

    def __call__(self, *_, **__):
        if self.task.executing() or self.task.done():
            raise TimeoutException
        self.times += 1
        return self.task, None, None


@pytest.fixture
def executor():
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = ThreadedExecutor(2, context=context)
    yield executor
    executor.shutdown()
    rclpy.shutdown(context=context)


def offer(executor, monkeypatch, callback):
    task = Task(callback, executor=executor)
    offers = Offers(task)
    monkeypatch.setattr(MultiThreadedExecutor, "wait_for_ready_callbacks", offers)
    assert executor.wait_for_ready_callbacks()[0] is task
    return offers


def test_a_callback_that_waits_for_its_thread_is_not_offered_again(executor, monkeypatch):
    monkeypatch.setattr(spin, "_POLLS", ENDLESS)
    offers = offer(executor, monkeypatch, lambda: None)
    threading.Timer(0.02, offers.task).start()
    with pytest.raises(TimeoutException):
        executor.wait_for_ready_callbacks()
    assert offers.times == 1


def test_a_callback_that_runs_holds_nobody_up(executor, monkeypatch):
    monkeypatch.setattr(spin, "_POLLS", ENDLESS)
    end, ended = threading.Event(), []
    offers = offer(executor, monkeypatch, lambda: ended.append(end.wait(10)))
    threading.Thread(target=offers.task).start()
    with pytest.raises(TimeoutException):
        executor.wait_for_ready_callbacks()
    assert not ended
    end.set()


def test_others_have_their_turn_though_a_callback_never_begins(executor, monkeypatch):
    offers = offer(executor, monkeypatch, lambda: None)
    began = time.monotonic()
    executor.wait_for_ready_callbacks()
    assert offers.times == 2 and 0.1 <= time.monotonic() - began < 2
