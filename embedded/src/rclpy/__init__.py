# SPDX-License-Identifier: Apache-2.0
"""ROS 2's client library for Python, on Cyclone DDS: see embedded/README.md for what it has.

import rclpy
from rclpy.node import Node

rclpy.init()
node = Node("listener")
node.create_subscription(String, "chatter", print, 10)
rclpy.spin(node)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
    if (Path(_prefix) / "share" / "rclpy" / "package.xml").is_file():
        raise ImportError(
            f"a full ROS 2 is sourced ({_prefix}), but Python found the embedded runtime's rclpy "
            "first: uninstall it here (pip uninstall ros2-embedded)"
        )

import rosidl_embedded.finder  # noqa: E402

rosidl_embedded.finder.install()

from rclpy.context import Context  # noqa: E402
from rclpy.signals import (  # noqa: E402
    SignalHandlerOptions,
    install_signal_handlers,
    uninstall_signal_handlers,
)
from rclpy.task import Future  # noqa: E402
from rclpy.utilities import get_default_context, get_rmw_implementation_identifier, ok  # noqa: E402
from rclpy.utilities import shutdown as _shutdown  # noqa: E402
from rclpy.utilities import try_shutdown as _try_shutdown  # noqa: E402

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node
    from rclpy.parameter import Parameter

__all__ = [
    "Context", "Future", "Parameter", "SignalHandlerOptions", "create_node", "get_default_context",
    "get_global_executor", "get_rmw_implementation_identifier", "init", "ok", "shutdown", "spin",
    "spin_once", "spin_until_future_complete", "try_shutdown",
]  # fmt: skip

_executor: Executor | None = None


def __getattr__(name: str) -> Any:
    """`Parameter` and the submodules, imported when first asked for: that keeps the start short."""
    if name == "Parameter":
        return import_module("rclpy.parameter").Parameter
    if name.isidentifier() and not name.startswith("_"):
        try:
            return import_module(f"rclpy.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"rclpy.{name}":
                raise
    raise AttributeError(f"module 'rclpy' has no attribute '{name}'")


class InitContextManager:
    """What `init` returns: shuts down at the end of a `with`."""

    def __init__(self, context: Context, uninstall: bool) -> None:
        self.context = context
        self._uninstall = uninstall

    def __enter__(self) -> InitContextManager:
        return self

    def __exit__(self, *_: object) -> None:
        try_shutdown(context=self.context, uninstall_handlers=self._uninstall)


def init(
    *,
    args: list[str] | None = None,
    context: Context | None = None,
    domain_id: int | None = None,
    signal_handler_options: SignalHandlerOptions | None = None,
) -> InitContextManager:
    """Join the domain and handle signals. `args`: command line, that of the process by default.

    Raises RuntimeError where the context already was initialised.
    """
    is_default = context is None
    context = get_default_context() if context is None else context
    if signal_handler_options is None:
        signal_handler_options = SignalHandlerOptions.ALL if is_default else SignalHandlerOptions.NO
    context.init(args, domain_id=domain_id)
    install_signal_handlers(signal_handler_options)
    return InitContextManager(context, is_default)


def get_global_executor() -> Executor:
    """The executor of `spin` and the like."""
    global _executor
    if _executor is None or _executor.context is not get_default_context():
        from rclpy.executors import SingleThreadedExecutor

        _executor = SingleThreadedExecutor()
        get_default_context().on_shutdown(_reset_executor)
    return _executor


def _reset_executor() -> None:
    global _executor
    executor, _executor = _executor, None
    if executor is not None:
        executor._is_shutdown = not executor.context._was_interrupted
        executor.wake()


def shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """Shut down; raises RuntimeError where that was done already."""
    is_default = context is None
    try:
        _shutdown(context=context)
    finally:
        if uninstall_handlers or (uninstall_handlers is None and is_default):
            uninstall_signal_handlers()


def try_shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """Shut down, if not done already."""
    is_default = context is None or context is get_default_context()
    _try_shutdown(context=None if is_default else context)
    if uninstall_handlers or (uninstall_handlers is None and is_default):
        uninstall_signal_handlers()


def create_node(node_name: str, **options: Any) -> Node:
    """Make a node; the options are those of `rclpy.node.Node`."""
    from rclpy.node import Node

    return Node(node_name, **options)


@contextmanager
def _spinning(node: Node, executor: Executor | None) -> Iterator[Executor]:
    """The executor (the global one by default), which has the node meanwhile."""
    executor = get_global_executor() if executor is None else executor
    added = executor.add_node(node)
    try:
        yield executor
    finally:
        if added:
            executor.remove_node(node)


def spin_once(
    node: Node, *, executor: Executor | None = None, timeout_sec: float | None = None
) -> None:
    """Run one callback of a node, or wait for `timeout_sec` seconds."""
    with _spinning(node, executor) as spinning:
        spinning.spin_once(timeout_sec)


def spin(node: Node, executor: Executor | None = None) -> None:
    """Run a node's callbacks until shutdown; ExternalShutdownException where a signal does that.

    Whatever does it where the executor is another `SingleThreadedExecutor` than the global one.
    """
    with _spinning(node, executor) as spinning:
        while spinning.context.ok():
            spinning.spin_once()


def spin_until_future_complete(
    node: Node,
    future: Future,
    executor: Executor | None = None,
    timeout_sec: float | None = None,
) -> None:
    """Run a node's callbacks until a future is done, for at most `timeout_sec` seconds."""
    with _spinning(node, executor) as spinning:
        spinning.spin_until_future_complete(future, timeout_sec)
