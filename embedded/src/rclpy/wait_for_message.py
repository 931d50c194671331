# SPDX-License-Identifier: Apache-2.0
"""One message of a topic, without callbacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.impl.dds.waitset import Trigger, WaitSet
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from rclpy.node import Node


def wait_for_message(
    msg_type: Any,
    node: Node,
    topic: str,
    *,
    qos_profile: QoSProfile | int = 1,
    time_to_wait: float = -1,
) -> tuple[bool, Any]:
    """(True, message), or (False, None) after `time_to_wait` seconds (negative: no limit).

    The node must not be spun elsewhere while this waits.
    """
    context = node.context
    participant = context.participant
    trigger, waitset = Trigger(participant), WaitSet(participant)
    subscription = node.create_subscription(msg_type, topic, lambda _: None, qos_profile)
    context._add_waker(trigger.set)
    end = None if time_to_wait < 0 else time.monotonic() + time_to_wait
    try:
        waitset.attach_only({subscription._handle, trigger.handle})
        while context.ok():
            taken = subscription._take()
            if taken is not None:
                return True, taken[0]
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            waitset.wait(None if left is None else int(left * 1e9))
            trigger.take()
        return False, None
    finally:
        context._remove_waker(trigger.set)
        node.destroy_subscription(subscription)
        waitset.delete()
        trigger.delete()
