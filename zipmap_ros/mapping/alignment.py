# SPDX-License-Identifier: Apache-2.0
"""Direct image alignment: how a camera moved, from two images and the depth of one.

An image is laid over a *reference*, an earlier image with its depth: the pose is refined until the
reference's pixels, moved to where their depth puts them, have the brightness that is found there.

Gauss-Newton on SE(3), inverse compositional (Baker and Matthews, IJCV 2004), coarse to fine, with
robust weights, gain and offset of the brightness, and a prior around the guess, as in direct visual
odometry (Engel et al., LSD-SLAM, ECCV 2014; DSO, PAMI 2018). Then pose and depth are refined
together: the further the camera is from where the reference was, the more an image tells of the
reference's depth, whose smooth `Correction` follows from image to image, and from reference to
reference. Images are (h, w) float32 brightness 0..1, depth is (h, w) float32 along z, of any unit,
which is that of the poses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera, invert, rigid, se3_exp, se3_log
from zipmap_ros.mapping.correction import Correction, node_weights
from zipmap_ros.mapping.level import HUBER, PRIOR, Level, choose, noise_of
from zipmap_ros.mapping.pixels import (
    Image,
    Mask,
    backproject,
    correlation,
    half,
    inside,
    project,
    pyramid,
    sample,
    shrunk,
)
from zipmap_ros.mapping.refinement import PRIOR_PIXELS, Refinement, Target
from zipmap_ros.mapping.turning import turned

CELLS = (3, 2, 2)  # pixels of a cell, from which one is taken, by level from fine to coarse
FEWEST = 75  # pixels to align by
SMALLEST = 8  # pixels a side of an image
BLURRED = 20  # pixels a row of a blurred image
ITERATIONS = 8  # on each level, fewer if one lowers the cost by less than a share of ENOUGH
ENOUGH = 5e-3
STEP = 5  # pixels from one to the next that tell an image's correction from the others
LONGEST_STEP = np.array([0.15, 0.1])  # of the descent: share of the depth, radians
# An alignment failed when it is further from the guess (share of the depth, radians), fewer pixels
# fit (are in view) than this, or they correlate less: of other rooms 11 in 100 fit, 4 do both.
FARTHEST = np.array([0.2, 0.14])
FAILED_FIT, FAILED_VIEW, FAILED_ALIKE = 0.35, 0.25, 0.3
GOOD_RESIDUAL = 0.06  # of brightness: a pixel that fits
# Correlation above which an alignment is not doubted; else it is looked for further away: what is
# found there must be so much alike, and more so than what is doubted.
SURE, TURNED, MORE = 0.85, 0.7, 0.1
# Depth is refined where the camera is further from the reference (share of the depth) than this,
# and further than the last time: a camera that stands tells nothing new, however long it stands.
BASELINE, BASELINE_GROWTH = 0.02, 1.2
# It failed when it moved the camera (share of the depth) or the logarithm of the depth further.
FARTHEST_REFINED = np.array([0.1, 0.5])
# A reference serves as long as more pixels fit, more are in view, and they moved less (widths).
LASTING_FIT, LASTING_VIEW, LASTING_FLOW = 0.6, 0.7, 0.1


@dataclass(frozen=True, eq=False)
class Fit:
    """An aligned image.

    camera_T_reference  (4, 4)
    reference  what it was aligned to, its depth refined by this image
    covariance  (6, 6) of the error of the pose against the reference, a twist in the image's camera
    focal      (2,) by which logarithm the focal lengths were off, and how much this image knows
               about it (1 / variance), 0 if nothing
    light      (2,) gain and offset that bring its brightness to the reference's
    alike      correlation of its brightness with the reference's, at most 1
    lasts      whether the reference serves the next
    """

    camera_T_reference: Array
    reference: Reference
    covariance: Array
    focal: Array
    light: Array
    alike: float
    lasts: bool

    @property
    def world_T_camera(self) -> Array:
        """(4, 4) pose of the image."""
        return rigid(self.reference.world_T_camera @ invert(self.camera_T_reference))


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and what a network says of it.

    grey, depth  (h, w) brightness, and depth > 0
    camera       their pinhole
    rgb          (h, w, 3) uint8 colours
    hidden       (h, w) where it shows no scene; None: nowhere
    """

    grey: Image
    depth: Image
    camera: Camera
    rgb: NDArray[np.uint8]
    hidden: Mask | None = None

    @cached_property
    def levels(self) -> list[Level]:
        """The pixels to align by, from fine to coarse."""
        greys, depths = (pyramid(each, len(CELLS)) for each in (self.grey, np.log(self.depth)))
        return [
            choose(grey, np.exp(depth), shrunk(self.camera, grey), cell)
            for grey, depth, cell in zip(greys, depths, CELLS, strict=True)
        ]

    @cached_property
    def blurred(self) -> Image:
        """(N,) its pixels of mean 0 and length 1 when it is small: correlations are products."""
        grey = self.grey
        while grey.shape[1] > BLURRED and grey.shape[0] > 1:
            grey = half(grey)
        grey = grey.ravel() - grey.mean()
        return grey / max(float(np.linalg.norm(grey)), 1e-6)


