# SPDX-License-Identifier: Apache-2.0
"""RosTimer: actions after a period of ROS time, simulated where `SetUseSimTime` says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.actions import TimerAction

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class RosTimer(TimerAction):
    """As `TimerAction`, but by the clock of ROS."""

    def _start(self, context: LaunchContext, period: float) -> None:
        from ..ros_adapters import get_ros_node

        node = get_ros_node(context)
        loop = context.asyncio_loop
        timer: Any = None

        def on_timer() -> None:
            if timer is not None:
                timer.cancel()
            loop.call_soon_threadsafe(self._fire, context)

        timer = node.create_timer(period, on_timer)
