# SPDX-License-Identifier: Apache-2.0
"""Services, client side."""

from __future__ import annotations

import ctypes as ct
import itertools
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rosidl_embedded import cdr

from rclpy.exceptions import InvalidHandle, needs_full_ros
from rclpy.impl.dds.library import check, dds
from rclpy.impl.executable import Executable
from rclpy.qos import QoSProfile
from rclpy.service import SERVICE_HEADER, read_service_header
from rclpy.task import Future

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.context import Context
    from rclpy.impl.dds.endpoint import Reader, Writer
    from rclpy.impl.dds.graph import Graph

SrvType = TypeVar("SrvType")
# One counter for the process, as in ROS.
_numbers = itertools.count(1)


class Client(Executable, Generic[SrvType]):
    """Calls a service; made by `Node.create_client`."""

    def __init__(
        self,
        context: Context,
        client_impl: tuple[Writer, Reader],
        srv_type: type[SrvType],
        srv_name: str,
        qos_profile: QoSProfile,
        callback_group: CallbackGroup,
        graph: Graph,
    ) -> None:
        self.context = context
        self._writer, self._reader = client_impl
        self._handle = self._reader.condition
        self.callback_group = callback_group
        self.srv_type: Any = srv_type
        self.srv_name = srv_name
        self.qos_profile = qos_profile
        self._graph = graph
        self._pending: dict[int, Future] = {}
        self._lock = threading.Lock()
        self._has_warned = False
        identity = ct.c_uint64()
        code = dds.dds_get_instance_handle(self._writer.handle, ct.byref(identity))
        check(code, "identify a client")
        self._id = identity.value

    def call(self, request: Any, timeout_sec: float | None = None) -> Any:
        """Call and wait for the response, None on timeout (s). Another thread has to spin.

        Raises TypeError for a request of another type, and what the call raises.
        """
        # A queue and no event: the lock of that could be held by what a signal interrupts.
        over: SimpleQueue[None] = SimpleQueue()
        wake = partial(over.put, None)
        future = self.call_async(request)
        future._wake_when_done(wake)
        self.context._add_waker(wake)
        try:
            over.get(timeout=None if timeout_sec is None or timeout_sec < 0 else timeout_sec)
        except Empty:
            self.remove_pending_request(future)
            return None
        finally:
            self.context._remove_waker(wake)
        if future.exception() is not None:
            raise future.exception()  # type: ignore[misc]
        return future.result()

    def call_async(self, request: Any) -> Future:
        """Call; the response becomes the result of the future."""
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(f"Expected {self.srv_type.Request}, got {type(request)}")
        if not self._writer.handle:
            raise InvalidHandle("cannot use Destroyable because destruction was requested")
        number = next(_numbers)
        future = Future(executor=self._node.executor if self._node is not None else None)
        with self._lock:
            self._pending[number] = future
        self._writer.write(cdr.serialize(request, SERVICE_HEADER.pack(self._id, number)))
        return future

    def get_pending_request(self, sequence_number: int) -> Future:
        """Future of a request that has no response yet; raises KeyError."""
        with self._lock:
            return self._pending[sequence_number]

    def remove_pending_request(self, future: Future) -> None:
        """Forget a request: a late response is dropped."""
        with self._lock:
            for number, pending in list(self._pending.items()):
                if pending is future:
                    del self._pending[number]

    def service_is_ready(self) -> bool:
        """Whether a server takes our requests and its responses reach us."""
        servers = self._writer.matched_handles()
        answers = self._reader.matched_handles()
        if not servers or not answers:
            return False
        endpoints = self._graph.endpoints()
        return bool(
            {e.participant for e in endpoints if e.handle in servers}
            & {e.participant for e in endpoints if e.handle in answers}
        )

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """Wait until `service_is_ready`; returns whether it is, in time (s)."""
        if not self._writer.handle:
            raise InvalidHandle("cannot use Destroyable because destruction was requested")
        graph = self._graph
        self.context._add_waker(graph.wake)
        try:
            graph.wait_for(
                lambda: not self.context.ok() or self.service_is_ready(),
                None if timeout_sec is None or timeout_sec < 0 else timeout_sec,
            )
        finally:
            self.context._remove_waker(graph.wake)
        return self.context.ok() and self.service_is_ready()

    @property
    def service_name(self) -> str:
        """Fully qualified name, remapped."""
        return self.srv_name

    @property
    def handle(self) -> tuple[Writer, Reader]:
        """The DDS writer of requests and reader of responses."""
        return self._writer, self._reader

    @property
    def logger_name(self) -> str:
        """Name of the logger."""
        return self.srv_name

    def configure_introspection(
        self, clock: Any, service_event_qos_profile: Any, state: Any
    ) -> None:
        """Not built: raises NotImplementedError."""
        raise needs_full_ros("service introspection")

    def destroy(self) -> None:
        """Leave. `Node.destroy_client` also takes it from the node."""
        self._handle = 0
        self._writer.delete()
        self._reader.delete()

    def _take(self) -> tuple[Future, Any] | None:
        """Next response to one of our requests; all others are passed over."""
        while self._reader.handle and (sample := self._reader.take()) is not None:
            try:
                client_id, number = read_service_header(sample.data)
                if client_id != self._id:
                    continue
                response = cdr.deserialize(sample.data, self.srv_type.Response, SERVICE_HEADER.size)
            except cdr.CdrError as error:
                self._warn(error)
                continue
            with self._lock:
                future = self._pending.pop(number, None)
            if future is not None:
                return future, response
        return None

    def _warn(self, error: cdr.CdrError) -> None:
        if not self._has_warned and self._node is not None:
            self._has_warned = True
            self._node.get_logger().warning(
                f"a response of '{self.srv_name}' was malformed and dropped: {error}; "
                "further ones are dropped without a word"
            )

    def _execute(self, taken: tuple[Future, Any]) -> None:
        future, response = taken
        if self._node is not None:
            future._set_executor(self._node.executor)
        future.set_result(response)

    def __enter__(self) -> Client[SrvType]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
