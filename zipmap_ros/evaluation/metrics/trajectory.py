# SPDX-License-Identifier: Apache-2.0
"""Trajectory metrics. A trajectory is (N, 4, 4): ``map_T_camera`` of each frame, in order.

``align`` first, then the others: they compare poses as they are given. Relative errors and pairwise
accuracies do not depend on the rotation and translation of the alignment, only on its scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.geometry import (
    Array,
    adjoint,
    invert,
    pose,
    rotation_angle_deg,
    se3_log,
    umeyama,
)

# Below this length (metres) a translation has no direction.
_NO_DIRECTION = 1e-9
STRETCH = 1.0  # metres of the true path that an error is taken over
THRESHOLDS_DEG = (5, 15, 30)


def align(estimate: ArrayLike, truth: ArrayLike, with_scale: bool = True) -> tuple[float, Array]:
    """Move a trajectory as a whole onto the true one: least squares over camera centres.

    Sim(3) with scale, SE(3) without (Umeyama, PAMI 1991). ``estimate`` and ``truth`` are
    (N, 4, 4), N >= 3. Returns (scale, aligned), aligned (N, 4, 4); scale is 1 when the estimate
    or the truth does not move.
    """
    estimate, truth = _pair(estimate, truth)
    if len(truth) < 3:
        raise EvaluationError(f"aligning trajectories needs 3 poses or more, got {len(truth)}")
    centres, true = estimate[:, :3, 3], truth[:, :3, 3]
    # A camera that stays where it is has no scale: rounding alone would give it any, and a scale of
    # 0 would forgive every motion that it is said to have made.
    moves = min(np.ptp(x, axis=0).max() for x in (centres, true)) > _NO_DIRECTION
    scale, T = umeyama(centres, true, with_scale and bool(moves))
    aligned = estimate.copy()
    aligned[:, :3, 3] *= scale
    return scale, T @ aligned


def similarity(estimate: ArrayLike, truth: ArrayLike) -> tuple[float, Array]:
    """What moves an estimated world onto the true one, by orientations too.

    Cameras on a straight line leave open how the world is turned around it, so the rotation is the
    chordal mean of how each camera is turned (Hartley et al., Rotation Averaging, IJCV 2013), then
    scale and translation are least squares over camera centres. ``estimate`` and ``truth`` are
    (N, 4, 4), N >= 1. Returns (scale, T), ``T[:3, :3]`` the pure rotation, as `umeyama`; scale is
    1 when the estimate does not move, or not along the truth.
    """
    estimate, truth = _pair(estimate, truth)
    U, _, Vt = np.linalg.svd((truth[:, :3, :3] @ estimate[:, :3, :3].swapaxes(1, 2)).sum(0))
    R = (U * [1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    x, y = estimate[:, :3, 3] @ R.T, truth[:, :3, 3]
    along = ((x - x.mean(0)) * (y - y.mean(0))).sum()
    moves = np.ptp(x, axis=0).max() > _NO_DIRECTION
    scale = float(along / ((x - x.mean(0)) ** 2).sum()) if moves and along > 0 else 1.0
    return scale, pose(R, y.mean(0) - scale * x.mean(0))


def path_length(trajectory: ArrayLike) -> float:
    """Metres travelled along a (N, 4, 4) trajectory."""
    return float(_travelled(np.asarray(trajectory, dtype=np.float64))[-1])


def absolute_errors(aligned: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Absolute trajectory error of camera centres, metres.

    Keys ``rmse``, ``mean``, ``median``, ``max`` (metres), and ``percent``: rmse over the length of
    the true path, in percent (NaN when the truth stands still).
    """
    aligned, truth = _pair(aligned, truth)
    errors = np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1)
    rmse = float(np.sqrt(np.mean(errors**2)))
    return {
        "rmse": rmse,
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "max": float(errors.max()),
        "percent": _percent_of_path(rmse, truth),
    }


