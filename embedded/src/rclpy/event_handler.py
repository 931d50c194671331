# SPDX-License-Identifier: Apache-2.0
"""Events of publishers and subscriptions: incompatible QoS, deadlines, liveliness, matches."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Callable
from enum import IntEnum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rclpy import logging
from rclpy.exceptions import needs_full_ros
from rclpy.impl.dds.library import DdsError
from rclpy.impl.dds.qos_policies import POLICY_KINDS
from rclpy.impl.executable import Executable, await_or_execute
from rclpy.qos import QoSPolicyKind, qos_policy_name_from_kind

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.impl.dds.endpoint import Endpoint

UnsupportedEventTypeError = DdsError


class QoSPublisherEventType(IntEnum):
    """Events of publishers."""

    RCL_PUBLISHER_OFFERED_DEADLINE_MISSED = 0
    RCL_PUBLISHER_LIVELINESS_LOST = 1
    RCL_PUBLISHER_OFFERED_INCOMPATIBLE_QOS = 2
    RCL_PUBLISHER_INCOMPATIBLE_TYPE = 3
    RCL_PUBLISHER_MATCHED = 4


class QoSSubscriptionEventType(IntEnum):
    """Events of subscriptions."""

    RCL_SUBSCRIPTION_REQUESTED_DEADLINE_MISSED = 0
    RCL_SUBSCRIPTION_LIVELINESS_CHANGED = 1
    RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS = 2
    RCL_SUBSCRIPTION_MESSAGE_LOST = 3
    RCL_SUBSCRIPTION_INCOMPATIBLE_TYPE = 4
    RCL_SUBSCRIPTION_MATCHED = 5


class QoSOfferedDeadlineMissedInfo(NamedTuple):
    """Deadlines that a publisher missed."""

    total_count: int
    total_count_change: int


QoSRequestedDeadlineMissedInfo = QoSOfferedDeadlineMissedInfo
QoSLivelinessLostInfo = QoSOfferedDeadlineMissedInfo
QoSMessageLostInfo = QoSOfferedDeadlineMissedInfo


class QoSLivelinessChangedInfo(NamedTuple):
    """Publishers that are (no longer) alive."""

    alive_count: int
    not_alive_count: int
    alive_count_change: int
    not_alive_count_change: int


class QoSOfferedIncompatibleQoSInfo(NamedTuple):
    """Peers that did not match."""

    total_count: int
    total_count_change: int
    last_policy_kind: QoSPolicyKind


QoSRequestedIncompatibleQoSInfo = QoSOfferedIncompatibleQoSInfo


class MatchedInfo(NamedTuple):
    """Peers that matched."""

    total_count: int
    total_count_change: int
    current_count: int
    current_count_change: int


QoSPublisherMatchedInfo = MatchedInfo
QoSSubscriptionMatchedInfo = MatchedInfo


def _structure(name: str, *kinds: Any) -> type[ct.Structure]:
    fields = [(f"value{index}", kind) for index, kind in enumerate(kinds)]
    return type(name, (ct.Structure,), {"_fields_": fields})


_u32, _i32, _u64 = ct.c_uint32, ct.c_int32, ct.c_uint64
_Counts = _structure("Counts", _u32, _i32, _u64)
_Incompatible = _structure("Incompatible", _u32, _i32, _u32)
_Liveliness = _structure("Liveliness", _u32, _u32, _i32, _i32, _u64)
_Matched = _structure("Matched", _u32, _i32, _u32, _i32, _u64)


class _Kind(NamedTuple):
    """How an event reads its DDS status."""

    status: str
    bit: int
    structure: type[ct.Structure]
    make: Callable[..., Any]


def _incompatible(total: int, change: int, policy: int) -> QoSOfferedIncompatibleQoSInfo:
    kind = POLICY_KINDS.get(policy, QoSPolicyKind.INVALID)
    return QoSOfferedIncompatibleQoSInfo(total, change, kind)


def _counts(total: int, change: int, *_: int) -> QoSOfferedDeadlineMissedInfo:
    return QoSOfferedDeadlineMissedInfo(total, change)


# By name: as numbers, events of publishers and of subscriptions would be equal.
_KINDS: dict[str, _Kind] = {
    "RCL_PUBLISHER_OFFERED_DEADLINE_MISSED": _Kind(
        "offered_deadline_missed", 1 << 1, _Counts, _counts),
    "RCL_PUBLISHER_LIVELINESS_LOST": _Kind(
        "liveliness_lost", 1 << 9, _Counts, _counts),
    "RCL_PUBLISHER_OFFERED_INCOMPATIBLE_QOS": _Kind(
        "offered_incompatible_qos", 1 << 3, _Incompatible, _incompatible),
    "RCL_PUBLISHER_MATCHED": _Kind(
        "publication_matched", 1 << 11, _Matched, lambda *v: MatchedInfo(*v[:4])),
    "RCL_SUBSCRIPTION_REQUESTED_DEADLINE_MISSED": _Kind(
        "requested_deadline_missed", 1 << 2, _Counts, _counts),
    "RCL_SUBSCRIPTION_LIVELINESS_CHANGED": _Kind(
        "liveliness_changed", 1 << 10, _Liveliness, lambda *v: QoSLivelinessChangedInfo(*v[:4])),
    "RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS": _Kind(
        "requested_incompatible_qos", 1 << 4, _Incompatible, _incompatible),
    "RCL_SUBSCRIPTION_MESSAGE_LOST": _Kind(
        "sample_lost", 1 << 5, _Counts, _counts),
    "RCL_SUBSCRIPTION_MATCHED": _Kind(
        "subscription_matched", 1 << 12, _Matched, lambda *v: MatchedInfo(*v[:4])),
}  # fmt: skip


class _StatusWatch(Executable):
    """All events of one endpoint: a DDS entity wakes a waitset once, whatever changed."""

    def __init__(
        self,
        callbacks: dict[IntEnum, Callable[[Any], Any] | None],
        callback_group: CallbackGroup,
        endpoint: Endpoint,
        warning: str,
    ) -> None:
        self.callback_group = callback_group
        self._endpoint = endpoint
        self._callbacks = callbacks
        self._warning = warning
        mask = 0
        for event_type in callbacks:
            if event_type.name not in _KINDS:
                raise needs_full_ros(f"the event {event_type.name}")
            mask |= _KINDS[event_type.name].bit
        endpoint.set_status_mask(mask)
        self._handle = endpoint.handle

    def destroy(self) -> None:
        """Stop watching."""
        self._handle = 0

    def _take(self) -> list[tuple[Callable[[Any], Any], Any]] | None:
        if not self._handle:
            return None
        events = []
        for event_type, callback in self._callbacks.items():
            kind = _KINDS[event_type.name]
            status = self._endpoint.take_status(kind.status, kind.structure)
            values = [getattr(status, name) for name, _ in kind.structure._fields_]  # type: ignore[misc]
            info = kind.make(*values)
            if _has_changed(info):
                events.append((callback or self._warn, info))
        return events or None

    def _execute(self, taken: list[tuple[Callable[[Any], Any], Any]]) -> Any:
        if any(iscoroutinefunction(callback) for callback, _ in taken):
            return self._await(taken)
        for callback, info in taken:
            callback(info)
        return None

    @staticmethod
    async def _await(taken: list[tuple[Callable[[Any], Any], Any]]) -> None:
        for callback, info in taken:
            await await_or_execute(callback, info)

    def _warn(self, info: QoSOfferedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(info.last_policy_kind)
        logging.get_logger(self._logger_name).warning(
            f"{self._warning} Last incompatible policy: {policy}"
        )


def _has_changed(info: Any) -> bool:
    return any(getattr(info, name) for name in info._fields if name.endswith("change"))


class _EventCallbacks:
    """Callbacks by event, and the default: the node's logger warns of incompatible QoS."""

    _events: ClassVar[dict[str, IntEnum]] = {}
    _warning: ClassVar[str] = ""  # of `incompatible_qos` by default
    incompatible_qos: Callable | None = None
    use_default_callbacks = True

    def create_event_handlers(
        self, callback_group: CallbackGroup, endpoint: Endpoint, topic_name: str
    ) -> list[_StatusWatch]:
        """What an executor has to run for an endpoint."""
        callbacks: dict[IntEnum, Callable[[Any], Any] | None] = {}
        for name, event_type in self._events.items():
            callback = getattr(self, name)
            if callback is not None:
                callbacks[event_type] = callback
        if self.use_default_callbacks and self.incompatible_qos is None:
            callbacks[self._events["incompatible_qos"]] = None
        if not callbacks:
            return []
        warning = self._warning.format(topic_name)
        return [_StatusWatch(callbacks, callback_group, endpoint, warning)]


