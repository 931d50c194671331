# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: starts launches for launch fixtures, runs the tests marked `launch`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import launch
import pytest

from .actions import ReadyToTest
from .fixture import LaunchFixtureOptions, define_fixtures, finalize_launch_service

define_fixtures(globals(), "function")


class LaunchTestWarning(pytest.PytestWarning):
    """A launch test that cannot be run as it is written."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "launch(fixture, shutdown=False): run the test beside the launch of a "
        "launch_pytest.fixture, or after its end",
    )


# ---- the launch fixture: a description goes in, a running launch comes out


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    options = getattr(fixturedef.func, "_launch_pytest_options", None)
    if options is None:
        return (yield)
    service = request.getfixturevalue("launch_service")
    loop = request.getfixturevalue("event_loop")
    returned = yield
    try:
        _start(service, loop, returned, options, fixturedef)
    except BaseException as error:
        # Otherwise the next test of this scope would take the fixture for a good one.
        key = fixturedef.cache_key(request)
        fixturedef.cached_result = (None, key, (error, error.__traceback__))
        raise
    return returned


def _start(
    service: launch.LaunchService,
    loop: asyncio.AbstractEventLoop,
    returned: Any,
    options: LaunchFixtureOptions,
    fixturedef: Any,
) -> None:
    """Launch what the fixture returned; back when it is ready to test."""
    prefix = f"When running launch_pytest fixture '{options.name}':"
    description = _description(returned, prefix)
    ready = _ready_to_test(description)
    is_ready = asyncio.Event()
    ready._add_callback(is_ready.set)
    service.include_launch_description(description)
    task = loop.create_task(service.run_async(shutdown_when_idle=options.shutdown_when_idle))
    fixturedef.addfinalizer(
        functools.partial(
            finalize_launch_service, service, prefix, auto_shutdown=options.auto_shutdown
        )
    )
    waiting = loop.create_task(is_ready.wait())
    loop.run_until_complete(_first_of(task, waiting))
    if not is_ready.is_set():
        waiting.cancel()
        pytest.fail(
            f"{prefix} the launch ended before it was ready to test, return code '{task.result()}'"
        )


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def _description(returned: Any, prefix: str) -> launch.LaunchDescription:
    first = returned[0] if isinstance(returned, Sequence) and returned else returned
    assert isinstance(first, launch.LaunchDescription), (
        f"{prefix} return value must be either a launch description or a sequence whose first "
        f"item is a launch description, got {returned!r}"
    )
    return first


def _ready_to_test(description: launch.LaunchDescription) -> ReadyToTest:
    found: list[ReadyToTest] = []

    def walk(entities: Any) -> None:
        for entity in entities:
            if isinstance(entity, ReadyToTest):
                found.append(entity)
            walk(entity.describe_sub_entities())
            for _, children in entity.describe_conditional_sub_entities():
                walk(children)

    walk(description.entities)
    if len(found) > 1:
        raise RuntimeError(
            "launch_pytest fixtures must return a LaunchDescription containing only one "
            "ReadyToTest action"
        )
    if not found:
        found.append(ReadyToTest())
        description.add_action(found[0])
    return found[0]


# ---- collection: items of marked functions, those for after the shutdown last


def _options(item: pytest.Item) -> LaunchFixtureOptions | None:
    """Options of the launch fixture that a test is marked with; None for any other test."""
    mark = item.get_closest_marker("launch")
    return None if mark is None else _options_of_mark(mark)


def _options_of_mark(mark: pytest.Mark) -> LaunchFixtureOptions | None:
    return getattr(mark.kwargs.get("fixture"), "_launch_pytest_options", None)


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> list[pytest.Item] | None:
    if not inspect.isroutine(obj) or not collector.funcnamefilter(name):
        return None
    own = [m for m in getattr(obj, "pytestmark", []) if m.name == "launch"]
    mark = own[-1] if own else collector.get_closest_marker("launch")
    if mark is None:
        return None
    options = _options_of_mark(mark)
    if options is None:
        message = '"fixture" keyword argument is required in a pytest.mark.launch() decorator'
        item = pytest.Function.from_parent(collector, name=name)
        item.warn(LaunchTestWarning(f"{message}: a launch_pytest.fixture"))
        item.add_marker(pytest.mark.skip(message))
        return [item]
    pytest.mark.usefixtures(options.name, "launch_service", "event_loop")(obj)
    items = list(collector._genfunctions(name, obj))
    for item in items:
        item._launch_pytest_shutdown = bool(mark.kwargs.get("shutdown", False))
    if _is_generator(obj) and options.scope != "function":
        items += [_ending(item) for item in items]
    return items


def _ending(item: Any) -> pytest.Item:
    """The item that runs the second half of a generator, after the launch has ended."""
    callspec = getattr(item, "callspec", None)
    name = f"{item.originalname}[shutdown_test]"
    ending: Any = pytest.Function.from_parent(
        item.parent,
        name=name if callspec is None else f"{name}[{callspec.id}]",
        callspec=callspec,
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        originalname=name,
    )
    ending._launch_pytest_shutdown = True
    ending._launch_pytest_first_half = item
    return ending


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def launch_of(item: pytest.Item) -> Any:
        options = _options(item)
        if options is None or options.scope == "function":
            return None
        callspec = getattr(item, "callspec", None)
        parameter = None if callspec is None else callspec.params.get(options.name)
        scope_node = item.getparent(pytest.Class if options.scope == "class" else pytest.Module)
        return options, repr(parameter), scope_node

    last = {launch_of(item): item for item in items if not _is_shutdown(item)}
    for item in [i for i in items if _is_shutdown(i)]:
        key = launch_of(item)
        if key is not None and key in last and items.index(last[key]) > items.index(item):
            items.remove(item)
            items.insert(items.index(last[key]) + 1, item)
            last[key] = item


def _is_shutdown(item: pytest.Item) -> bool:
    return getattr(item, "_launch_pytest_shutdown", False)


# ---- the run of one test


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    options = _options(pyfuncitem)
    if options is None:
        return None
    function = pyfuncitem.obj
    names = pyfuncitem._fixtureinfo.argnames
    call = functools.partial(function, **{name: pyfuncitem.funcargs[name] for name in names})
    loop = pyfuncitem.funcargs["event_loop"]

    def end_launch() -> None:
        finalize_launch_service(
            pyfuncitem.funcargs["launch_service"],
            f"When running test {function.__name__}:",
            options.auto_shutdown,
        )

    if not _is_generator(function):
        if _is_shutdown(pyfuncitem):
            end_launch()
        _run(loop, call, inspect.iscoroutinefunction(function))
        return True
    if hasattr(pyfuncitem, "_launch_pytest_first_half"):
        end_launch()
        _second_half(loop, pyfuncitem._launch_pytest_first_half)
        return True
    if _is_shutdown(pyfuncitem):
        pytest.fail(
            "generator or async generator based launch test items cannot be marked with "
            "shutdown=True"
        )
    _first_half(loop, pyfuncitem, call)
    if options.scope == "function":
        end_launch()
        _second_half(loop, pyfuncitem)
    return True


def _run(loop: asyncio.AbstractEventLoop, call: Callable[[], Any], is_coroutine: bool) -> Any:
    """A coroutine function in the loop; any other in a thread, while the loop runs."""
    return loop.run_until_complete(call() if is_coroutine else _in_thread(loop, call))


def _in_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> asyncio.Future[Any]:
    # A daemon thread, so that a test that has timed out cannot keep pytest from ending.
    future = loop.create_future()

    def finish(settle: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            settle(value)

    def work() -> None:
        try:
            outcome = future.set_result, call()
        except BaseException as error:
            outcome = future.set_exception, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=work, name="launch_pytest", daemon=True).start()
    return future


def _first_half(loop: asyncio.AbstractEventLoop, item: Any, call: Callable[[], Any]) -> None:
    generator = call()
    if not _advance(loop, generator):
        pytest.fail("launch_pytest generator tests must yield once")
    item._launch_pytest_generator = generator


def _second_half(loop: asyncio.AbstractEventLoop, item: Any) -> None:
    generator = getattr(item, "_launch_pytest_generator", None)
    if generator is None:
        pytest.skip("the part of this test before the shutdown failed or did not run")
    if _advance(loop, generator):
        pytest.fail("launch_pytest generator tests must stop iteration after yielding once")


def _advance(loop: asyncio.AbstractEventLoop, generator: Any) -> bool:
    """Run a generator up to its next yield; False where it ends."""
    end = object()

    async def advance_async() -> object:
        return await anext(generator, end)

    if inspect.isasyncgen(generator):
        return _run(loop, advance_async, True) is not end
    return _run(loop, lambda: next(generator, end), False) is not end
