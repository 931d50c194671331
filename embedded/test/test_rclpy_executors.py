# SPDX-License-Identifier: Apache-2.0
"""Executors, callback groups, timers, futures, sim time: as users of rclpy know them."""

import contextlib
import threading
import time
from functools import partial

import pytest
import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import JumpThreshold, ROSClock
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from spinning import Spinning
from std_msgs.msg import String
from std_srvs.srv import Trigger
from waiting import PATIENCE_S, check_soon, soon
from waiting import spin_until as spin_executor_until


@pytest.fixture
def node(context):
    """A node in it."""
    node = Node("tested", context=context)
    yield node
    node.destroy_node()


def spin_until(executor, ready):
    spin_executor_until(executor.spin_once, ready)


@pytest.fixture
def executor(context, node):
    """A single-threaded executor that spins the node."""
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield executor
    executor.shutdown()


def test_service_waits_for_another_callback(context, node):
    """With groups of their own, a service may block until a client's response has come."""
    group = ReentrantCallbackGroup()
    inner = node.create_client(Trigger, "inner", callback_group=group)
    node.create_service(
        Trigger, "inner", lambda _, r: Trigger.Response(success=True, message="inner"),
        callback_group=group,
    )  # fmt: skip

    def outer(request, response):
        response.message = inner.call(Trigger.Request(), timeout_sec=PATIENCE_S).message
        return response

    node.create_service(Trigger, "outer", outer, callback_group=MutuallyExclusiveCallbackGroup())
    client = node.create_client(Trigger, "outer", callback_group=group)
    with Spinning(context, node):
        assert client.wait_for_service(PATIENCE_S) and inner.wait_for_service(PATIENCE_S)
        assert client.call(Trigger.Request(), timeout_sec=PATIENCE_S).message == "inner"


@pytest.mark.parametrize(
    ("group", "expected"), [(MutuallyExclusiveCallbackGroup, 1), (ReentrantCallbackGroup, 2)]
)
def test_callback_groups(context, node, group, expected):
    """One callback at a time in an exclusive group, several in a reentrant one."""
    lock, running, most = threading.Lock(), [0], [0]
    calls, together = threading.Semaphore(0), threading.Event()

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if most[0] > 1:
                together.set()
        together.wait(0.02 if expected == 1 else PATIENCE_S)
        with lock:
            running[0] -= 1
        calls.release()

    shared = group()
    for _ in range(2):
        node.create_timer(0.01, work, callback_group=shared)
    with Spinning(context, node):
        for _ in range(6):
            assert calls.acquire(timeout=PATIENCE_S)
    assert min(most[0], 2) == expected


def test_timer_does_not_drift(executor, node):
    """The n-th call is n periods after the start, however long callbacks take."""
    period, known = 20_000_000, []

    def now():
        return node.get_clock().now().nanoseconds

    def work():
        begin, left, end = now(), timer.time_until_next_call(), now()
        known.append((begin + left, end + left))
        time.sleep(0.005)

    before = now()
    timer = node.create_timer(period * 1e-9, work)
    after = now()
    spin_until(executor, lambda: len(known) >= 20)
    for earliest, latest in known:  # of the next call, as the start was before and after
        assert (latest - before) % period <= (latest - earliest) + (after - before)


@pytest.mark.skipif(not hasattr(rclpy.timer, "TimerInfo"), reason="is there from Kilted on")
def test_a_timer_tells_when_it_should_have_called(executor, node):
    """By the parameter that is annotated with TimerInfo."""
    got = []

    def work(count=0, *, when: rclpy.timer.TimerInfo):
        got.append((count, when.expected_call_time, when.actual_call_time))

    node.create_timer(0.02, work)
    spin_until(executor, lambda: len(got) >= 5)
    assert all(count == 0 and expected <= actual for count, expected, actual in got)
    assert all((call[1] - got[0][1]).nanoseconds % 20_000_000 == 0 for call in got)


