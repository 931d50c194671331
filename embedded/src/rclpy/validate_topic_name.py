# SPDX-License-Identifier: Apache-2.0
"""Validity of topic and service names."""

from rclpy.exceptions import InvalidServiceNameException, InvalidTopicNameException
from rclpy.impl.names import input_name_error

TOPIC_SEPARATOR_STRING = "/"


def validate_topic_name(name: str, *, is_service: bool = False) -> bool:
    """Return True for a valid name.

    Raises InvalidTopicNameException or InvalidServiceNameException that say what is wrong.
    """
    error = input_name_error(name, "service" if is_service else "topic")
    if error is not None:
        raise (InvalidServiceNameException if is_service else InvalidTopicNameException)(
            name, *error
        )
    return True
