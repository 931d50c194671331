# SPDX-License-Identifier: Apache-2.0
"""Services, server side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rclpy.impl.executable import awaitable
from rclpy.impl.service_endpoint import RequestHeader, ServiceEndpoint
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.impl.dds.endpoint import Reader, Writer
    from rclpy.impl.dds.graph import Graph

SrvType = TypeVar("SrvType")
# How long a response waits for the client's reader to be discovered.
_CLIENT_TIMEOUT = 0.1


class Service(ServiceEndpoint, Generic[SrvType]):
    """Answers requests; made by `Node.create_service`."""

    def __init__(
        self,
        service_impl: tuple[Reader, Writer],
        srv_type: type[SrvType],
        srv_name: str,
        service_name: str,
        callback: Callable[[Any, Any], Any],
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
        graph: Graph,
    ) -> None:
        reader, writer = service_impl
        super().__init__(
            writer, reader, srv_type, srv_name, service_name, qos_profile, callback_group, graph
        )
        self.callback = callback
        self._known_clients: set[int] = set()

    @property
    def handle(self) -> tuple[Reader, Writer]:
        """The DDS reader of requests and writer of responses."""
        return self._reader, self._writer

    def send_response(self, response: Any, header: RequestHeader) -> None:
        """Answer a request. Raises TypeError for a response of another type."""
        self._writer.check_handle()
        self._wait_for_client(header.writer)
        self._send(response, self.srv_type.Response, header.client_id, header.sequence_number)

    def _watch_clients(self) -> None:
        self._graph.watch_fast_dds(self._reader.topic_name, self._warn_of_fast_dds)

    def _wait_for_client(self, request_writer: int) -> None:
        """Wait until responses reach the client, where it says which reader is its own."""
        if request_writer in self._known_clients:
            return

        def is_reachable() -> bool:
            matched = self._writer.matched_handles()
            endpoints = self._graph.endpoints()
            asked = [e for e in endpoints if e.handle == request_writer]
            ids = {field for e in asked for field in e.user_data.split(";") if "clientid" in field}
            if asked and not ids:
                return True
            return any(
                e.handle in matched and not e.is_writer and ids & set(e.user_data.split(";"))
                for e in endpoints
            )

        if is_reachable() or self._graph.wait_for(is_reachable, _CLIENT_TIMEOUT):
            there = {e.handle for e in self._graph.endpoints()}
            self._known_clients = self._known_clients & there | {request_writer}

    def _take(self) -> tuple[Any, RequestHeader] | None:
        return self._take_next(self.srv_type.Request, "a request to")

    def _execute(self, taken: tuple[Any, RequestHeader]) -> Any:
        request, header = taken
        response = self.callback(request, self.srv_type.Response())
        if awaitable(self.callback, response) is None:
            self.send_response(response, header)
            return None

        async def answer() -> None:
            self.send_response(await response, header)

        return answer()