def test_late_timer_leaves_calls_out(executor, node):
    """What was due five times is called once, and next when the sixth period is over."""
    calls = []
    clock = ROSClock()
    clock._set_ros_time_is_active(True)
    timer = node.create_timer(1.0, lambda: calls.append(1), clock=clock)
    clock.set_ros_time_override(Time(seconds=5.5, clock_type=clock.clock_type))
    spin_until(executor, lambda: calls)
    executor.spin_once(timeout_sec=0.05)
    assert len(calls) == 1
    assert timer.time_until_next_call() == 500_000_000


def test_timer_cancel_and_reset(executor, node):
    """A canceled timer is silent until reset."""
    calls = []
    timer = node.create_timer(0.01, lambda: calls.append(1))
    timer.cancel()
    executor.spin_once(timeout_sec=0.05)
    assert not calls and timer.is_canceled() and timer.time_until_next_call() is None
    timer.reset()
    spin_until(executor, lambda: calls)


def test_spin_until_future_complete(executor, node):
    """Returns at once when done, and at the timeout otherwise."""
    future = Future()
    begin = time.monotonic()
    executor.spin_until_future_complete(future, timeout_sec=0.1)
    assert 0.09 < time.monotonic() - begin < PATIENCE_S and not future.done()
    threading.Timer(0.1, future.set_result, ["x"]).start()
    executor.spin_until_future_complete(future, timeout_sec=2 * PATIENCE_S)
    assert future.result() == "x"
    assert time.monotonic() - begin < PATIENCE_S


def test_async_callbacks(executor, node):
    """Coroutine callbacks may await service calls, in a single thread."""
    node.create_service(Trigger, "slow", lambda _, r: Trigger.Response(message="slow"))
    client = node.create_client(Trigger, "slow", callback_group=ReentrantCallbackGroup())

    async def answer(request, response):
        response.message = (await client.call_async(Trigger.Request())).message + "er"
        return response

    node.create_service(Trigger, "awaits", answer, callback_group=ReentrantCallbackGroup())
    outer = node.create_client(Trigger, "awaits")
    assert outer.wait_for_service(PATIENCE_S) and client.wait_for_service(PATIENCE_S)
    future = outer.call_async(Trigger.Request())
    executor.spin_until_future_complete(future, timeout_sec=PATIENCE_S)
    assert future.result().message == "slower"


