# SPDX-License-Identifier: Apache-2.0
"""Futures without an executor: outcomes, and who hears of them."""

import pytest
from rclpy.task import Future


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
