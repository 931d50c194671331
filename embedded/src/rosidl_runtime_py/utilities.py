# SPDX-License-Identifier: Apache-2.0
"""Interface classes by name: "std_msgs/msg/String", or "std_msgs/String" for short."""

from __future__ import annotations

from typing import Any

from rosidl_embedded import registry
from rosidl_embedded.definition import InterfaceError

_MAX_NAME = 255  # what a file name can be


def _class(identifier: str, kind: str) -> Any:
    parts = identifier.split("/")
    if len(parts) == 2:
        parts = [parts[0], kind, parts[1]]
    is_name = len(parts) == 3 and all(part.isidentifier() for part in parts) and parts[1] == kind
    if not is_name or len(identifier) > _MAX_NAME:
        raise ValueError(f"Expected the full name of a {kind}, got '{identifier}'")
    # Not by import: the name may come from another process, and importing runs what it names.
    if not registry.has_package(parts[0], kind):
        raise ModuleNotFoundError(f"No module named '{parts[0]}.{kind}'")
    try:
        return registry.get_class("/".join(parts))
    except InterfaceError as error:
        raise AttributeError(str(error)) from error


def get_message(identifier: str) -> Any:
    """Return the class of a message.

    Raises:
        ValueError: not a name of that form. ModuleNotFoundError, AttributeError: no such message.
    """
    return _class(identifier, "msg")


def get_service(identifier: str) -> Any:
    """Return the class of a service; errors as get_message."""
    found = _class(identifier, "srv")
    if not hasattr(found, "Request"):
        raise AttributeError(f"'{identifier}' is half of a service")
    return found


def get_interface(identifier: str) -> Any:
    """Return the class of a message or service, by its full name; errors as get_message."""
    return _class(identifier, "srv" if "/srv/" in identifier else "msg")
