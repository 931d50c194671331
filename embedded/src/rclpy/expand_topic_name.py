# SPDX-License-Identifier: Apache-2.0
"""From names as users write them to full names."""

from rclpy.impl.names import expand, input_name_error, namespace_error, node_name_error


def expand_topic_name(topic_name: str, node_name: str, node_namespace: str) -> str:
    """Expand `~`, `{node}`, `{ns}` and relative names; the result is not checked.

    Raises ValueError where one of the names is invalid.
    """
    for what, name, find_error in (
        ("topic name", topic_name, input_name_error),
        ("node name", node_name, node_name_error),
        ("node namespace", node_namespace, namespace_error),
    ):
        error = find_error(name)
        if error is not None:
            raise ValueError(f"{what} '{name}' is invalid: {error[0]}")
    return expand(topic_name, node_name, node_namespace)
