# SPDX-License-Identifier: Apache-2.0
"""Futures: outcomes, and who hears of them; what of a callback is awaited."""

import functools
import inspect

import pytest
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger
from waiting import PATIENCE_S, spin_until


def test_outcomes():
    """Results, exceptions, cancelling; done callbacks run at once."""
    done = []
    future = Future()
    future.add_done_callback(done.append)
    future.set_result(3)
    assert done == [future] and future.done() and future.result() == 3
    failed = Future()
    failed.set_exception(KeyError("no"))
    assert failed.done() and isinstance(failed.exception(), KeyError)
    with pytest.raises(KeyError):
        failed.result()
    cancelled = Future()
    cancelled.add_done_callback(done.append)
    cancelled.cancel()
    assert cancelled.cancelled() and not cancelled.done() and done == [future, cancelled]


def test_done_callbacks_that_fail():
    """The others are called; where it is done already whoever adds one hears of it."""
    future, done = Future(), []
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(done.append)
    future.add_done_callback(done.clear)
    assert future.remove_done_callback(done.clear) and not future.remove_done_callback(print)
    with pytest.warns(UserWarning, match="division by zero"):
        future.set_result(3)
    assert done == [future]
    with pytest.raises(ZeroDivisionError):
        future.add_done_callback(lambda _: 1 / 0)


async def seven():
    return 7


@pytest.mark.parametrize("kind", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_what_a_task_returns(context, kind):
    """A coroutine function's result, or what a plain function returns, a coroutine as it is."""
    executor = kind(context=context)
    for handler, awaited in ((seven, True), (seven(), True), (lambda: seven(), False)):
        task = executor.create_task(handler)
        spin_until(executor.spin_once, task.done)
        if awaited:
            assert task.result() == 7
        else:
            assert inspect.iscoroutine(task.result())
            task.result().close()
    executor.shutdown()


@pytest.mark.parametrize("kind", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_a_future_that_a_callback_returns_is_not_waited_for(context, kind):
    """Its client is of the same group and would never be heard."""
    node, executor = Node("tested", context=context), kind(context=context)
    executor.add_node(node)
    node.create_service(Trigger, "asked", lambda request, response: response)
    client = node.create_client(Trigger, "asked")
    assert client.wait_for_service(PATIENCE_S)
    futures = []

    def ask():
        futures.append(client.call_async(Trigger.Request()))
        return futures[-1]

    node.create_timer(0.01, ask)
    spin_until(executor.spin_once, lambda: len(futures) > 2 and all(f.done() for f in futures[:2]))
    executor.shutdown()


@pytest.mark.filterwarnings("ignore:coroutine")
def test_coroutine_functions_are_awaited(graph):
    """However their arguments are bound; what else returns a coroutine is not."""
    node, heard = graph.init().node(), []

    async def hear(tag, message):
        heard.append(tag)

    class Hearing:
        async def __call__(self, message):
            heard.append("object")

        async def method(self, message):
            heard.append("method")

    publisher = node.create_publisher(String, "said", 10)
    callbacks = [Hearing(), lambda message: hear("lambda", message), Hearing().method]
    callbacks.append(functools.partial(hear, "partial"))
    for callback in callbacks:
        node.create_subscription(String, "said", callback, 10)
    graph.spin_until(lambda: publisher.get_subscription_count() == 4)
    for _ in range(2):
        publisher.publish(String())
    graph.spin_until(lambda: len(heard) == 4)
    assert sorted(heard) == ["method", "method", "partial", "partial"]


def test_a_pool_has_threads(context):
    with pytest.raises(ValueError, match="must be greater than 0"):
        MultiThreadedExecutor(0, context=context)


def test_a_timer_period_is_not_negative(graph):
    with pytest.raises(RuntimeError, match="timer period must be non-negative"):
        graph.init().node().create_timer(-1.0, print)
