# SPDX-License-Identifier: Apache-2.0
"""What a node can ask about the graph."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy._rclpy_pybind11 import NodeNameNonExistentError, RCLError
from rclpy.context import Context
from rclpy.expand_topic_name import expand_topic_name
from rclpy.impl.dds.graph import Graph, RemoteEndpoint
from rclpy.impl.dds.type_descriptor import ros_type_name
from rclpy.impl.names import full_name_error
from rclpy.topic_endpoint_info import TopicEndpointInfo, TopicEndpointTypeEnum, TypeHash
from rclpy.validate_full_topic_name import validate_full_topic_name

NamesAndTypes = list[tuple[str, list[str]]]


class NodeGraph:
    """The part of a node that looks at the others."""

    _ros_graph: Graph
    _context: Context
    _ros_name: str
    _ros_namespace: str

    @property
    def _ros_seen(self) -> Graph:
        """The graph; raises InvalidHandle once destroyed, RCLError once shut down."""
        self._ros_check_handle()
        if not self._context.ok():
            raise RCLError("Failed to look at the graph: rcl node's context is invalid")
        return self._ros_graph

    def _ros_check_handle(self) -> None:
        raise NotImplementedError()

    def _ros_full_topic_name(self, name: str, *, is_service: bool = False) -> str:
        raise NotImplementedError()

    def _ros_expanded(self, name: str, *, is_service: bool = False) -> str:
        """The full name, not remapped; raises ValueError or what validates full names raises."""
        full = expand_topic_name(name, self._ros_name, self._ros_namespace)
        validate_full_topic_name(full, is_service=is_service)
        return full

    def get_node_names(self) -> list[str]:
        """Names of all nodes, without namespaces."""
        return [name for _, name in self._ros_seen.nodes()]

    def get_fully_qualified_node_names(self) -> list[str]:
        """Full names of all nodes."""
        return [f"{space.rstrip('/')}/{name}" for space, name in self._ros_seen.nodes()]

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        """(name, namespace) of all nodes."""
        return [(name, space) for space, name in self._ros_seen.nodes()]

    def get_node_names_and_namespaces_with_enclaves(self) -> list[tuple[str, str, str]]:
        """(name, namespace, enclave) of all nodes; enclaves other than / need a full ROS 2."""
        return [(name, space, "/") for space, name in self._ros_seen.nodes()]

    def get_topic_names_and_types(self, no_demangle: bool = False) -> NamesAndTypes:
        """(topic, types) of all topics; DDS's own names where `no_demangle`."""
        endpoints = self._ros_seen.endpoints()
        if no_demangle:
            return _collect((e.dds_topic, e.type_name) for e in endpoints)
        return _collect(_topics(endpoints))

    def get_service_names_and_types(self) -> NamesAndTypes:
        """(service, types) of all services."""
        return _collect(_services(self._ros_seen.endpoints()))

    def get_publisher_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> NamesAndTypes:
        """(topic, types) that a node publishes; raises NodeNameNonExistentError."""
        return self._ros_topics_of(node_name, node_namespace, True, no_demangle)

    def get_subscriber_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> NamesAndTypes:
        """(topic, types) that a node subscribes to; raises NodeNameNonExistentError."""
        return self._ros_topics_of(node_name, node_namespace, False, no_demangle)

    def get_service_names_and_types_by_node(
        self, node_name: str, node_namespace: str
    ) -> NamesAndTypes:
        """(service, types) that a node serves; raises NodeNameNonExistentError."""
        endpoints = self._ros_endpoints_of(node_name, node_namespace)
        return _collect(_services(e for e in _requests(endpoints) if not e.is_writer))

    def get_client_names_and_types_by_node(
        self, node_name: str, node_namespace: str
    ) -> NamesAndTypes:
        """(service, types) that a node calls; raises NodeNameNonExistentError."""
        endpoints = self._ros_endpoints_of(node_name, node_namespace)
        return _collect(_services(e for e in _requests(endpoints) if e.is_writer))

    def _ros_endpoints_of(self, node_name: str, node_namespace: str) -> list[RemoteEndpoint]:
        endpoints = self._ros_seen.endpoints_of((node_namespace, node_name))
        if endpoints is None:
            raise NodeNameNonExistentError(
                f"Cannot get information of node '{node_namespace.rstrip('/')}/{node_name}': "
                "it does not exist"
            )
        return endpoints

    def _ros_topics_of(
        self, node_name: str, node_namespace: str, writers: bool, no_demangle: bool
    ) -> NamesAndTypes:
        endpoints = [
            e for e in self._ros_endpoints_of(node_name, node_namespace) if e.is_writer == writers
        ]
        if no_demangle:
            return _collect((e.dds_topic, e.type_name) for e in endpoints)
        return _collect(_topics(endpoints))

    def get_publishers_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Every publisher of a topic."""
        return self._ros_infos(topic_name, no_mangle, True)

    def get_subscriptions_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Every subscription of a topic."""
        return self._ros_infos(topic_name, no_mangle, False)

    def _ros_infos(
        self, topic_name: str, no_mangle: bool, writers: bool
    ) -> list[TopicEndpointInfo]:
        if no_mangle:
            dds_topic = topic_name
        else:
            dds_topic = f"rt{self._ros_full_topic_name(self._ros_expanded(topic_name))}"
        kind = TopicEndpointTypeEnum.PUBLISHER if writers else TopicEndpointTypeEnum.SUBSCRIPTION
        infos = []
        for endpoint in self._ros_seen.endpoints(dds_topic):
            if endpoint.is_writer == writers:
                unknown = ("_NODE_NAMESPACE_UNKNOWN_", "_NODE_NAME_UNKNOWN_")
                space, name = self._ros_seen.owner_of(endpoint.guid) or unknown
                infos.append(
                    TopicEndpointInfo(
                        name,
                        space,
                        endpoint.type_name,
                        TypeHash._from_user_data(endpoint.user_data),
                        kind,
                        list(endpoint.guid),
                        endpoint.qos,
                    )
                )
        return infos

    def count_publishers(self, topic_name: str) -> int:
        """Number of publishers of a topic, whose name is not remapped."""
        return self._ros_count(f"rt{self._ros_expanded(topic_name)}", True)

    def count_subscribers(self, topic_name: str) -> int:
        """Number of subscriptions of a topic, whose name is not remapped."""
        return self._ros_count(f"rt{self._ros_expanded(topic_name)}", False)

    def count_clients(self, service_name: str) -> int:
        """Number of clients of a service, whose name is not remapped."""
        name = self._ros_expanded(service_name, is_service=True)
        return self._ros_count(f"rq{name}Request", True)

    def count_services(self, service_name: str) -> int:
        """Number of servers of a service, whose name is not remapped."""
        name = self._ros_expanded(service_name, is_service=True)
        return self._ros_count(f"rq{name}Request", False)

    def _ros_count(self, dds_topic: str, writers: bool) -> int:
        return sum(e.is_writer == writers for e in self._ros_seen.endpoints(dds_topic))

    def wait_for_node(self, fully_qualified_node_name: str, timeout: float) -> bool:
        """Wait until a node is there; returns whether it is, in time (s)."""
        return self._ros_graph.wait_for(
            lambda: fully_qualified_node_name in self.get_fully_qualified_node_names(), timeout
        )


