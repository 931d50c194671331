# SPDX-License-Identifier: Apache-2.0
"""Map metrics: how far a point cloud lies from the true surface, and how much of it it covers.

Nearest neighbours come from OpenCV's FLANN (its single k-d tree is exact), a dependency of the
product already, and faster than any search written on arrays; it is imported where it is used, so
that the other metrics need numpy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.geometry import Array

_FLANN_KDTREE_SINGLE = 4


def map_errors(points: ArrayLike, truth: ArrayLike, threshold: float = 0.05) -> dict[str, float]:
    """Accuracy, completeness and F-score of a cloud (N, 3) against the true one (M, 3), metres.

    Both should be equally dense: see ``voxel_downsample``. Keys ``accuracy_mean`` and
    ``accuracy_median`` (distance from a point to the nearest true one), ``completeness_mean`` and
    ``completeness_median`` (the other way round), ``precision``, ``recall`` (percent of points
    nearer than ``threshold``, each way) and ``f_score``, their harmonic mean (percent).
    """
    to_truth = nearest_distances(points, truth)
    to_points = nearest_distances(truth, points)
    precision = 100 * float(np.mean(to_truth < threshold))
    recall = 100 * float(np.mean(to_points < threshold))
    total = precision + recall
    return {
        "accuracy_mean": float(to_truth.mean()),
        "accuracy_median": float(np.median(to_truth)),
        "completeness_mean": float(to_points.mean()),
        "completeness_median": float(np.median(to_points)),
        "precision": precision,
        "recall": recall,
        "f_score": 2 * precision * recall / total if total else 0.0,
    }


def nearest_distances(points: ArrayLike, reference: ArrayLike) -> Array:
    """(N,) Euclidean distances from each of (N, 3) points to its nearest of (M, 3) references."""
    import cv2

    clouds = _cloud(points), _cloud(reference)
    # FLANN computes in float32, which far from the origin is too coarse.
    middle = clouds[1].mean(axis=0)
    query, tree_points = ((cloud - middle).astype(np.float32) for cloud in clouds)
    # OpenCV does not declare this class in its type stubs.
    tree = cv2.flann_Index(tree_points, {"algorithm": _FLANN_KDTREE_SINGLE})  # type: ignore[attr-defined]
    _, squared = tree.knnSearch(query, 1, params={})
    return np.sqrt(squared[:, 0].astype(np.float64))


def voxel_downsample(points: ArrayLike, voxel: float) -> Array:
    """One point, the mean, for each occupied cube of ``voxel`` metres: (N, 3) to (M, 3).

    Raises EvaluationError for a voxel that is none and points that are not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if not 0 < voxel < np.inf:
        raise EvaluationError(f"voxel is {voxel}: give metres above 0")
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise EvaluationError(f"points must be (N, 3) and finite, got {points.shape}")
    cells = np.floor(points / voxel).astype(np.int64)
    cells -= cells.min(axis=0, initial=np.iinfo(np.int64).max)
    # One integer a cell: sorting those is far faster than sorting rows.
    _, size_y, size_z = cells.max(axis=0, initial=0) + 1
    key = (cells[:, 0] * size_y + cells[:, 1]) * size_z + cells[:, 2]
    _, member, count = np.unique(key, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(member, points[:, k], len(count)) for k in range(3)], axis=1)
    return sums / count[:, None]


def _cloud(points: ArrayLike) -> Array:
    cloud = np.ascontiguousarray(points, dtype=np.float64)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud) or not np.isfinite(cloud).all():
        raise EvaluationError(
            f"a cloud must be (N, 3), finite, with a point at least, got {cloud.shape}"
        )
    return cloud
