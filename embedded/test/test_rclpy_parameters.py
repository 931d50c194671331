# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared, overridden, checked, served."""

import array
import os
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
from rclpy.parameter import Parameter, get_parameter_value, parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.parameter_event_handler import ParameterEventHandler
from waiting import PATIENCE_S


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("/**", "/a/b", True), ("/*", "/a/b", False), ("/*/b", "/a/b", True), ("b", "/b", True),
     ("/**/b", "/b", True), ("/a/**", "/a/b/c", True), ("/a", "/ab", False)],
)  # fmt: skip
def test_wildcards(pattern, name, expected):
    """`*` is one token, `**` any number."""
    from rclpy.impl.arguments import matches

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TRUE", True), ("y", True), ("Off", False), ("tRUE", "tRUE"),
        ("-17", -17), ("+0x1F", 31), ("-017", -15), ("0", 0), ("0o17", "0o17"),
        ("99999999999999999999", 1e20), ("09", 9.0), ("-.5", -0.5), ("5.", 5.0), ("1e-3", 1e-3),
        ("-.inf", float("-inf")), ("Infinity", float("inf")), ("1e999", "1e999"),
        ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("null", "null"),
        ("'1'", "1"), ('"on"', "on"), ("!!str 1", "1"), ("[-.5, 1e3]", [-0.5, 1000.0]),
    ],
)  # fmt: skip
def test_values_have_the_types_that_rcl_gives_them(graph, tmp_path, text, expected):
    """On the command line and in files: not those of YAML, which has dates and base 60."""
    file = tmp_path / "p.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    n: {text}\n    x: {{y: {text}}}\n")
    graph.init("--ros-args", "--params-file", str(file), "-p", f"given:={text}")
    node = graph.node(allow_undeclared_parameters=True,
                      automatically_declare_parameters_from_overrides=True)  # fmt: skip
    values = [node.get_parameter(name).value for name in ("given", "n", "x.y")]
    assert values == [expected] * 3
    assert {type(value) for value in values} == {type(expected)}


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
    (value,) = graph.result(client.get_parameters(["speed"])).values
    assert value.double_value == 1.0
    assert not graph.result(client.get_parameters(["speed", "missing"])).values  # all or none
    results = graph.result(
        client.set_parameters([Parameter("speed", value=2.0), Parameter("missing", value=1)])
    ).results
    assert [r.successful for r in results] == [True, False] and results[1].reason
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


def test_parameters_are_found_by_prefix_and_type(graph):
    """With an alternative for those that are not there."""
    node = graph.init().node()
    node.declare_parameters("camera", [("name", "front"), ("size.width", 640)])
    found = node.get_parameters_by_prefix("camera")
    assert {name: p.value for name, p in found.items()} == {"name": "front", "size.width": 640}
    assert node.get_parameter_type("camera.name") == Parameter.Type.STRING.value
    assert node.get_parameter_types(["camera.size.width"]) == [Parameter.Type.INTEGER.value]
    other = Parameter("other", value=1)
    assert node.get_parameter_or("other", other) is other
    assert node.get_parameter_or("camera.name", other).value == "front"
    with pytest.raises(exceptions.ParameterNotDeclaredException):
        node.get_parameter_type("other")


def test_a_descriptor_can_be_replaced(graph):
    """What is set afterwards is checked against the new one; a read-only one stays."""
    node = graph.init().node()
    node.declare_parameter("speed", 1)
    node.declare_parameter("fixed", 1, ParameterDescriptor(read_only=True))
    narrow = ParameterDescriptor(
        type=Parameter.Type.INTEGER.value,
        integer_range=[IntegerRange(from_value=0, to_value=5)],
    )
    node.set_descriptor("speed", narrow)
    assert node.describe_parameter("speed").integer_range[0].to_value == 5
    assert not node.set_parameters([Parameter("speed", value=9)])[0].successful
    with pytest.raises(exceptions.ParameterImmutableException):
        node.set_descriptor("fixed", narrow)


def test_callbacks_are_taken_back(graph):
    """Of all three kinds; taking one back twice is an error."""
    node = graph.init().node()
    node.declare_parameter("a", 1)
    seen = []

    def before(parameters):
        seen.append("before")
        return parameters

    def judge(parameters):
        seen.append("judge")
        return SetParametersResult(successful=True)

    def after(parameters):
        seen.append("after")

    kinds = {"pre_set": before, "on_set": judge, "post_set": after}
    for kind, callback in kinds.items():
        getattr(node, f"add_{kind}_parameters_callback")(callback)
    node.set_parameters([Parameter("a", value=2)])
    assert seen == ["before", "judge", "after"]
    for kind, callback in kinds.items():
        remove = getattr(node, f"remove_{kind}_parameters_callback")
        remove(callback)
        with pytest.raises(ValueError):
            remove(callback)
    node.set_parameters([Parameter("a", value=3)])
    assert len(seen) == 3


