# SPDX-License-Identifier: Apache-2.0
"""Whether a class is an interface class."""

from __future__ import annotations

from typing import Any


def check_for_type_support(msg_or_srv_type: Any) -> None:
    """Raise AttributeError for anything but a message or service class."""
    if not isinstance(msg_or_srv_type, type) or not hasattr(msg_or_srv_type, "_interface_name"):
        raise AttributeError(f"{msg_or_srv_type} is no class of ROS 2 messages or services")


def check_is_valid_msg_type(msg_type: Any) -> None:
    """Raise RuntimeError for a service class, AttributeError for anything else but a message."""
    check_for_type_support(msg_type)
    if hasattr(msg_type, "Request"):
        raise RuntimeError(f"{msg_type} is no message class: it might be a service or action")


def check_is_valid_srv_type(srv_type: Any) -> None:
    """Raise RuntimeError for a message class, AttributeError for anything else but a service."""
    check_for_type_support(srv_type)
    if not hasattr(srv_type, "Request"):
        raise RuntimeError(f"{srv_type} is no service class: it might be a message or action")
