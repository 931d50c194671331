# SPDX-License-Identifier: Apache-2.0
"""Frames in; poses, depth, points and a map out. `StreamMapper._fold` is the whole pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, Array, Camera
from zipmap_ros.mapping.bars import Bars
from zipmap_ros.mapping.chunk import (
    median_depths,
    network_poses,
    observe_scale,
    relative_change,
)
from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.mapping.estimate import estimate_of
from zipmap_ros.mapping.gauge import Gauge, scaled
from zipmap_ros.mapping.keyframes import Keyframes
from zipmap_ros.mapping.odometry import Lead, Odometry
from zipmap_ros.mapping.prepare import View, prepare
from zipmap_ros.mapping.query import (
    MOST_POINTS,
    QueriedView,
    draw_references,
    mended,
    project_map,
    query_network,
)
from zipmap_ros.mapping.scale import ScaleEstimator
from zipmap_ros.mapping.track import Motion
from zipmap_ros.mapping.tracking import BLANK, NOT_FINITE, Tracker
from zipmap_ros.mapping.tracks import Tracks, aligns
from zipmap_ros.mapping.trajectory import Trajectory
from zipmap_ros.mapping.voxel_map import VoxelMap
from zipmap_ros.model import ModelError, Prediction, SceneState, ZipMap
from zipmap_ros.model.compiled import CompiledStream
from zipmap_ros.model.graph import QueryGraph, StreamGraph
from zipmap_ros.parameters import Parameters

INITIALISING, TRACKING, LOST = "initialising", "tracking", "lost"
# Reasons that frames are dropped for, beside those of `tracking`.
BAD_IMAGE, NO_MEMORY, NO_MAP, RESET = "bad_image", "out_of_memory", "no_map", "reset"
ERROR = "error"


@dataclass
class Counts:
    """What became of the frames: received = used + gated + dropped + those that still wait."""

    received: int = 0
    used: int = 0
    gated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class StreamMapper:
    """Folds frames of one or several cameras into one scene, chunk by chunk. Not thread-safe.

    model       a ZipMap in eval mode, on the device where it is to run
    parameters  those that are about mapping are obeyed; they may be replaced between frames
    checkpoint  identity of the model's weights (a SHA-256), so that saved sessions find theirs

    Each frame that is believed gives one `Estimate`, also when its chunk is not kept in the state.
    `counts` says what became of the others, `problem` why the last of them was dropped.
    """

    def __init__(
        self, model: ZipMap, parameters: Parameters | None = None, checkpoint: str = ""
    ) -> None:
        if model.training:
            raise MappingError("the network is in training mode: call model.eval() first")
        self.model = model
        self.checkpoint = checkpoint
        self.counts = Counts()
        self.problem = ""
        on_gpu = next(model.parameters()).is_cuda
        self._parameters = parameters or Parameters()
        self._stream = StreamGraph(model, ("depth",)) if on_gpu else None
        self._query = QueryGraph(model) if on_gpu else None
        compiled = checkpoint and not on_gpu and self._parameters.compiled == "auto"
        self.compiled = CompiledStream(model, checkpoint) if compiled else None
        self.gauge_id = 0
        self.extrinsics: dict[str, Array] = {}
        self._pending: list[View] = []
        self._bars = Bars()
        self.reset()

    def reset(self) -> None:
        """Forget the scene: state, map, trajectory, scale and the frames that wait."""
        p = self._parameters
        self._release_graphs()  # before a new state takes memory
        self._state: SceneState = self.model.new_state().detach()
        self.voxel_map = VoxelMap(p.map_voxel_m, p.map_max_points, p.map_max_mb)
        self.trajectory = Trajectory(p.path_max_poses)
        self.scale = ScaleEstimator(p.scale_source, p.scale)
        self.odometry = Odometry()
        self.keyframes = Keyframes()
        self.tracker = Tracker()
        self.tracks = Tracks.none()
        self.gauge: Gauge | None = None
        self.last_camera: Camera | None = None
        self.state_update = 0.0
        self.drop_pending(RESET)
        self.gauge_id, self.problem = self.gauge_id + 1, ""

    @property
    def parameters(self) -> Parameters:
        """The parameters in force; assign others (`Parameters.updated`) to change live ones."""
        return self._parameters

    @parameters.setter
    def parameters(self, new: Parameters) -> None:
        old, self._parameters = self._parameters, new
        if _differ(old, new, "map_voxel_m", "map_max_points", "map_max_mb"):
            smaller = VoxelMap(new.map_voxel_m, new.map_max_points, new.map_max_mb)
            smaller.absorb(self.voxel_map)
            self.voxel_map = smaller
        if _differ(old, new, "path_max_poses"):
            self.trajectory.resize(new.path_max_poses)
        if _differ(old, new, "scale_source"):
            self.odometry = Odometry()  # which may come from elsewhere now
        fixed = new.scale_source == "fixed" and _differ(old, new, "scale")
        if fixed or _differ(old, new, "scale_source"):
            before, self.scale = self.scale, ScaleEstimator(new.scale_source, new.scale)
            if new.scale_source != "none":
                self.scale.restore(before.state())  # metres stay metres until it knows better
            if self.scale.scale != before.scale:
                self.regauge(scale=self.scale.scale)

    @property
    def state(self) -> SceneState:
        """What the network remembers of the scene; never changed in place."""
        return self._state if self._stream is None else self._stream.kept(self._state)

    @state.setter
    def state(self, state: SceneState) -> None:
        self._state = state

    @property
    def status(self) -> str:
        """INITIALISING before the first estimate, LOST after too many bad frames, or TRACKING."""
        if self.tracker.lost:
            return LOST
        return INITIALISING if self.gauge is None else TRACKING

    @property
    def pending(self) -> int:
        """Frames that wait for their chunk to fill."""
        return len(self._pending)

    def set_extrinsic(self, source: str, base_T_camera: Array) -> None:
        """Where the camera named ``source`` sits on the base, (4, 4), optical axes, metres.

        Without it the camera is the base, its optical axes turned to x forward, z up.
        """
        self.extrinsics[source] = np.asarray(base_T_camera, dtype=np.float64)

    def base_T_camera(self, source: str) -> Array:
        """The (4, 4) extrinsic in force for a camera."""
        return self.extrinsics.get(source, BODY_T_OPTICAL)

    def add_odometry(self, stamp_ns: int, odom_T_base: Array) -> None:
        """Take a (4, 4) pose of odometry or TF, for scale_source odom and tf, and to lead cameras
        with an extrinsic; metres."""
        self.odometry.add(stamp_ns, np.asarray(odom_T_base, dtype=np.float64))

    def add_frame(self, frame: Frame) -> list[Estimate]:
        """Take a frame; what is known of it and those before it once their chunk is full.

        A frame that cannot be used is counted and gives nothing: no frame raises. A fault of the
        program does, and its chunk is counted as dropped by ERROR.
        Raises MappingError when the network was not made to stream.
        """
        return self.begin(frame)()

    def begin(self, frame: Frame) -> Callable[[], list[Estimate]]:
        """`add_frame` in two steps: this one, which knows nothing of the scene, may be done on any
        thread while other frames are computed; call the answer where the mapper lives.
        """
        return partial(self._add, self._prepare(frame, self._bars))

    def _add(self, prepared: View | Exception) -> list[Estimate]:
        if not self.model.config.streams:
            raise MappingError(
                f"the {self.model.config.variant} network was not trained to stream: "
                "run it in batch (zipmap reconstruct --batch)"
            )
        view = self._received(prepared)
        if view is None:
            return []
        ready = []
        if self._pending and self._pending[0].pixels.shape != view.pixels.shape:
            chunk, self._pending = self._pending, [view]  # images of one size make a chunk
            ready = self._compute(chunk)
        else:
            self._pending.append(view)
        if len(self._pending) >= self._parameters.chunk_frames:
            ready += self.flush()
        return ready

    def drop_pending(self, reason: str) -> None:
        """Give up the partial chunk that waits, its frames counted under ``reason``."""
        chunk, self._pending = self._pending, []
        self.counts.dropped += Counter({reason: len(chunk)})

    def flush(self) -> list[Estimate]:
        """Compute the partial chunk that waits, if there is one."""
        chunk, self._pending = self._pending, []
        return self._compute(chunk) if chunk else []

    def _compute(self, chunk: list[View]) -> list[Estimate]:
        try:
            return self._fold(chunk)
        except Exception:  # whatever it is: no frame may be lost uncounted
            self.counts.dropped[ERROR] += len(chunk)
            raise

    def _fold(self, chunk: list[View]) -> list[Estimate]:
        """The pipeline: one chunk through the network, the gauge, the scale and the map."""
        p = self._parameters
        mapping = p.mode == "mapping"
        if not mapping and self._state.frames_seen == 0:
            return self._drop(chunk, NO_MAP, "nothing is mapped yet: set mode to mapping")
        # Every chunk is computed on a candidate state; the old one is not touched.
        try:
            prediction, candidate = self._run(self._images(chunk))
        except torch.cuda.OutOfMemoryError as error:
            self._release_graphs()
            if len(chunk) > 1:
                half = len(chunk) // 2
                return self._fold(chunk[:half]) + self._fold(chunk[half:])
            return self._drop(chunk, NO_MEMORY, f"the device has too little memory: {error}")
        poses, tracks = network_poses(chunk, prediction), self.tracks
        motions, scale = [Motion()] * len(chunk), self.scale.scale
        aligned = aligns(p.align_poses, self.model.config)
        if poses is not None and aligned:
            lost = self.tracker.good.keys() | self.tracker.covered  # and not yet found
            mounts = {name: scaled(T, 1 / scale) for name, T in self.extrinsics.items()}
            measured = self.scale.metric or self.scale.source == "none"  # or is never to be
            lead = Lead(self.odometry, self.scale.likely, self.scale.metric)
            found = tracks.align(chunk, prediction, poses, mapping, lost, mounts, measured, lead)
            poses, motions = found.poses, found.motions
            prediction, tracks = found.prediction, found.tracks
        elif poses is not None:  # they may have been aligned until now
            poses, tracks = [tracks.correction @ pose for pose in poses], tracks.left_alone()
        # Believe it?
        sources = [view.frame.source for view in chunk]
        jumps, most = [motion.jump for motion in motions], p.max_jump_m / scale
        limits = most, p.max_turn_deg, p.lost_after, p.found_after
        reason = self.tracker.judge(sources, poses, *limits, jumps)
        if poses is None or reason:
            return self._drop(chunk, str(reason), f"the network's output was refused: {reason}")
        self.tracks = tracks
        if any(jump is not None for jump in jumps):  # which moved all cameras
            self.tracker.move({name: track.pose for name, track in tracks.cameras.items()})
        # Keep it, or drop it: the camera had hardly moved, or we only localise.
        named = list(zip(sources, poses, strict=True))
        keep = mapping and self.keyframes.wants(
            named, p.keyframe_translation_m / scale, p.keyframe_rotation_deg, p.keyframe_max_gap
        )
        if keep:
            # What the state knows already it gains nothing from, if poses tell that it does.
            if not aligned or self.keyframes.are_new(poses, median_depths(prediction)):
                self.state_update = relative_change(self._state, candidate)
                self._state = candidate
                self.keyframes.folded(poses)
            self.keyframes.kept(named)
            self.counts.used += len(chunk)
        else:
            self.keyframes.dropped(len(chunk))
            self.counts.gated += len(chunk)
        # Where is that in the map, and how large?
        if self.gauge is None:
            self.gauge = Gauge(poses[0], self.base_T_camera(sources[0]), scale)
        learns = mapping or not self.scale.metric  # a map to be located in keeps its metres
        if learns and self._observe_scale(chunk, prediction, poses, motions):
            self.regauge(scale=self.scale.scale)
        return self._estimates(chunk, prediction, poses, motions, keep)

    def reconstruct(self, frames: Iterable[Frame]) -> list[Estimate]:
        """All frames at once, each seeing every other (batch): for networks that do not stream.

        Starts anew. There is no state afterwards: a query projects the map.
        Raises MappingError when frames differ in size or there are none.
        """
        self.reset()
        views = [v for f in frames if (v := self._received(self._prepare(f))) is not None]
        if len({view.pixels.shape for view in views}) != 1:
            raise MappingError(
                f"batch needs frames of one size, got {len(views)} of "
                f"{sorted({tuple(v.pixels.shape[1:]) for v in views})}: {self.problem}"
            )
        prediction = self.model.reconstruct(self._images(views), outputs=("depth",))
        poses = network_poses(views, prediction)
        if poses is None:
            return self._drop(views, NOT_FINITE, "the network's output is not finite")
        self.gauge = Gauge(poses[0], self.base_T_camera(views[0].frame.source), self.scale.scale)
        motions = [Motion()] * len(views)
        if self._observe_scale(views, prediction, poses, motions):
            self.regauge(scale=self.scale.scale)
        self.counts.used += len(views)
        return self._estimates(views, prediction, poses, motions, kept=True)

    def set_pose(self, map_T_base: Array) -> None:
        """Say where the base is now, (4, 4): everything mapped so far moves along.

        Raises MappingError before the first estimate, and for a place that no map can be around.
        """
        if self.gauge is None or not len(self.trajectory):
            raise MappingError("there is no pose to move yet: wait for the first image")
        map_T_base = np.asarray(map_T_base, dtype=np.float64)
        self.voxel_map.check_near(map_T_base[:3, 3])
        source = self.trajectory.sources[-1]
        map_T_camera = map_T_base @ self.base_T_camera(source)
        network_T_camera = self.gauge.to_network(self.trajectory.poses[-1])
        self.regauge(anchor_network=network_T_camera, anchor_map=map_T_camera)

    def query(self, map_T_camera: Array, camera: Camera | None = None) -> QueriedView:
        """What a camera at ``map_T_camera`` (4, 4) would see; ``camera`` None: like the stream's.

        The network answers when it has a query head and a state, below what nearby images and the
        map show where poses are aligned; else the map is projected. The state is only read. Raises
        MappingError before the first estimate.
        """
        camera = camera or self.last_camera
        if self.gauge is None or camera is None:
            raise MappingError("nothing has been seen yet: wait for the first image")
        map_T_camera = np.asarray(map_T_camera, dtype=np.float64)
        if self.model.config.query and self._state.frames_seen:
            pose = self.gauge.to_network(map_T_camera)
            ask = self._query or self.model.query
            scale = self.gauge.scale * self.tracks.scale
            view = query_network(self.model, self._state, pose, camera, scale, ask)
            if self.tracks.frames:
                near = self.tracks.nearest(pose)
                images = draw_references(near, pose, view.camera, self.gauge.scale)
                drawn = project_map(self.voxel_map, map_T_camera, view.camera, MOST_POINTS)
                view = mended(view, *images, drawn)
        else:
            view = project_map(self.voxel_map, map_T_camera, camera)
        outside, warning = self.voxel_map.distance(map_T_camera[:3, 3]), view.warning
        if np.isinf(outside):
            warning = "the map is empty: nothing was seen with confidence"
        elif outside > self._parameters.map_range_m:
            warning = f"the camera is {outside:.3g} m outside of what is mapped"
        return replace(view, warning=warning)

    def _prepare(self, frame: Frame, bars: Bars | None = None) -> View | Exception:
        try:
            frame = bars.cut(frame) if bars else frame
            return prepare(frame, self.model.config, self._parameters.undistort == "auto")
        except Exception as error:  # as in _compute: no frame may be lost uncounted
            return error

    def _received(self, prepared: View | Exception) -> View | None:
        """Count a frame; None if it cannot be used."""
        self.counts.received += 1
        if isinstance(prepared, (MappingError, ModelError)):
            self.counts.dropped[BAD_IMAGE] += 1
            self.problem = str(prepared)
            return None
        if isinstance(prepared, Exception):
            self.counts.dropped[ERROR] += 1
            raise prepared
        if problem := prepared.shows_nothing():
            self.counts.dropped[BLANK] += 1
            self.problem = problem
            self.tracker.blind(prepared.frame.source, self._parameters.lost_after)
            return None
        return prepared

    def _run(self, images: torch.Tensor) -> tuple[Prediction, SceneState]:
        """One chunk through the network, on a GPU as a recorded graph, on a CPU as compiled."""
        if self._stream is not None:
            return self._stream(images, self._state)
        if self.compiled is not None:
            return self.compiled(images, self._state)
        return self.model.stream(images, self._state, len(images), outputs=("depth",))

    def _release_graphs(self) -> None:
        for graph in (self._stream, self._query):
            if graph is not None:
                graph.release()

    def _images(self, views: Sequence[View]) -> torch.Tensor:
        """(S, 3, h, w) on the model's device."""
        device = next(self.model.parameters()).device
        return torch.stack([view.pixels for view in views]).to(device)

    def _drop(self, chunk: Sequence[View], reason: str, problem: str) -> list[Estimate]:
        self.counts.dropped[reason] += len(chunk)
        self.problem = problem
        return []

    def _observe_scale(
        self,
        chunk: Sequence[View],
        prediction: Prediction,
        poses: Sequence[Array],
        motions: Sequence[Motion],
    ) -> bool:
        """Give the chunk's frames to the scale's source; whether the scale changed."""
        scale, odometry, mount = self.scale, self.odometry, self.base_T_camera
        return observe_scale(scale, odometry, mount, chunk, prediction, poses, motions)

    def regauge(self, **changes: object) -> None:
        """Change fields of the gauge, and move map and trajectory along."""
        if self.gauge is None:
            return
        old, self.gauge = self.gauge, replace(self.gauge, **changes)  # type: ignore[arg-type]
        self.tracks = self.tracks.remounted()
        new_T_old, ratio = self.gauge.change_from(old)
        self.voxel_map.transform(new_T_old, ratio)
        self.trajectory.transform(new_T_old, ratio)
        self.gauge_id += 1

    def _estimates(
        self,
        chunk: Sequence[View],
        prediction: Prediction,
        poses: Sequence[Array],
        motions: Sequence[Motion],
        kept: bool,
    ) -> list[Estimate]:
        """One estimate a frame; measured poses join the trajectory, kept points the map."""
        assert self.gauge is not None
        estimates, p = [], self._parameters
        for i, (view, pose, motion) in enumerate(zip(chunk, poses, motions, strict=True)):
            lasts = kept and motion.measured
            estimate = estimate_of(view, prediction, i, pose, motion, self.gauge, lasts, p)
            if motion.measured:
                self.trajectory.append(estimate.stamp_ns, estimate.source, estimate.map_T_camera)
            if lasts:
                self.voxel_map.insert(estimate.points, estimate.colors, estimate.point_confidence)
            estimates.append(estimate)
        self.last_camera = estimates[-1].camera
        return estimates


def _differ(old: Parameters, new: Parameters, *names: str) -> bool:
    return any(getattr(old, name) != getattr(new, name) for name in names)
