# SPDX-License-Identifier: Apache-2.0
"""The transform buffer of a node: lookups that wait, and futures of transforms."""

from __future__ import annotations

import time as system_time
from collections.abc import Callable
from typing import Any

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph
from tf2_py import BufferCore

from tf2_ros.buffer_interface import BufferInterface

SHUTDOWN_CHECK_S = 0.25


class Buffer(BufferCore, BufferInterface):
    """A BufferCore whose lookups can wait for data to come in.

    With a node it follows the node's clock, which empties it when time jumps back, and serves
    `tf2_frames`. Waiting blocks the calling thread: something else must spin the listener.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        BufferCore.__init__(self, cache_time)
        BufferInterface.__init__(self)
        self._waiting: list[tuple[Future, Callable[[], tuple[bool, str]], Callable[[], Any]]] = []
        if node is None:
            self.clock = Clock()
        else:
            self.srv = node.create_service(FrameGraph, "tf2_frames", self._get_frames)
            self.clock = node.get_clock()
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True
        )
        self.jump_handle = self.clock.create_jump_callback(
            threshold, post_callback=self.time_jump_callback
        )

    def _get_frames(
        self, request: FrameGraph.Request, response: FrameGraph.Response
    ) -> FrameGraph.Response:
        response.frame_yaml = self.all_frames_as_yaml()
        return response

    def time_jump_callback(self, time_jump: Any) -> None:
        """Forget all that moves: its stamps belong to another time."""
        get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform of a moving frame."""
        super().set_transform(transform, authority)
        self._answer_waiting()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times."""
        super().set_transform_static(transform, authority)
        self._answer_waiting()

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008  a Duration is immutable
    ) -> TransformStamped:
        """Return target_T_source at `time` (zero: the latest), waiting up to `timeout` for it.

        Raises:
            TransformException: one of its four kinds, with the frames and times in the message.
        """
        if timeout.nanoseconds > 0:
            self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """Return target (at target_time) _T_ source (at source_time) through `fixed_frame`."""
        query = (target_frame, target_time, source_frame, source_time, fixed_frame)
        if timeout.nanoseconds > 0:
            self.can_transform_full(*query, timeout)
        return self.lookup_transform_full_core(*query)

    async def lookup_transform_async(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return target_T_source once it can be had."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> TransformStamped:
        """Return the transform of lookup_transform_full once it can be had."""
        query = (target_frame, target_time, source_frame, source_time, fixed_frame)
        await self.wait_for_transform_full_async(*query)
        return self.lookup_transform_full_core(*query)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
        return_debug_tuple: bool = False,
    ) -> Any:
        """Return whether target_T_source can be had within `timeout`.

        With `return_debug_tuple`: (bool, the reason why not).
        """
        result = self._wait_until(
            lambda: self.can_transform_core(target_frame, source_frame, time), timeout
        )
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
        return_debug_tuple: bool = False,
    ) -> Any:
        """Return whether lookup_transform_full would succeed within `timeout`."""
        query = (target_frame, target_time, source_frame, source_time, fixed_frame)
        result = self._wait_until(lambda: self.can_transform_full_core(*query), timeout)
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future of target_T_source at `time`."""
        return self._future(
            lambda: self.can_transform_core(target_frame, source_frame, time),
            lambda: self.lookup_transform_core(target_frame, source_frame, time),
        )

    def wait_for_transform_full_async(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> Future:
        """Return a future of the transform of lookup_transform_full."""
        query = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._future(
            lambda: self.can_transform_full_core(*query),
            lambda: self.lookup_transform_full_core(*query),
        )

    def _wait_until(
        self, check: Callable[[], tuple[bool, str]], timeout: Duration
    ) -> tuple[bool, str]:
        """Check again whenever a transform comes in, until it holds, time is up or rclpy ends."""
        deadline = system_time.monotonic() + timeout.nanoseconds / 1e9
        running = rclpy.ok()
        with self._changed:
            while True:
                result = check()
                remaining = deadline - system_time.monotonic()
                if result[0] or remaining <= 0 or (running and not rclpy.ok()):
                    return result
                self._changed.wait(min(remaining, SHUTDOWN_CHECK_S))

    def _future(self, check: Callable[[], tuple[bool, str]], lookup: Callable[[], Any]) -> Future:
        future = Future()
        with self._changed:
            self._waiting.append((future, check, lookup))
        self._answer_waiting()
        return future

    def _answer_waiting(self) -> None:
        """Fulfil the futures whose transform can now be had; drop those done or cancelled."""
        ready = []
        with self._changed:
            still_waiting = []
            for entry in self._waiting:
                future, check, lookup = entry
                if future.done() or future.cancelled():
                    continue
                if check()[0]:
                    ready.append((future, lookup()))
                else:
                    still_waiting.append(entry)
            self._waiting = still_waiting
        for future, transform in ready:
            future.set_result(transform)
