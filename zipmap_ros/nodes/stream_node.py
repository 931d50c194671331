# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node ``zipmap``: images in; TF, depth, clouds, status and services out.

configure loads the weights, activate subscribes, deactivate unsubscribes, cleanup frees what
configure took. With the parameter autostart (the default) it configures and activates by itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data

from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import invert
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.camera_input import CameraInput
from zipmap_ros.nodes.convert import NS, ConvertError
from zipmap_ros.nodes.diagnostics import Diagnostics
from zipmap_ros.nodes.node_parameters import NodeParameters
from zipmap_ros.nodes.outputs import LATCHED, Outputs
from zipmap_ros.nodes.services import Services
from zipmap_ros.nodes.spin import calm_threads, run
from zipmap_ros.nodes.status import STATE_NAMES, MapperFacts, make_status
from zipmap_ros.nodes.transforms import FOREIGN_CLOCK_NS, TransformError, Transforms
from zipmap_ros.nodes.worker import Counts, Worker, WorkerError
from zipmap_ros.parameters import Parameters

if TYPE_CHECKING:
    from zipmap_ros.mapping import StreamMapper

# An image this much older than the last one says that time has jumped back.
TIME_JUMP_NS = NS
# How long a timer waits for the worker to hand out the map.
MAP_TIMEOUT_S = 5.0
# SIGINT ends the node within 2 s: a chunk that takes longer is left behind.
STOP_TIMEOUT_S = 1.0
WARN_EVERY_S = 5.0
THREADS = 6
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class StreamNode(LifecycleNode):
    """The node. What has no underscore is for `Services` as well.

    worker, outputs  exist while the node is configured
    facts            of the mapper, after its last job
    transforms       TF
    """

    worker: Worker
    outputs: Outputs

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("zipmap", **kwargs)
        self.transforms = Transforms(self, lambda: self.values)
        self.facts = MapperFacts()
        self._configured = self._active = self._paused = False
        self._clock_hint = ""
        self._unmounted: dict[str, str] = {}
        self._inputs: list[CameraInput] = []
        self._odom: Any = None
        self._last_stamps: dict[str, int] = {}
        self._mounted: dict[str, str] = {}
        self._rate_timers: list[Any] = []
        self._next_warning: dict[str, float] = {}
        self._declared = NodeParameters(self, self._on_parameters)
        self._hint = "loading" if self.values.autostart else "configure the node"
        self._groups = {
            name: MutuallyExclusiveCallbackGroup() for name in ("status", "tf", "map", "odom")
        }
        self._status_publisher = self.create_publisher(Status, "~/status", LATCHED)
        self._status = self._make_status()
        self._make_timers()
        self._diagnostics = Diagnostics(self, lambda: self._status, lambda: self.facts)
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        self._jumps = self.get_clock().create_jump_callback(
            threshold, post_callback=self._on_clock_jump
        )
        if self.values.autostart:
            self._autostart = self.create_timer(0.0, self._start)

    @property
    def values(self) -> Parameters:
        """The parameters in force."""
        return self._declared.values

    def now_ns(self) -> int:
        """The node's clock."""
        return self.get_clock().now().nanoseconds

    # -- lifecycle

    def _start(self) -> None:
        self._autostart.cancel()
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights; a failure says why, in the log and in the status."""
        from zipmap_ros.mapping import StreamMapper, load_network

        p = self.values
        began = time.perf_counter()
        self.get_logger().info(f"loading {p.checkpoint or 'the small model that ships'}")
        try:
            model, sha256 = load_network(p)
            if not model.config.streams:
                raise ValueError(
                    f"the {model.config.variant} network was not trained to stream: use an online "
                    "checkpoint or the small model; zipmap reconstruct runs this one in batch"
                )
            mapper = StreamMapper(model, p, sha256)
        except Exception as error:  # what torch, the file system and our rooms may raise
            self._hint = f"cannot configure: {error}"
            self.get_logger().error(self._hint)
            self._publish_status()
            return FAILURE
        self._mapper: StreamMapper = mapper
        self.facts = MapperFacts.of(mapper)
        self._path_gauge, self._map_version = -1, self.facts.map_version
        self.outputs = Outputs(self, p)
        self.worker = Worker(
            mapper,
            self.deliver,
            self.now_ns,
            partial(self._warn, "worker"),
            p.queue_frames,
            p.chunk_timeout_s,
        )
        self._served = Services(self)
        self._configured, self._hint = True, "activate the node"
        self.get_logger().info(
            f"{self.facts.variant} network on {self.facts.device}, "
            f"ready after {time.perf_counter() - began:.1f} s"
        )
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        result = super().on_activate(state)
        self._active, self._hint = True, ""
        self._subscribe()
        self._publish_status()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; state and map stay."""
        self._unsubscribe()
        self._active, self._hint = False, "activate the node"
        self._publish_status()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and the map, take topics and services away."""
        self._free()
        self._publish_status()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, whatever the state."""
        self._free()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker before the node goes."""
        self._free()
        self.transforms.close()
        super().destroy_node()

    def _free(self) -> None:
        self._unsubscribe()
        if not self._configured:
            return
        from zipmap_ros.mapping import release_memory

        self._configured = self._active = False
        self._hint = "configure the node"
        self.worker.stop(STOP_TIMEOUT_S)
        self._served.close()
        self.outputs.close()
        self.facts = MapperFacts()
        self._mounted.clear()
        del self.worker, self.outputs, self._mapper, self._served
        release_memory()

    # -- in

    def _subscribe(self) -> None:
        self._inputs = [
            CameraInput(self, name, self.values, self._on_frame, self.worker.drop)
            for name in self.values.cameras or ("",)
        ]
        self._odom = self.create_subscription(
            Odometry,
            "odom",
            self._on_odometry,
            qos_profile_sensor_data,
            callback_group=self._groups["odom"],
        )

    def _unsubscribe(self) -> None:
        for camera in self._inputs:
            camera.close()
        self._inputs = []
        if self._odom is not None:
            self.destroy_subscription(self._odom)
            self._odom = None

    def _on_frame(self, frame: Frame) -> None:
        if self._paused:
            self.worker.drop("paused")
            return
        last_ns = self._last_stamps.get(frame.source, frame.stamp_ns - 1)
        if frame.stamp_ns < last_ns - TIME_JUMP_NS:
            self._on_time_jump(f"an image is {(last_ns - frame.stamp_ns) / NS:.1f} s older")
        elif frame.stamp_ns <= last_ns:
            self.worker.drop("out_of_order")
            return
        self._last_stamps[frame.source] = frame.stamp_ns
        self._check_clock(frame.stamp_ns)
        try:
            base_T_camera = self.transforms.base_T_camera(frame.frame_id)
        except (TransformError, ConvertError) as error:
            self._unmounted[frame.source] = str(error)
            self.worker.drop("no_transform")
            self._warn("mount", str(error))
            return
        self._unmounted.pop(frame.source, None)
        if self._mounted.get(frame.source) != frame.frame_id:
            self._mounted[frame.source] = frame.frame_id
            self.worker.post(lambda m: m.set_extrinsic(frame.source, base_T_camera))
        if self.values.scale_source == "tf":
            self._add_odometry_from_tf(frame.stamp_ns)
        self.worker.submit(frame)

    def _add_odometry_from_tf(self, stamp_ns: int) -> None:
        try:
            odom_T_base = self.transforms.odom_T_base(stamp_ns)
        except (TransformError, ConvertError) as error:
            self._warn("odometry", f"no odometry on TF for the scale: {error}")
            return
        self.worker.post(lambda m: m.add_odometry(stamp_ns, odom_T_base))

    def _on_odometry(self, message: Odometry) -> None:
        try:
            odom_T_base = convert.pose_to_matrix(message.pose.pose)
        except ConvertError as error:
            self._warn("odometry", f"odom: {error}")
            return
        self.transforms.add_odometry(message)
        if self.values.scale_source == "odom":
            stamp_ns = convert.stamp_to_ns(message.header.stamp)
            self.worker.post(lambda m: m.add_odometry(stamp_ns, odom_T_base))

    def _check_clock(self, stamp_ns: int) -> None:
        now_ns = self.now_ns()
        behind_ns = now_ns - stamp_ns
        # At 0 simulated time has not begun: the first /clock is still on its way.
        if now_ns == 0 or abs(behind_ns) < FOREIGN_CLOCK_NS or self._clock_hint:
            return
        self._clock_hint = (
            f"stamps of images are {behind_ns / NS:.0f} s behind this node's clock: for a bag, "
            "play it with --clock and set use_sim_time to true; else set the camera's clock"
        )
        self.get_logger().warning(self._clock_hint)

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self._active:
            self._on_time_jump("the clock went back")

    def _on_time_jump(self, why: str) -> None:
        reset = self.values.reset_on_time_jump
        what = "the scene is forgotten" if reset else "queued images are dropped"
        self.get_logger().warning(f"time jumped back ({why}): {what}")
        self.forget_queued("time_jump")
        self.transforms.clear()
        if reset:
            self.worker.post(lambda mapper: mapper.reset())

    # -- out

    def deliver(self, estimates: Sequence[Estimate]) -> None:
        """Publish what the mapper found; on the worker's thread."""
        mapper = self._mapper
        dropped = self.facts.dropped.total()
        self.facts = MapperFacts.of(mapper)
        if self.facts.dropped.total() > dropped:
            self._warn("mapper", self.facts.problem)
        if self.facts.gauge_id != self._path_gauge:
            self._rebuild_path(len(estimates))
        p = self.values
        for estimate in estimates:
            try:
                self.transforms.publish(estimate, self.facts.gauge_id)
            except (TransformError, ConvertError) as error:
                self._warn("transform", f"no transform could be published: {error}")
            body = p.base_frame if self.transforms.has_base else estimate.frame_id
            map_T_body = self.transforms.map_T_body(estimate)
            self.outputs.publish(estimate, map_T_body, body, p.map_min_confidence)
        if estimates:
            self.outputs.publish_points(estimates)
        if self._state()[0] != self._status.state:
            self._publish_status()

    def _rebuild_path(self, new: int) -> None:
        """Take the path from the trajectory, but for its ``new`` last poses, still to come."""
        self._path_gauge = self.facts.gauge_id
        trajectory = self._mapper.trajectory
        poses = trajectory.poses
        if self.transforms.has_base:
            mounts = [self._mapper.base_T_camera(source) for source in trajectory.sources]
            poses = poses @ invert(np.array(mounts).reshape(-1, 4, 4))
        old = len(trajectory) - new
        self.outputs.set_path(trajectory.stamps_ns[:old], poses[:old], self.values.path_max_poses)

    def _publish_map(self) -> None:
        version = self.facts.map_version
        if not self._active or version == self._map_version or not self.outputs.wanted("map"):
            return
        try:
            cloud = self.worker.request(lambda mapper: mapper.voxel_map.cloud(), MAP_TIMEOUT_S)
        except WorkerError:
            return  # the next tick asks again
        self._map_version = version
        self.outputs.publish_map(cloud, self.now_ns())

    def _publish_path(self) -> None:
        if self._active:
            self.outputs.publish_path()

    # -- state

    def forget_queued(self, reason: str) -> None:
        """Drop what waits to be mapped, counted under ``reason``; any stamp may come next."""
        self.worker.drop_queued(reason)
        for camera in self._inputs:
            camera.forget()
        self._last_stamps.clear()

    def set_paused(self, paused: bool) -> None:
        """Stop or go on taking images."""
        self._paused = paused
        self._publish_status()

    def _state(self) -> tuple[int, str]:
        """What the node does, and what to do about it."""
        if not self._active:
            return Status.UNCONFIGURED, self._hint
        if self._paused:
            return Status.PAUSED, "call ~/pause with data: false to go on"
        if self._unmounted:
            return Status.WAITING_FOR_TF, "; ".join(tuple(self._unmounted.values()))
        silent = self._silent()
        if silent or not self._last_stamps:
            return Status.WAITING_FOR_IMAGE, "; ".join(c.silence() for c in silent)
        if self.facts.status == "lost":
            return Status.LOST, (
                f"{self.facts.problem}; go back to where the map is known, or call ~/reset"
            )
        tracking = self.facts.status == "tracking"
        return Status.TRACKING if tracking else Status.INITIALISING, self._clock_hint

    def _silent(self) -> list[CameraInput]:
        limit_s = self.values.no_data_warn_s
        return [c for c in self._inputs if time.monotonic() - c.last_image_s > limit_s]

    def _check_silence(self) -> None:
        if self._active and not self._paused:
            for camera in self._silent():
                limit_s = self.values.no_data_warn_s
                text = f"no image for {limit_s:g} s: {camera.silence()}"
                self._warn(f"silence of {camera.name}", text, every_s=limit_s)

    def _make_status(self) -> Status:
        state, hint = self._state()
        counts = self.worker.counts() if self._configured else Counts()
        header = convert.make_header(self.now_ns(), self.values.map_frame)
        return make_status(header, state, hint, self.values, self.facts, counts)

    def _publish_status(self) -> None:
        before, self._status = self._status.state, self._make_status()
        if self._status.state != before:
            self.get_logger().info(f"{STATE_NAMES[self._status.state]} {self._status.hint}".strip())
        self._status_publisher.publish(self._status)

    # -- parameters and timers

    def _on_parameters(self, old: Parameters, new: Parameters) -> None:
        rates = ("tf_rate_hz", "status_rate_hz", "map_rate_hz", "path_rate_hz")
        if any(getattr(old, name) != getattr(new, name) for name in rates):
            self._make_timers()
        if not self._configured:
            return
        self.worker.queue_frames = new.queue_frames
        self.worker.chunk_timeout_s = new.chunk_timeout_s
        if old.path_max_poses != new.path_max_poses:
            self._path_gauge = -1
        self.worker.post(lambda mapper: setattr(mapper, "parameters", new))
        if self._active and old.scale_source != new.scale_source:
            self._unsubscribe()
            self._subscribe()

    def _make_timers(self) -> None:
        for timer in self._rate_timers:
            self.destroy_timer(timer)
        p = self.values
        self._rate_timers = [
            self.create_timer(1.0 / rate_hz, callback, callback_group=self._groups[group])
            for rate_hz, callback, group in (
                (p.status_rate_hz, self._publish_status, "status"),
                (1.0, self._check_silence, "status"),
                (p.tf_rate_hz, self.transforms.hold, "tf"),
                (p.map_rate_hz, self._publish_map, "map"),
                (p.path_rate_hz, self._publish_path, "map"),
            )
        ]

    def _warn(self, kind: str, text: str, every_s: float = WARN_EVERY_S) -> None:
        """Warn, but of one kind of trouble no more often than ``every_s``."""
        now_s = time.monotonic()
        if now_s >= self._next_warning.get(kind, 0.0):
            self._next_warning[kind] = now_s + every_s
            self.get_logger().warning(text)


def main() -> None:
    """Run the node until SIGINT."""
    calm_threads()
    run(StreamNode, THREADS)
