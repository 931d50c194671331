# SPDX-License-Identifier: Apache-2.0
"""Wait for processes of a launch: that they start, exit, or write what a test looks for.

All functions take the launch context, the action and, in seconds, a timeout (None: none). Those
with `_sync` are for test functions, the others for coroutines. The output functions need an action
with `cached_output=True`. `wait_for_...` say whether it happened; the validation function gets
all output so far and returns a bool, or asserts. `assert_...` raise its AssertionError instead.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from launch.actions import ExecuteLocal
from launch.event_handler import BaseEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.launch_context import LaunchContext

Validate = Callable[[str], object]
Condition = Callable[[], bool]
Notify = Callable[[], None]
MakeHandler = Callable[[ExecuteLocal, Notify], BaseEventHandler]


def _on_start(action: ExecuteLocal, notify: Notify) -> BaseEventHandler:
    return OnProcessStart(target_action=action, on_start=lambda *_: notify())


def _on_exit(action: ExecuteLocal, notify: Notify) -> BaseEventHandler:
    return OnProcessExit(target_action=action, on_exit=lambda *_: notify())


def _on_output(action: ExecuteLocal, notify: Notify) -> BaseEventHandler:
    return OnProcessIO(
        target_action=action, on_stdout=lambda _: notify(), on_stderr=lambda _: notify()
    )


@contextmanager
def _registered(context: LaunchContext, handler: BaseEventHandler) -> Iterator[None]:
    context.register_event_handler(handler, append=True)
    try:
        yield
    finally:
        context.unregister_event_handler(handler)


async def _wait(
    context: LaunchContext,
    action: ExecuteLocal,
    make_handler: MakeHandler,
    condition: Condition,
    timeout: float | None,
) -> bool:
    event = asyncio.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with _registered(context, make_handler(action, event.set)):
        while not condition():
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                await asyncio.wait_for(event.wait(), remaining)
            except asyncio.TimeoutError:
                return condition()
            event.clear()
    return True


def _wait_sync(
    context: LaunchContext,
    action: ExecuteLocal,
    make_handler: MakeHandler,
    condition: Condition,
    timeout: float | None,
) -> bool:
    event = threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with _registered(context, make_handler(action, event.set)):
        while not condition():
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not event.wait(remaining):
                return condition()
            event.clear()
    return True


def _holds(validate: Validate, text: str) -> bool:
    try:
        return validate(text) in (None, True)
    except AssertionError:
        return False


def _started(action: ExecuteLocal) -> Condition:
    return lambda: "pid" in (action.process_details or {})


def _exited(action: ExecuteLocal) -> Condition:
    return lambda: action.return_code is not None


async def wait_for_start(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    timeout: float | None = None,
) -> bool:
    """Whether the process has started within `timeout` s."""
    action = execute_process_action
    return await _wait(launch_context, action, _on_start, _started(action), timeout)


def wait_for_start_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    timeout: float | None = None,
) -> bool:
    """`wait_for_start` for functions."""
    action = execute_process_action
    return _wait_sync(launch_context, action, _on_start, _started(action), timeout)


async def wait_for_exit(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    timeout: float | None = None,
) -> bool:
    """Whether the process has exited within `timeout` s."""
    action = execute_process_action
    return await _wait(launch_context, action, _on_exit, _exited(action), timeout)


def wait_for_exit_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    timeout: float | None = None,
) -> bool:
    """`wait_for_exit` for functions."""
    action = execute_process_action
    return _wait_sync(launch_context, action, _on_exit, _exited(action), timeout)


async def wait_for_output(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> bool:
    """Whether standard output became valid within `timeout` s."""
    action = execute_process_action
    condition = lambda: _holds(validate_output, action.get_stdout())  # noqa: E731
    return await _wait(launch_context, action, _on_output, condition, timeout)


def wait_for_output_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> bool:
    """`wait_for_output` for functions."""
    action = execute_process_action
    condition = lambda: _holds(validate_output, action.get_stdout())  # noqa: E731
    return _wait_sync(launch_context, action, _on_output, condition, timeout)


async def wait_for_stderr(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> bool:
    """Whether standard error became valid within `timeout` s."""
    action = execute_process_action
    condition = lambda: _holds(validate_output, action.get_stderr())  # noqa: E731
    return await _wait(launch_context, action, _on_output, condition, timeout)


def wait_for_stderr_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> bool:
    """`wait_for_stderr` for functions."""
    action = execute_process_action
    condition = lambda: _holds(validate_output, action.get_stderr())  # noqa: E731
    return _wait_sync(launch_context, action, _on_output, condition, timeout)


async def assert_output(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> None:
    """Standard output becomes valid within `timeout` s. AssertionError, if not."""
    action = execute_process_action
    if not await wait_for_output(launch_context, action, validate_output, timeout):
        _refuse(validate_output, action.get_stdout())


def assert_output_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> None:
    """`assert_output` for functions."""
    action = execute_process_action
    if not wait_for_output_sync(launch_context, action, validate_output, timeout):
        _refuse(validate_output, action.get_stdout())


async def assert_stderr(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> None:
    """Standard error becomes valid within `timeout` s. AssertionError, if not."""
    action = execute_process_action
    if not await wait_for_stderr(launch_context, action, validate_output, timeout):
        _refuse(validate_output, action.get_stderr())


def assert_stderr_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Validate,
    timeout: float | None = None,
) -> None:
    """`assert_stderr` for functions."""
    action = execute_process_action
    if not wait_for_stderr_sync(launch_context, action, validate_output, timeout):
        _refuse(validate_output, action.get_stderr())


def _refuse(validate: Validate, text: str) -> None:
    """Raise the AssertionError of the validation, or one with the output."""
    assert validate(text) in (None, True), f"the output did not become valid: {text!r}"
