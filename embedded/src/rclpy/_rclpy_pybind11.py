# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names are rclpy's
"""The exceptions for which rclpy's own C++ module is imported; nothing else of it is here."""

from __future__ import annotations


class RCLError(RuntimeError):
    """Raised when something is asked of a context that is shut down."""


class RCLInvalidROSArgsError(RCLError):
    """An argument after --ros-args that cannot be read."""


class UnknownROSArgsError(RuntimeError):
    """Arguments after --ros-args that do not exist."""


class NodeNameNonExistentError(RCLError):
    """There is no node of that name."""


class InvalidHandle(RuntimeError):
    """Raised when something destroyed is used."""
