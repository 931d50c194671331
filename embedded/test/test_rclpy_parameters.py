# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared, overridden, checked, served."""

import textwrap

import pytest
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterEvent,
    SetParametersResult,
)
from rclpy import exceptions
from rclpy.impl.arguments import matches
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.parameter_event_handler import ParameterEventHandler
from waiting import PATIENCE_S


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("/**", "/a/b", True), ("/*", "/a/b", False), ("/*/b", "/a/b", True), ("b", "/b", True),
     ("/**/b", "/b", True), ("/a/**", "/a/b/c", True), ("/a", "/ab", False)],
)  # fmt: skip
def test_wildcards(pattern, name, expected):
    """`*` is one token, `**` any number."""
    assert matches(pattern, name) == expected


def test_parameter_files(graph, tmp_path):
    """Wildcards first, closer ones later; types as YAML has them; the command line wins."""
    file = tmp_path / "p.yaml"
    file.write_text(
        textwrap.dedent("""
        /**:
          ros__parameters: {rate: 5.0, name: everyone, nested: {deep: {value: 1}}}
        /robot1/cam:
          ros__parameters:
            name: cam
            sizes: [1, 2]
            flags: [true, false]
            small: 1e-3
            words: !!python/tuple [a, b]
        /other:
          ros__parameters: {name: other}
        """)
    )
    node = graph.init(
        "--ros-args", "-r", "__ns:=/robot1", "--params-file", str(file), "-p", "rate:=7.5",
    ).node("cam")  # fmt: skip
    defaults = {"rate": 1.0, "name": "", "nested.deep.value": 0, "sizes": [0], "flags": [True],
                "small": 1.0, "words": [""]}  # fmt: skip
    declared = node.declare_parameters("", list(defaults.items()))
    assert [parameter.value for parameter in declared] == [
        7.5, "cam", 1, [1, 2], [True, False], 1e-3, ["a", "b"],
    ]  # fmt: skip


def test_override_of_another_type_is_refused(graph):
    """A parameter keeps the type it was declared with."""
    node = graph.init("--ros-args", "-p", "rate:=fast").node()
    with pytest.raises(exceptions.InvalidParameterTypeException, match="rate"):
        node.declare_parameter("rate", 1.0)


def test_parameters_are_checked(graph):
    """Type, range, step, read-only and callbacks refuse with a reason."""
    node = graph.init().node()
    node.declare_parameter(
        "double",
        1.0,
        ParameterDescriptor(
            floating_point_range=[FloatingPointRange(from_value=0.0, to_value=2.0, step=0.5)]
        ),
    )
    node.declare_parameter(
        "integer",
        5,
        ParameterDescriptor(integer_range=[IntegerRange(from_value=0, to_value=10, step=5)]),
    )
    node.declare_parameter("fixed", 1, ParameterDescriptor(read_only=True))
    node.declare_parameter("odd", 1)
    node.add_on_set_parameters_callback(
        lambda ps: SetParametersResult(
            successful=all(p.name != "odd" or p.value % 2 for p in ps), reason="must be odd"
        )
    )

    def set_one(name, value):
        result = node.set_parameters([Parameter(name, value=value)])[0]
        return "" if result.successful else result.reason

    assert set_one("double", 1.5) == "" and set_one("integer", 10) == ""
    assert "out of range" in set_one("double", 3.0)
    assert "step" in set_one("double", 1.2)
    assert "step" in set_one("integer", 3)
    assert "Wrong parameter type" in set_one("double", 1)
    assert "read-only" in set_one("fixed", 2)
    assert set_one("odd", 2) == "must be odd" and node.get_parameter("odd").value == 1
    with pytest.raises(exceptions.ParameterNotDeclaredException):
        node.set_parameters([Parameter("missing", value=1)])
    with pytest.raises(exceptions.ParameterAlreadyDeclaredException):
        node.declare_parameter("odd", 1)
    with pytest.raises(exceptions.InvalidParameterValueException, match="must be odd"):
        node.undeclare_parameter("odd")
        node.declare_parameter("odd", 2)


