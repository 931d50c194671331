# SPDX-License-Identifier: Apache-2.0
"""A clip through the network: streaming, in batch, through the mapper, and as guesses.

``stream_run`` and ``batch_run`` call the network directly: every frame is kept, nothing is refused.
``mapper_run`` is what a robot gets with default parameters, keyframe gating and refusals included;
beside ``stream_run`` with one frame a chunk it shows what gating costs, or gains.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from zipmap_ros.evaluation import EvaluationError, metrics
from zipmap_ros.evaluation.baselines import constant_depth, constant_velocity, still_camera
from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import Array, invert, rigid
from zipmap_ros.mapping.mapper import StreamMapper
from zipmap_ros.mapping.prepare import prepare
from zipmap_ros.model import ModelConfig, Prediction, ZipMap
from zipmap_ros.model.cameras import ray_map

STILL, VELOCITY = "guess: still camera, constant depth", "guess: constant velocity and depth"
# One of this many frames is kept from the network, to be asked for afterwards.
_HIDE_EVERY = 8


@dataclass(frozen=True, eq=False)
class Run:
    """What was predicted of a clip.

    mode        "stream 1", "stream 8", "batch", "mapper", or a guess
    index       (n,) int: the frames of the clip that got an estimate, ascending
    poses       (n, 4, 4) world_T_camera, in a world and scale of the run's own
    depth       (n, h, w) float32 along z
    K           (n, 3, 3) float64 intrinsics of ``depth``
    confidence  (n, h, w) float32, None for a guess
    kept_percent  share of the clip's frames that were kept in the map, None for a guess
    seconds_per_frame  wall time over the number of frames, None for a guess
    problem     why the last frame without an estimate has none, "" if all have one
    covariances  (n, 6, 6) of the motion to each frame, as `metrics.normalised_errors` takes them,
                 in units of ``poses``; None where none are predicted
    """

    mode: str
    index: NDArray[np.int_]
    poses: Array
    depth: NDArray[np.float32]
    K: Array
    confidence: NDArray[np.float32] | None = None
    kept_percent: float | None = None
    seconds_per_frame: float | None = None
    problem: str = ""
    covariances: Array | None = None

    @property
    def finite(self) -> bool:
        """Whether all poses and depths are finite numbers, and there are any."""
        return len(self.index) > 0 and bool(
            np.isfinite(self.poses).all() and np.isfinite(self.depth).all()
        )


@dataclass(frozen=True, eq=False)
class Views:
    """Unseen views: the ``index`` of the hidden frames, rgb (n, h, w, 3) in [0, 1] and depth."""

    index: NDArray[np.int_]
    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]


def fit(frame: Frame, config: ModelConfig) -> Frame:
    """The frame as the network sees it: rectified and resized, depth and camera carried along."""
    view = prepare(frame, config, undistort=True)
    return replace(frame, rgb=view.rgb, camera=view.camera, depth=view.measured)


def stream_run(model: ZipMap, frames: Sequence[Frame], chunk: int) -> Run:
    """Frames of one size (see ``fit``) in chunks, the state carried; the network alone."""
    images = _images(model, frames)
    state = model.new_state()
    parts = []
    start = _now(images.device)
    for part in images.split(chunk):
        prediction, state = model.stream(part, state, chunk_frames=chunk, outputs=("depth",))
        parts.append(_to_numpy(prediction))
    seconds = (_now(images.device) - start) / len(frames)
    poses, K, depth, confidence = (np.concatenate(values) for values in zip(*parts, strict=True))
    index = np.arange(len(frames))
    return Run(f"stream {chunk}", index, poses, depth, K, confidence, 100.0, seconds)


def batch_run(model: ZipMap, frames: Sequence[Frame]) -> Run:
    """All frames at once, every frame seeing every other; the network alone."""
    images = _images(model, frames)
    start = _now(images.device)
    poses, K, depth, confidence = _to_numpy(model.reconstruct(images, outputs=("depth",)))
    seconds = (_now(images.device) - start) / len(frames)
    index = np.arange(len(frames))
    return Run("batch", index, poses, depth, K, confidence, 100.0, seconds)


def mapper_run(model: ZipMap, frames: Sequence[Frame], mapper: StreamMapper | None = None) -> Run:
    """What a robot gets: `StreamMapper` with default parameters, which never see a true depth.

    Frames that the mapper refuses are missing from the result. ``mapper`` is one of one's own,
    fresh, of the same model and with other parameters.
    """
    mapper = mapper or StreamMapper(model)
    device = next(model.parameters()).device
    estimates = []
    start = _now(device)
    for stamp, frame in enumerate(frames):
        estimates += mapper.add_frame(replace(frame, stamp_ns=stamp, depth=None))
    estimates += mapper.flush()
    seconds = (_now(device) - start) / len(frames)
    height, width = frames[0].rgb.shape[:2]
    return Run(
        "mapper",
        np.array([estimate.stamp_ns for estimate in estimates], dtype=int),
        np.array([e.map_T_camera for e in estimates]).reshape(-1, 4, 4),
        np.array([e.depth for e in estimates], np.float32).reshape(-1, height, width),
        np.array([e.camera.matrix for e in estimates]).reshape(-1, 3, 3),
        np.array([e.confidence for e in estimates], np.float32).reshape(-1, height, width),
        100 * sum(estimate.kept for estimate in estimates) / len(frames),
        seconds,
        mapper.problem,
        np.array([_motion_covariance(e) for e in estimates]).reshape(-1, 6, 6),
    )


def _motion_covariance(estimate: Estimate) -> Array:
    """(6, 6), NaN where nobody knows, and where a jump to a place is no motion."""
    if estimate.motion_covariance is None or estimate.jump is not None:
        return np.full((6, 6), np.nan)
    return estimate.motion_covariance


def guess_runs(frames: Sequence[Frame]) -> list[Run]:
    """The guesses for frames with true poses or depth, whose depth is 1 where none is true.

    Without true poses there is one, the constant depth.
    """
    depth_alone = not has_poses(frames) and has_depth(frames)
    truth = np.stack([np.eye(4)] * len(frames)) if depth_alone else true_poses(frames)
    depth = constant_depth(true_depth(frames))
    K = np.stack([_matrix(frame) for frame in frames])
    index = np.arange(len(frames))
    still = Run(STILL, index, still_camera(truth), depth, K)
    if depth_alone:
        return [still]
    return [still, Run(VELOCITY, index, constant_velocity(truth), depth, K)]


def has_poses(frames: Sequence[Frame]) -> bool:
    """Whether the true pose of every frame is known."""
    return all(frame.map_T_camera is not None for frame in frames)


def has_depth(frames: Sequence[Frame]) -> bool:
    """Whether the true depth of any frame is known."""
    return any(frame.depth is not None for frame in frames)


def true_poses(frames: Sequence[Frame]) -> Array:
    """(n, 4, 4) true map_T_camera. Raises EvaluationError when one is not known."""
    poses = [frame.map_T_camera for frame in frames if frame.map_T_camera is not None]
    if not poses or len(poses) != len(frames):
        raise EvaluationError(f"{len(frames) - len(poses)} of {len(frames)} frames lack a pose")
    return np.stack(poses)


def true_depth(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """(n, h, w) float32 true depth, NaN where unknown, also for a frame without any."""
    nothing = np.full(frames[0].rgb.shape[:2], np.nan, np.float32)
    return np.stack([nothing if f.depth is None else f.depth for f in frames])


def hidden_frames(count: int) -> NDArray[np.int_]:
    """Which frames of a clip are asked for and not shown: one in eight, never at the ends."""
    return np.arange(_HIDE_EVERY // 2, count - 1, _HIDE_EVERY)


def query_views(model: ZipMap, frames: Sequence[Frame], chunk: int) -> Views | None:
    """Show all frames but the hidden ones, then ask for those.

    Needs true poses: the world of the true poses is aligned with the network's by Sim(3) over the
    shown frames, so errors of the trajectory count. None when the network's poses are not finite.
    """
    hidden, shown = _hidden_and_shown(frames)
    images = _images(model, [frames[i] for i in shown])
    prediction, state = model.stream(images, model.new_state(), chunk, outputs=())
    estimate = _network_poses(prediction)
    if not np.isfinite(estimate).all():
        return None
    network_T_camera = _in_estimated_world(true_poses(frames), hidden, estimate, shown)
    rays = ray_map(
        torch.tensor(network_T_camera, dtype=torch.float32, device=images.device),
        torch.tensor(np.stack([_matrix(frames[i]) for i in hidden]), device=images.device).float(),
        *images.shape[-2:],
    )
    answer = model.query(state, rays[None])
    return Views(hidden, answer.rgb[0].float().cpu().numpy(), answer.depth[0].float().cpu().numpy())


def mapper_views(model: ZipMap, frames: Sequence[Frame]) -> Views | None:
    """The same of what a robot gets: `StreamMapper.query` after the shown frames."""
    hidden, shown = _hidden_and_shown(frames)
    mapper = StreamMapper(model)
    run = mapper_run(model, [frames[i] for i in shown], mapper)
    if not run.finite or len(run.index) < 3:  # too few to bring the true poses to
        return None
    poses = _in_estimated_world(true_poses(frames), hidden, run.poses, shown[run.index])
    views = [mapper.query(T, frames[i].camera) for T, i in zip(poses, hidden, strict=True)]
    rgb = np.stack([view.rgb for view in views]).astype(np.float32) / np.float32(255)
    return Views(hidden, rgb, np.stack([view.depth for view in views]))


def guess_views(frames: Sequence[Frame]) -> Views:
    """The guess for hidden frames: the shown frame before, and the constant depth."""
    hidden = hidden_frames(len(frames))
    rgb = np.stack([frames[i - 1].rgb for i in hidden]).astype(np.float32) / np.float32(255)
    return Views(hidden, rgb, constant_depth(true_depth(frames))[hidden])


def _hidden_and_shown(frames: Sequence[Frame]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    hidden = hidden_frames(len(frames))
    return hidden, np.setdiff1d(np.arange(len(frames)), hidden)


def _in_estimated_world(
    truth: Array, hidden: NDArray[np.int_], estimate: Array, shown: NDArray[np.int_]
) -> Array:
    """The true poses (N, 4, 4) of the hidden frames, moved by the Sim(3) that takes those of the
    shown frames to their estimates."""
    scale, true_T_estimate = metrics.similarity(estimate, truth[shown])
    poses = invert(true_T_estimate) @ truth[hidden]
    poses[:, :3, 3] /= scale
    return poses


def _images(model: ZipMap, frames: Sequence[Frame]) -> torch.Tensor:
    """(N, 3, h, w) float32 in [0, 1] on the model's device."""
    rgb = torch.from_numpy(np.stack([frame.rgb for frame in frames]))
    return (rgb.permute(0, 3, 1, 2).float() / 255).to(next(model.parameters()).device)


def _matrix(frame: Frame) -> Array:
    """The true intrinsics; of an uncalibrated frame those of a 60 degree lens."""
    if frame.camera is not None:
        return frame.camera.matrix
    height, width = frame.rgb.shape[:2]
    focal = width / 2 / np.tan(np.deg2rad(30.0))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def _network_poses(prediction: Prediction) -> Array:
    camera_T_world = prediction.camera_T_world[0].cpu().numpy()
    if not np.isfinite(camera_T_world).all():
        return np.full((len(camera_T_world), 4, 4), np.nan)
    return invert(rigid(camera_T_world))


def _to_numpy(prediction: Prediction) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    assert prediction.depth is not None and prediction.confidence is not None
    return (
        _network_poses(prediction),
        prediction.intrinsics[0].double().cpu().numpy(),
        prediction.depth[0].float().cpu().numpy(),
        prediction.confidence[0].float().cpu().numpy(),
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