def relative_errors(aligned: ArrayLike, truth: ArrayLike, step: int = 1) -> dict[str, float]:
    """Relative pose error over every pair of frames ``step`` apart (Sturm et al., IROS 2012).

    Keys ``translation`` (RMSE, metres) and ``rotation_deg`` (RMSE, degrees); NaN when no pair is
    that far apart.
    """
    aligned, truth = _pair(aligned, truth)
    _check_step(step)
    start = np.arange(max(len(truth) - step, 0))
    translation, rotation_deg = _pair_errors(aligned, truth, start, start + step)
    return {"translation": _rms(translation), "rotation_deg": _rms(rotation_deg)}


def relative_errors_per_metre(aligned: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Relative pose error over stretches of the true path, divided by their length.

    From every frame to the first one that lies at least STRETCH metres further along the true
    path, as KITTI does. Keys ``translation`` (RMSE, metres per metre), ``rotation_deg`` (RMSE,
    degrees per metre) and ``pairs``; NaN when the path is shorter than that.
    """
    aligned, truth = _pair(aligned, truth)
    travelled = _travelled(truth)
    end = np.searchsorted(travelled, travelled + STRETCH - 1e-9)
    start = np.flatnonzero(end < len(truth))
    end = end[start]
    translation, rotation_deg = _pair_errors(aligned, truth, start, end)
    length = travelled[end] - travelled[start]
    return {
        "translation": _rms(translation / length),
        "rotation_deg": _rms(rotation_deg / length),
        "pairs": float(len(start)),
    }


def end_drift(aligned: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Error of the last pose as seen from the first one: the gap at the end of a loop.

    Keys ``translation`` (metres), ``percent`` (of the true path's length, NaN when it stands
    still) and ``rotation_deg``.
    """
    aligned, truth = _pair(aligned, truth)
    last = np.array([len(truth) - 1])
    translation, rotation_deg = _pair_errors(aligned, truth, np.array([0]), last)
    return {
        "translation": float(translation[0]),
        "percent": _percent_of_path(float(translation[0]), truth),
        "rotation_deg": float(rotation_deg[0]),
    }


def pairwise_accuracy(estimate: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Relative-pose accuracy over all pairs of frames, in percent; scale does not matter.

    A pair has a rotation error and a translation error, which is the angle between the estimated
    and the true direction of motion. ``racc@t`` and ``tacc@t`` are the shares of pairs under t
    degrees. ``auc@t`` is the mean over k = 1..t of the share of pairs with both errors under k
    degrees, the one-degree histogram of the tables published for pose regression. Unlike some of
    those tables, a motion in the opposite direction counts as 180 degrees, not 0. Where the truth
    does not move only the rotation is judged; an estimate that does not move is 90 degrees off.
    ``rotation_deg`` is the mean rotation error over the pairs, in degrees.
    """
    estimate, truth = _pair(estimate, truth)
    first, second = np.triu_indices(len(truth), k=1)
    estimated = invert(estimate[first]) @ estimate[second]
    true = invert(truth[first]) @ truth[second]
    rotation = rotation_angle_deg(np.swapaxes(true, -1, -2)[:, :3, :3] @ estimated[:, :3, :3])
    direction = _angle_between_deg(estimated[:, :3, 3], true[:, :3, 3])
    moves = np.isfinite(direction)
    both = np.where(moves, np.fmax(rotation, direction), rotation)
    result = {"rotation_deg": float(rotation.mean()) if len(rotation) else float("nan")}
    for t in THRESHOLDS_DEG:
        result[f"racc@{t}"] = _share_percent(rotation, t)
        result[f"tacc@{t}"] = _share_percent(direction[moves], t)
        result[f"auc@{t}"] = float(np.mean([_share_percent(both, k) for k in range(1, t + 1)]))
    return result


def normalised_errors(
    aligned: ArrayLike, truth: ArrayLike, covariances: ArrayLike, step: int = 10
) -> dict[str, float]:
    """Errors of motions over ``step`` frames, in the standard deviations that were predicted.

    covariances  (N, 6, 6) of the error of the motion from the frame before to each, a twist
                 (translation, rotation) in the later camera, in units of ``aligned``; NaN where
                 nobody knows

    Errors from frame to frame count as independent. Keys ``translation`` and ``rotation``: RMS of
    the length of the error over that predicted, above 1 where errors are larger than they were
    said to be; NaN when no pair is that far apart.
    """
    aligned, truth = _pair(aligned, truth)
    covariances = np.asarray(covariances, dtype=np.float64)
    _check_step(step)
    if covariances.shape != (len(truth), 6, 6):
        raise EvaluationError(
            f"covariances must be ({len(truth)}, 6, 6), one a pose, got {covariances.shape}"
        )
    shares = []
    for start in range(len(truth) - step):
        end, covariance = start + step, np.zeros((6, 6))
        for i in range(start + 1, end + 1):
            across = adjoint(invert(aligned[i]) @ aligned[i - 1])
            covariance = across @ covariance @ across.T + covariances[i]
        motion, true = (invert(T[start]) @ T[end] for T in (aligned, truth))
        error = se3_log(invert(true) @ motion)
        predicted = np.trace(covariance[:3, :3]), np.trace(covariance[3:, 3:])
        shares.append(np.linalg.norm(error.reshape(2, 3), axis=1) / np.sqrt(predicted))
    known = np.array(shares).reshape(-1, 2)
    known = known[np.isfinite(known).all(axis=1)]
    return {"translation": _rms(known[:, 0]), "rotation": _rms(known[:, 1])}


def _pair(estimate: ArrayLike, truth: ArrayLike) -> tuple[Array, Array]:
    estimate = np.asarray(estimate, dtype=np.float64)
    truth = np.asarray(truth, dtype=np.float64)
    if estimate.shape != truth.shape or truth.ndim != 3 or truth.shape[1:] != (4, 4):
        raise EvaluationError(
            f"trajectories must both be (N, 4, 4), got {estimate.shape} and {truth.shape}: "
            "associate the poses by stamp first"
        )
    if not len(truth) or not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise EvaluationError("trajectories must be finite and hold one pose at least")
    return estimate, truth


def _check_step(step: int) -> None:
    if step < 1:
        raise EvaluationError(f"step is {step}: give 1 or more frames")


def _pair_errors(
    estimate: Array, truth: Array, start: NDArray[np.int_], end: NDArray[np.int_]
) -> tuple[Array, Array]:
    """Translation (metres) and rotation (degrees) errors of the motions start -> end."""
    estimated = invert(estimate[start]) @ estimate[end]
    true = invert(truth[start]) @ truth[end]
    error = invert(true) @ estimated
    return np.linalg.norm(error[:, :3, 3], axis=1), rotation_angle_deg(error)


def _angle_between_deg(estimated: Array, true: Array) -> Array:
    """Angles of (P, 3) vector pairs; NaN without a true direction, 90 without an estimated one."""
    cross = np.linalg.norm(np.cross(estimated, true), axis=1)
    angle = np.rad2deg(np.arctan2(cross, (estimated * true).sum(1)))
    angle[np.linalg.norm(estimated, axis=1) < _NO_DIRECTION] = 90.0
    angle[np.linalg.norm(true, axis=1) < _NO_DIRECTION] = np.nan
    return angle


def _travelled(trajectory: Array) -> Array:
    """Metres from the start to each pose, (N,)."""
    steps = np.linalg.norm(np.diff(trajectory[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _percent_of_path(error: float, truth: Array) -> float:
    length = path_length(truth)
    return 100 * error / length if length > _NO_DIRECTION else float("nan")


def _share_percent(errors: Array, threshold: float) -> float:
    return 100 * float(np.mean(errors < threshold)) if len(errors) else float("nan")


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")
