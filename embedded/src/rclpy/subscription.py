# SPDX-License-Identifier: Apache-2.0
"""Subscriptions."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rosidl_embedded import cdr

from rclpy.impl.executable import Executable, awaitable
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.event_handler import SubscriptionEventCallbacks
    from rclpy.impl.dds.endpoint import Reader

MsgType = TypeVar("MsgType")


class Subscription(Executable, Generic[MsgType]):
    """Calls back with the messages of a topic; made by `Node.create_subscription`.

    `topic` and `qos_profile` are as given. A sample that is not a message of the type is dropped; a
    node warns once for a topic.
    """

    _is_regular = True

    class CallbackType(Enum):
        """Whether the callback also takes a MessageInfo."""

        MessageOnly = 0
        WithMessageInfo = 1

    def __init__(
        self,
        subscription_impl: Reader,
        msg_type: type[MsgType],
        topic: str,
        callback: Callable[..., Any],
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
        raw: bool,
        event_callbacks: SubscriptionEventCallbacks,
    ) -> None:
        self._reader = subscription_impl
        self._handle = subscription_impl.condition
        self.callback_group = callback_group
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile
        self.raw = raw
        self.callback = callback
        self.event_handlers: list[Any] = event_callbacks.create_event_handlers(
            callback_group, subscription_impl, topic
        )

    @property
    def callback(self) -> Callable[..., Any]:
        """What is called with a message, or a message and its info."""
        return self._callback

    @callback.setter
    def callback(self, value: Callable[..., Any]) -> None:
        self._callback = value
        self._callback_type = Subscription.CallbackType.MessageOnly
        for count, kind in ((1, "MessageOnly"), (2, "WithMessageInfo")):
            try:
                inspect.signature(value).bind(*[object()] * count)
            except TypeError:
                continue
            except ValueError:  # of a built-in function nobody knows: print has none before 3.11
                return
            self._callback_type = Subscription.CallbackType[kind]
            return
        raise RuntimeError(
            "Subscription.__init__(): callback should be either be callable with one argument"
            "(to get only the message) or two (to get message and message info)"
        )

    def get_publisher_count(self) -> int:
        """Number of publishers whose messages arrive; raises InvalidHandle once destroyed."""
        self._reader.check_handle()
        return self._reader.matched_count()

    @property
    def handle(self) -> Reader:
        """The DDS reader."""
        return self._reader

    @property
    def topic_name(self) -> str:
        """Fully qualified name, remapped; raises InvalidHandle once destroyed."""
        self._reader.check_handle()
        return self._reader.ros_topic

    @property
    def logger_name(self) -> str:
        """Name of the node's logger; raises InvalidHandle once destroyed."""
        self._reader.check_handle()
        return self._logger_name

    def destroy(self) -> None:
        """Leave the topic. `Node.destroy_subscription` also takes it from the node."""
        self._handle = 0
        for handler in self.event_handlers:
            handler.destroy()
        self._reader.delete()

    def _take(self) -> tuple[Any, dict] | None:
        """Next well-formed message and its info."""
        while self._reader.handle and (sample := self._reader.take()) is not None:
            info = {
                "source_timestamp": sample.source_timestamp,
                "received_timestamp": time.time_ns(),
                "publication_sequence_number": None,
                "reception_sequence_number": None,
            }
            if self.raw:
                return bytes(sample.data), info
            try:
                return cdr.deserialize(sample.data, self.msg_type), info
            except cdr.CdrError as error:
                self._warn(error)
        return None

    def _warn(self, error: cdr.CdrError) -> None:
        topic = self._reader.ros_topic
        if self._node is None or topic in self._node._ros_warned_of:
            return
        self._node._ros_warned_of.add(topic)
        kind = getattr(self.msg_type, "_interface_name", self.msg_type)
        self._node.get_logger().warning(
            f"a sample on '{topic}' is not a {kind} and was dropped: {error}; "
            "further ones are dropped without a word"
        )

    def _execute(self, taken: tuple[Any, dict]) -> Any:
        is_informed = self._callback_type is Subscription.CallbackType.WithMessageInfo
        callback = self._callback
        return awaitable(callback, callback(*taken) if is_informed else callback(taken[0]))

    def __enter__(self) -> Subscription[MsgType]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
