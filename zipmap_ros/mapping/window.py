# SPDX-License-Identifier: Apache-2.0
"""The last references of a camera, refined together.

A reference gets its pose from one image laid over one other, and what is wrong with the depth of
that turns the camera a little, the same way each time. Where the last few see one another, their
poses and depths must fit all pairs, both ways: a windowed photometric bundle adjustment as in DSO
(Engel et al., PAMI 2018), but of smooth corrections of the depth instead of pixels, and with the
oldest held instead of marginalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, adjoint, invert, rigid, se3_exp
from zipmap_ros.mapping.alignment import (
    FAILED_ALIKE,
    FARTHEST_REFINED,
    FEWEST,
    GOOD_RESIDUAL,
    Reference,
)
from zipmap_ros.mapping.correction import Correction
from zipmap_ros.mapping.level import PRIOR, Level
from zipmap_ros.mapping.pixels import correlation, project, sample
from zipmap_ros.mapping.refinement import (
    LIGHT,
    NODES,
    POSE,
    PRIOR_PIXELS,
    Target,
    normal_equations,
)

LONGEST = 5  # references
ROUNDS = 3
# One sees another where so many of its pixels are in view, and so many of these fit.
VIEW, FIT = 0.4, 0.45
GAINS = (0.7, 1.4)  # of the brightness, to begin with
SOME = 4  # one pixel in so many tells that
# What holds back a step: of a pose a tenth of what holds that of one image alone, of light all.
HELD = PRIOR_PIXELS / PRIOR**2 * np.repeat([0.1, 1.0], [6, 2])


def refined(references: Sequence[Reference]) -> tuple[Reference, ...]:
    """References of one camera, in the order that they were seen, all but the first refined.

    They are returned as they are where only neighbours see one another, or it fails; and those that
    were placed before it was known what in the images is no scene, by which they may be wrong.
    """
    if references[-1].picture.hidden is not None and references[0].picture.hidden is None:
        return (references[0], *refined(references[1:]))
    window = _Window.of(references)
    if not any(abs(pair.seen - pair.by) > 1 for pair in window.pairs):
        return tuple(references)
    poses, logs = window.solved()
    better = [references[0]]
    for reference, pose, log in list(zip(references, poses, logs, strict=True))[1:]:
        gone = np.linalg.norm((invert(reference.world_T_camera) @ pose)[:3, 3]) / window.unit
        if not (gone <= FARTHEST_REFINED[0] and np.abs(log).max() <= FARTHEST_REFINED[1]):
            return tuple(references)
        correction = Correction(reference.correction.log + log, reference.correction.precision)
        better.append(replace(reference, world_T_camera=rigid(pose), correction=correction))
    return tuple(better)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Reference ``seen``, whose pixels are looked for in the image of ``by``.

    light  (2,) as `normal_equations` takes it, to begin with
    at     where it is among the unknowns
    unknowns  all that it depends on: twist of ``by``, of ``seen``, the light, logarithm of ``seen``
    """

    seen: int
    by: int
    light: Array
    at: slice
    unknowns: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Window:
    """Its unknowns: twists of all cameras, the translation in ``unit``; what is added to the
    logarithms of their corrections; the light of each pair. Those of the first camera stay 0."""

    references: Sequence[Reference]
    levels: list[Level]
    targets: list[Target]
    pairs: list[_Pair]
    unit: float

    @classmethod
    def of(cls, references: Sequence[Reference]) -> _Window:
        hidden = references[-1].picture.hidden
        levels = [
            reference.picture.levels[0].without(hidden).corrected(reference.correction.log)
            for reference in references
        ]
        pictures = [reference.picture for reference in references]
        targets = [Target(picture.grey, picture.camera, hidden) for picture in pictures]
        window = cls(references, levels, targets, [], levels[-1].depth)
        count = len(references)
        at = window._log(count).start
        for seen, by in ((a, b) for a in range(count) for b in range(count) if a != b):
            light = window._light(seen, by)
            if light is not None:
                own = slice(at, at + 2)
                unknowns = np.r_[window._twist(by), window._twist(seen), own, window._log(seen)]
                window.pairs.append(_Pair(seen, by, light, own, unknowns))
                at += 2
        return window

    def _twist(self, camera: int) -> slice:
        return slice(6 * camera, 6 * camera + 6)

    def _log(self, camera: int) -> slice:
        size = len(self.references[0].correction.log)
        first = 6 * len(self.references) + size * camera
        return slice(first, first + size)

    def _light(self, seen: int, by: int) -> Array | None:
        """That of two, by what is in view; None where one does not see the other."""
        level, target = self.levels[seen], self.targets[by]
        if len(level.values) < FEWEST:
            return None
        T = invert(self.references[by].world_T_camera) @ self.references[seen].world_T_camera
        points, shape = level.points[:, ::SOME], target.image.shape
        pixels, inside = project(points, T, target.camera, shape, target.hidden)
        if inside.mean() < VIEW:
            return None
        found, wanted = sample(target.image, pixels)[inside], level.values[::SOME][inside]
        if correlation(found, wanted) < FAILED_ALIKE:
            return None
        gain = np.clip(wanted.std() / max(found.std(), np.float32(1e-6)), *GAINS)
        offset = np.median(wanted - gain * found)
        fits = np.abs(gain * found + offset - wanted) < GOOD_RESIDUAL
        return np.array([gain - 1, offset], np.float64) if fits.mean() >= FIT else None

    def solved(self) -> tuple[list[Array], list[Array]]:
        """(4, 4) poses and (G,) additions to the logarithms, of all references.

        Pairs without the newest fitted before it came: their equations are made once.
        """
        count = len(self.references)
        poses = [reference.world_T_camera for reference in self.references]
        begin = np.zeros(self.pairs[-1].at.stop)
        for pair in self.pairs:
            begin[pair.at] = pair.light
        held, known = np.zeros(len(begin)), np.zeros((len(begin),) * 2)
        free = np.r_[self._twist(0).stop : self._log(0).start, self._log(0).stop : len(begin)]
        for k in range(count):
            held[self._twist(k)] = HELD[POSE]
            known[self._log(k), self._log(k)] = self.references[k].correction.precision
        for pair in self.pairs:
            known[pair.at, pair.at] = np.diag(HELD[LIGHT])
        down = known @ begin
        newest = [pair for pair in self.pairs if count - 1 in (pair.seen, pair.by)]
        self._add([pair for pair in self.pairs if pair not in newest], poses, begin, known, down)
        x = begin.copy()
        for _ in range(ROUNDS):
            H, g = known.copy(), down + known @ (x - begin)
            self._add(newest, poses, x, H, g)
            step = np.zeros(len(x))
            step[free] = np.linalg.solve((H + np.diag(held))[np.ix_(free, free)], -g[free])
            x += step
            for k in range(1, count):
                twist = step[self._twist(k)] * np.repeat([self.unit, 1.0], 3)
                poses[k] = poses[k] @ se3_exp(twist)
        return poses, [x[self._log(k)] for k in range(count)]

    def _add(
        self, pairs: Iterable[_Pair], poses: Sequence[Array], x: Array, H: Array, g: Array
    ) -> None:
        """Add the normal equations of pairs to a matrix and a gradient, for steps of ``x``."""
        for pair in pairs:
            T = invert(poses[pair.by]) @ poses[pair.seen]
            T[:3, 3] /= self.unit
            level, target = self.levels[pair.seen], self.targets[pair.by]
            log = x[self._log(pair.seen)]
            data, down = normal_equations(level, target, T, x[pair.at], log, self.unit)
            # What a step of its unknowns is in these equations.
            moves = np.zeros((len(data), len(pair.unknowns)))
            moves[POSE, :6], moves[POSE, 6:12] = -np.eye(6), adjoint(T)
            moves[LIGHT, 12:14], moves[NODES:, 14:] = np.eye(2), np.eye(len(log))
            g[pair.unknowns] += moves.T @ down
            H[np.ix_(pair.unknowns, pair.unknowns)] += moves.T @ data @ moves