@dataclass(frozen=True, eq=False)
class Reference:
    """What images are aligned to.

    world_T_camera  (4, 4), where it was seen from
    correction      of its depth
    baseline        from how far its depth was refined (share of the depth), 0 if never
    """

    picture: Picture
    world_T_camera: Array
    correction: Correction
    baseline: float = 0.0

    @cached_property
    def levels(self) -> list[Level]:
        """The picture's, their depth corrected."""
        return [level.corrected(self.correction.log) for level in self.picture.levels]

    def check(self) -> None:
        """Raise ValueError for one that no camera saw."""
        picture, camera = self.picture, self.picture.camera
        size, (grey, depth) = (camera.height, camera.width), (picture.grey, picture.depth)
        if not grey.shape == depth.shape == size or min(size) < SMALLEST:
            raise ValueError(f"one of its images has {grey.shape}, its camera {size}")
        if picture.rgb.shape != (*size, 3) or picture.rgb.dtype != np.uint8:
            raise ValueError(f"one of its images has colours {picture.rgb.shape}, not {(*size, 3)}")
        if not camera.is_usable or not np.isfinite(self.baseline):
            raise ValueError(f"one of its cameras is {camera}, seen from {self.baseline} away")
        if not (np.isfinite(grey).all() and np.isfinite(depth).all() and (depth > 0).all()):
            raise ValueError("one of its images is not finite, or its depth not above 0")
        self.correction.check()

    @cached_property
    def typical_depth(self) -> float:
        """The median of its depth, corrected."""
        return float(np.median(self.picture.depth)) * self.correction.mean

    @property
    def is_textured(self) -> bool:
        """Whether there are enough pixels to align by."""
        return len(self.picture.levels[0].values) >= FEWEST

    def align(
        self,
        grey: Image,
        camera: Camera,
        guess: Array,
        focal_information: float = np.inf,
        hidden: Mask | None = None,
        prior: Array = PRIOR,
    ) -> Fit | None:
        """Lay an image of the same size over this one; None where that fails.

        guess  (4, 4) world_T_camera to begin with, and near which the result must be
        focal_information  1 / variance of the logarithm of the focal length of both images
        hidden  (h, w) where both images show no scene; None: nowhere
        prior   (8,) around the guess, as `level.PRIOR`
        """
        if grey.shape != self.picture.grey.shape or not self.is_textured:
            return None
        masks = [hidden if hidden is None else hidden[:: 2**i, :: 2**i] for i in range(len(CELLS))]
        levels = [level.without(mask) for level, mask in zip(self.levels, masks, strict=True)]
        finest = levels[0]
        if len(finest.values) < FEWEST:
            return None
        start = T = invert(guess) @ self.world_T_camera
        light = np.array([1.0, 0.0])
        greys = pyramid(grey, len(CELLS))
        for level, image, cell, mask in list(zip(levels, greys, CELLS, masks, strict=True))[::-1]:
            information = PRIOR_PIXELS * CELLS[0] / cell / prior**2
            T, light = _Descent(level, image, shrunk(camera, image), mask, start, information).run(
                T, light
            )
        pixels, seen = project(finest.points, T, camera, grey.shape, hidden)
        view = float(seen.mean())
        gone = _lengths(se3_log(invert(start) @ T), finest.depth)
        if view < FAILED_VIEW or (gone > FARTHEST).any():
            return None
        found = sample(grey, pixels)
        left = found * light[0] + light[1] - finest.values
        fitting = float((np.abs(left[seen]) < GOOD_RESIDUAL).mean())
        alike = correlation(found[seen], finest.values[seen])
        if fitting < FAILED_FIT or alike < FAILED_ALIKE:
            return None
        flow = np.median(np.hypot(*(pixels - finest.pixels)[:, seen])) / grey.shape[1]
        lasts = fitting > LASTING_FIT and view > LASTING_VIEW and flow < LASTING_FLOW
        covariance = finest.covariance(T, np.where(seen, left, 0), seen)
        as_it_is = Fit(T, self, covariance, np.zeros(2), light, alike, bool(lasts))
        target = Target(grey, camera, hidden)
        return self._refined(as_it_is, finest, target, focal_information, prior) or as_it_is

    def align_turned(
        self,
        fit: Fit | None,
        grey: Image,
        camera: Camera,
        guess: Array,
        focal_information: float = np.inf,
        hidden: Mask | None = None,
    ) -> Fit | None:
        """Also where the camera has turned further from the guess than ``align`` finds, which then
        ends anywhere: ``fit``, what that gave, or what is found there if it is much more alike."""
        if fit is not None and fit.alike > SURE:
            return fit
        turned_guess = self.turned(grey, camera, guess, hidden)
        if turned_guess is None:
            return fit
        other = self.align(grey, camera, turned_guess, focal_information, hidden)
        least = max(TURNED, fit.alike + MORE if fit is not None else 0.0)
        return other if other is not None and other.alike > least else fit

    def turned(
        self, grey: Image, camera: Camera, guess: Array, hidden: Mask | None = None
    ) -> Array | None:
        """(4, 4) ``guess``, turned to where an image is more like this one; None where nothing is
        gained. Arguments are those of ``align``."""
        if grey.shape != self.picture.grey.shape:
            return None
        image = pyramid(grey, len(CELLS))[-1]
        halved = 2 ** (len(CELLS) - 1)
        mask = None if hidden is None else hidden[::halved, ::halved]
        level, T = self.levels[-1].without(mask), invert(guess) @ self.world_T_camera
        T_turned = turned(level, image, shrunk(camera, image), T, mask)
        return None if T_turned is None else rigid(self.world_T_camera @ invert(T_turned))

    def _refined(
        self, fit: Fit, level: Level, target: Target, focal_information: float, prior: Array
    ) -> Fit | None:
        """The fit, with pose, depth and focal length together; None where that tells no more."""
        T = fit.camera_T_reference
        baseline = float(np.linalg.norm(T[:3, 3])) / level.depth
        if baseline < max(BASELINE, BASELINE_GROWTH * self.baseline):
            return None
        precision = self.correction.precision
        together = Refinement(level, target, precision, focal_information, prior)
        found, change, focal = together.run(T, fit.light)
        moved = _lengths(se3_log(invert(T) @ found), level.depth)[0]
        if not (moved <= FARTHEST_REFINED[0] and np.abs(change).max() <= FARTHEST_REFINED[1]):
            return None
        correction = Correction(self.correction.log + change, precision)
        refined = replace(self, correction=correction, baseline=baseline)
        return replace(fit, camera_T_reference=found, reference=refined, focal=focal)

    def correction_of(
        self, T: Array, depth: Image, camera: Camera, hidden: Mask | None = None
    ) -> Correction | None:
        """That of another image's depth by this one's, where both saw the same; None if that is
        hardly anything.

        T  (4, 4) camera_T_reference of the other; depth (h, w), camera and hidden are the other's.
        """
        step, shape = STEP, self.picture.depth.shape
        z = (self.picture.depth * self.correction.factor(shape))[
            step // 2 :: step, step // 2 :: step
        ]
        v, u = np.indices(z.shape) * step + step // 2 + 0.5
        own = np.stack([u.ravel(), v.ravel()])
        points = backproject(own, z.ravel(), self.picture.camera)
        pixels, seen = project(points, T, camera, depth.shape, hidden)
        if hidden is not None:
            seen &= ~inside(hidden, own)
        if seen.sum() < FEWEST:
            return None
        pixels = pixels[:, seen]
        u, v = pixels.astype(int)
        z = np.maximum((T[2, :3] @ points + T[2, 3])[seen], np.float32(1e-12) * depth[v, u])
        return Correction.fitted(node_weights(pixels, depth.shape), np.log(z / depth[v, u]))


