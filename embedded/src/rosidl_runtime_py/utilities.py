# SPDX-License-Identifier: Apache-2.0
"""Interface classes by name: "std_msgs/msg/String", or "std_msgs/String" for short."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _class(identifier: str, kind: str) -> Any:
    parts = identifier.split("/")
    if len(parts) == 2:
        parts = [parts[0], kind, parts[1]]
    if len(parts) != 3 or not all(parts) or parts[1] != kind:
        raise ValueError(f"Expected the full name of a {kind}, got '{identifier}'")
    module = import_module(f"{parts[0]}.{kind}")
    return getattr(module, parts[2])


def get_message(identifier: str) -> Any:
    """Return the class of a message.

    Raises:
        ValueError: not a name of that form. ModuleNotFoundError, AttributeError: no such message.
    """
    return _class(identifier, "msg")


def get_service(identifier: str) -> Any:
    """Return the class of a service; errors as get_message."""
    return _class(identifier, "srv")


def get_interface(identifier: str) -> Any:
    """Return the class of a message or service, by its full name; errors as get_message."""
    return _class(identifier, "srv" if "/srv/" in identifier else "msg")
