# SPDX-License-Identifier: Apache-2.0
"""Where a camera can be: distances to the nearest surface, and free space around a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.synthetic.scene import SHELL, Scene

Array = NDArray[np.float64]

FAN = 24  # directions in which free space is measured
FAN_ANGLES = np.arange(FAN) * 2 * np.pi / FAN


class Space:
    """Where there is room in B worlds. Round things count as their bounding boxes."""

    def __init__(self, scene: Scene) -> None:
        axes = scene.axes.numpy()
        self._axes = axes.transpose(1, 2, 0).copy()  # (3 world, 3 local, P)
        self._centre = scene.centre.numpy().T.copy()  # (3, P)
        self._half = scene.half.numpy().T.copy()
        self._first = scene.first.numpy()
        self._world = np.repeat(np.arange(len(self._first)), scene.count.numpy())
        self._shell = (scene.kind == SHELL).numpy()
        self.size = 2 * scene.half.numpy()[self._first]  # (B, 3) of the shells
        slope = np.cos(FAN_ANGLES) * self._axes[0, ..., None]
        slope += np.sin(FAN_ANGLES) * self._axes[1, ..., None]
        self._fan = 1 / (slope + np.where(slope >= 0, 1e-9, -1e-9))  # (3 local, P, FAN)
        self._reach = np.abs(self._fan) * self._half[..., None]

    def _local(self, points: Array) -> Array:
        """(B, K, 3) points in the frames of all things of their world, (3 local, P, K)."""
        x, y, z = points.transpose(2, 0, 1)[:, self._world] - self._centre[..., None]
        a = self._axes[..., None]
        return a[0] * x + a[1] * y + a[2] * z

    def clearance(self, points: Array) -> tuple[Array, Array]:
        """(B, K, 3) points to (B, K) distances to the nearest surface, metres, never too large,
        and (B, K, 3) unit vectors away from it. Negative inside a thing or outside the shell.
        """
        local = self._local(points)
        beyond = np.abs(local) - self._half[..., None]
        outside = np.maximum(beyond, 0.0)
        deepest = beyond.max(0)
        distance = np.sqrt((outside**2).sum(0)) + np.minimum(deepest, 0.0)
        distance[self._shell] = -deepest[self._shell]
        nearest = (
            np.stack([part.argmin(0) for part in np.split(distance, self._first[1:])])
            + self._first[:, None]
        )  # (B, K)
        k = np.arange(points.shape[1])
        face = beyond[:, nearest, k]  # (3 local, B, K)
        flat = (face == face.max(0)).astype(np.float64)
        inside = self._shell[nearest] | (face.max(0) <= 0)
        away = np.where(inside, flat, np.maximum(face, 0.0)) * np.sign(local[:, nearest, k])
        away *= np.where(self._shell[nearest], -1.0, 1.0)
        away = (self._axes[:, :, nearest] * away).sum(1)  # (3 world, B, K)
        away /= np.linalg.norm(away, axis=0) + 1e-12
        return distance[nearest, k], away.transpose(1, 2, 0)

    def fan(self, points: Array) -> Array:
        """(B, K, 3) points to (B, K, FAN) free metres along horizontal rays at angles 2πi/FAN."""
        local = self._local(points)
        free = np.empty((*points.shape[:2], FAN))
        for k in range(points.shape[1]):
            middle = local[:, :, k, None] * -self._fan  # (3, P, FAN)
            near, far = (middle - self._reach).max(0), (middle + self._reach).min(0)
            hit = np.where((near <= far) & (near > 0), near, np.inf)
            hit[self._shell] = far[self._shell]
            free[:, k] = np.minimum.reduceat(hit, self._first, axis=0)
        return free