class SubscriptionEventCallbacks(_EventCallbacks):
    """Callbacks for the events of a subscription."""

    _events: ClassVar[dict[str, IntEnum]] = {
        "deadline": QoSSubscriptionEventType.RCL_SUBSCRIPTION_REQUESTED_DEADLINE_MISSED,
        "liveliness": QoSSubscriptionEventType.RCL_SUBSCRIPTION_LIVELINESS_CHANGED,
        "message_lost": QoSSubscriptionEventType.RCL_SUBSCRIPTION_MESSAGE_LOST,
        "incompatible_qos": QoSSubscriptionEventType.RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS,
        "incompatible_type": QoSSubscriptionEventType.RCL_SUBSCRIPTION_INCOMPATIBLE_TYPE,
        "matched": QoSSubscriptionEventType.RCL_SUBSCRIPTION_MATCHED,
    }
    _warning = (
        "New publisher discovered on topic '{}', offering incompatible QoS. "
        "No messages will be received from it."
    )

    def __init__(
        self,
        *,
        deadline: Callable | None = None,
        incompatible_qos: Callable | None = None,
        liveliness: Callable | None = None,
        message_lost: Callable | None = None,
        incompatible_type: Callable | None = None,
        matched: Callable | None = None,
        use_default_callbacks: bool = True,
    ) -> None:
        self.deadline = deadline
        self.incompatible_qos = incompatible_qos
        self.liveliness = liveliness
        self.message_lost = message_lost
        self.incompatible_type = incompatible_type
        self.matched = matched
        self.use_default_callbacks = use_default_callbacks


