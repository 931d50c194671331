# SPDX-License-Identifier: Apache-2.0
"""A subscription as the start of a chain of filters."""

from __future__ import annotations

from typing import Any

from message_filters.simple_filter import SimpleFilter


class Subscriber(SimpleFilter):
    """Passes on what a subscription receives.

    Takes the node, then the arguments of `Node.create_subscription` without the callback:
    `Subscriber(node, Image, "image", qos_profile=10)`. Other attributes are the subscription's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node, msg_type, self.topic, *rest = args
        if not rest:
            kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(
            msg_type, self.topic, self.callback, *rest, **kwargs
        )

    def callback(self, msg: Any) -> None:
        """Take a message from the subscription."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic as it was given."""
        return str(self.topic)

    def __getattr__(self, key: str) -> Any:
        if key == "sub":
            raise AttributeError(key)
        return getattr(self.sub, key)
