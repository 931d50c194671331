# SPDX-License-Identifier: Apache-2.0
"""Pose, light, focal length and depth together, where an image is nearly laid over another.

The pixels of one image, by a `Level`, are looked for in another, the target. What is left of their
brightness is linear in all that is slightly wrong: Gauss-Newton from there. A pixel counts less
where its depth matters, which is known no better than by PIXEL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera, se3_exp
from zipmap_ros.mapping.correction import PIXEL
from zipmap_ros.mapping.level import HUBER, Level, noise_of
from zipmap_ros.mapping.pixels import Image, Mask, gradient, moved, pinhole, sample

PRIOR_PIXELS = 50 / 3  # that PRIOR weighs on the finest level
ROUNDS = 2
POSE, LIGHT, FOCAL, NODES = slice(6), slice(6, 8), 8, 9  # where they are in the equations


@dataclass(frozen=True, eq=False)
class Target:
    """An image to find pixels in: (h, w) brightness, its pinhole, and where (h, w) it shows no
    scene; None: nowhere."""

    image: Image
    camera: Camera
    hidden: Mask | None

    @cached_property
    def with_slopes(self) -> Image:
        """(3, h, w) brightness and its gradient along x and y."""
        return np.stack([self.image, *gradient(self.image)])


def normal_equations(
    level: Level,
    target: Target,
    T: Array,
    light: NDArray[np.floating],
    log: Array,
    unit: float,
    zoom: float | None = None,
) -> tuple[Array, Array]:
    """Matrix (9 + G, 9 + G) and gradient (9 + G,) for the steps of one pair of images.

    T      (4, 4) target_T_reference, the translation in ``unit``; its step is a twist of the target
    light  (2,) gain - 1 and offset that bring the target's brightness to the reference's
    log    (G,) logarithm of the depth's correction, beyond that of ``level``
    unit   length that points are divided by
    zoom   logarithm of the focal length of both, beyond that of the cameras; None: it is known
    """
    camera, f32 = target.camera, np.float32
    wide = 1.0 if zoom is None else float(np.exp(zoom))
    camera = replace(camera, fx=camera.fx * wide, fy=camera.fy * wide)
    points = level.points * (np.exp(level.nodes @ log.astype(f32)) / f32(unit))
    points[:2] /= f32(wide)
    R, t = T[:3, :3].astype(f32), T[:3, 3].astype(f32)
    x, y, z = there = moved(points, T)
    pixels, seen = pinhole(there, camera, target.image.shape, target.hidden)
    z[~seen] = 1
    value, gx, gy = sample(target.with_slopes, pixels)
    gain, offset = (light + [1, 0]).astype(f32)
    left = gain * value + offset - level.values
    a, b = gx * (gain * f32(camera.fx)) / z, gy * (gain * f32(camera.fy)) / z
    c = -(a * x + b * y) / z
    # Where a point is moved along its ray, all that is seen of it is the way between cameras.
    deeper = -(t[0] * a + t[1] * b + t[2] * c)
    J = np.empty((NODES, len(left)), f32)
    J[POSE] = a, b, c, y * c - z * b, z * a - x * c, x * b - y * a
    J[LIGHT] = value, np.ones_like(value)
    J[FOCAL] = 0
    if zoom is not None:
        # A longer one draws the points of the reference together and spreads the image.
        inwards = R[:, :2] @ points[:2]
        J[FOCAL] = a * x + b * y - (inwards[0] * a + inwards[1] * b + inwards[2] * c)
    noise = noise_of(left[seen], level.slopes)
    weights = np.minimum(f32(1), f32(HUBER) * noise / np.maximum(np.abs(left), f32(1e-9)))
    weights[~seen] = 0
    weights /= noise**2 + (f32(PIXEL) * deeper) ** 2
    # The rows of the nodes, `deeper` times their weights, are 0 but at four: they are not made.
    JW, inner = J * weights, weights * deeper
    H = np.empty((NODES + level.nodes.shape[1],) * 2)
    H[:NODES, :NODES] = JW @ J.T
    H[:NODES, NODES:] = across = (J * inner) @ level.nodes
    H[NODES:, :NODES] = across.T
    H[NODES:, NODES:] = level.products(inner * deeper)
    return H, np.concatenate([JW @ left, (inner * left) @ level.nodes]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Refinement:
    """Gauss-Newton for pose, light, focal length and smooth correction of the depth of one pair.

    precision          (G, G) of the correction, known before
    focal_information  of the logarithm of the focal length, the same; inf: it is known
    prior              (8,) what holds back pose and light, as `level.PRIOR`
    """

    level: Level
    target: Target
    precision: Array
    focal_information: float
    prior: Array

    def run(self, start: Array, light: Array) -> tuple[Array, Array, Array]:
        """Refine target_T_reference (4, 4) by (gain, offset); also the change of the correction's
        logarithm (G,), and `Fit.focal`."""
        unit, known = self.level.depth, np.isinf(self.focal_information)
        T, rest = start.copy(), np.zeros(3 + len(self.precision))
        T[:3, 3] /= unit
        rest[:2] = light - [1, 0]
        prior = np.zeros((6 + len(rest),) * 2)
        held = PRIOR_PIXELS / self.prior**2
        np.fill_diagonal(prior[:NODES, :NODES], [*held, 1 if known else self.focal_information])
        prior[NODES:, NODES:] = self.precision
        for _ in range(ROUNDS):
            zoom = None if known else rest[2]
            data, g = normal_equations(self.level, self.target, T, rest[:2], rest[3:], unit, zoom)
            g[6:] += prior[6:, 6:] @ rest
            step = np.linalg.solve(data + prior, -g)
            T, rest = se3_exp(step[POSE]) @ T, rest + step[6:]
        T[:3, 3] *= unit
        focal = np.zeros(2)
        if not known:
            both, others = data + prior, np.arange(len(data)) != FOCAL
            across = both[FOCAL, others]
            told = data[FOCAL, FOCAL] - across @ np.linalg.solve(both[others][:, others], across)
            if told > 0:
                focal = np.array([rest[2] * (1 + self.focal_information / told), told])
        return T, rest[3:], focal