def test_atomic_sets_and_callback_order(graph):
    """All or none; pre-set callbacks may change what is set; post-set ones see it."""
    node = graph.init().node()
    node.declare_parameters("", [("a", 1), ("b", 2)])
    seen = []
    node.add_pre_set_parameters_callback(
        lambda ps: [*ps, Parameter("b", value=20)] if any(p.name == "a" for p in ps) else ps
    )
    node.add_post_set_parameters_callback(lambda ps: seen.append([p.name for p in ps]))
    bad = [Parameter("a", value=5), Parameter("b", value="text")]
    assert not node.set_parameters_atomically(bad).successful
    assert node.get_parameter("a").value == 1
    assert node.set_parameters_atomically([Parameter("a", value=3)]).successful
    assert (node.get_parameter("a").value, node.get_parameter("b").value) == (3, 20)
    assert seen == [["a", "b"]]


def test_typed_parameter_without_value(graph):
    """Reading it before it is set raises."""
    node = graph.init().node()
    node.declare_parameter("later", Parameter.Type.INTEGER)
    with pytest.raises(exceptions.ParameterUninitializedException):
        node.get_parameter("later")
    node.set_parameters([Parameter("later", value=3)])
    assert node.get_parameter("later").value == 3


def test_parameter_services_and_events(graph):
    """Another node lists, reads, sets and is refused; changes are announced."""
    graph.init()
    node, other = graph.node("served"), graph.node("asking")
    node.declare_parameter("speed", 1.0, ParameterDescriptor(description="m/s"))
    node.declare_parameter("group.x", "a")
    events = []
    other.create_subscription(ParameterEvent, "/parameter_events", events.append, 10)
    client = AsyncParameterClient(other, "/served")
    assert client.wait_for_services(PATIENCE_S)
    graph.spin_until(lambda: node._parameter_event_publisher.get_subscription_count())
    names = graph.result(client.list_parameters()).result.names
    assert {"speed", "group.x", "use_sim_time"} <= set(names)
    assert graph.result(client.list_parameters(["group"])).result.names == ["group.x"]
    values = graph.result(client.get_parameters(["speed", "missing"])).values
    assert values[0].double_value == 1.0 and values[1].type == 0
    results = graph.result(
        client.set_parameters([Parameter("speed", value=2.0), Parameter("missing", value=1)])
    ).results
    assert [r.successful for r in results] == [True, False] and "missing" in results[1].reason
    assert graph.result(client.describe_parameters(["speed"])).descriptors[0].description == "m/s"
    assert list(graph.result(client.get_parameter_types(["speed", "group.x"])).types) == [3, 4]
    refused = client.set_parameters_atomically([Parameter("speed", value="fast")])
    assert not graph.result(refused).result.successful
    graph.spin_until(lambda: any(e.changed_parameters for e in events))
    event = next(e for e in events if e.changed_parameters)
    assert event.node == "/served" and event.changed_parameters[0].value.double_value == 2.0


def test_changes_of_another_node_are_followed(graph):
    """By name of node and parameter, until the callback is taken back."""
    graph.init()
    node, other = graph.node("changing"), graph.node("following")
    node.declare_parameter("speed", 1.0)
    handler = ParameterEventHandler(other)
    seen, events = [], []
    handle = handler.add_parameter_callback("speed", "changing", seen.append)
    handler.add_parameter_event_callback(events.append)
    graph.spin_until(node._parameter_event_publisher.get_subscription_count)
    node.set_parameters([Parameter("speed", value=2.0)])
    graph.spin_until(lambda: seen)
    assert seen[0].name == "speed" and seen[0].value.double_value == 2.0
    handler.remove_parameter_callback(handle)
    node.set_parameters([Parameter("speed", value=3.0)])
    graph.spin_until(lambda: len(events) == 2)
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match="Callback doesn't exist"):
        handler.remove_parameter_callback(handle)