def test_tasks_and_exceptions(executor):
    """Tasks return results; an exception comes out of spin."""

    async def double(x):
        return 2 * x

    task = executor.create_task(double, 4)
    executor.spin_until_future_complete(task, timeout_sec=PATIENCE_S)
    assert task.result() == 8
    executor.create_task(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        spin_until(executor, lambda: False)


def test_done_callbacks_are_run_by_the_executor(executor):
    """Not where the result is set."""
    done = []
    later = getattr(executor, "create_future", partial(Future, executor=executor))()
    later.add_done_callback(done.append)
    later.set_result(4)
    assert not done
    spin_until(executor, lambda: done)
    executor.spin_once_until_future_complete(later, timeout_sec=PATIENCE_S)


@pytest.mark.embedded
@soon
def test_spinning_ends_with_a_cancelled_future(executor):
    """Others spin on until something else happens."""
    cancelled, begin = Future(), time.monotonic()
    threading.Timer(0.1, cancelled.cancel).start()
    executor.spin_until_future_complete(cancelled, timeout_sec=PATIENCE_S)
    check_soon(begin)
    assert cancelled.cancelled()


def is_pending(client, number):
    """Whether there is a request of that number without a response."""
    try:
        return client.get_pending_request(number) is not None
    except KeyError:
        return False


def number_of(client, future):
    """The sequence number of a pending request."""
    pending = (n for n in range(100_000) if is_pending(client, n))
    return next(n for n in pending if client.get_pending_request(n) is future)


def test_requests_that_are_forgotten(executor, node):
    """A late response is dropped."""
    client = node.create_client(Trigger, "slow")
    node.create_service(Trigger, "slow", lambda _, response: response)
    assert client.wait_for_service(PATIENCE_S)
    forgotten, kept = (client.call_async(Trigger.Request()) for _ in range(2))
    number = number_of(client, forgotten)
    client.remove_pending_request(forgotten)
    with pytest.raises(KeyError):
        client.get_pending_request(number)
    executor.spin_until_future_complete(kept, timeout_sec=PATIENCE_S)
    assert kept.done() and not forgotten.done()


def test_a_request_that_is_cancelled_is_forgotten(executor, node):
    """It was kept for ever, and a late response made it a success."""
    client = node.create_client(Trigger, "slow")
    node.create_service(Trigger, "slow", lambda _, response: response)
    assert client.wait_for_service(PATIENCE_S)
    early, late, kept = (client.call_async(Trigger.Request()) for _ in range(3))
    numbers = [number_of(client, future) for future in (early, late, kept)]
    early.cancel()
    with pytest.raises(KeyError):
        client.get_pending_request(numbers[0])
    executor.spin_until_future_complete(late, timeout_sec=PATIENCE_S)
    executor.spin_until_future_complete(kept, timeout_sec=PATIENCE_S)
    assert early.cancelled() and not early.done()
    for number in numbers:
        spin_until(executor, lambda number=number: not is_pending(client, number))


@pytest.mark.embedded
def test_a_request_that_is_cancelled_while_its_response_is_taken_stays_cancelled(node):
    """By another thread."""
    client = node.create_client(Trigger, "slow")
    overtaken = client.call_async(Trigger.Request())
    overtaken.cancel()
    client._execute((overtaken, Trigger.Response()))
    assert overtaken.cancelled() and not overtaken.done()


@pytest.mark.embedded
def test_waking_costs_nothing_while_a_callback_runs(executor, node):
    """Nodes come and go between two turns: the next one is not idle for it."""
    turns = []
    timer = node.create_timer(0.001, lambda: turns.append(1))
    spin_until(executor, lambda: turns)
    timer.cancel()
    executor.spin_once(timeout_sec=0)
    executor.remove_node(node)
    executor.add_node(node)
    assert not executor._guard.take()


def test_exception_in_a_callback_comes_out_of_spin(executor, node):
    """And the group is free again afterwards."""
    calls = []

    def fail():
        calls.append(1)
        raise KeyError("from the callback")

    node.create_timer(0.01, fail)
    for _ in range(2):
        with pytest.raises(KeyError, match="from the callback"):
            executor.spin_once(timeout_sec=PATIENCE_S)


def test_guard_condition(executor, node):
    """Runs once after it was triggered from another thread."""
    calls = []
    guard = node.create_guard_condition(lambda: calls.append(1))
    threading.Timer(0.05, guard.trigger).start()
    spin_until(executor, lambda: calls)
    executor.spin_once(timeout_sec=0.05)
    assert calls == [1]
    assert node.destroy_guard_condition(guard)


def test_sim_time_jumps(executor, node, context):
    """Time follows /clock, forward and back; timers and jump callbacks follow."""
    node.set_parameters([Parameter("use_sim_time", value=True)])
    clock = node.get_clock()
    assert clock.ros_time_is_active and clock.now().nanoseconds == 0
    jumps, calls = [], []
    threshold = JumpThreshold(
        min_forward=Duration(seconds=5), min_backward=Duration(nanoseconds=-1)
    )
    handle = clock.create_jump_callback(threshold, post_callback=jumps.append)
    publisher = node.create_publisher(Clock, "/clock", 10)
    spin_until(executor, publisher.get_subscription_count)

    def set_time(seconds):
        publisher.publish(Clock(clock=Time(seconds=seconds).to_msg()))
        spin_until(executor, lambda: clock.now().nanoseconds == int(seconds * 1e9))

    set_time(10)
    assert [jump.delta for jump in jumps] == [Duration(seconds=10)]
    node.create_timer(1.0, lambda: calls.append(clock.now().nanoseconds * 1e-9))
    executor.spin_once(timeout_sec=0.05)
    assert not calls
    set_time(11.5)
    spin_until(executor, lambda: calls)
    set_time(3)
    assert jumps[-1].delta == Duration(seconds=-8.5)
    set_time(3.5)
    executor.spin_once(timeout_sec=0.02)
    assert calls == [11.5]
    set_time(4.5)
    spin_until(executor, lambda: len(calls) == 2)
    node.set_parameters([Parameter("use_sim_time", value=False)])
    assert abs(clock.now().nanoseconds - time.time_ns()) < PATIENCE_S * 1e9
    handle.unregister()


def test_sleep_until_in_sim_time(context, node):
    """`Clock.sleep_until` ends when /clock gets there."""
    node.set_parameters([Parameter("use_sim_time", value=True)])
    clock = node.get_clock()
    sim = Time(seconds=5, clock_type=clock.clock_type)
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(clock.sleep_until(sim, context)))
    thread.start()
    clock.set_ros_time_override(sim)
    thread.join(PATIENCE_S)
    assert outcome == [True]


