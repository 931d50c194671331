# SPDX-License-Identifier: Apache-2.0
"""Whether a class is an interface class."""

from __future__ import annotations

from typing import Any

from rclpy.exceptions import InvalidTypeSupport


def check_is_valid_msg_type(msg_type: Any) -> None:
    """Raise InvalidTypeSupport for anything but a message class."""
    if not getattr(msg_type, "_interface_name", "") or hasattr(msg_type, "Request"):
        raise InvalidTypeSupport(f"{msg_type} is not a message class")


def check_is_valid_srv_type(srv_type: Any) -> None:
    """Raise InvalidTypeSupport for anything but a service class."""
    if not hasattr(srv_type, "_interface_name") or not hasattr(srv_type, "Request"):
        raise InvalidTypeSupport(f"{srv_type} is not a service class")


def check_for_type_support(msg_or_srv_type: Any) -> None:
    """Raise InvalidTypeSupport for anything but a message or service class."""
    if not getattr(msg_or_srv_type, "_interface_name", ""):
        raise InvalidTypeSupport(f"{msg_or_srv_type} is no interface class")
