# SPDX-License-Identifier: Apache-2.0
"""What needs a full ROS 2 says so and names itself; launch's part is in test_launch*.py."""

import importlib

import pytest
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from std_msgs.msg import String
from std_srvs.srv import Trigger


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("rclpy.action", "ActionServer"),
        ("rclpy.action", "ActionClient"),
        ("tf2_ros", "BufferClient"),
        ("message_filters", "Chain"),
        ("message_filters", "LatestTimeSync"),
        ("cv_bridge", "cvtColorForDisplay"),
    ],
)
def test_names(module, name):
    """Looked up, or called."""
    with pytest.raises(NotImplementedError, match=f"{name}.*needs a full ROS 2"):
        getattr(importlib.import_module(module), name)()


def test_what_nodes_are_asked_for(graph):
    """Content filters, service introspection, events of incompatible types."""
    node = graph.init().node()
    with pytest.raises(NotImplementedError, match=r"content filtering.*needs a full ROS 2"):
        node.create_subscription(String, "t", print, 10, content_filter_options=object())
    service = node.create_service(Trigger, "s", print)
    with pytest.raises(NotImplementedError, match="service introspection"):
        service.configure_introspection(node.get_clock(), None, None)
    for create, options in (
        (lambda e: node.create_publisher(String, "t", 10, event_callbacks=e),
         PublisherEventCallbacks),
        (lambda e: node.create_subscription(String, "t", print, 10, event_callbacks=e),
         SubscriptionEventCallbacks),
    ):  # fmt: skip
        with pytest.raises(NotImplementedError, match="INCOMPATIBLE_TYPE"):
            create(options(incompatible_type=print))