@pytest.mark.parametrize(
    "value", [True, 3, 2.5, "text", [True], [1, 2], [0.5], ["a", "b"], [b"\1"]], ids=repr
)
def test_values_go_through_messages_and_back(value):
    """Every type of parameter."""
    parameter = Parameter("p", value=value)
    again = Parameter.from_parameter_msg(parameter.to_parameter_msg())
    assert (again.name, again.type_) == ("p", parameter.type_)
    for found in (again.value, parameter_value_to_python(parameter.get_parameter_value())):
        assert (list(found) if isinstance(found, array.array) else found) == value


@pytest.mark.parametrize("value", [{"a": 1}, {1}, [1, "a"], [[1]]], ids=repr)
def test_values_of_no_type_are_refused(value):
    """By name, whatever else would go wrong with them later."""
    with pytest.raises(TypeError, match="The given value is not"):
        Parameter("p", value=value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        pytest.param("a: b: c", "a: b: c", marks=pytest.mark.embedded),
    ],  # a ScannerError in rclpy
)
def test_values_as_command_lines_write_them(text, value):
    """YAML, and a string where it is none."""
    assert parameter_value_to_python(get_parameter_value(text)) == value


def test_a_client_loads_files_and_deletes(graph, tmp_path):
    """What a file says of the node."""
    graph.init()
    node, other = graph.node("served"), graph.node("asking")
    node.declare_parameters("", [("a", 1), ("b", "x")])
    node.declare_parameter("free", 1, ParameterDescriptor(dynamic_typing=True))
    file = tmp_path / "p.yaml"
    file.write_text("/served:\n  ros__parameters: {a: 2, b: y}\n")
    client = AsyncParameterClient(other, "/served")
    assert client.wait_for_services(PATIENCE_S) and client.services_are_ready()
    assert all(r.successful for r in graph.result(client.load_parameter_file(file)).results)
    assert (node.get_parameter("a").value, node.get_parameter("b").value) == (2, "y")
    file.write_text("/served:\n  ros__parameters: {a: 3, b: 3}\n")
    assert not graph.result(client.load_parameter_file_atomically(file)).result.successful
    assert node.get_parameter("a").value == 2
    assert graph.result(client.delete_parameters(["free"])).results[0].successful
    assert not node.has_parameter("free")
    assert node.declare_parameter("free", "again").value == "again"


@pytest.mark.skipif(os.environ.get("ROS_DISTRO") == "jazzy", reason="loads all of the file there")
def test_a_client_loads_nothing_of_other_nodes(graph, tmp_path):
    """Out of a file of several."""
    graph.init()
    node, other = graph.node("served"), graph.node("asking")
    node.declare_parameters("", [("a", 1), ("b", 1)])
    file = tmp_path / "p.yaml"
    file.write_text(
        "/served:\n  ros__parameters: {a: 2}\n/else:\n  ros__parameters: {a: 9, b: 9}\n"
    )
    client = AsyncParameterClient(other, "/served")
    assert client.wait_for_services(PATIENCE_S)
    assert all(r.successful for r in graph.result(client.load_parameter_file(file)).results)
    assert (node.get_parameter("a").value, node.get_parameter("b").value) == (2, 1)


def test_a_parameter_that_is_set_to_nothing_is_undeclared(graph):
    """Once only, and where any may be set it can be set again; one that has a type stays."""
    node = graph.init().node(allow_undeclared_parameters=True)
    nothing = Parameter("free")
    node.set_parameters([Parameter("free", value=1), nothing])
    assert not node.has_parameter("free") and "free" not in node.list_parameters([], 0).names
    assert node.set_parameters_atomically([nothing, Parameter("free", value="x")]).successful
    assert node.get_parameter("free").value == "x"
    node.declare_parameter("typed", 1)
    assert not node.set_parameters([Parameter("typed")])[0].successful
    assert node.get_parameter("typed").value == 1


def test_events_are_searched():
    """For one parameter of a node, or all."""
    event = ParameterEvent(
        node="/cam",
        new_parameters=[Parameter("a", value=1).to_parameter_msg()],
        changed_parameters=[Parameter("b", value=2).to_parameter_msg()],
    )
    found = ParameterEventHandler.get_parameter_from_event(event, "b", "/cam")
    assert found.value.integer_value == 2
    assert ParameterEventHandler.get_parameter_from_event(event, "b", "/other") is None
    assert ParameterEventHandler.get_parameter_from_event(event, "c", "/cam") is None
    everything = ParameterEventHandler.get_parameters_from_event(event)
    assert [p.name for p in everything] == ["a", "b"]
