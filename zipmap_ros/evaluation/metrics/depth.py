# SPDX-License-Identifier: Apache-2.0
"""Depth and image metrics. Depth is along +z; a true depth that is not finite or <= 0 is unknown.

Arrays may hold one image (H, W) or a whole sequence (N, H, W): a scale found on a sequence is the
"per-sequence scale" of the video-depth tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.geometry import Array


def depth_errors(prediction: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """AbsRel, RMSE and accuracy of a depth as it is given, over all valid pixels at once.

    Keys ``abs_rel`` (mean of |d - d*| / d*),
    ``rmse`` (in the unit of the depths), ``delta_1_25`` (percent of pixels where
    max(d / d*, d* / d) < 1.25) and ``pixels``. NaN without a valid pixel.
    """
    d, d_true = _valid_pixels(prediction, truth)
    if not len(d):
        return {"abs_rel": np.nan, "rmse": np.nan, "delta_1_25": np.nan, "pixels": 0.0}
    # A depth of 0 or less is no depth: it counts against delta, whatever the truth.
    ratio = np.where(d > 0, np.maximum(d, d_true) / np.fmax(np.minimum(d, d_true), 1e-12), np.inf)
    return {
        "abs_rel": float(np.mean(np.abs(d - d_true) / d_true)),
        "rmse": float(np.sqrt(np.mean((d - d_true) ** 2))),
        "delta_1_25": 100 * float(np.mean(ratio < 1.25)),
        "pixels": float(len(d)),
    }


def median_scale(prediction: ArrayLike, truth: ArrayLike) -> float:
    """The factor that takes the median predicted depth to the median true one; NaN without one."""
    d, d_true = _valid_pixels(prediction, truth)
    median = float(np.median(d)) if len(d) else 0.0
    return float(np.median(d_true)) / median if median > 0 else float("nan")


def robust_scale(prediction: ArrayLike, truth: ArrayLike, steps: int = 10) -> float:
    """The factor s that makes sum |s d - d*| small: Weiszfeld's reweighted least squares.

    Starts at the ratio of the means, then takes ``steps`` steps, as the video-depth tables do.
    NaN where the prediction holds nothing positive.
    """
    d, d_true = _valid_pixels(prediction, truth)
    if not len(d) or not d.mean() > 0:
        return float("nan")
    scale = d_true.mean() / d.mean()
    for _ in range(steps):
        weight = 1 / np.maximum(np.abs(scale * d - d_true), 1e-6)
        scale = np.sum(weight * d * d_true) / np.sum(weight * d * d)
    return float(scale)


def confidence_deciles(prediction: ArrayLike, truth: ArrayLike, confidence: ArrayLike) -> Array:
    """Is a pixel of more confidence a better one? (10,) AbsRel by decile of confidence.

    Decile 0 holds the tenth of the valid pixels with the least confidence. A useful confidence
    gives falling errors, one that is everywhere the same (pixels of one confidence share their
    mean error) equal ones. All NaN with fewer than 10 valid pixels.
    """
    d, d_true = _valid_pixels(prediction, truth)
    c, _ = _valid_pixels(confidence, truth)
    if len(d) < 10:
        return np.full(10, np.nan)
    error = np.abs(d - d_true) / d_true
    _, level, count = np.unique(c, return_inverse=True, return_counts=True)
    shared = np.repeat(np.bincount(level, error) / count, count)  # least confidence first
    return np.array([members.mean() for members in np.array_split(shared, 10)])


def psnr_db(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Peak signal-to-noise ratio in decibels of images in [0, 1], any shape; inf when equal.

    NaN for images without pixels, or with NaN in one.
    """
    prediction = np.asarray(prediction, dtype=np.float64)
    truth = np.asarray(truth, dtype=np.float64)
    if prediction.shape != truth.shape:
        raise EvaluationError(f"images differ in shape: {prediction.shape} and {truth.shape}")
    error = float(np.mean((prediction - truth) ** 2)) if truth.size else float("nan")
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def _valid_pixels(values: ArrayLike, truth: ArrayLike) -> tuple[Array, Array]:
    """``values`` and ``truth`` where the truth is known, flat float64."""
    values = np.asarray(values, dtype=np.float64)
    truth = np.asarray(truth, dtype=np.float64)
    valid: NDArray[np.bool_] = np.isfinite(truth) & (truth > 0)
    if values.shape != truth.shape:
        raise EvaluationError(
            f"prediction {values.shape} and truth {truth.shape} differ in shape: "
            "bring them to one size first"
        )
    if not np.isfinite(values[valid]).all():
        raise EvaluationError("the prediction is not finite where the truth is known")
    return values[valid], truth[valid]
