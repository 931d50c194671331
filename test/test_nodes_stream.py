# SPDX-License-Identifier: Apache-2.0
"""The node zipmap inside this process: its clock, and what cleanup leaves behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.parameter import Parameter
from rosbench import tiny_checkpoint

from zipmap_ros.nodes.stream_node import StreamNode

DOMAIN = 67
BEGUN_NS = 1_000_000_000_000


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    made = rclpy.Context()
    rclpy.init(context=made, domain_id=DOMAIN)
    yield made
    rclpy.shutdown(context=made)


@pytest.mark.parametrize("sim_time", [True, False])
def test_a_clock_that_has_not_begun_is_no_foreign_clock(
    context: rclpy.Context, sim_time: bool
) -> None:
    """Before the first /clock simulated time is 0, and every image far ahead of it."""
    values = {"autostart": False, "use_sim_time": sim_time}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = StreamNode(context=context, parameter_overrides=overrides)
    node._check_clock(BEGUN_NS)
    assert bool(node._clock_hint) is not sim_time
    node.destroy_node()


def test_cleanup_leaves_no_network_behind(context: rclpy.Context, tmp_path: Path) -> None:
    values = {"autostart": False, "checkpoint": str(tiny_checkpoint(tmp_path)), "device": "cpu"}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = StreamNode(context=context, parameter_overrides=overrides)
    node.trigger_configure()
    network = weakref.ref(node._mapper.model)
    node.trigger_activate()
    assert network() is not None
    node.trigger_deactivate()
    node.trigger_cleanup()
    gc.collect()
    assert network() is None, gc.get_referrers(network())
    node.destroy_node()
