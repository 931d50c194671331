# SPDX-License-Identifier: Apache-2.0
"""Validity of node names."""

from rclpy.exceptions import InvalidNodeNameException
from rclpy.impl.names import node_name_error


def validate_node_name(node_name: str) -> bool:
    """Return True for a valid name; raises InvalidNodeNameException that says what is wrong."""
    error = node_name_error(node_name)
    if error is not None:
        raise InvalidNodeNameException(node_name, *error)
    return True
