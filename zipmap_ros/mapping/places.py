# SPDX-License-Identifier: Apache-2.0
"""Places: what images were aligned to before, taken up again where a camera comes back.

A chain of references drifts, and what a turn in front of a bare wall has spoilt stays so. Where a
camera sees again what it saw before, its image is laid over the reference of then, which has the
pose and the depth of then: however many rounds a camera goes, it drifts by what it saw for the
first time. So do the keyframes of visual SLAM (Klein and Murray, PTAM, ISMAR 2007), but that those
on the way stay where they are. At most MOST are kept, the first ones: memory is constant. A camera
of which nothing is known, or that was led elsewhere meanwhile, is laid over the places that look
most like its image when blurred (Klein and Murray, Improving the Agility of Keyframe-Based SLAM,
ECCV 2008). Queried views are drawn from those that are nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from zipmap_ros.geometry import Array, Camera
from zipmap_ros.mapping.alignment import Fit, Picture, Reference
from zipmap_ros.mapping.correction import Correction
from zipmap_ros.mapping.keyframes import motion

MOST = 200
# A place is near where the camera was a smaller share of its depth away, and turned by less
# (degrees). So many of the nearest are tried.
NEAR_SHARE, NEAR_DEG = 0.25, 15.0
TRIED = 2
# Correlation from which an image from anywhere shows a place: of other places few have as much.
SURELY = 0.8
# A camera that was led astray sees a place again where its image is so much alike, and tells where
# it was seen from, which bare walls do not (standard deviations: share of the depth, degrees). So
# many of the places that look most like it are tried, none BESIDE another; not the RECENT ones.
AGAIN, SURE = 0.85, (0.03, 1.0)
LOOKS, BESIDE, RECENT = 3, 3, 10
LIKELY = 0.7  # correlation of blurred images
BETTER = 0.05  # by which correlation it is more alike there than from where it was led
AGREED = 0.1, 4.0  # how far (as SURE) another place may say that the camera is from there
SHOWN = 4  # that tell what an unseen view looks like
APART = 0.3  # of what is near: a place closer to another tells nothing new


@dataclass(frozen=True, eq=False)
class Places:
    """References that are not followed any more, in network units; never changed in place."""

    references: tuple[Reference, ...] = ()

    def with_place(self, left: Reference) -> Places:
        """Also the one that a camera has just left, unless one like it is there or there are MOST,
        or nothing can be aligned to it."""
        distances = self._distances(left.world_T_camera, left.picture)
        if len(self.references) >= MOST or (distances < APART).any() or not left.is_textured:
            return self
        return Places((*self.references, _bare(left)))

    def near(self, picture: Picture, guess: Array, focal_information: float) -> Fit | None:
        """Lay an image over a place near ``guess`` (4, 4) world_T_camera that can be followed."""
        distances = self._distances(guess, picture)
        for i in np.argsort(distances)[:TRIED]:
            place = self.references[i]
            if distances[i] < 1 and (fit := _fit(place, picture, guess, focal_information)):
                return fit
        return None

    def again(self, picture: Picture, guess: Array, focal_information: float) -> Fit | None:
        """Lay an image over a place that it shows, wherever its camera was led since.

        guess  (4, 4) where that is: from near the place `near` may have found a wrong way there,
               far from it another place has to say the same
        """
        old = self.references[:-RECENT]
        likeness, near = _likeness(old, picture), self._distances(guess, picture) < 1
        for _ in range(LOOKS if old else 0):
            i = int(likeness.argmax())
            if likeness[i] < LIKELY:
                break
            fit = _shown(old[i], picture, guess, focal_information)
            if fit is not None and (near[i] or self._agrees(i, fit, picture, focal_information)):
                return fit
            likeness[max(i - BESIDE, 0) : i + BESIDE + 1] = -1
        return None

    def _agrees(self, i: int, fit: Fit, picture: Picture, focal_information: float) -> bool:
        """Whether another place says the same as the i-th of where an image was seen from."""
        grey, camera, hidden = picture.grey, picture.camera, picture.hidden
        pose = fit.world_T_camera
        distances = self._distances(pose, picture)
        distances[i] = np.inf
        for j in np.argsort(distances)[:TRIED]:
            place = _bare(self.references[j])
            other = place.align(grey, camera, pose, focal_information, hidden)
            if distances[j] < 1 and other is not None and other.alike >= SURELY:
                distance, angle = motion(other.world_T_camera, pose)
                if distance < AGREED[0] * place.typical_depth and angle < AGREED[1]:
                    return True
        return False

    def nearest(self, world_T_camera: Array, others: Sequence[Reference] = ()) -> list[Reference]:
        """The SHOWN that are nearest to a (4, 4) pose, of these and of others; nearest first."""
        every = [*self.references, *others]
        order = np.argsort(_distances(every, world_T_camera))
        return [every[i] for i in order[:SHOWN]]

    def anywhere(
        self, picture: Picture, focal_information: float, alike: float = 0.0
    ) -> Fit | None:
        """Lay an image over one of the places that look most like it, where it is as ``alike``."""
        for place in self.alike(picture):
            fit = _seen(place, picture, focal_information)
            if fit is not None and fit.alike >= max(alike, SURELY):
                return fit
        return None

    def alike(self, picture: Picture) -> list[Reference]:
        """The TRIED that look most like an image, of those that are as alike the first first."""
        likeness = _likeness(self.references, picture)
        return [self.references[i] for i in np.argsort(-likeness, kind="stable")[:TRIED]]

    def _distances(self, world_T_camera: Array, picture: Picture) -> Array:
        """(N,) of the places, below 1 for those that are near; inf for images of other sizes."""
        far = [place.picture.grey.shape != picture.grey.shape for place in self.references]
        return np.where(far, np.inf, _distances(self.references, world_T_camera))


def _seen(place: Reference, picture: Picture, focal_information: float) -> Fit | None:
    """An image laid over a place about where that was seen from, turned as it may be."""
    place, guess = _bare(place), place.world_T_camera
    grey, camera, hidden = picture.grey, picture.camera, picture.hidden
    fit = place.align(grey, camera, guess, focal_information, hidden)
    return place.align_turned(fit, grey, camera, guess, focal_information, hidden)


def _fit(place: Reference, picture: Picture, guess: Array, focal_information: float) -> Fit | None:
    fit = _bare(place).align(picture.grey, picture.camera, guess, focal_information, picture.hidden)
    return fit if fit is not None and fit.lasts else None


def _distances(references: Sequence[Reference], world_T_camera: Array) -> Array:
    """(N,) to a (4, 4) pose, by their depth; below 1 for those that are near."""
    poses = np.reshape([reference.world_T_camera for reference in references], (-1, 4, 4))
    depths = np.array([reference.typical_depth for reference in references])
    distance, angle = motion(poses, world_T_camera)
    return np.maximum(distance / (NEAR_SHARE * depths), angle / NEAR_DEG)


def _likeness(references: Sequence[Reference], picture: Picture) -> Array:
    """(N,) correlations of blurred images with that of another, -1 for those of other sizes."""
    blurred = picture.blurred
    others = (reference.picture.blurred for reference in references)
    return np.array([each @ blurred if each.shape == blurred.shape else -1 for each in others])


def _shown(
    place: Reference, picture: Picture, guess: Array, focal_information: float
) -> Fit | None:
    """An image laid over a place about where that was seen from, if there is no doubt.

    guess  (4, 4) world_T_camera where the camera was led
    """
    fit = _fit(place, picture, place.world_T_camera, focal_information)
    if fit is None or fit.alike < AGAIN:
        return None
    share, degrees = SURE
    most = np.repeat([share * place.typical_depth, np.deg2rad(degrees)], 3)
    if (np.diag(fit.covariance) > most**2).any():
        return None
    grey, camera, hidden = picture.grey, picture.camera, picture.hidden
    led = _bare(place).align(grey, camera, guess, focal_information, hidden)
    if led is not None and led.alike + BETTER > fit.alike:
        return None  # the camera is where it was led
    return _fit(place, picture, fit.world_T_camera, focal_information)  # which was only to begin


def _bare(reference: Reference) -> Reference:
    """Without what was computed from it, which is larger than all the rest."""
    return replace(reference, picture=replace(reference.picture))


def references_state(
    references: Sequence[Reference],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """References for a session: what is small, for JSON, and arrays by name."""
    small: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for i, reference in enumerate(references):
        small.append(
            {
                "camera": asdict(reference.picture.camera),
                "pose": reference.world_T_camera.tolist(),
                "baseline": reference.baseline,
            }
        )
        arrays |= {
            f"{i}.grey": reference.picture.grey,
            f"{i}.depth": reference.picture.depth,
            f"{i}.rgb": reference.picture.rgb,
            f"{i}.reference_log": reference.correction.log,
            f"{i}.reference_precision": reference.correction.precision,
        }
    return small, arrays


def restored_references(
    small: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], prefix: str = ""
) -> list[Reference]:
    """What ``references_state`` gave, the same to the bit. Raises KeyError for anything else.

    ``prefix`` stands before the names of the arrays.
    """
    return [
        Reference(
            Picture(
                arrays[f"{prefix}{i}.grey"],
                arrays[f"{prefix}{i}.depth"],
                Camera(**{**saved["camera"], "distortion": ()}),
                arrays[f"{prefix}{i}.rgb"],
            ),
            np.array(saved["pose"]),
            Correction(
                arrays[f"{prefix}{i}.reference_log"], arrays[f"{prefix}{i}.reference_precision"]
            ),
            saved["baseline"],
        )
        for i, saved in enumerate(small)
    ]
