# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node ``zipmap``: images in; TF, depth, clouds, status and services out.

configure loads the weights, activate subscribes, deactivate unsubscribes, cleanup frees what
configure took. With the parameter autostart (the default) it configures and activates by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import invert
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.convert import ConvertError
from zipmap_ros.nodes.diagnostics import Diagnostics
from zipmap_ros.nodes.intake import Intake
from zipmap_ros.nodes.node_parameters import NodeParameters
from zipmap_ros.nodes.outputs import LATCHED, Outputs
from zipmap_ros.nodes.services import Services
from zipmap_ros.nodes.spin import run
from zipmap_ros.nodes.status import STATE_NAMES, MapperFacts, make_status, unlocated
from zipmap_ros.nodes.transforms import TransformError, Transforms
from zipmap_ros.nodes.transitions import logged
from zipmap_ros.nodes.worker import Counts, Worker, WorkerError
from zipmap_ros.parameters import Parameters

if TYPE_CHECKING:
    from zipmap_ros.mapping import StreamMapper

# How long a timer waits for the worker to hand out the map.
MAP_TIMEOUT_S = 5.0
# SIGINT ends the node within 2 s: a chunk that takes longer is left behind.
STOP_TIMEOUT_S = 1.0
WARN_EVERY_S = 5.0
# Frames dropped for these reasons, by request or for the time they are of, are no trouble.
GIVEN_UP = {"inactive", "load_map", "paused", "reset", "time_jump"}
THREADS = 6
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class StreamNode(LifecycleNode):
    """The node. What has no underscore is for `Intake` and `Services` as well.

    worker, outputs  exist while the node is configured
    facts            of the mapper, after its last job
    transforms       TF
    configured       whether the network is loaded
    paused           images are dropped
    threads          that it needs: each camera's may be waiting for TF
    """

    worker: Worker
    outputs: Outputs

    def __init__(self, **kwargs: Any) -> None:
        self.paused = False
        self.configured = False
        self._gauges = 0  # of the mappers before
        self._intake: Intake | None = None  # there is one while the node is active
        self._served: Services | None = None  # from the first time that it is configured
        super().__init__("zipmap", **kwargs)
        self.transforms = Transforms(self, lambda: self.values)
        self.facts = MapperFacts()
        self._rate_timers: list[Any] = []
        self._next_warning: dict[str, float] = {}
        self._declared = NodeParameters(self, self._on_parameters)
        self.threads = THREADS + len(self.values.cameras)
        self._hint = "loading" if self.values.autostart else "configure the node"
        self._status_lock = threading.RLock()
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
    def hint(self) -> str:
        """What to do about a node that is not active."""
        return self._hint

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

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load weights and session; a failure says why, in the log and in the status."""
        from zipmap_ros.mapping import StreamMapper, load_network, load_session

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
            mapper.gauge_id += self._gauges
            if p.session:
                load_session(mapper, p.map_directory, p.session)
        except Exception as error:  # what torch, the file system and our rooms may raise
            self._hint = f"cannot configure: {error}"
            self.get_logger().error(self._hint)
            self._publish_status()
            return FAILURE
        self._mapper: StreamMapper = mapper
        self.facts = MapperFacts.of(mapper)
        self._path_gauge = -1
        self._map_version = () if p.session else self.facts.map_version  # of what is published
        self._last_stamps: dict[str, int] = {}
        self.outputs = Outputs(self, p)
        self.worker = Worker(
            mapper,
            self.deliver,
            self.now_ns,
            partial(self.warn, "worker"),
            p.queue_frames,
            p.chunk_timeout_s,
        )
        self.configured, self._hint = True, "activate the node"
        self._served = self._served or Services(self)
        how = ""
        if mapper.compiled is not None:
            shapes = [f"{w}x{h} in chunks of {n}" for n, h, w in mapper.compiled.shapes]
            how = "zipmap compile makes it faster"
            if shapes:
                how = f"compiled for {', '.join(shapes)}"
            how = f" ({how})"
        self.get_logger().info(
            f"{model.config.variant} network on {next(model.parameters()).device}{how}, "
            f"ready after {time.perf_counter() - began:.1f} s"
        )
        if p.session:
            self.get_logger().info(f"goes on from the session {p.session}: {p.mode}")
            self.deliver([])
        self._publish_status()
        return SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        result = super().on_activate(state)
        self._intake = Intake(self, self._last_stamps)
        self._publish_status()
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; state and map stay."""
        self._unsubscribe()
        self.worker.drop_queued("inactive")
        self._publish_status()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and the map, take topics away; services refuse."""
        self._free()
        self._publish_status()
        return SUCCESS

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, whatever the state."""
        self._free()
        self._hint = "it is shut down: start the node anew"
        self._publish_status()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition threw: free all, so that the node can be configured anew."""
        self._free()
        self._hint = "a transition failed, see the log: configure the node anew"
        self._publish_status()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker before the node goes."""
        self._free()
        if self._served is not None:
            self._served.close()
        self.transforms.close()
        super().destroy_node()

    def _unsubscribe(self) -> None:
        if self._intake is not None:
            self._intake.close()
            self._intake = None

    def _free(self) -> None:
        self._unsubscribe()
        if not self.configured:
            return
        from zipmap_ros.mapping import release_memory

        with self._status_lock:  # who makes a status now finds all of a configured node, or none
            self.configured = self.paused = False
            self._hint = "configure the node"
            self._gauges = self.facts.gauge_id
            self.facts = MapperFacts()
        self.worker.stop(STOP_TIMEOUT_S)
        self.transforms.clear()
        self.transforms.forget_mounts()
        self.outputs.close()
        del self.worker, self.outputs, self._mapper
        release_memory()

    # -- out

    def deliver(self, estimates: Sequence[Estimate]) -> None:
        """Publish what the mapper found; on the worker's thread."""
        mapper = self._mapper
        before = self.facts.dropped
        self.facts = MapperFacts.of(mapper)
        if set(self.facts.dropped - before) - GIVEN_UP:
            self.warn("mapper", self.facts.problem)
        if self.facts.gauge_id != self._path_gauge:
            self._follow_trajectory(len(estimates))
        p = self.values
        for estimate in estimates:
            try:
                self.transforms.publish(estimate, self.facts.gauge_id)
            except (TransformError, ConvertError) as error:
                self.warn("transform", f"no transform could be published: {error}")
            body = p.base_frame if self.transforms.has_base else estimate.frame_id
            map_T_body = self.transforms.map_T_body(estimate)
            if p.scale_source != "none" and not self.facts.metric:  # no metres a second yet
                estimate = replace(estimate, motion_covariance=None)
            self.outputs.publish(estimate, map_T_body, body, p.map_min_confidence)
        if estimates:
            self.outputs.publish_points(estimates)
        self.refresh_status()

    def _follow_trajectory(self, new: int) -> None:
        """Take path and TF from the trajectory, but for its ``new`` last poses, still to come."""
        self._path_gauge = self.facts.gauge_id
        trajectory = self._mapper.trajectory
        poses, sources = trajectory.poses, trajectory.sources
        if self.transforms.has_base:
            mounts = [self._mapper.base_T_camera(source) for source in sources]
            poses = poses @ invert(np.array(mounts).reshape(-1, 4, 4))
        if not new:
            known = None
            if len(trajectory):
                known = (int(trajectory.stamps_ns[-1]), sources[-1], poses[-1])
            self.transforms.anchor(known)
        old = len(trajectory) - new
        limit, stamps_ns = self.values.path_max_poses, trajectory.stamps_ns
        self.outputs.set_path(stamps_ns[:old], sources[:old], poses[:old], limit)

    def _publish_map(self) -> None:
        version = self.facts.map_version
        if self._intake is None or version == self._map_version or not self.outputs.wanted("map"):
            return
        try:
            cloud = self.worker.request(lambda mapper: mapper.voxel_map.cloud(), MAP_TIMEOUT_S)
        except WorkerError:
            return  # the next tick asks again
        if self._intake is not None:  # the node may have been deactivated meanwhile
            self._map_version = version
            self.outputs.publish_map(cloud, self.now_ns())

    def _hold(self) -> None:
        if self._intake is not None:
            silent = self.transforms.silent_s > self.values.no_data_warn_s
            blind = silent or self.facts.status != "tracking"
            # A robot that nobody sees must not look like one that stands: its base grows old on TF.
            self.transforms.hold(moving=self.paused or (blind and not self.transforms.has_base))

    def _publish_path(self) -> None:
        if self._intake is not None:
            self.outputs.publish_path()

    # -- time

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self.configured:
            self.time_jumped("the clock went back")

    def time_jumped(self, why: str) -> None:
        """Time went back, as when a bag starts again: forget what belongs to the time before."""
        reset = self.values.reset_on_time_jump
        what = "the scene is forgotten" if reset else "queued images are dropped"
        self.get_logger().warning(f"time jumped back ({why}): {what}")
        self.forget_queued("time_jump")
        self.transforms.clear()
        if reset:
            self.worker.tell(lambda mapper: mapper.reset())

    # -- state

    def forget_queued(self, reason: str) -> None:
        """Drop what waits to be mapped, counted under ``reason``; any stamp may come next."""
        self.worker.drop_queued(reason)
        self._last_stamps.clear()
        if self._intake is not None:
            self._intake.forget(reason)

    def set_paused(self, paused: bool) -> None:
        """Stop, also with what is queued, or go on taking images."""
        self.paused = paused
        if paused:
            self.worker.drop_queued("paused")
        self._publish_status()

    def refresh_status(self) -> None:
        """Publish the status at once if the state has changed."""
        if self._state()[0] != self._status.state:
            self._publish_status()

    def _state(self) -> tuple[int, str]:
        """What the node does, and what to do about it."""
        intake = self._intake
        if intake is None:
            return Status.UNCONFIGURED, self._hint
        if self.paused:
            return Status.PAUSED, "call ~/pause with data: false to go on"
        if trouble := intake.trouble():
            return trouble
        if self.facts.status == "lost":
            back = "go back to where the map is known, or call ~/reset"
            return Status.LOST, "; ".join(filter(None, (self.facts.problem, back)))
        if self.facts.status == "tracking":
            lost = unlocated(*self.facts.astray) if self.facts.astray else ""
            hints = (lost, self.transforms.rival(), intake.clock_hint)
            return Status.TRACKING, "; ".join(filter(None, hints))
        nowhere = self.values.mode == "localization"
        hint = "there is no map to be located in: call ~/load_map, or ~/set_mode for mapping"
        waits = "; ".join(filter(None, (self.facts.problem, intake.clock_hint)))
        return Status.INITIALISING, hint if nowhere else waits

    def _check_silence(self) -> None:
        if self._intake is not None and not self.paused:
            self._intake.warn_of_silence()
            if rival := self.transforms.rival():
                self.warn("rival", rival, every_s=60.0)
            self.refresh_status()

    def _make_status(self) -> Status:
        state, hint = self._state()
        facts = self.facts  # before the counts: what is counted in both is not there yet
        counts = self.worker.counts() if self.configured else Counts()
        header = convert.make_header(self.now_ns(), self.values.map_frame)
        return make_status(header, state, hint, self.values, facts, counts)

    def _publish_status(self) -> None:
        with self._status_lock:  # so that what is latched is the last that was made
            before, self._status = self._status.state, self._make_status()
            try:
                self._status_publisher.publish(self._status)
            except Exception:  # each runtime has an error of its own for what was shut down
                if self.context.ok():
                    raise
                return  # a signal came: nobody hears any more
            if self._status.state != before:
                said = f"{STATE_NAMES[self._status.state]} {self._status.hint}"
                self.get_logger().info(said.strip())

    # -- parameters and timers

    def _on_parameters(self, old: Parameters, new: Parameters) -> None:
        rates = ("tf_rate_hz", "status_rate_hz", "map_rate_hz", "path_rate_hz")
        if any(getattr(old, name) != getattr(new, name) for name in rates):
            self._make_timers()
        if not self.configured:
            return
        self.worker.queue_frames = new.queue_frames
        self.worker.chunk_timeout_s = new.chunk_timeout_s
        if old.path_max_poses != new.path_max_poses:
            self._path_gauge = -1
        self.worker.tell(lambda mapper: setattr(mapper, "parameters", new))
        if self._intake is not None:
            self._intake.want_depth(new.scale_source == "depth")
        if old.mode != new.mode:
            self._publish_status()

    def _make_timers(self) -> None:
        for timer in self._rate_timers:
            self.destroy_timer(timer)
        p, clock = self.values, self.get_clock()
        # Simulated time may stand still, as when a bag has ended: the status still tells what is
        # wrong, and who comes then gets the whole map.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        # New ones: in Humble a group is busy for ever whose timer was destroyed as it was due.
        about_status, about_tf, about_map = (MutuallyExclusiveCallbackGroup() for _ in range(3))
        self._rate_timers = [
            self.create_timer(1.0 / rate_hz, callback, callback_group=group, clock=chosen)
            for rate_hz, callback, group, chosen in (
                (p.status_rate_hz, self._publish_status, about_status, steady),
                (1.0, self._check_silence, about_status, steady),
                (p.tf_rate_hz, self._hold, about_tf, clock),
                (p.map_rate_hz, self._publish_map, about_map, steady),
                (p.path_rate_hz, self._publish_path, about_map, steady),
            )
        ]

    def warn(self, kind: str, text: str, every_s: float = WARN_EVERY_S) -> None:
        """Warn, of one kind of trouble no more often than ``every_s``, and not while leaving."""
        now_s = time.monotonic()
        if now_s >= self._next_warning.get(kind, 0.0) and self.context.ok():
            self._next_warning[kind] = now_s + every_s
            self.get_logger().warning(text)


def main() -> None:
    """Run the node until SIGINT."""
    run(StreamNode)
