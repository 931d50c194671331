# SPDX-License-Identifier: Apache-2.0
"""Publishers that are silent while their node is not active."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle.managed_entity import SimpleManagedEntity
from rclpy.publisher import Publisher as _Publisher


class LifecyclePublisher(SimpleManagedEntity, _Publisher):
    """Publishes while activated; drops messages otherwise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SimpleManagedEntity.__init__(self)
        _Publisher.__init__(self, *args, **kwargs)

    @SimpleManagedEntity.when_enabled
    def publish(self, msg: Any) -> None:
        """Send a message, if activated."""
        _Publisher.publish(self, msg)


Publisher = LifecyclePublisher
