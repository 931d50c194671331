# SPDX-License-Identifier: Apache-2.0
"""`launch_pytest.fixture` and the fixtures of the running launch.

`launch_service`, `launch_context` and `event_loop` have the scope of the launch fixture: where
that is wider than a function, the fixtures are defined anew in its module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import launch
import pytest

_SCOPES = ("function", "class", "module", "package", "session")


@dataclass(frozen=True)
class LaunchFixtureOptions:
    """What `launch_pytest.fixture` was told."""

    name: str  # under which pytest knows the fixture
    scope: str
    shutdown_when_idle: bool
    auto_shutdown: bool


@dataclass(frozen=True)
class _ScopedFixture:
    """Marks a fixture that `define_fixtures` made, with its scope."""

    scope: str


def finalize_launch_service(
    launch_service: launch.LaunchService, eprefix: str = "", auto_shutdown: bool = True
) -> None:
    """Let the launch end, asked to with `auto_shutdown`; AssertionError where it had an error."""
    loop, task = launch_service.event_loop, launch_service.task
    if loop is None or task is None or loop.is_closed():
        return
    if auto_shutdown:
        launch_service.shutdown(force_sync=True)
    code = loop.run_until_complete(task)
    assert code == 0, f"{eprefix} launch service failed when finishing, return code '{code}'"


def define_fixtures(namespace: dict[str, Any], scope: str) -> None:
    """Put the fixtures of a launch into a module, unless wider or foreign ones are there."""
    for function in (_event_loop, _launch_service, _launch_context):
        name = function.__name__.removeprefix("_")
        there = getattr(namespace.get(name), "_launch_pytest", None)
        if name in namespace and not isinstance(there, _ScopedFixture):
            continue
        if there is not None and _SCOPES.index(there.scope) >= _SCOPES.index(scope):
            continue
        defined: Any = pytest.fixture(scope=scope, name=name)(function)  # type: ignore[call-overload]
        defined._launch_pytest = _ScopedFixture(scope)
        namespace[name] = defined


def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop in which the launch runs; it advances while a launch test runs."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


def _launch_service(event_loop: asyncio.AbstractEventLoop) -> Iterator[launch.LaunchService]:
    """The service that runs the launch."""
    service = launch.LaunchService()
    yield service
    finalize_launch_service(service, "When tearing down launch_service fixture")


def _launch_context(launch_service: launch.LaunchService) -> launch.LaunchContext:
    """The context of the launch, as process tools need it."""
    return launch_service.context


def fixture(
    decorated: Callable[..., Any] | None = None,
    *args: Any,
    shutdown_when_idle: bool = True,
    auto_shutdown: bool = True,
    **kwargs: Any,
) -> Any:
    """Make a launch fixture of a function that gives a LaunchDescription.

    It may also give a sequence that starts with one. Other arguments go to `pytest.fixture`.
    shutdown_when_idle: the launch ends by itself when it has nothing left to do.
    auto_shutdown: the launch is asked to end after the tests that run beside it.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        options = LaunchFixtureOptions(
            name=kwargs.get("name") or function.__name__,
            scope=kwargs.get("scope", "function"),
            shutdown_when_idle=shutdown_when_idle,
            auto_shutdown=auto_shutdown,
        )
        if options.scope != "function":
            define_fixtures(function.__globals__, options.scope)
        function._launch_pytest_options = options  # type: ignore[attr-defined]
        defined = pytest.fixture(*args, **kwargs)(function)
        defined._launch_pytest_options = options
        return defined

    return decorate if decorated is None else decorate(decorated)
