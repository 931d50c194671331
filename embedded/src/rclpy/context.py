# SPDX-License-Identifier: Apache-2.0
"""A context: one participant in a DDS domain, from init to shutdown."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any

from rclpy._rclpy_pybind11 import RCLError, RCLInvalidROSArgsError
from rclpy.exceptions import NotInitializedException

if TYPE_CHECKING:
    from rclpy.impl.dds.participant import Participant

_contexts: weakref.WeakSet[Context] = weakref.WeakSet()


class Context:
    """Encapsulates the life of a participant; nodes and executors belong to one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._initialized = False
        self._was_initialized = False
        self._was_interrupted = False  # by a signal
        self._participant: Any = None
        self._callbacks: dict[int, Any] = {}
        self._wakers: dict[int, Any] = {}
        self._nodes: weakref.WeakSet[Any] = weakref.WeakSet()
        self._domain_id = 0

    def init(
        self,
        args: list[str] | None = None,
        *,
        initialize_logging: bool = True,
        domain_id: int | None = None,
    ) -> None:
        """Join the domain. `args` are command line arguments, those of the process by default.

        Raises RuntimeError where it ever was initialised or the domain is negative, RCLError or
        UnknownROSArgsError for arguments that cannot be read.
        """
        from rclpy import logging
        from rclpy.impl.arguments import parse_arguments
        from rclpy.impl.dds.config import domain_id as domain_of_environment
        from rclpy.impl.dds.participant import Participant

        with self._lock:
            if self._was_initialized:
                raise RuntimeError("Context.init() must only be called once")
            if domain_id is not None and domain_id < 0:
                raise RuntimeError(f"Domain id ({domain_id}) should not be lower than zero.")
            try:
                self._arguments = parse_arguments(sys.argv if args is None else args)
            except RCLInvalidROSArgsError as error:
                raise RCLError(f"failed to initialize rcl: {error}") from error
            self._domain_id = domain_of_environment() if domain_id is None else domain_id
            if initialize_logging:
                logging._configure(self._arguments)
            self._participant = Participant(self._domain_id, self._arguments.enclave)
            self._initialized = self._was_initialized = True
        _contexts.add(self)

    @property
    def participant(self) -> int:
        """Handle of the DDS participant; raises NotInitializedException."""
        return self._impl.handle

    @property
    def _impl(self) -> Any:
        participant = self._participant
        if participant is None:
            raise NotInitializedException(
                "the given context is not valid, either rclpy.init() was not called or "
                "rclpy.shutdown() was called."
            )
        return participant

    @property
    def handle(self) -> Any:
        """The participant object."""
        return self._impl

    def ok(self) -> bool:
        """Whether it is initialised and not shut down."""
        return self._initialized

    def get_domain_id(self) -> int:
        """The domain; raises NotInitializedException before init."""
        self._impl  # noqa: B018
        return self._domain_id

    def try_shutdown(self) -> None:
        """Shut down, if not done already."""
        with self._lock:
            if self._initialized:
                self._shut_down()

    def shutdown(self) -> None:
        """Shut down: everything that spins returns. Raises RuntimeError the second time."""
        with self._lock:
            if not self._initialized:
                raise RuntimeError("Context must be initialized before it can be shutdown")
            self._shut_down()

    def _shut_down(self) -> None:
        self._initialized = False
        callbacks, self._callbacks = self._callbacks, {}
        try:
            for reference in list(callbacks.values()):
                callback = reference()
                if callback is not None:
                    callback()
        finally:
            self._wake_all()
            self._leave_if_unused()

    def _leave_if_unused(self) -> None:
        """Leave the network once shut down and without nodes."""
        with self._lock:
            if self._initialized or self._nodes or self._participant is None:
                return
            participant, self._participant = self._participant, None
        participant.close()

    def _add_node(self, node: Any) -> None:
        self._nodes.add(node)

    def _remove_node(self, node: Any) -> None:
        self._nodes.discard(node)
        self._leave_if_unused()

    def __del__(self) -> None:
        participant = self._participant
        if participant is None:
            return
        if threading.current_thread() is participant.graph.thread:  # which closing waits for
            threading.Thread(target=participant.close, daemon=True).start()
        else:
            participant.close()

    def destroy(self) -> None:
        """Shut down and leave the network."""
        self.try_shutdown()
        for node in list(self._nodes):
            node.destroy_node()
        self._leave_if_unused()

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Call `callback()` at shutdown; bound methods do not keep their object alive."""
        if not callable(callback):
            raise TypeError("callback should be a callable, got {}", type(callback))
        with self._lock:
            _append(self._callbacks, callback)

    def _add_waker(self, waker: Callable[[], None]) -> None:
        _append(self._wakers, waker)

    def _remove_waker(self, waker: Callable[[], None]) -> None:
        for reference in list(self._wakers.values()):
            if reference() == waker and self._wakers.pop(id(reference), None) is not None:
                return

    def _wake_all(self) -> None:
        for reference in list(self._wakers.values()):
            waker = reference()
            if waker is not None:
                waker()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.try_shutdown()


def _append(references: dict[int, Any], callback: Callable[[], None]) -> None:
    """Add what returns the callback, by its id; that of a bound method goes with its object.

    Any thread may do so, the garbage collector within it: every step is one of the interpreter's.
    """
    reference: Any
    if isinstance(callback, MethodType):
        reference = weakref.WeakMethod(callback, lambda gone: references.pop(id(gone), None))
    else:
        reference = partial(_same, callback)
    references[id(reference)] = reference


def _same(callback: Callable[[], None]) -> Callable[[], None]:
    return callback


def wake_all_contexts() -> None:
    """Wake whatever waits in any context, so that Python gets to run its signal handlers."""
    for context in list(_contexts):
        context._wake_all()


def shut_down_all_contexts() -> None:
    """Shut every context down, as a signal does."""
    for context in list(_contexts):
        context._was_interrupted = True
        context.try_shutdown()


def open_participants() -> set[Participant]:
    """The participants that have not left the network."""
    return {context._participant for context in list(_contexts)} - {None}


@atexit.register
def _leave_networks() -> None:
    for context in list(_contexts):
        # Leaving takes a second at most, too late for a signal to interrupt anything.
        with suppress(KeyboardInterrupt):
            context.destroy()


def _abandon_all() -> None:
    """In a child that was forked: the threads, the network and the nodes are its parent's."""
    for context in list(_contexts):
        context._initialized = context._was_initialized = False
        context._lock = threading.RLock()  # that of the parent may have been held
        participant, context._participant = context._participant, None
        if participant is not None:
            participant.graph.abandon()


os.register_at_fork(after_in_child=_abandon_all)