@dataclass(frozen=True, eq=False)
class _Descent:
    """Damped Gauss-Newton on one level.

    start        (4, 4) camera_T_reference that the prior is around
    information  (8,) of the prior, 1 / variance, translation as a share of the depth
    """

    level: Level
    image: Image
    camera: Camera
    hidden: Mask | None
    start: Array
    information: Array

    def run(self, T: Array, light: Array) -> tuple[Array, Array]:
        """Refine camera_T_reference (4, 4) and (gain, offset), which are changed little by little
        as long as the cost falls."""
        level = self.level
        information = self.information / np.array([level.depth] * 3 + [1.0] * 5) ** 2
        left, seen, away = self.residual(T, light)
        if seen.sum() < FEWEST:
            return T, light
        noise = noise_of(left[seen], level.slopes)

        def cost(left: Image, seen: Mask, away: Array) -> float:
            q = np.where(seen, np.abs(left) / noise, 2.0)  # to leave the view is no gain
            inner = np.minimum(q, HUBER)
            return float((inner * (q - inner / 2)).sum()) + 0.5 * float(information @ away**2)

        here, damping, moved = cost(left, seen, away), 1e-3, True
        for _ in range(ITERATIONS):
            if moved:
                weights = seen * np.minimum(1, HUBER * noise / np.maximum(np.abs(left), 1e-9))
                JW = level.jacobian * (weights / noise**2)
                H = (JW @ level.jacobian.T).astype(np.float64) + np.diag(information)
                g = (JW @ left).astype(np.float64) + information * away
            x = np.linalg.solve(H + np.diag(damping * np.diag(H)), g)
            x[:6] /= max(1.0, *(_lengths(x[:6], level.depth) / LONGEST_STEP))
            new_T, new_light = T @ se3_exp(-x[:6]), light + x[6:]
            left, seen, away = self.residual(new_T, new_light)
            there = cost(left, seen, away)
            moved = there < here
            if not moved:
                damping *= 30
                continue
            gain, here, damping = here - there, there, damping / 5
            T, light = new_T, new_light
            if gain < ENOUGH * here:
                break
        return T, light

    def residual(self, T: Array, light: Array) -> tuple[Image, Mask, Array]:
        """(N,) what is left of the brightness, 0 where nothing is seen; (N,) whether it is; (8,)
        how far the motion and the light are from the guess, in the sense of the jacobian."""
        pixels, seen = project(self.level.points, T, self.camera, self.image.shape, self.hidden)
        gain, offset = light.astype(np.float32)
        left = gain * sample(self.image, pixels) + offset - self.level.values
        R = (moved := invert(self.start) @ T)[:3, :3]
        turn = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
        away = np.concatenate([moved[:3, 3], turn, [1 - light[0], -light[1]]])
        return np.where(seen, left, np.float32(0)), seen, away


def _lengths(twist: Array, depth: float) -> Array:
    """(2,) of a (6,) twist: translation as a share of the depth, rotation in radians."""
    return np.linalg.norm(twist.reshape(2, 3), axis=1) / [depth, 1.0]
