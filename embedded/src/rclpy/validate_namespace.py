# SPDX-License-Identifier: Apache-2.0
"""Validity of namespaces."""

from rclpy.exceptions import InvalidNamespaceException
from rclpy.impl.names import namespace_error


def validate_namespace(namespace: str) -> bool:
    """Return True for a valid name; raises InvalidNamespaceException that says what is wrong."""
    error = namespace_error(namespace)
    if error is not None:
        raise InvalidNamespaceException(namespace, *error)
    return True
