# SPDX-License-Identifier: Apache-2.0
"""The graph: who is seen, with what; waiting for nodes."""

import threading

import pytest
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import ReliabilityPolicy, qos_profile_sensor_data
from std_msgs.msg import String
from std_srvs.srv import Trigger
from waiting import PATIENCE_S


def test_graph_queries(graph):
    """Nodes see each other's names, topics, services, QoS and hashes; leaving is seen, too."""
    graph.init()
    node, other = graph.node("one"), graph.node("two", namespace="/space")
    other.create_publisher(String, "words", qos_profile_sensor_data)
    node.create_subscription(String, "/space/words", print, qos_profile_sensor_data)
    other.create_service(Trigger, "serve", print)
    client = node.create_client(Trigger, "/space/serve")
    assert client.wait_for_service(PATIENCE_S)
    graph.spin_until(lambda: node.count_publishers("/space/words") == 1)
    assert ("two", "/space") in node.get_node_names_and_namespaces()
    assert ("/space/words", ["std_msgs/msg/String"]) in node.get_topic_names_and_types()
    assert ("/space/serve", ["std_srvs/srv/Trigger"]) in node.get_service_names_and_types()
    assert ("/space/words", ["std_msgs/msg/String"]) in (
        node.get_publisher_names_and_types_by_node("two", "/space")
    )
    clients = [("/space/serve", ["std_srvs/srv/Trigger"])]
    graph.spin_until(lambda: node.get_client_names_and_types_by_node("one", "/") == clients)
    assert clients[0] in node.get_service_names_and_types_by_node("two", "/space")
    (info,) = node.get_publishers_info_by_topic("/space/words")
    assert (info.node_name, info.node_namespace) == ("two", "/space")
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert str(info.topic_type_hash).startswith("RIHS01_df668c74")
    assert len(info.endpoint_gid) == 16 and any(info.endpoint_gid)
    other.destroy_node()
    graph.spin_until(lambda: not node.count_publishers("/space/words"))
    assert ("two", "/space") not in node.get_node_names_and_namespaces()
    assert not client.service_is_ready()


@pytest.mark.embedded
def test_the_gid_of_a_publisher_is_its_guid(graph):
    """As DDS has it, by which tools of other vendors find it."""
    node = graph.init().node()
    publisher = node.create_publisher(String, "words", 10)
    graph.spin_until(lambda: node.count_publishers("words") == 1)
    (info,) = node.get_publishers_info_by_topic("words")
    assert bytes(info.endpoint_gid) == publisher.handle.guid


def test_waiting_for_a_node(graph):
    """By its full name: until it is there, or not for longer than asked."""
    graph.init()
    node = graph.node("waiting")
    assert not node.wait_for_node("/space/late", 0.05)
    late = threading.Timer(0.2, lambda: graph.node("late", namespace="/space"))
    late.start()
    assert node.wait_for_node("/space/late", PATIENCE_S)
    late.join()
    assert {"/waiting", "/space/late"} <= set(node.get_fully_qualified_node_names())
    assert {"waiting", "late"} <= set(node.get_node_names())
    assert ("late", "/space", "/") in node.get_node_names_and_namespaces_with_enclaves()


def test_counts_and_subscriptions_of_the_graph(graph):
    """Of topics and services, and who subscribes."""
    node = graph.init().node("one")
    node.create_subscription(String, "words", print, 10)
    node.create_service(Trigger, "serve", print)
    client = node.create_client(Trigger, "serve")
    assert client.wait_for_service(PATIENCE_S)
    graph.spin_until(lambda: node.count_subscribers("words") == 1)
    graph.spin_until(lambda: node.count_clients("serve") == 1)
    assert (node.count_publishers("words"), node.count_services("serve")) == (0, 1)
    (info,) = node.get_subscriptions_info_by_topic("words")
    assert info.node_name == "one" and info.topic_type == "std_msgs/msg/String"
    assert info.endpoint_type.name == "SUBSCRIPTION"
    assert ("/words", ["std_msgs/msg/String"]) in (
        node.get_subscriber_names_and_types_by_node("one", "/")
    )
    with pytest.raises(NodeNameNonExistentError):
        node.get_subscriber_names_and_types_by_node("nobody", "/")


def discover(node, name, kind):
    """In the place of the graph's thread: Cyclone DDS makes no such names."""
    from rclpy.impl.dds.library import ALIVE, BuiltinEndpoint, SampleInfo, dds

    qos = dds.dds_create_qos()
    found = BuiltinEndpoint(topic_name=name, type_name=kind, qos=qos)
    with node._ros_graph.changed:
        node._ros_graph._read_endpoint(
            found, SampleInfo(valid_data=True, instance_state=ALIVE), is_writer=True
        )
    dds.dds_delete_qos(qos)


@pytest.mark.embedded
def test_a_topic_whose_name_is_not_text(graph):
    """DDS has it, readable as far as may be, and what comes later is seen as well."""
    node = graph.init().node()
    discover(node, b"rt/caf\xe9", b"\xff::msg::dds_::T_")
    node.create_publisher(String, "later", 10)
    graph.spin_until(lambda: node.count_publishers("/later") == 1)
    names = dict(node.get_topic_names_and_types(no_demangle=True))
    assert names["rt/caf\N{REPLACEMENT CHARACTER}"] == ["\N{REPLACEMENT CHARACTER}/msg/T"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    "name", [b"rt/", b"rt/a//b", b"rt/{node}", b"rt/caf\xe9", b"rq/Request", b"rr/1xReply"]
)
def test_names_of_dds_that_are_none_of_ros_are_left_out(graph, name):
    """Every name that the graph tells can be asked about."""
    node = graph.init().node()
    # A node's own are known a moment later, when they were discovered.
    graph.spin_until(lambda: len(node.get_topic_names_and_types()) == 2)
    graph.spin_until(lambda: len(node.get_service_names_and_types()) == 7)
    topics, services = node.get_topic_names_and_types(), node.get_service_names_and_types()
    discover(node, name, b"std_msgs::msg::dds_::String_")
    assert node.get_topic_names_and_types() == topics
    assert node.get_service_names_and_types() == services
    assert name.decode(errors="replace") in dict(node.get_topic_names_and_types(no_demangle=True))


@pytest.mark.embedded
@pytest.mark.parametrize("given", ["zz", "", "ab", "ab" * 33, "AB" * 32])
def test_a_type_hash_that_is_none_is_invalid(given):
    """As another process may have written it."""
    from rclpy.topic_endpoint_info import TypeHash

    good = f"RIHS01_{'0f' * 32}"
    assert str(TypeHash._from_user_data(f"enclave=/;typehash={good};")) == good
    assert TypeHash._from_user_data(f"typehash=RIHS01_{given};") == TypeHash()


def test_nodes_of_two_contexts_of_a_process_see_each_other(graph, context):
    """Their participants passed over what the other said of its nodes."""
    graph.init()
    one, two = graph.node("one"), Node("two", context=context)
    two.create_publisher(String, "/both", 10)
    for node in (one, two):
        graph.spin_until(lambda node=node: {"one", "two"} <= set(node.get_node_names()))

    def owners(node):  # who publishes is said after the publisher was seen
        return [info.node_name for info in node.get_publishers_info_by_topic("/both")]

    for node in (one, two):
        graph.spin_until(lambda node=node: owners(node) == ["two"])