class PublisherEventCallbacks(_EventCallbacks):
    """Callbacks for the events of a publisher."""

    _events: ClassVar[dict[str, IntEnum]] = {
        "deadline": QoSPublisherEventType.RCL_PUBLISHER_OFFERED_DEADLINE_MISSED,
        "liveliness": QoSPublisherEventType.RCL_PUBLISHER_LIVELINESS_LOST,
        "incompatible_qos": QoSPublisherEventType.RCL_PUBLISHER_OFFERED_INCOMPATIBLE_QOS,
        "incompatible_type": QoSPublisherEventType.RCL_PUBLISHER_INCOMPATIBLE_TYPE,
        "matched": QoSPublisherEventType.RCL_PUBLISHER_MATCHED,
    }
    _warning = (
        "New subscription discovered on topic '{}', requesting incompatible QoS. "
        "No messages will be sent to it."
    )

    def __init__(
        self,
        *,
        deadline: Callable | None = None,
        liveliness: Callable | None = None,
        incompatible_qos: Callable | None = None,
        incompatible_type: Callable | None = None,
        matched: Callable | None = None,
        use_default_callbacks: bool = True,
    ) -> None:
        self.deadline = deadline
        self.liveliness = liveliness
        self.incompatible_qos = incompatible_qos
        self.incompatible_type = incompatible_type
        self.matched = matched
        self.use_default_callbacks = use_default_callbacks