def _topics(endpoints: Iterable[RemoteEndpoint]) -> Iterable[tuple[str, str]]:
    """Names that no node could ask about are left out, those of services as well."""
    for endpoint in endpoints:
        name = endpoint.dds_topic[2:]
        if endpoint.dds_topic.startswith("rt/") and not full_name_error(name):
            yield name, ros_type_name(endpoint.type_name)


def _requests(endpoints: Iterable[RemoteEndpoint]) -> Iterable[RemoteEndpoint]:
    """Endpoints of requests: clients write them, servers read them."""
    return (e for e in endpoints if e.dds_topic.startswith("rq/"))


def _services(endpoints: Iterable[RemoteEndpoint]) -> Iterable[tuple[str, str]]:
    for endpoint in endpoints:
        topic, kind = endpoint.dds_topic, endpoint.type_name
        if topic.startswith("rq/") and topic.endswith("Request"):
            name, kind = topic[2:].removesuffix("Request"), kind.removesuffix("_Request")
        elif topic.startswith("rr/") and topic.endswith("Reply"):
            name, kind = topic[2:].removesuffix("Reply"), kind.removesuffix("_Response")
        else:
            continue
        if not full_name_error(name, "service"):
            yield name, kind


def _collect(pairs: Iterable[tuple[str, str]]) -> NamesAndTypes:
    found: dict[str, set[str]] = {}
    for name, kind in pairs:
        found.setdefault(name, set()).add(kind)
    return [(name, sorted(found[name])) for name in sorted(found)]
