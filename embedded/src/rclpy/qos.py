# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the names are rclpy's
"""Quality of service: policies, profiles, presets, compatibility."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from rclpy.duration import Duration


class QoSPolicyKind(IntEnum):
    """Policies by the bit that names them in events."""

    INVALID = 1 << 0
    DURABILITY = 1 << 1
    DEADLINE = 1 << 2
    LIVELINESS = 1 << 3
    RELIABILITY = 1 << 4
    HISTORY = 1 << 5
    LIFESPAN = 1 << 6
    DEPTH = 1 << 7
    LIVELINESS_LEASE_DURATION = 1 << 8
    AVOID_ROS_NAMESPACE_CONVENTIONS = 1 << 9


def qos_policy_name_from_kind(policy_kind: QoSPolicyKind | int) -> str:
    """A policy's name, in capitals."""
    return QoSPolicyKind(policy_kind).name


class InvalidQoSProfileException(Exception):
    """A profile whose policies do not fit together."""

    def __init__(self, *args: Any) -> None:
        super().__init__("Invalid QoSProfile", *args)


class QoSPolicyEnum(IntEnum):
    """Base of the policies; `short_keys` are the names used on command lines."""

    @classmethod
    def short_keys(cls) -> list[str]:
        """Names as written on command lines."""
        return [name.lower() for name in cls.__members__]

    @classmethod
    def get_from_short_key(cls, name: str) -> int:
        """Value from such a name; raises KeyError."""
        return cls[name.upper()].value

    @property
    def short_key(self) -> str:
        """The name as written on command lines."""
        return self.name.lower()


class HistoryPolicy(QoSPolicyEnum):
    """How many samples are kept."""

    SYSTEM_DEFAULT = 0
    KEEP_LAST = 1
    KEEP_ALL = 2
    UNKNOWN = 3


class ReliabilityPolicy(QoSPolicyEnum):
    """Whether lost samples are sent again."""

    SYSTEM_DEFAULT = 0
    RELIABLE = 1
    BEST_EFFORT = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class DurabilityPolicy(QoSPolicyEnum):
    """Whether late joiners get earlier samples."""

    SYSTEM_DEFAULT = 0
    TRANSIENT_LOCAL = 1
    VOLATILE = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class LivelinessPolicy(QoSPolicyEnum):
    """Who says that a publisher is alive."""

    SYSTEM_DEFAULT = 0
    AUTOMATIC = 1
    MANUAL_BY_TOPIC = 3
    UNKNOWN = 4
    BEST_AVAILABLE = 5


QoSHistoryPolicy = HistoryPolicy
QoSReliabilityPolicy = ReliabilityPolicy
QoSDurabilityPolicy = DurabilityPolicy
QoSLivelinessPolicy = LivelinessPolicy

_DEFAULTS: dict[str, Any] = {
    "history": HistoryPolicy.KEEP_LAST,
    "depth": 10,
    "reliability": ReliabilityPolicy.RELIABLE,
    "durability": DurabilityPolicy.VOLATILE,
    "lifespan": Duration(),
    "deadline": Duration(),
    "liveliness": LivelinessPolicy.SYSTEM_DEFAULT,
    "liveliness_lease_duration": Duration(),
    "avoid_ros_namespace_conventions": False,
}
_POLICY_TYPES = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "liveliness": LivelinessPolicy,
}


