# SPDX-License-Identifier: Apache-2.0
"""From names as users write them to full names."""

from rclpy.impl.names import expand
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name


def expand_topic_name(topic_name: str, node_name: str, node_namespace: str) -> str:
    """Expand `~`, `{node}`, `{ns}` and relative names; the result is not checked."""
    validate_node_name(node_name)
    validate_namespace(node_namespace)
    return expand(topic_name, node_name, node_namespace)
