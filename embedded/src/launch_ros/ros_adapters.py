# SPDX-License-Identifier: Apache-2.0
"""The node through which a launch itself takes part in ROS: started when first needed."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from launch.event_handlers import OnShutdown

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class ROSAdapter:
    """A node `launch_ros_<pid>` in a context of its own, spun by a thread."""

    def __init__(self, *, argv: list[str] | None = None, use_sim_time: bool = False) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter
        from rclpy.signals import SignalHandlerOptions

        self.__ros_context = rclpy.Context()
        rclpy.init(
            args=argv or [],
            context=self.__ros_context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        overrides = [Parameter("use_sim_time", Parameter.Type.BOOL, True)] if use_sim_time else []
        self.__ros_node = rclpy.create_node(
            f"launch_ros_{os.getpid()}", context=self.__ros_context, parameter_overrides=overrides
        )
        self.__ros_executor = SingleThreadedExecutor(context=self.__ros_context)
        self.__ros_executor.add_node(self.__ros_node)
        self.__thread = threading.Thread(target=self._spin, name="launch_ros", daemon=True)
        self.__thread.start()

    @property
    def ros_node(self) -> Any:
        """The node."""
        return self.__ros_node

    @property
    def ros_context(self) -> Any:
        """Its context."""
        return self.__ros_context

    @property
    def ros_executor(self) -> Any:
        """Its executor."""
        return self.__ros_executor

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            self.__ros_executor.spin()
        except ExternalShutdownException:
            return

    def shutdown(self) -> None:
        """End the thread and the node. It takes as long as the callback that is running."""
        self.__ros_executor.shutdown()
        self.__thread.join()
        self.__ros_node.destroy_node()
        self.__ros_context.try_shutdown()


def get_ros_adapter(context: LaunchContext) -> ROSAdapter:
    """The adapter of this launch; it ends when the launch shuts down."""
    adapter = context.get_locals_as_dict().get("ros_adapter")
    if adapter is None:
        set_parameters = context.launch_configurations.get("global_params", [])
        adapter = ROSAdapter(use_sim_time=("use_sim_time", True) in set_parameters)
        context.extend_globals({"ros_adapter": adapter, "launch_ros_node": adapter.ros_node})
        running = adapter

        def end(_: object, context: LaunchContext) -> None:
            loop = context.asyncio_loop
            context.add_completion_future(loop.run_in_executor(None, running.shutdown))

        context.register_event_handler(OnShutdown(on_shutdown=end))
    return adapter


def get_ros_node(context: LaunchContext) -> Any:
    """The node of this launch."""
    return get_ros_adapter(context).ros_node
