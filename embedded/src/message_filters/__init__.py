# SPDX-License-Identifier: Apache-2.0
"""Filters for streams of messages: subscribe, keep a history, match stamps across topics.

A filter signals the callbacks registered with it; a chain starts with a `Subscriber`.
"""

from message_filters.cache import Cache
from message_filters.simple_filter import SimpleFilter
from message_filters.subscriber import Subscriber
from message_filters.synchronizers import ApproximateTimeSynchronizer, TimeSynchronizer

__all__ = [
    "ApproximateTimeSynchronizer",
    "Cache",
    "SimpleFilter",
    "Subscriber",
    "TimeSynchronizer",
]


def __getattr__(name: str) -> object:
    """Name what this runtime does not have."""
    if name in ("Chain", "DeltaFilter", "InputAligner", "LatestTimeSync"):
        raise NotImplementedError(f"message_filters.{name} needs a full ROS 2")
    raise AttributeError(f"module 'message_filters' has no attribute '{name}'")
