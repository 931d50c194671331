# SPDX-License-Identifier: Apache-2.0
"""Parameters: what fits a descriptor, what is kept of a value, who is asked and told."""

import array

import pytest
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy import exceptions
from rclpy.parameter import Parameter, parameter_value_to_python


@pytest.mark.parametrize(
    ("changed", "alternative", "value"),
    [
        ({"type": Parameter.Type.INTEGER.value}, None, 1),
        ({"dynamic_typing": True}, None, 1),
        ({}, None, None),
        ({"type": Parameter.Type.DOUBLE.value}, None, None),
        ({"type": Parameter.Type.DOUBLE.value}, 2.5, 2.5),
        ({"type": Parameter.Type.DOUBLE.value}, "fast", None),
    ],
)
def test_a_descriptor_has_to_fit_the_value_or_its_alternative(graph, changed, alternative, value):
    """Its type, too; what does not fit changes nothing."""
    node = graph.init().node()
    node.declare_parameter("speed", 1)
    if alternative is not None:
        alternative = Parameter("speed", value=alternative).get_parameter_value()
    descriptor = ParameterDescriptor(description="how fast", **changed)
    if value is None:
        with pytest.raises(exceptions.InvalidParameterValueException):
            node.set_descriptor("speed", descriptor, alternative)
    else:
        found = node.set_descriptor("speed", descriptor, alternative)
        assert parameter_value_to_python(found) == value
    assert node.get_parameter("speed").value == (1 if value is None else value)
    assert (node.describe_parameter("speed").description == "how fast") == (value is not None)


def test_parameters_are_equal_to_themselves_alone():
    """Programs compare their values."""
    parameter = Parameter("a", value=1)
    assert parameter == parameter and parameter != Parameter("a", value=1)
    assert len({parameter, parameter}) == 1
    assert Parameter("a", Parameter.Type.INTEGER, True).value is True


def test_arrays_are_kept_as_given():
    """And served as lists."""
    for value, name in ((array.array("d", [0.5]), "DOUBLE"), (array.array("q", [5]), "INTEGER"),
                        ((1.5, 2.5), "DOUBLE")):  # fmt: skip
        parameter = Parameter("a", value=value)
        assert parameter.type_.name == f"{name}_ARRAY" and parameter.value is value
        assert parameter_value_to_python(parameter.get_parameter_value()) == list(value)


def test_what_was_set_before_an_unknown_one_stays(graph):
    """Each is set by itself; all together none is."""
    node = graph.init().node()
    node.declare_parameter("a", 1)
    for set_them, left in ((node.set_parameters_atomically, 1), (node.set_parameters, 2)):
        with pytest.raises(exceptions.ParameterNotDeclaredException):
            set_them([Parameter("a", value=2), Parameter("unknown", value=2)])
        assert node.get_parameter("a").value == left


def test_overrides_that_are_declared_have_their_types(graph):
    """From the command line; parameters are listed in the order in which they were declared."""
    node = graph.init("--ros-args", "-p", "z:=5", "-p", "b.a:=x").node(
        automatically_declare_parameters_from_overrides=True
    )
    assert not node.set_parameters([Parameter("z", value="text")])[0].successful
    node.declare_parameter("a", 1)
    listed = node.list_parameters([], 0)
    assert [n for n in listed.names if n in ("z", "b.a", "a")] == ["z", "b.a", "a"]
    assert listed.prefixes == ["b"]


def test_a_callback_that_says_nothing_refuses(graph):
    """With a warning."""
    node = graph.init().node()
    node.declare_parameter("a", 1)
    node.add_on_set_parameters_callback(lambda parameters: None)
    with pytest.warns(UserWarning, match="invalid type"):
        result = node.set_parameters([Parameter("a", value=2)])[0]
    assert not result.successful and node.get_parameter("a").value == 1


def test_callbacks_hear_of_declarations(graph):
    """Those that judge, and those after it."""
    node, seen = graph.init().node(), []

    def judge(parameters):
        seen.append(("judge", parameters[0].value))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(judge)
    node.add_post_set_parameters_callback(lambda ps: seen.append(("after", ps[0].value)))
    node.declare_parameters("", [("a", 1), ("b", 2)])
    assert seen == [("judge", 1), ("after", 1), ("judge", 2), ("after", 2)]
