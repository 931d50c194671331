# SPDX-License-Identifier: Apache-2.0
"""What is known of one publisher or subscription."""

from __future__ import annotations

import re
from enum import IntEnum

from rclpy.qos import QoSPresetProfiles, QoSProfile


class TopicEndpointTypeEnum(IntEnum):
    """Publisher or subscription."""

    INVALID = 0
    PUBLISHER = 1
    SUBSCRIPTION = 2


_RIHS01 = re.compile(r"RIHS01_([0-9a-f]{64})")


class TypeHash:
    """Version and value of a type hash."""

    _TYPE_HASH_SIZE = 32

    def __init__(self, version: int = -1, value: bytes = bytes(_TYPE_HASH_SIZE)) -> None:
        self.version = version
        self.value = value

    @classmethod
    def _from_user_data(cls, user_data: str) -> TypeHash:
        for field in user_data.split(";"):
            key, _, value = field.partition("=")
            if key == "typehash" and (match := _RIHS01.fullmatch(value)):
                return cls(1, bytes.fromhex(match[1]))
        return cls()

    def __str__(self) -> str:
        if self.version <= 0:
            return "INVALID"
        return f"RIHS{self.version:02}_{self.value.hex()}"

    def __repr__(self) -> str:
        return f"TypeHash(version={self.version}, value={self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeHash) and (self.version, self.value) == (
            other.version,
            other.value,
        )

    def __hash__(self) -> int:
        return hash((self.version, self.value))


class TopicEndpointInfo:
    """Node, type, GUID and QoS of an endpoint."""

    def __init__(
        self,
        node_name: str = "",
        node_namespace: str = "",
        topic_type: str = "",
        topic_type_hash: TypeHash | None = None,
        endpoint_type: TopicEndpointTypeEnum = TopicEndpointTypeEnum.INVALID,
        endpoint_gid: list[int] | None = None,
        qos_profile: QoSProfile = QoSPresetProfiles.UNKNOWN.value,
    ) -> None:
        self.node_name = node_name
        self.node_namespace = node_namespace
        self.topic_type = topic_type
        self.topic_type_hash = topic_type_hash or TypeHash()
        self.endpoint_type = TopicEndpointTypeEnum(endpoint_type)
        self.endpoint_gid = endpoint_gid or []
        self.qos_profile = qos_profile

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TopicEndpointInfo) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        qos = self.qos_profile
        history = qos.history.name
        if history == "KEEP_LAST":
            history = f"{history} ({qos.depth})"
        return "\n".join(
            [
                f"Node name: {self.node_name}",
                f"Node namespace: {self.node_namespace}",
                f"Topic type: {self.topic_type}",
                f"Topic type hash: {self.topic_type_hash}",
                f"Endpoint type: {self.endpoint_type.name}",
                f"GID: {'.'.join(format(byte, '02x') for byte in self.endpoint_gid)}",
                "QoS profile:",
                f"  Reliability: {qos.reliability.name}",
                f"  History (Depth): {history}",
                f"  Durability: {qos.durability.name}",
                f"  Lifespan: {qos.lifespan}",
                f"  Deadline: {qos.deadline}",
                f"  Liveliness: {qos.liveliness.name}",
                f"  Liveliness lease duration: {qos.liveliness_lease_duration}",
            ]
        )
