# SPDX-License-Identifier: Apache-2.0
"""What the two sides of a service share: a writer, a reader, samples that name their request."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from rosidl_embedded import cdr

from rclpy.exceptions import needs_full_ros
from rclpy.impl.executable import Executable
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.impl.dds.endpoint import Reader, Writer
    from rclpy.impl.dds.graph import Graph

# In front of each request and response: client id, sequence number.
_HEADER = struct.Struct("<Qq")
_HEADER_BIG_ENDIAN = struct.Struct(">Qq")


class RequestHeader(NamedTuple):
    """Who asks: echoed in the response. `writer` is the DDS handle of the sample's writer."""

    client_id: int
    sequence_number: int
    writer: int


class ServiceEndpoint(Executable):
    """One side of a service; a malformed sample is dropped, a node warns once for each side.

    `srv_name` is the name as it was given.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        srv_type: Any,
        srv_name: str,
        service_name: str,
        qos_profile: QoSProfile,
        callback_group: CallbackGroup,
        graph: Graph,
    ) -> None:
        self._writer, self._reader = writer, reader
        self._handle = reader.condition
        self.callback_group = callback_group
        self.srv_type = srv_type
        self.srv_name = srv_name
        self._service_name = service_name
        self.qos_profile = qos_profile
        self._graph = graph

    @property
    def service_name(self) -> str:
        """Fully qualified name, remapped; raises InvalidHandle once destroyed."""
        self._writer.check_handle()
        return self._service_name

    @property
    def logger_name(self) -> str:
        """Name of the node's logger; raises InvalidHandle once destroyed."""
        self._writer.check_handle()
        return self._logger_name

    def configure_introspection(
        self, clock: Any, service_event_qos_profile: Any, state: Any
    ) -> None:
        """Not built: raises NotImplementedError."""
        raise needs_full_ros("service introspection")

    def destroy(self) -> None:
        """Leave. `Node.destroy_service` and `destroy_client` also take it from the node."""
        self._handle = 0
        self._reader.delete()
        self._writer.delete()

    def _send(self, message: Any, message_type: type, client_id: int, number: int) -> None:
        if not isinstance(message, message_type):
            raise TypeError(f"Expected {message_type}, got {type(message)}")
        self._writer.check_handle()
        self._writer.write(cdr.serialize(message, _HEADER.pack(client_id, number)))

    def _take_next(
        self, message_type: type, what: str, client_id: int | None = None
    ) -> tuple[Any, RequestHeader] | None:
        """Next well-formed message (for one client); `what` it is, for the warning."""
        while self._reader.handle and (sample := self._reader.take()) is not None:
            if sample.publication_handle in self._graph.fast_dds:
                self._warn_of_fast_dds()
                continue
            try:
                header = RequestHeader(*_read_header(sample.data), sample.publication_handle)
                if client_id is None or header.client_id == client_id:
                    return cdr.deserialize(sample.data, message_type, _HEADER.size), header
            except cdr.CdrError as error:
                self._warn(what, error)
        return None

    def _warn(self, what: str, error: cdr.CdrError) -> None:
        self._warn_once(
            f"{what} '{self._service_name}'",
            f"was malformed and dropped: {error}; further ones are dropped without a word",
        )

    def _warn_of_fast_dds(self) -> None:
        self._warn_once(
            f"service '{self._service_name}'",
            "has a server or client with Fast DDS, which is passed over: services work between "
            "machines with Cyclone DDS only (RMW_IMPLEMENTATION=rmw_cyclonedds_cpp)",
        )

    def _warn_once(self, subject: str, text: str) -> None:
        if self._handle and self._node is not None and subject not in self._node._ros_warned_of:
            self._node._ros_warned_of.add(subject)
            self._node.get_logger().warning(f"{subject} {text}")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


def _read_header(data: memoryview | bytes) -> tuple[int, int]:
    """Client id and sequence number of an encapsulated request or response; raises CdrError."""
    if len(data) < 4 + _HEADER.size:
        raise cdr.CdrError(f"{len(data)} bytes hold no service header")
    layout = _HEADER if data[1] else _HEADER_BIG_ENDIAN
    return layout.unpack_from(data, 4)
