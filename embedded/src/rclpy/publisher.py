# SPDX-License-Identifier: Apache-2.0
"""Publishers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rosidl_embedded import cdr

from rclpy._rclpy_pybind11 import RCLError
from rclpy.duration import Duration
from rclpy.impl.dds.library import INFINITY
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.event_handler import PublisherEventCallbacks
    from rclpy.impl.dds.endpoint import Writer

MsgType = TypeVar("MsgType")
_NO_LIMIT = Duration(seconds=-1)


class Publisher(Generic[MsgType]):
    """Publishes messages on a topic; made by `Node.create_publisher`.

    `topic` and `qos_profile` are as given.
    """

    def __init__(
        self,
        publisher_impl: Writer,
        msg_type: type[MsgType],
        topic: str,
        qos_profile: QoSProfile,
        event_callbacks: PublisherEventCallbacks,
        callback_group: CallbackGroup,
    ) -> None:
        self._writer = publisher_impl
        self._is_running: Callable[[], bool] = lambda: True
        self._logger_name = ""
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile
        self.event_handlers: list[Any] = event_callbacks.create_event_handlers(
            callback_group, publisher_impl, topic
        )

    def publish(self, msg: MsgType | bytes) -> None:
        """Send a message, or the bytes of one that is already serialised.

        Raises TypeError for a message of another type, InvalidHandle once destroyed, RCLError
        once the context is shut down: a loop that only publishes ends with it.
        """
        self._writer.check_handle()
        if isinstance(msg, self.msg_type):
            parts = cdr.serialize(msg)
        elif isinstance(msg, bytes):
            parts = [memoryview(msg)]
        else:
            raise TypeError(f"Expected {self.msg_type}, got {type(msg)}")
        if not self._is_running():
            raise RCLError("Failed to publish: publisher's context is invalid")
        self._writer.write(parts)

    def get_subscription_count(self) -> int:
        """Number of subscriptions that get what is published; InvalidHandle once destroyed."""
        self._writer.check_handle()
        return self._writer.matched_count()

    @property
    def topic_name(self) -> str:
        """Fully qualified name, remapped; raises InvalidHandle once destroyed."""
        self._writer.check_handle()
        return self._writer.ros_topic

    @property
    def handle(self) -> Writer:
        """The DDS writer."""
        return self._writer

    @property
    def logger_name(self) -> str:
        """Name of the node's logger; raises InvalidHandle once destroyed."""
        self._writer.check_handle()
        return self._logger_name

    def destroy(self) -> None:
        """Leave the topic. `Node.destroy_publisher` also takes it from the node."""
        for handler in self.event_handlers:
            handler.destroy()
        self._writer.delete()

    def assert_liveliness(self) -> None:
        """Say that it is alive, for liveliness MANUAL_BY_TOPIC."""
        self._writer.check_handle()
        self._writer.assert_liveliness()

    def wait_for_all_acked(self, timeout: Duration = _NO_LIMIT) -> bool:
        """Wait until reliable subscriptions have everything; negative: without limit.

        Returns False on timeout and once the context is shut down. Raises InvalidHandle once
        destroyed.
        """
        self._writer.check_handle()
        limit = INFINITY if timeout.nanoseconds < 0 else timeout.nanoseconds
        return self._writer.wait_for_acks(limit, self._is_running)

    def __enter__(self) -> Publisher[MsgType]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
