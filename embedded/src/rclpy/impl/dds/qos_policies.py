# SPDX-License-Identifier: Apache-2.0
"""Profiles of ROS to DDS policies and back."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rclpy.duration import Duration
from rclpy.impl.dds.library import INFINITY, dds
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)

if TYPE_CHECKING:
    from rclpy.impl.dds.graph import Graph

_BEST_EFFORT, _RELIABLE = 0, 1
_VOLATILE, _TRANSIENT_LOCAL = 0, 1
_KEEP_LAST, _KEEP_ALL = 0, 1
_AUTOMATIC, _MANUAL_BY_TOPIC = 0, 2
_IGNORE_OWN_PARTICIPANT = 1
_UNLIMITED = -1
# What SYSTEM_DEFAULT means to a writer and to a reader of Cyclone DDS.
_DEFAULT_DEPTH = 1

# DDS's numbers of the policies that can be incompatible.
POLICY_KINDS = {
    2: QoSPolicyKind.DURABILITY,
    4: QoSPolicyKind.DEADLINE,
    8: QoSPolicyKind.LIVELINESS,
    11: QoSPolicyKind.RELIABILITY,
    13: QoSPolicyKind.HISTORY,
    21: QoSPolicyKind.LIFESPAN,
}


@contextmanager
def dds_qos(
    profile: QoSProfile, user_data: str = "", *, writer: bool, ignore_own: bool = False
) -> Iterator[ct.c_void_p]:
    """A C qos object of a profile, freed at the end."""
    qos = dds.dds_create_qos()
    try:
        _set_policies(qos, profile, writer)
        if ignore_own:
            dds.dds_qset_ignorelocal(qos, _IGNORE_OWN_PARTICIPANT)
        if user_data:
            dds.dds_qset_userdata(qos, user_data.encode(), len(user_data))
        yield qos
    finally:
        dds.dds_delete_qos(qos)


def _set_policies(qos: ct.c_void_p, profile: QoSProfile, writer: bool) -> None:
    # A system default is reliable on both sides, as in rmw_cyclonedds. BEST_AVAILABLE of topics is
    # resolved before.
    reliable = profile.reliability != ReliabilityPolicy.BEST_EFFORT
    dds.dds_qset_reliability(qos, _RELIABLE if reliable else _BEST_EFFORT, INFINITY)
    latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    dds.dds_qset_durability(qos, _TRANSIENT_LOCAL if latched else _VOLATILE)
    keep_all = profile.history == HistoryPolicy.KEEP_ALL
    depth = profile.depth or _DEFAULT_DEPTH
    dds.dds_qset_history(qos, _KEEP_ALL if keep_all else _KEEP_LAST, depth)
    manual = profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC
    dds.dds_qset_liveliness(
        qos,
        _MANUAL_BY_TOPIC if manual else _AUTOMATIC,
        _limit(profile.liveliness_lease_duration),
    )
    dds.dds_qset_deadline(qos, _limit(profile.deadline))
    if writer:
        dds.dds_qset_lifespan(qos, _limit(profile.lifespan))
        dds.dds_qset_writer_data_lifecycle(qos, False)
        if latched:
            dds.dds_qset_durability_service(
                qos, 0, _KEEP_ALL if keep_all else _KEEP_LAST, depth,
                _UNLIMITED, _UNLIMITED, _UNLIMITED,
            )  # fmt: skip


def _limit(duration: Duration) -> int:
    return duration.nanoseconds or INFINITY


def profile_of(qos: ct.c_void_p) -> QoSProfile:
    """Profile of a discovered endpoint; a history that was not announced is UNKNOWN."""
    kind, length, depth = ct.c_int(), ct.c_int64(), ct.c_int32()

    def time(getter: str) -> Duration:
        found = getattr(dds, getter)(qos, ct.byref(length))
        return Duration(nanoseconds=length.value if found else INFINITY)

    dds.dds_qget_reliability(qos, ct.byref(kind), ct.byref(length))
    reliable = kind.value == _RELIABLE
    dds.dds_qget_durability(qos, ct.byref(kind))
    latched = kind.value == _TRANSIENT_LOCAL
    history = HistoryPolicy.UNKNOWN
    if dds.dds_qget_history(qos, ct.byref(kind), ct.byref(depth)):
        history = HistoryPolicy.KEEP_ALL if kind.value == _KEEP_ALL else HistoryPolicy.KEEP_LAST
    manual = dds.dds_qget_liveliness(qos, ct.byref(kind), ct.byref(length)) and kind.value != 0
    return QoSProfile(
        history=history,
        depth=max(depth.value, 1) if history == HistoryPolicy.KEEP_LAST else 0,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        lifespan=time("dds_qget_lifespan"),
        deadline=time("dds_qget_deadline"),
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC if manual else LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(nanoseconds=length.value or INFINITY),
    )


def user_data_of(qos: ct.c_void_p) -> str:
    """User data of a discovered endpoint, empty where there is none."""
    value, size = ct.c_void_p(), ct.c_size_t()
    if not dds.dds_qget_userdata(qos, ct.byref(value), ct.byref(size)) or not value:
        return ""
    text = ct.string_at(value, size.value).decode("utf-8", "replace")
    dds.dds_free(value)
    return text


def best_available(
    profile: QoSProfile, graph: Graph, topic: str, *, for_writer: bool
) -> QoSProfile:
    """Replace BEST_AVAILABLE by the most that matches the endpoints that are there now."""
    best = (
        profile.reliability == ReliabilityPolicy.BEST_AVAILABLE,
        profile.durability == DurabilityPolicy.BEST_AVAILABLE,
        profile.liveliness == LivelinessPolicy.BEST_AVAILABLE,
    )
    if not any(best):
        return profile
    peers = [e for e in graph.endpoints(topic) if e.is_writer != for_writer]
    resolved = QoSProfile(**{slot[1:]: getattr(profile, slot) for slot in QoSProfile.__slots__})
    if best[0]:
        reliable = for_writer or all(e.qos.reliability == ReliabilityPolicy.RELIABLE for e in peers)
        resolved.reliability = (
            ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        )
    if best[1]:
        latched = for_writer or all(
            e.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for e in peers
        )
        resolved.durability = (
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        )
    if best[2]:
        resolved.liveliness = LivelinessPolicy.AUTOMATIC
    return resolved