def test_shutdown_ends_what_waits(context, node):
    """Spinning, calling and waiting for services all end when the context is shut down."""
    client = node.create_client(Trigger, "nobody")
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    began, ended = threading.Semaphore(0), []

    def spin():
        began.release()
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()
        ended.append("spin")

    def wait():
        began.release()
        with contextlib.suppress(RCLError, InvalidHandle):
            client.wait_for_service()
        ended.append("wait")

    def sleep():
        began.release()
        with contextlib.suppress(rclpy.exceptions.NotInitializedException):
            node.get_clock().sleep_for(Duration(seconds=600), context)
        ended.append("sleep")

    threads = [threading.Thread(target=f) for f in (spin, wait, sleep)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert began.acquire(timeout=PATIENCE_S)
    time.sleep(0.2)  # most probably they wait by now
    context.shutdown()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(ended) == ["sleep", "spin", "wait"]


def test_rate(context, node):
    """Sleeps at its rate while another thread spins."""
    begin = time.monotonic()
    rate = node.create_rate(50)
    with Spinning(context, node):
        for _ in range(5):
            rate.sleep()
        assert time.monotonic() - begin > 0.098
    node.destroy_rate(rate)


def test_messages_keep_their_order_and_callbacks_take_info(executor, node):
    """A callback with two arguments gets the message's stamps."""
    got = []
    publisher = node.create_publisher(String, "order", 100)
    node.create_subscription(String, "order", lambda m, info: got.append((m.data, info)), 100)
    spin_until(executor, publisher.get_subscription_count)
    before = time.time_ns()
    for index in range(50):
        publisher.publish(String(data=str(index)))
    spin_until(executor, lambda: len(got) == 50)
    assert [data for data, _ in got] == [str(i) for i in range(50)]
    stamp = got[0][1]["source_timestamp"]
    assert before - 10**6 <= stamp <= got[0][1]["received_timestamp"]


@pytest.mark.embedded
def test_a_callback_of_which_nobody_knows_the_arguments_gets_the_message(
    executor, node, monkeypatch
):
    """Such as print, before Python 3.11, where others do not run."""

    def unknown(function):
        raise ValueError(f"no signature found for {function}")

    got = []
    monkeypatch.setattr("inspect.signature", unknown)
    subscription = node.create_subscription(String, "odd", got.append, 10)
    monkeypatch.undo()
    publisher = node.create_publisher(String, "odd", 10)
    spin_until(executor, subscription.get_publisher_count)
    publisher.publish(String(data="heard"))
    spin_until(executor, lambda: got)
    assert got[0].data == "heard"


def test_module_functions_need_init():
    """`spin` and nodes without init say so."""
    with pytest.raises(rclpy.exceptions.NotInitializedException):
        Node("early", context=Context())
