# SPDX-License-Identifier: Apache-2.0
"""A smooth correction of a network's depth: a factor whose logarithm is bilinear between nodes.

A small network sees the shape of things, but walls bend and rooms stretch from view to view. What
is left is smooth, so a few numbers for each image mend most of it, and what neighbouring images
show is enough to find them. Depth was deformed by such a grid for videos by Kopf, Rong and Huang,
Robust Consistent Video Depth Estimation, CVPR 2021; the prior of it is a Gaussian process'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array

ROWS, COLUMNS = 6, 8  # of nodes, the outer ones on the image's border
# Standard deviations of the logarithm: of the whole image, of what is smooth, of each node. What is
# smooth reaches so many nodes far.
WHOLE, SMOOTH, NODE, REACH = 0.1, 0.3, 0.05, 1.4
# A network's scale holds but for a FREE factor (its logarithm). A chain of references, whose scale
# creeps with every error that a walk repeats, is drawn back by a share LEAK of what is beyond.
FREE, LEAK = 0.5, 0.2
PIXEL = 0.1  # of a pixel around the smooth correction
SHARE = 0.14  # of pixels that tell something of their own, as neighbours are wrong together
ROUNDS = 2  # of robust least squares


def _prior() -> Array:
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    squares = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
    smooth = SMOOTH**2 * np.exp(-squares / (2 * REACH**2))
    precision: Array = np.linalg.inv(WHOLE**2 + smooth + NODE**2 * np.eye(len(row)))
    return precision


PRIOR = _prior()


@dataclass(frozen=True, eq=False)
class Correction:
    """What to multiply an image's depth with, as far as it is known.

    log        (G,) natural logarithm of the factor at the nodes, row by row
    precision  (G, G) inverse of its covariance
    """

    log: Array
    precision: Array

    @classmethod
    def constant(cls, factor: float) -> Correction:
        """The same factor everywhere, known no better than that of any other image."""
        return cls(np.full(ROWS * COLUMNS, np.log(factor)), PRIOR)

    @classmethod
    def fitted(cls, nodes: Array, logs: Array) -> Correction:
        """From the logarithms (N,) of the factor at pixels with these weights (N, G) of nodes.

        Wild ones count little; where there are none, neighbours and the prior around 0 decide.
        """
        log = np.full(nodes.shape[1], np.median(logs))
        precision = PRIOR
        for _ in range(ROUNDS):
            off = np.abs(logs - nodes @ log)
            weighted = nodes.T * (SHARE / (PIXEL * np.maximum(off, PIXEL)))
            precision = weighted @ nodes + PRIOR
            log = np.linalg.solve(precision, weighted @ logs)
        return cls(log, precision)

    def check(self) -> None:
        """Raise ValueError for one that no image gave."""
        size = ROWS * COLUMNS
        if self.log.shape != (size,) or self.precision.shape != (size, size):
            raise ValueError(f"a correction has {self.log.shape} and {self.precision.shape} nodes")
        if not (np.isfinite(self.log).all() and np.isfinite(self.precision).all()):
            raise ValueError("a correction is not finite")

    def drawn_back(self) -> Correction:
        """With a mean nearer to the network's scale, where it is far off."""
        mean = self.log.mean()
        beyond = mean - np.clip(mean, -FREE, FREE)
        return Correction(self.log - LEAK * beyond, self.precision)

    def times(self, factor: float) -> Correction:
        """With all of it so many times as large."""
        return Correction(self.log + np.log(factor), self.precision)

    def factor(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """(h, w) what to multiply depth of this shape with."""
        h, w = shape
        grid = self.log.reshape(ROWS, COLUMNS)
        logs = _hats(np.arange(h) + 0.5, h, ROWS) @ grid @ _hats(np.arange(w) + 0.5, w, COLUMNS).T
        return np.exp(logs).astype(np.float32)

    @property
    def mean(self) -> float:
        """The geometric mean of the factor."""
        return float(np.exp(self.log.mean()))


def node_weights(pixels: NDArray[np.floating], shape: Sequence[int]) -> Array:
    """(N, G) bilinear weights of the nodes at (2, N) pixels u, v of an (h, w) image."""
    h, w = shape
    across, down = _hats(pixels[0], w, COLUMNS), _hats(pixels[1], h, ROWS)
    return (down[:, :, None] * across[:, None, :]).reshape(len(across), ROWS * COLUMNS)


def neighbours(nodes: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What pixels with these weights (N, G) have that are products of two nodes: of those in one
    column with themselves and with the next (2 ROWS - 1, N), in one row (N, 2 COLUMNS - 1)."""
    grid = nodes.reshape(-1, ROWS, COLUMNS)
    down, across = (
        np.concatenate([hats * hats, hats[:, :-1] * hats[:, 1:]], axis=1)
        for hats in (grid.sum(2), grid.sum(1))
    )
    return np.ascontiguousarray(down.T), across


def products_of_nodes(sums: NDArray[np.floating]) -> NDArray[np.floating]:
    """(G, G) of all pairs of nodes, from the (2 ROWS - 1, 2 COLUMNS - 1) that are not 0."""
    return np.append(sums, 0).take(_PAIRS)


def _pairs() -> NDArray[np.intp]:
    """(G, G) where the sum of two nodes' products is, flat; those apart share none: the last."""

    def of(count: int) -> NDArray[np.intp]:
        i, j = np.indices((count, count))
        return np.where(i == j, i, np.where(abs(i - j) == 1, count + np.minimum(i, j), -1))

    down, across = of(ROWS)[:, None, :, None], of(COLUMNS)[None, :, None, :]
    width = 2 * COLUMNS - 1
    flat = np.where((down < 0) | (across < 0), (2 * ROWS - 1) * width, down * width + across)
    return flat.reshape(ROWS * COLUMNS, ROWS * COLUMNS)


_PAIRS = _pairs()


def _hats(x: NDArray[np.floating], size: int, count: int) -> Array:
    """(N, count) linear weights of evenly spaced nodes at x in 0..size."""
    place = np.asarray(x, np.float64)[:, None] / size * (count - 1)
    return np.maximum(0.0, 1.0 - np.abs(place - np.arange(count)))
