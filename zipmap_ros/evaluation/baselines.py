# SPDX-License-Identifier: Apache-2.0
"""Guesses that look at no image: what a network must beat before it has seen anything.

They may use the truth of the first two frames, and nothing after it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zipmap_ros.geometry import Array, invert


def still_camera(truth: ArrayLike) -> Array:
    """(N, 4, 4): the camera never leaves its first pose."""
    truth = np.asarray(truth, dtype=np.float64)
    return np.repeat(truth[:1], len(truth), axis=0)


def constant_velocity(truth: ArrayLike) -> Array:
    """(N, 4, 4): the camera goes on for ever as it did from its first frame to its second."""
    truth = np.asarray(truth, dtype=np.float64)
    poses = [truth[0]]
    step = invert(truth[0]) @ truth[min(1, len(truth) - 1)]
    for _ in range(len(truth) - 1):
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def constant_depth(truth: ArrayLike) -> NDArray[np.float32]:
    """(N, H, W): every pixel is as far as the median pixel of the first true depth.

    1.0 where the first frame has no valid depth.
    """
    truth = np.asarray(truth, dtype=np.float32)
    first = truth[0][np.isfinite(truth[0]) & (truth[0] > 0)]
    return np.full(truth.shape, np.median(first) if len(first) else 1.0, dtype=np.float32)
