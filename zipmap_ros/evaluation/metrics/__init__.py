# SPDX-License-Identifier: Apache-2.0
"""Metrics as pure numpy functions: trajectories, depth, maps and query views.

A metric takes arrays and returns a dict of named floats; NaN means "not defined here" (no pair is
a metre apart, no pixel is valid), never zero.
"""

from zipmap_ros.evaluation.metrics.depth import (
    confidence_deciles,
    depth_errors,
    median_scale,
    psnr_db,
    robust_scale,
)
from zipmap_ros.evaluation.metrics.surface import map_errors, nearest_distances, voxel_downsample
from zipmap_ros.evaluation.metrics.trajectory import (
    absolute_errors,
    align,
    end_drift,
    normalised_errors,
    pairwise_accuracy,
    path_length,
    relative_errors,
    relative_errors_per_metre,
    similarity,
)

__all__ = [
    "absolute_errors",
    "align",
    "confidence_deciles",
    "depth_errors",
    "end_drift",
    "map_errors",
    "median_scale",
    "nearest_distances",
    "normalised_errors",
    "pairwise_accuracy",
    "path_length",
    "psnr_db",
    "relative_errors",
    "relative_errors_per_metre",
    "robust_scale",
    "similarity",
    "voxel_downsample",
]
