# SPDX-License-Identifier: Apache-2.0
"""QoS as a bag stores it, from and to rclpy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

SECOND_NS = 1_000_000_000
DEPTH = 10


def to_stored(profile: QoSProfile) -> Qos:
    """Return what a publisher offers, for a bag."""
    return Qos(
        history=_member(QosHistory, profile.history.name),
        depth=profile.depth,
        reliability=_member(QosReliability, profile.reliability.name),
        durability=_member(QosDurability, profile.durability.name),
        deadline=_time(profile.deadline),
        lifespan=_time(profile.lifespan),
        liveliness=_member(QosLiveliness, profile.liveliness.name),
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def from_stored(stored: Sequence[Qos]) -> QoSProfile:
    """Return a profile to play a topic with: what its publishers offered, as far as they agree."""
    offered = list(stored)
    latched = offered and all(q.durability is QosDurability.TRANSIENT_LOCAL for q in offered)
    weak = offered and all(q.reliability is QosReliability.BEST_EFFORT for q in offered)
    depths = [q.depth for q in offered if q.history is QosHistory.KEEP_LAST]
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max([DEPTH, *depths]),
        reliability=ReliabilityPolicy.BEST_EFFORT if weak else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )


def _member(enum: Any, name: str) -> Any:
    return getattr(enum, name, enum.UNKNOWN)


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, SECOND_NS))
