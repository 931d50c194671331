# SPDX-License-Identifier: Apache-2.0
"""Services, server side."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rosidl_embedded import cdr

from rclpy.exceptions import InvalidHandle, needs_full_ros
from rclpy.impl.executable import Executable
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.impl.dds.endpoint import Reader, Writer
    from rclpy.impl.dds.graph import Graph

SrvType = TypeVar("SrvType")
# In front of each request and response: client id, sequence number.
SERVICE_HEADER = struct.Struct("<Qq")
SERVICE_HEADER_BIG_ENDIAN = struct.Struct(">Qq")
# How long a response waits for the client's reader to be discovered.
_CLIENT_TIMEOUT = 0.1


class RequestHeader(NamedTuple):
    """Who asks: echoed in the response. `writer` is the DDS handle of the request's writer."""

    client_id: int
    sequence_number: int
    writer: int


def read_service_header(data: memoryview | bytes) -> tuple[int, int]:
    """Client id and sequence number of an encapsulated request or response; raises CdrError."""
    if len(data) < 4 + SERVICE_HEADER.size:
        raise cdr.CdrError(f"{len(data)} bytes hold no service header")
    layout = SERVICE_HEADER if data[1] else SERVICE_HEADER_BIG_ENDIAN
    return layout.unpack_from(data, 4)


class Service(Executable, Generic[SrvType]):
    """Answers requests; made by `Node.create_service`."""

    def __init__(
        self,
        service_impl: tuple[Reader, Writer],
        srv_type: type[SrvType],
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
        graph: Graph,
    ) -> None:
        self._reader, self._writer = service_impl
        self._handle = self._reader.condition
        self.callback_group = callback_group
        self.srv_type: Any = srv_type
        self.srv_name = srv_name
        self.callback = callback
        self.qos_profile = qos_profile
        self._graph = graph
        self._known_clients: set[int] = set()
        self._has_warned = False

    def send_response(self, response: Any, header: RequestHeader) -> None:
        """Answer a request. Raises TypeError for a response of another type."""
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(f"Expected {self.srv_type.Response}, got {type(response)}")
        if not self._writer.handle:
            raise InvalidHandle("cannot use Destroyable because destruction was requested")
        self._wait_for_client(header.writer)
        prefix = SERVICE_HEADER.pack(header.client_id, header.sequence_number)
        self._writer.write(cdr.serialize(response, prefix))

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
            self._known_clients.add(request_writer)

    @property
    def service_name(self) -> str:
        """Fully qualified name, remapped."""
        return self.srv_name

    @property
    def handle(self) -> tuple[Reader, Writer]:
        """The DDS reader of requests and writer of responses."""
        return self._reader, self._writer

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
        """Leave. `Node.destroy_service` also takes it from the node."""
        self._handle = 0
        self._reader.delete()
        self._writer.delete()

    def _take(self) -> tuple[Any, RequestHeader] | None:
        while self._reader.handle and (sample := self._reader.take()) is not None:
            try:
                client_id, number = read_service_header(sample.data)
                request = cdr.deserialize(sample.data, self.srv_type.Request, SERVICE_HEADER.size)
            except cdr.CdrError as error:
                self._warn(error)
                continue
            return request, RequestHeader(client_id, number, sample.publication_handle)
        return None

    def _warn(self, error: cdr.CdrError) -> None:
        if not self._has_warned and self._node is not None:
            self._has_warned = True
            self._node.get_logger().warning(
                f"a request to '{self.srv_name}' was malformed and dropped: {error}; "
                "further ones are dropped without a word"
            )

    def _execute(self, taken: tuple[Any, RequestHeader]) -> Any:
        request, header = taken
        response = self.callback(request, self.srv_type.Response())
        if not hasattr(response, "__await__"):
            self.send_response(response, header)
            return None

        async def answer() -> None:
            self.send_response(await response, header)

        return answer()

    def __enter__(self) -> Service[SrvType]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
