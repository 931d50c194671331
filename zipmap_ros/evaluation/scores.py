# SPDX-License-Identifier: Apache-2.0
"""All figures of one run over one clip, as a flat dict of named floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.evaluation import metrics
from zipmap_ros.evaluation.runs import Run, Views, has_depth, has_poses, true_depth, true_poses
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera, transform_points, umeyama

MAP_THRESHOLD = 0.05  # metres: nearer is right, for precision, recall and F-score
MAP_VOXEL = 0.02  # metres: clouds are compared at this density
_MAP_POINTS = 1_000_000  # pixels of a clip that go into its map, at most
_ALIGN_POINTS = 50_000
_DEPTH_PIXELS = 10_000_000  # pixels of a clip that its depth is judged on, at most


def score(run: Run, frames: Sequence[Frame]) -> dict[str, float]:
    """Judge a run against the truth that the clip's frames carry; what is not known is left out.

    Keys start with ``ate_sim3``, ``ate_se3``, ``rpe``, ``rpe_m`` (per metre), ``drift``, ``pairs``,
    ``motion`` (errors in predicted standard deviations), ``depth_raw``, ``depth_median``, ``depth``
    (Weiszfeld scale per clip) and ``map``; also ``scale``, ``seconds_per_frame``,
    ``estimated_percent`` and ``kept_percent``. A run with a number that is not finite has only the
    last three, one without a focal length no ``map``.
    """
    result = {"estimated_percent": 100 * len(run.index) / len(frames)}
    if run.seconds_per_frame is not None:
        result["seconds_per_frame"] = run.seconds_per_frame
    if run.kept_percent is not None:
        result["kept_percent"] = run.kept_percent
    if not run.finite:
        return result
    seen = [frames[i] for i in run.index]
    with_depth = has_depth(seen)
    if has_poses(seen) and len(seen) >= 3:
        result |= trajectory_scores(run.poses, true_poses(seen))
        if run.covariances is not None:
            result |= motion_scores(run.poses, true_poses(seen), run.covariances)
    if with_depth:
        result |= depth_scores(run, seen)
    if with_depth and has_poses(seen) and np.isfinite(run.K).all():
        result |= map_scores(run, seen)
    return result


def trajectory_scores(estimate: Array, truth: Array) -> dict[str, float]:
    """Keys ``ate_*``, ``scale``, ``rpe*``, ``drift``, ``pairs`` and ``path_length``."""
    scale, aligned = metrics.align(estimate, truth)
    _, aligned_rigidly = metrics.align(estimate, truth, with_scale=False)
    return {
        "scale": scale,
        "path_length": metrics.path_length(truth),
        **_prefixed("ate_sim3", metrics.absolute_errors(aligned, truth)),
        **_prefixed("ate_se3", metrics.absolute_errors(aligned_rigidly, truth)),
        **_prefixed("rpe", metrics.relative_errors(aligned, truth)),
        **_prefixed("rpe_m", metrics.relative_errors_per_metre(aligned, truth)),
        **_prefixed("drift", metrics.end_drift(aligned, truth)),
        **_prefixed("pairs", metrics.pairwise_accuracy(estimate, truth)),
    }


def motion_scores(estimate: Array, truth: Array, covariances: Array) -> dict[str, float]:
    """Keys ``motion.translation`` and ``motion.rotation``: `metrics.normalised_errors`."""
    scale, aligned = metrics.align(estimate, truth)
    units = np.array([scale] * 3 + [1.0] * 3)
    scaled = covariances * np.outer(units, units)
    return _prefixed("motion", metrics.normalised_errors(aligned, truth, scaled))


def depth_scores(run: Run, frames: Sequence[Frame]) -> dict[str, float]:
    """Keys ``depth_raw`` (as predicted), ``depth_median`` and ``depth`` (Weiszfeld), each by
    ``abs_rel``, ``rmse``, ``delta_1_25``, and ``depth_scale``."""
    depth, truth = _some(run.depth), _some(true_depth(frames))
    scale, median = metrics.robust_scale(depth, truth), metrics.median_scale(depth, truth)
    return {
        "depth_scale": scale,
        **_prefixed("depth_raw", metrics.depth_errors(depth, truth)),
        **_prefixed("depth_median", _scaled_errors(depth, median, truth)),
        **_prefixed("depth", _scaled_errors(depth, scale, truth)),
    }


def calibration(run: Run, frames: Sequence[Frame]) -> Array | None:
    """(10,) AbsRel (Weiszfeld scale) by decile of confidence; None without depth, without finite
    confidence, and for a depth that no scale brings to the true one."""
    seen = [frames[i] for i in run.index]
    if run.confidence is None or not run.finite or not has_depth(seen):
        return None
    if not np.isfinite(run.confidence).all():
        return None
    depth, truth = _some(run.depth), _some(true_depth(seen))
    scale = metrics.robust_scale(depth, truth)
    if not np.isfinite(scale):
        return None
    return metrics.confidence_deciles(depth * scale, truth, _some(run.confidence))


def map_scores(run: Run, frames: Sequence[Frame]) -> dict[str, float]:
    """Keys ``map``: the depths, placed by the predicted cameras, against the true ones."""
    points, truth = aligned_clouds(run, frames)
    if len(truth) < 3:
        return {}
    points = metrics.voxel_downsample(points, MAP_VOXEL)
    truth = metrics.voxel_downsample(truth, MAP_VOXEL)
    return _prefixed("map", metrics.map_errors(points, truth, MAP_THRESHOLD))


def aligned_clouds(run: Run, frames: Sequence[Frame]) -> tuple[Array, Array]:
    """The predicted points, moved by Sim(3) onto the true ones, and those, each (M, 3).

    Point i of both comes from the same pixel, and all pixels with a true depth count alike: there
    is no threshold on confidence, and no ICP.
    """
    pixels = sum(int(np.isfinite(frame.depth).sum()) for frame in frames if frame.depth is not None)
    step = max(1, -(-pixels // _MAP_POINTS))
    points, truth = [], []
    for frame, world_T_camera, depth, K in zip(frames, run.poses, run.depth, run.K, strict=True):
        if frame.depth is None or frame.camera is None:
            continue
        valid = np.flatnonzero(np.isfinite(frame.depth) & (frame.depth > 0))[::step]
        predicted = Camera.from_matrix(K, depth.shape[1], depth.shape[0]).unproject(depth)
        true = frame.camera.unproject(frame.depth)
        points.append(transform_points(world_T_camera, predicted.reshape(-1, 3)[valid]))
        assert frame.map_T_camera is not None
        truth.append(transform_points(frame.map_T_camera, true.reshape(-1, 3)[valid]))
    if not points or sum(map(len, points)) < 3:
        return np.zeros((0, 3)), np.zeros((0, 3))
    all_points, all_truth = np.concatenate(points), np.concatenate(truth)
    some = slice(None, None, max(1, len(all_truth) // _ALIGN_POINTS))
    scale, T = umeyama(all_points[some], all_truth[some])
    return transform_points(T, scale * all_points), all_truth


def view_scores(views: Views, frames: Sequence[Frame]) -> dict[str, float]:
    """Keys ``query``: ``psnr_db`` (mean over views) and depth errors (Weiszfeld scale)."""
    hidden = [frames[i] for i in views.index]
    pairs = zip(views.rgb, hidden, strict=True)
    result = {
        "query.psnr_db": float(np.mean([metrics.psnr_db(rgb, f.rgb / 255.0) for rgb, f in pairs]))
    }
    truth = true_depth(hidden)
    if np.isfinite(truth).any() and np.isfinite(views.depth).all():
        scale = metrics.robust_scale(views.depth, truth)
        result |= _prefixed("query", _scaled_errors(views.depth, scale, truth))
    return result


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over clips of every key, over the clips where it is a finite number."""
    result = {}
    for key in dict.fromkeys(key for each in scores for key in each):
        values = [each[key] for each in scores if key in each and np.isfinite(each[key])]
        result[key] = float(np.mean(values)) if values else float("nan")
    return result


def _some(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, h, w) pixels, flat; evenly thinned where there are very many."""
    return values.reshape(-1)[:: -(-values.size // _DEPTH_PIXELS)]


def _scaled_errors(depth: np.ndarray, scale: float, truth: np.ndarray) -> dict[str, float]:
    if not np.isfinite(scale):
        return {}
    return metrics.depth_errors(depth * scale, truth)


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}.{key}": value for key, value in values.items()}
