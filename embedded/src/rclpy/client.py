# SPDX-License-Identifier: Apache-2.0
"""Services, client side."""

from __future__ import annotations

import ctypes as ct
import itertools
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rclpy._rclpy_pybind11 import RCLError
from rclpy.impl.dds.library import check, dds
from rclpy.impl.service_endpoint import ServiceEndpoint
from rclpy.qos import QoSProfile
from rclpy.task import Future

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.context import Context
    from rclpy.impl.dds.endpoint import Reader, Writer
    from rclpy.impl.dds.graph import Graph

SrvType = TypeVar("SrvType")
# One counter for the process, as in ROS.
_numbers = itertools.count(1)


class Client(ServiceEndpoint, Generic[SrvType]):
    """Calls a service; made by `Node.create_client`."""

    def __init__(
        self,
        context: Context,
        client_impl: tuple[Writer, Reader],
        srv_type: type[SrvType],
        srv_name: str,
        service_name: str,
        qos_profile: QoSProfile,
        callback_group: CallbackGroup,
        graph: Graph,
    ) -> None:
        writer, reader = client_impl
        super().__init__(
            writer, reader, srv_type, srv_name, service_name, qos_profile, callback_group, graph
        )
        self.context = context
        self._pending: dict[int, Future] = {}
        self._lock = threading.Lock()
        identity = ct.c_uint64()
        code = dds.dds_get_instance_handle(self._writer.handle, ct.byref(identity))
        check(code, "identify a client")
        self._id = identity.value

    def call(self, request: Any, timeout_sec: float | None = None) -> Any:
        """Call and wait for the response, None on timeout (s). Another thread has to spin.

        That is Jazzy's answer to a timeout; Kilted raises a TimeoutError. Raises TypeError for a
        request of another type, and what the call raises.
        """
        # A queue and no event: the lock of that could be held by what a signal interrupts.
        over: SimpleQueue[None] = SimpleQueue()
        wake = partial(over.put, None)
        future = self.call_async(request)
        future._wake_when_done(wake)
        self.context._add_waker(wake)
        if not self.context.ok():  # since the call: nobody wakes us any more
            wake()
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
        """Call; the response becomes the result of the future. Cancelling that forgets the call.

        Where none but Fast DDS would hear it nothing is sent: a server there would take the header
        for the request. Raises RCLError once the context is shut down.
        """
        if not self.context.ok():
            raise RCLError("Failed to send a request: client's context is invalid")
        number = next(_numbers)
        future = Future(executor=self._node.executor if self._node is not None else None)
        with self._lock:
            self._pending[number] = future
        future._wake_when_done(partial(self._forget, number))
        try:
            if self._is_fast_dds_alone():
                self._warn_of_fast_dds()
            else:
                self._send(request, self.srv_type.Request, self._id, number)
        except BaseException:
            self.remove_pending_request(future)
            raise
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

    def _forget(self, number: int) -> None:
        # One step that needs no lock: who cancels in the handler of a signal may hold it already.
        self._pending.pop(number, None)

    def service_is_ready(self) -> bool:
        """Whether a server takes our requests and its responses reach us.

        Raises RCLError once the context is shut down: a loop that waits for a server ends with it.
        Raises InvalidHandle once the client is destroyed.
        """
        self._writer.check_handle()
        if not self.context.ok():
            raise RCLError("failed to check service availability: rcl node's context is invalid")
        if self._is_reachable():
            return True
        if self._is_fast_dds_alone():
            self._warn_of_fast_dds()
        return False

    def _is_reachable(self) -> bool:
        servers = self._writer.matched_handles() - self._graph.fast_dds
        answers = self._reader.matched_handles()
        if not servers or not answers:
            return False
        endpoints = self._graph.endpoints()
        return bool(
            {e.participant for e in endpoints if e.handle in servers}
            & {e.participant for e in endpoints if e.handle in answers}
        )

    def _is_fast_dds_alone(self) -> bool:
        fast_dds = self._graph.fast_dds
        return (
            bool(fast_dds)
            and bool(servers := self._writer.matched_handles())
            and (servers <= fast_dds)
        )

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """Wait until `service_is_ready`; returns whether it is, in time (s).

        Raises InvalidHandle once destroyed, RCLError where the context is shut down.
        """
        if self.service_is_ready():
            return True
        graph = self._graph
        left = None if timeout_sec is None or timeout_sec < 0 else timeout_sec
        begin = time.monotonic()

        def is_over() -> bool:
            return not self.context.ok() or self._is_reachable()

        self.context._add_waker(graph.wake)
        try:
            graph.wait_for(lambda: is_over() or self._is_fast_dds_alone(), left)
            if not is_over() and self._is_fast_dds_alone():
                self._warn_of_fast_dds()
                graph.wait_for(is_over, left and left - (time.monotonic() - begin))
        finally:
            self.context._remove_waker(graph.wake)
        return self.service_is_ready()

    @property
    def handle(self) -> tuple[Writer, Reader]:
        """The DDS writer of requests and reader of responses."""
        return self._writer, self._reader

    def _take(self) -> tuple[Future, Any] | None:
        """Next response to one of our requests; all others are passed over."""
        while taken := self._take_next(self.srv_type.Response, "a response of", self._id):
            response, header = taken
            with self._lock:
                future = self._pending.pop(header.sequence_number, None)
            if future is not None:
                return future, response
        return None

    def _execute(self, taken: tuple[Future, Any]) -> None:
        future, response = taken
        if future.cancelled():
            return
        if self._node is not None:
            future._set_executor(self._node.executor)
        future.set_result(response)
