# SPDX-License-Identifier: Apache-2.0
"""Validity of parameter names."""

from rclpy.exceptions import InvalidParameterException


def validate_parameter_name(name: str) -> bool:
    """Return True for a name that is not empty; raises InvalidParameterException."""
    if not name:
        raise InvalidParameterException(name)
    return True
