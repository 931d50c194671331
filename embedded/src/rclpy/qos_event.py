# SPDX-License-Identifier: Apache-2.0
"""Older name of `rclpy.event_handler`."""

from rclpy.event_handler import *  # noqa: F403
