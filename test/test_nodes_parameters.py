# SPDX-License-Identifier: Apache-2.0
"""Parameters on a node: declared with descriptors, bad values refused with the reason."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter

from zipmap_ros.nodes.node_parameters import NodeParameters
from zipmap_ros.parameters import SPECS, ParameterError, Parameters

DOMAIN = 40
NODES = Path(__file__).resolve().parent.parent / "zipmap_ros" / "nodes"


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def node(context: rclpy.Context) -> Iterator[Node]:
    node = Node("n", context=context)
    yield node
    node.destroy_node()


def test_every_parameter_is_declared_with_its_default_and_description(node: Node) -> None:
    declared = NodeParameters(node, lambda old, new: None)
    assert declared.values == Parameters()
    for spec in SPECS.values():
        assert node.has_parameter(spec.name)
        descriptor = node.describe_parameter(spec.name)
        assert descriptor.description == spec.description
        assert descriptor.read_only == spec.read_only
    (bounds,) = node.describe_parameter("queue_frames").integer_range
    assert (bounds.from_value, bounds.to_value) == (1, 1000)
    (bounds,) = node.describe_parameter("tf_rate_hz").floating_point_range
    assert (bounds.from_value, bounds.to_value) == (0.1, 1000.0)


def test_all_parameters_can_be_read_at_once(node: Node) -> None:
    """As by ros2 param dump and rqt_reconfigure: nodes tell none where one has no value."""
    NodeParameters(node, lambda old, new: None)
    values = {parameter.name: parameter.value for parameter in node.get_parameters(list(SPECS))}
    assert Parameters().updated(values) == Parameters()


def test_a_live_change_is_told_once_with_old_and_new(node: Node) -> None:
    changes: list[tuple[int, int]] = []
    declared = NodeParameters(
        node, lambda old, new: changes.append((old.chunk_frames, new.chunk_frames))
    )
    (result,) = node.set_parameters([Parameter("chunk_frames", value=3)])
    assert result.successful
    assert declared.values.chunk_frames == 3
    assert changes == [(1, 3)]


def test_of_two_changes_at_once_none_is_lost(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """~/set_mode sets a parameter as well, on another thread than the parameter services."""
    declared = NodeParameters(node, lambda old, new: None)
    updated = Parameters.updated

    def slowly(values: Parameters, changes: dict[str, object]) -> Parameters:
        time.sleep(0.05)
        return updated(values, changes)

    monkeypatch.setattr(Parameters, "updated", slowly)
    changes = {"mode": "localization", "queue_frames": 7}
    threads = [
        threading.Thread(target=node.set_parameters, args=([Parameter(name, value=value)],))
        for name, value in changes.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (declared.values.mode, declared.values.queue_frames) == ("localization", 7)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("queue_frames", 0, "range"),
        ("scale", float("nan"), "scale"),
        ("mode", "sleeping", "one of"),
        ("undistort", "always", "one of"),
        ("scale_source", "tf", "tf_mode"),
        ("device", "cpu", "read"),
        ("map_frame", "world", "read"),
    ],
)
def test_bad_and_read_only_values_are_refused_with_the_reason(
    node: Node, name: str, value: object, reason: str
) -> None:
    declared = NodeParameters(node, lambda old, new: pytest.fail("nothing has changed"))
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert declared.values == Parameters()


def test_start_values_are_taken_and_checked(context: rclpy.Context) -> None:
    overrides = [Parameter("cameras", value=["front", "left"]), Parameter("mode", value="mapping")]
    node = Node("m", context=context, parameter_overrides=overrides)
    assert NodeParameters(node, lambda old, new: None).values.cameras == ("front", "left")
    node.destroy_node()
    overrides = [Parameter("odom_frame", value="map")]
    node = Node("m", context=context, parameter_overrides=overrides)
    with pytest.raises(ParameterError, match="must differ"):
        NodeParameters(node, lambda old, new: None)
    node.destroy_node()


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("undistort", False, "on or off wants quotes"),
        ("map_max_mb", 256, "want a decimal point here"),
        ("queue_frames", 4.0, "want no decimal point"),
        ("autostart", "true", "want no quotes"),
        ("cameras", "front", "want brackets"),
    ],
)
def test_who_gives_a_value_of_another_type_is_told_how_to_write_it(
    context: rclpy.Context, name: str, value: object, advice: str
) -> None:
    node = Node("m", context=context, parameter_overrides=[Parameter(name, value=value)])
    with pytest.raises(ParameterError, match=rf"'{name}' to '{value}'.* {advice}"):
        NodeParameters(node, lambda old, new: None)
    node.destroy_node()


@pytest.mark.parametrize("name", ["stream_node", "camera_node"])
def test_no_attribute_of_ours_hides_one_of_the_node_s(context: rclpy.Context, name: str) -> None:
    """`self._parameters` and `self._services` are rclpy's own: to set them breaks the node."""
    bare = LifecycleNode("bare", context=context)
    theirs = set(vars(bare)) | set(dir(LifecycleNode))
    bare.destroy_node()
    tree = ast.parse((NODES / f"{name}.py").read_text())
    ours = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    assert ours
    assert ours & theirs == set()
