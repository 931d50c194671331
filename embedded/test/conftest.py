# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files use."""

import os
from pathlib import Path

import launch
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from waiting import PATIENCE_S, spin_until

EMBEDDED = Path(rclpy.__file__).is_relative_to(Path(__file__).resolve().parents[1] / "src")


def pytest_configure(config):
    config.addinivalue_line("markers", "embedded: about this runtime alone, no other rclpy")


def pytest_collection_modifyitems(items):
    if not EMBEDDED:
        for item in items:
            if item.get_closest_marker("embedded"):
                item.add_marker(pytest.mark.skip(reason="about the embedded runtime alone"))


# A domain of this test run's own, for all its processes: others on this machine are not met.
# Below 102, where Linux hands out no ports of its own to others, above those of single tests.
os.environ.setdefault("ROS_DOMAIN_ID", str(70 + os.getpid() % 30))


@pytest.fixture
def log_dir(tmp_path, monkeypatch):
    """The directory below which launches of this test write their log files."""
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    yield tmp_path / "log"
    launch.logging.reset()


@pytest.fixture
def context():
    """A context of the test's own."""
    context = Context()
    context.init(args=[])
    yield context
    context.try_shutdown()
    context.destroy()


class Graph:
    """A context with nodes and an executor, taken down at the end."""

    def __init__(self):
        self.context = Context()
        self.executor = None

    def init(self, *arguments):
        self.context.init(args=list(arguments))
        self.executor = SingleThreadedExecutor(context=self.context)
        return self

    def node(self, name="tested", kind=Node, **options):
        node = kind(name, context=self.context, **options)
        self.executor.add_node(node)
        return node

    def spin_until(self, ready):
        spin_until(self.executor.spin_once, ready)

    def result(self, future):
        self.executor.spin_until_future_complete(future, timeout_sec=PATIENCE_S)
        return future.result()


@pytest.fixture
def graph():
    """A context that the test initialises."""
    graph = Graph()
    yield graph
    if graph.executor is not None:
        graph.executor.shutdown()
    graph.context.try_shutdown()
    graph.context.destroy()
