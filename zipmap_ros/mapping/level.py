# SPDX-License-Identifier: Apache-2.0
"""The pixels of an image that alignment goes by: those with strong gradients, spread over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera, adjoint
from zipmap_ros.mapping.correction import PIXEL, neighbours, node_weights, products_of_nodes
from zipmap_ros.mapping.pixels import Image, Mask, backproject, gradient, inside

MIN_GRADIENT = 0.004  # of brightness a pixel
HUBER = 1.345  # standard deviations
# Standard deviation of brightness: at least NOISE, and as much as it changes in EDGE of a pixel.
NOISE, EDGE = 0.01, 0.25
# Around the guess, standard deviations: translation (share of the depth), rotation (radians), gain,
# offset.
PRIOR = np.array([0.03] * 6 + [0.1, 0.05])
# What pixels tell of a pose is trusted so much less (standard deviations), and a translation is no
# better known than by a share of the depth: both measured, as neighbours are wrong together.
DOUBT, NEVER_BETTER = 6.0, 0.005
NEAR = 0.01  # of the depth


@dataclass(frozen=True, eq=False)
class Level:
    """The N chosen pixels of a reference at one size of the image.

    pixels    (2, N) u, v of their centres; points  (3, N) in the camera; values  (N,) brightness
    jacobian  (8, N) of the residual, for a twist of the reference's camera, gain and offset
    slopes    (N,) by how much brightness changes a pixel
    nodes     (N, G) float32 their weights in a correction of the depth
    depth     the median of the points'
    """

    pixels: Image
    points: Image
    values: Image
    jacobian: Image
    slopes: Image
    nodes: Image
    depth: float

    def corrected(self, log: Array) -> Level:
        """With other depth, by a correction's logarithm (G,)."""
        factor = np.exp(self.nodes @ log.astype(np.float32))
        points, jacobian = self.points * factor, self.jacobian.copy()
        jacobian[:3] /= factor
        return replace(self, points=points, jacobian=jacobian, depth=median_of(points[2]))

    def products(self, weights: Image) -> Image:
        """(G, G) sum of the (N,) weighted products of each pixel's weights of nodes."""
        down, across = self._neighbours
        return products_of_nodes((down * weights) @ across)

    @cached_property
    def _neighbours(self) -> tuple[Image, Image]:
        return neighbours(self.nodes)

    def without(self, hidden: Mask | None) -> Level:
        """The pixels that are not hidden, by a mask (h, w) of the image."""
        if hidden is None:
            return self
        shown = ~inside(hidden, self.pixels)
        pixels, points, jacobian = (a[:, shown] for a in (self.pixels, self.points, self.jacobian))
        values, slopes, nodes = self.values[shown], self.slopes[shown], self.nodes[shown]
        return Level(pixels, points, values, jacobian, slopes, nodes, median_of(points[2]))

    def covariance(self, T: Array, left: Image, seen: Mask) -> Array:
        """(6, 6) of the error of camera_T_reference, a twist in the camera: from Gauss-Newton's H.

        left  (N,) what is left of the brightness, where a pixel is seen
        A pixel counts less where its depth matters, as in `refinement`, not where it is very near.
        """
        deeper = (T[:3, 3] @ T[:3, :3]) @ self.jacobian[:3]
        noise = noise_of(left[seen], self.slopes)
        weights = np.minimum(1, HUBER * noise / np.maximum(np.abs(left), 1e-9))
        weights *= seen & (self.points[2] > NEAR * self.depth)
        JW = self.jacobian * (weights / (noise**2 + (PIXEL * deeper) ** 2))
        units = np.array([self.depth] * 3 + [1.0] * 5)
        told = (JW @ self.jacobian.T) * np.outer(units, units) + np.diag(PRIOR**-2)
        across = adjoint(T) * units[:6]
        covariance: Array = DOUBT**2 * across @ np.linalg.inv(told)[:6, :6] @ across.T
        covariance[:3, :3] += np.eye(3) * (NEVER_BETTER * self.depth) ** 2
        return covariance


def choose(grey: Image, depth: Image, camera: Camera, cell: int) -> Level:
    """Of each cell of pixels the one with the strongest gradient, if it is strong enough."""
    gx, gy = gradient(grey)
    strength = gx * gx + gy * gy
    h, w = grey.shape[0] // cell, grey.shape[1] // cell
    cells = strength[: h * cell, : w * cell].reshape(h, cell, w, cell).swapaxes(1, 2)
    best = cells.reshape(h * w, cell * cell).argmax(1)
    row, column = np.divmod(np.arange(h * w), w)
    y, x = row * cell + best // cell, column * cell + best % cell
    strong = strength[y, x] > MIN_GRADIENT**2
    y, x = y[strong], x[strong]
    z, values = depth[y, x], grey[y, x]
    pixels = np.stack([x, y]).astype(np.float32) + np.float32(0.5)
    points = backproject(pixels, z, camera)
    # Brightness by a motion of the point: the image's gradient through the pinhole.
    a, b = gx[y, x] * camera.fx / z, gy[y, x] * camera.fy / z
    along = np.stack([a, b, -(a * points[0] + b * points[1]) / z])
    around = np.cross(points, along, axis=0)
    jacobian = np.stack([*along, *around, -values, -np.ones_like(values)]).astype(np.float32)
    nodes = np.asfortranarray(node_weights(pixels, grey.shape), np.float32)
    slopes = np.sqrt(strength[y, x])
    return Level(pixels, points, values, jacobian, slopes, nodes, median_of(z))


def noise_of(left: NDArray[np.floating], slopes: Image) -> Image:
    """(N,) standard deviations of brightness at pixels with these slopes, where what is left of it
    tells how much noise all have."""
    noise = max(1.4826 * float(np.median(np.abs(left))), NOISE) if len(left) else NOISE
    return np.hypot(np.float32(noise), np.float32(EDGE) * slopes)


def median_of(depth: Image) -> float:
    return float(np.median(depth)) if len(depth) else 1.0
