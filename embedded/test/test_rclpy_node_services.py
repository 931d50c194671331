# SPDX-License-Identifier: Apache-2.0
"""What every node serves beside its parameters: descriptions of types, log levels."""

import itertools

import pytest
from rcl_interfaces.msg import LoggerLevel
from rcl_interfaces.srv import (
    DescribeParameters,
    GetLoggerLevels,
    GetParameters,
    GetParameterTypes,
    SetLoggerLevels,
)
from rclpy import logging
from rclpy.parameter_client import AsyncParameterClient
from std_srvs.srv import Trigger
from type_description_interfaces.srv import GetTypeDescription
from waiting import PATIENCE_S


@pytest.fixture
def call(graph):
    """Calls a service of /served."""
    graph.init()
    graph.node("served", enable_logger_service=True)
    asking = graph.node("asking")

    def call(kind, name, **fields):
        client = asking.create_client(kind, f"/served/{name}")
        assert client.wait_for_service(PATIENCE_S)
        return graph.result(client.call_async(kind.Request(**fields)))

    return call


def test_parameters_are_told_all_or_none(call):
    """Where one of several is unknown."""
    for kind, name, field in (
        (GetParameters, "get_parameters", "values"),
        (DescribeParameters, "describe_parameters", "descriptors"),
        (GetParameterTypes, "get_parameter_types", "types"),
    ):
        for names, count in ((["use_sim_time"], 1), (["use_sim_time", "unknown"], 0)):
            assert len(getattr(call(kind, name, names=names), field)) == count


def test_changes_of_parameters_are_heard_by_a_client(graph):
    """Of all nodes."""
    node, heard = graph.init().node(), []
    client = AsyncParameterClient(node, "tested")
    subscription = client.on_parameter_event(heard.append)
    graph.spin_until(subscription.get_publisher_count)
    node.declare_parameter("a", 1)
    graph.spin_until(lambda: any(p.name == "a" for e in heard for p in e.new_parameters))


@pytest.mark.embedded
def test_a_type_is_described(call):
    """With all that it refers to and the texts; a wrong hash and an unknown type say so.

    Another rclpy describes types that its node uses alone.
    """
    from rosidl_embedded.type_hash import type_hash

    wanted = {"type_name": "std_msgs/msg/Header", "type_hash": type_hash("std_msgs/msg/Header")}
    answer = call(GetTypeDescription, "get_type_description", **wanted)
    assert answer.successful
    described = answer.type_description
    assert [f.name for f in described.type_description.fields] == ["stamp", "frame_id"]
    assert [d.type_name for d in described.referenced_type_descriptions] == [
        "builtin_interfaces/msg/Time"
    ]
    assert "string frame_id" in answer.type_sources[0].raw_file_contents
    wanted["type_hash"] = "RIHS01_" + "0" * 64
    answer = call(GetTypeDescription, "get_type_description", **wanted)
    assert not answer.successful and type_hash("std_msgs/msg/Header") in answer.failure_reason
    answer = call(GetTypeDescription, "get_type_description", type_name="no_msgs/msg/No")
    assert not answer.successful and "no_msgs/msg/No" in answer.failure_reason


def test_log_levels_are_set_from_outside(call):
    """For any logger of the process; a level that there is not is refused with a reason."""
    levels = [LoggerLevel(name="served", level=40), LoggerLevel(name="served", level=3)]
    results = call(SetLoggerLevels, "set_logger_levels", levels=levels).results
    assert [r.successful for r in results] == [True, False] and results[1].reason
    assert logging.get_logger_level("served") == logging.LoggingSeverity.ERROR
    (level,) = call(GetLoggerLevels, "get_logger_levels", names=["served"]).levels
    assert (level.name, level.level) == ("served", 40)
    logging.set_logger_level("served", logging.LoggingSeverity.UNSET)


@pytest.mark.embedded
def test_a_client_takes_no_answer_of_another(graph, monkeypatch):
    """Clients of two processes count their requests alike."""
    from rclpy import client as client_module

    graph.init()
    served, answers = graph.node("served"), itertools.count()

    def answer(request, response):
        response.message = str(next(answers))
        return response

    served.create_service(Trigger, "/t", answer)
    clients = [graph.node(name).create_client(Trigger, "/t") for name in ("one", "two")]
    assert all(client.wait_for_service(PATIENCE_S) for client in clients)
    futures = []
    for client in clients:
        monkeypatch.setattr(client_module, "_numbers", itertools.count(7))
        futures.append(client.call_async(Trigger.Request()))
    assert sorted(graph.result(future).message for future in futures) == ["0", "1"]


@pytest.mark.embedded
def test_a_service_forgets_clients_that_have_left(graph):
    """It kept a number for each that ever asked: `ros2 service call` is a client of its own."""
    graph.init()
    service = graph.node("served").create_service(Trigger, "/t", lambda request, response: response)
    asking = graph.node("asking")
    for _ in range(8):
        client = asking.create_client(Trigger, "/t")
        assert client.wait_for_service(PATIENCE_S)
        graph.result(client.call_async(Trigger.Request()))
        asking.destroy_client(client)
        graph.spin_until(lambda: asking.count_clients("/t") == 0)
    assert len(service._known_clients) == 1


def test_names_are_kept_as_given_and_in_full(graph):
    """`srv_name` is what the program wrote, `service_name` where it is served or asked."""
    node = graph.init("--ros-args", "-r", "/there:=/elsewhere").node("tested")
    service = node.create_service(Trigger, "~/here", lambda _, response: response)
    client = node.create_client(Trigger, "there")
    assert (service.srv_name, service.service_name) == ("~/here", "/tested/here")
    assert (client.srv_name, client.service_name) == ("there", "/elsewhere")