class QoSProfile:
    """A set of policies. Either `history` or `depth` must be given."""

    __slots__ = tuple(f"_{name}" for name in _DEFAULTS)

    history: HistoryPolicy
    depth: int
    reliability: ReliabilityPolicy
    durability: DurabilityPolicy
    lifespan: Duration
    deadline: Duration
    liveliness: LivelinessPolicy
    liveliness_lease_duration: Duration
    avoid_ros_namespace_conventions: bool

    def __init__(self, **kwargs: Any) -> None:
        unknown = kwargs.keys() - _DEFAULTS.keys()
        if unknown:
            raise AssertionError(f"Invalid arguments passed to constructor: {sorted(unknown)}")
        if "history" not in kwargs:
            if "depth" not in kwargs:
                raise InvalidQoSProfileException("History and/or depth settings are required.")
            kwargs["history"] = HistoryPolicy.KEEP_LAST
        elif kwargs["history"] == HistoryPolicy.KEEP_LAST and "depth" not in kwargs:
            raise InvalidQoSProfileException("History set to KEEP_LAST without a depth setting.")
        for name, default in {**_DEFAULTS, "depth": 10, **kwargs}.items():
            setattr(self, name, default)
        if self.history == HistoryPolicy.KEEP_LAST and self.depth == 0:
            warnings.warn(
                "A zero depth with KEEP_LAST doesn't make sense; no data could be stored. "
                "This will be interpreted as SYSTEM_DEFAULT",
                stacklevel=2,
            )

    def get_c_qos_profile(self) -> QoSProfile:
        """The profile itself: this runtime has no other form of it."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QoSProfile):
            return False
        return all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        fields = ", ".join(
            f"{name}={value.value if isinstance(value, QoSPolicyEnum) else value}"
            for name in _DEFAULTS
            for value in (getattr(self, name),)
        )
        return f"{type(self).__name__}({fields})"


def _policy_property(name: str) -> property:
    slot = f"_{name}"
    kind = _POLICY_TYPES.get(name)

    def get(self: QoSProfile) -> Any:
        return getattr(self, slot)

    def set_value(self: QoSProfile, value: Any) -> None:
        if kind is not None:
            assert isinstance(value, (kind, int))
            value = kind(value)
        elif name == "depth":
            assert isinstance(value, int)
        elif name == "avoid_ros_namespace_conventions":
            assert isinstance(value, bool)
        else:
            assert isinstance(value, Duration)
        setattr(self, slot, value)

    return property(get, set_value, doc=f"The {name.replace('_', ' ')} policy.")


for _name in _DEFAULTS:
    setattr(QoSProfile, _name, _policy_property(_name))


class QoSCompatibility(IntEnum):
    """Whether a publisher and a subscription can talk."""

    OK = 0
    WARNING = 1
    ERROR = 2


class QoSCheckCompatibleResult(NamedTuple):
    """Answer of `qos_check_compatible`, with the reason."""

    compatibility: QoSCompatibility
    reason: str


def qos_check_compatible(
    publisher_qos: QoSProfile, subscription_qos: QoSProfile
) -> QoSCheckCompatibleResult:
    """Whether a publisher and a subscription with these profiles would match, and why not.

    A warning where that depends on policies that are left to the middleware.
    """
    for compatibility, find in (
        (QoSCompatibility.ERROR, _errors),
        (QoSCompatibility.WARNING, _warnings),
    ):
        reasons = "".join(
            f"{compatibility.name}: {reason};" for reason in find(publisher_qos, subscription_qos)
        )
        if reasons:
            return QoSCheckCompatibleResult(compatibility, reasons)
    return QoSCheckCompatibleResult(QoSCompatibility.OK, "")


def _errors(publisher: QoSProfile, subscription: QoSProfile) -> Iterator[str]:
    for name, weak, strong, reason in (
        ("reliability", ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE,
         "Best effort publisher and reliable subscription"),
        ("durability", DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL,
         "Volatile publisher and transient local subscription"),
        ("liveliness", LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC,
         "Publisher's liveliness is automatic and subscription's is manual by topic"),
    ):  # fmt: skip
        if getattr(publisher, name) == weak and getattr(subscription, name) == strong:
            yield reason
    for name in ("deadline", "liveliness_lease_duration"):
        offered, asked = getattr(publisher, name), getattr(subscription, name)
        what = name.replace("_", " ")
        if asked.nanoseconds and not offered.nanoseconds:
            yield f"Subscription has a {what}, but publisher does not"
        elif asked.nanoseconds and asked < offered:
            yield f"Subscription {what} is less than publisher"


def _warnings(publisher: QoSProfile, subscription: QoSProfile) -> Iterator[str]:
    for name, weak, strong in (
        ("reliability", ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE),
        ("durability", DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL),
        ("liveliness", LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC),
    ):
        offered, asked = getattr(publisher, name), getattr(subscription, name)
        unset = [policy.name in ("SYSTEM_DEFAULT", "UNKNOWN") for policy in (offered, asked)]
        if all(unset) or (unset[0] and asked == strong) or (unset[1] and offered == weak):
            yield (
                f"Publisher {name} is {offered.short_key} and "
                f"subscription {name} is {asked.short_key}"
            )


def _preset(depth: int, **policies: Any) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, **policies)


qos_profile_unknown = QoSProfile(
    history=HistoryPolicy.UNKNOWN, depth=0, reliability=ReliabilityPolicy.UNKNOWN,
    durability=DurabilityPolicy.UNKNOWN, liveliness=LivelinessPolicy.UNKNOWN,
)  # fmt: skip
qos_profile_default = _preset(10)
qos_profile_system_default = QoSProfile(
    history=HistoryPolicy.SYSTEM_DEFAULT, depth=0, reliability=ReliabilityPolicy.SYSTEM_DEFAULT,
    durability=DurabilityPolicy.SYSTEM_DEFAULT,
)  # fmt: skip
qos_profile_sensor_data = _preset(5, reliability=ReliabilityPolicy.BEST_EFFORT)
qos_profile_services_default = _preset(10)
qos_profile_parameters = _preset(1000)
qos_profile_parameter_events = _preset(1000)
qos_profile_rosout_default = _preset(
    1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10)
)
qos_profile_action_status_default = _preset(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
qos_profile_best_available = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_AVAILABLE,
    durability=DurabilityPolicy.BEST_AVAILABLE, liveliness=LivelinessPolicy.BEST_AVAILABLE,
)  # fmt: skip


class QoSPresetProfiles(Enum):
    """The presets by name."""

    UNKNOWN = qos_profile_unknown
    DEFAULT = qos_profile_default
    SYSTEM_DEFAULT = qos_profile_system_default
    SENSOR_DATA = qos_profile_sensor_data
    SERVICES_DEFAULT = qos_profile_services_default
    PARAMETERS = qos_profile_parameters
    PARAMETER_EVENTS = qos_profile_parameter_events
    ACTION_STATUS_DEFAULT = qos_profile_action_status_default
    BEST_AVAILABLE = qos_profile_best_available

    @classmethod
    def short_keys(cls) -> list[str]:
        """Names as written on command lines."""
        return [name.lower() for name in cls.__members__]

    @classmethod
    def get_from_short_key(cls, name: str) -> QoSProfile:
        """Profile from such a name; raises KeyError."""
        return cls[name.upper()].value
