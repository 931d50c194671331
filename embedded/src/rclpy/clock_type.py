# SPDX-License-Identifier: Apache-2.0
"""Kinds of clocks."""

from enum import IntEnum


class ClockType(IntEnum):
    """What a clock shows."""

    UNINITIALIZED = 0
    ROS_TIME = 1
    SYSTEM_TIME = 2
    STEADY_TIME = 3
