# SPDX-License-Identifier: Apache-2.0
"""The exception for which rclpy's own C++ module is imported; nothing else of it is here."""

from __future__ import annotations


class RCLError(RuntimeError):
    """Raised when something is asked of a context that is shut down."""
