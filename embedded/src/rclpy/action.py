# SPDX-License-Identifier: Apache-2.0
"""Actions are not in this runtime: using one says so."""

from __future__ import annotations

from typing import NoReturn

from rclpy.exceptions import needs_full_ros


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise needs_full_ros(f"rclpy.action.{name}")
