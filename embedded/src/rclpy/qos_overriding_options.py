# SPDX-License-Identifier: Apache-2.0
"""QoS that can be changed by parameters: `qos_overrides.<topic>.publisher.<policy>`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult

from rclpy.duration import Duration
from rclpy.exceptions import ParameterAlreadyDeclaredException
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSPolicyKind, QoSProfile

if TYPE_CHECKING:
    from rclpy.node import Node

QosCallbackResult = SetParametersResult
QosCallbackType = Callable[[QoSProfile], SetParametersResult]


class InvalidQosOverridesError(Exception):
    """The overridden profile was refused."""


class QoSOverridingOptions:
    """Which policies can be overridden, and who checks the outcome."""

    def __init__(
        self,
        policy_kinds: Iterable[QoSPolicyKind],
        *,
        callback: QosCallbackType | None = None,
        entity_id: str | None = None,
    ) -> None:
        self._policy_kinds = list(policy_kinds)
        self._callback = callback
        self._entity_id = entity_id

    @property
    def policy_kinds(self) -> list[QoSPolicyKind]:
        """Policies that can be overridden."""
        return self._policy_kinds

    @property
    def callback(self) -> QosCallbackType | None:
        """Accepts or refuses the profile."""
        return self._callback

    @property
    def entity_id(self) -> str | None:
        """Tells several endpoints on one topic apart."""
        return self._entity_id

    @classmethod
    def with_default_policies(
        cls, *, callback: QosCallbackType | None = None, entity_id: str | None = None
    ) -> QoSOverridingOptions:
        """History, depth and reliability."""
        kinds = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY)
        return cls(kinds, callback=callback, entity_id=entity_id)


def _declare_qos_parameters(
    entity_type: Any,
    node: Node,
    topic_name: str,
    qos: QoSProfile,
    options: QoSOverridingOptions,
) -> None:
    """Declare a parameter per policy and write the values into `qos`.

    Raises InvalidQosOverridesError where the callback refuses.
    """
    role = "publisher" if issubclass(entity_type, Publisher) else "subscription"
    suffix = f"_{options.entity_id}" if options.entity_id is not None else ""
    for kind in options.policy_kinds:
        policy = kind.name.lower()
        name = f"qos_overrides.{topic_name}.{role}{suffix}.{policy}"
        descriptor = ParameterDescriptor(
            description=f"qos policy {{{policy}}} of {role} {{{topic_name}}}", read_only=True
        )
        current = getattr(qos, policy)
        try:
            parameter = node.declare_parameter(name, _to_parameter(current), descriptor)
        except ParameterAlreadyDeclaredException:
            parameter = node.get_parameter(name)
        setattr(qos, policy, _from_parameter(parameter, current))
    if options.callback is not None:
        result = options.callback(qos)
        if not result.successful:
            raise InvalidQosOverridesError(
                f"{role.capitalize()} on topic '{topic_name}': the provided QoS overrides were "
                f"refused: {result.reason}"
            )


def _to_parameter(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name.lower()
    return value.nanoseconds if isinstance(value, Duration) else value


def _from_parameter(parameter: Parameter, current: Any) -> Any:
    if isinstance(current, Enum):
        return type(current)[parameter.value.upper()]
    return (
        Duration(nanoseconds=parameter.value) if isinstance(current, Duration) else parameter.value
    )
