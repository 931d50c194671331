# SPDX-License-Identifier: Apache-2.0
"""Matchers for events that address nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..actions import Node


def matches_node_name(node_name: str) -> Callable[[Node], bool]:
    """Accepts the node with this name; a relative one is taken from the root namespace."""
    full_name = node_name if node_name.startswith("/") else f"/{node_name}"
    return lambda action: action.node_name == full_name
