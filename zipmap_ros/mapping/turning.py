# SPDX-License-Identifier: Apache-2.0
"""How far a camera turned, where that is more than alignment finds by itself: by trying.

Small images change slowly with a turn, so few turns have to be tried; correlation tells which of
them fits best. That is the use of small images in Klein and Murray, Improving the Agility of
Keyframe-Based SLAM (ECCV 2008), by search in place of descent.
"""

from __future__ import annotations

import numpy as np

from zipmap_ros.geometry import Array, Camera, pose, se3_exp
from zipmap_ros.mapping.level import Level
from zipmap_ros.mapping.pixels import Image, Mask, moved, pinhole, sample

STEP_DEG, UP, ASIDE = 2.5, 4, 8  # between two that are tried, and how many to each side
SEEN = 0.4  # share of the pixels that must be in view
# (K, 3, 3) rotations of the camera; the middle one is none.
TURNS = np.array(
    [
        se3_exp(np.deg2rad([0, 0, 0, up * STEP_DEG, aside * STEP_DEG, 0]))[:3, :3]
        for up in range(-UP, UP + 1)
        for aside in range(-ASIDE, ASIDE + 1)
    ],
    np.float32,
)


def turned(
    level: Level, image: Image, camera: Camera, T: Array, hidden: Mask | None = None
) -> Array | None:
    """A guess of camera_T_reference (4, 4), turned up or aside to where images look most alike.

    None where they do so without a turn, or too little is seen to tell.

    level   the reference's pixels; image  (h, w) of the same size, seen by ``camera``
    hidden  (h, w) where it shows no scene; None: nowhere
    """
    tried = TURNS @ moved(level.points, T)
    pixels, seen = pinhole(tried.swapaxes(0, 1).reshape(3, -1), camera, image.shape, hidden)
    shape = len(TURNS), len(level.values)
    likeness = _correlations(
        sample(image, pixels).reshape(shape), level.values, seen.reshape(shape)
    )
    best = int(np.argmax(likeness))
    if likeness[best] <= likeness[len(TURNS) // 2]:
        return None
    return pose(TURNS[best], [0.0, 0.0, 0.0]) @ T


def _correlations(found: Image, values: Image, seen: Mask) -> Image:
    """(K,) Pearson's, of each row of (K, N) ``found`` where it is ``seen`` with (N,) values; -1
    where that is too little."""
    weights = seen.astype(np.float32)
    count = np.maximum(weights.sum(1), 1)
    a = (found - ((found * weights).sum(1) / count)[:, None]) * weights
    b = (values - (weights @ values / count)[:, None]) * weights
    norm = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    likeness: Image = (a * b).sum(1) / np.maximum(norm, 1e-6)
    return np.where(count > SEEN * len(values), likeness, np.float32(-1))
