# SPDX-License-Identifier: Apache-2.0
"""One camera, followed from image to image, or carried by another of the same body."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from zipmap_ros.geometry import Array, adjoint, invert, rigid, se3_exp, se3_log
from zipmap_ros.mapping.alignment import BASELINE, Fit, Picture, Reference
from zipmap_ros.mapping.correction import Correction
from zipmap_ros.mapping.focal import Focal
from zipmap_ros.mapping.places import Places
from zipmap_ros.mapping.still import Still
from zipmap_ros.mapping.window import LONGEST, refined

DAMPING = 0.9  # of the last motion, taken as the guess of the next: it fades where no images come
MOST_STEPS = 2.0  # that such a guess is ahead: stamps jitter
SOUGHT_AFTER = 5  # images in a row that could not be aligned: the camera may be anywhere
# Standard deviations of a motion that nothing was aligned for (share of the depth, radians), by the
# network as measured, and where nothing led there, which says that nothing is known.
LED, FOUND = (0.1, 0.09), (1.0, 1.0)
# How far two cameras of one body went tells how their scales differ: which share of that an image
# mends, and of which ratio at most (its logarithm).
TIED, FASTEST = 0.2, 0.5
# After so many aligned images behind one that was not, none of them of a known place, the camera is
# taken to be where it was led, and to see what is new.
NEW_AFTER = 20
# A camera says where the body is for so many of its last intervals after its last image, and for so
# long at most: then it has stopped. Where the body was it knows for as long.
AHEAD, AHEAD_NS = 2, 1_000_000_000


@dataclass(frozen=True, eq=False)
class Motion:
    """How a camera came from its frame before to its last one.

    covariance  (6, 6) of the error of the way between, a twist in the later camera: that of the
                last pose against what it was aligned to; None where there is no frame before
    jump        (4, 4) what a place that was found again moved the pose by: without it the pose
                would be ``invert(jump) @ pose``; None where none was, or nothing led there
    carried     whether another camera of the body, by the mounts, or odometry said where the last
                frame was
    measured    whether the lengths of these mounts were known in network units, or none was asked;
                else the pose belongs to this moment, and what is kept must do without it
    """

    covariance: Array | None = None
    jump: Array | None = None
    carried: bool = False
    measured: bool = True

    @classmethod
    def unaligned(cls, deviations: tuple[float, float], depth: float) -> Motion:
        """Known by such standard deviations (share of the depth, radians) alone."""
        translation, rotation = deviations
        return cls(np.diag([(translation * depth) ** 2] * 3 + [rotation**2] * 3))


@dataclass(frozen=True, eq=False)
class Expected:
    """Where the next image of a camera is, before anybody has looked at it.

    guesses  (4, 4) to begin the alignment with, one after the other, and the prior around each
    led      (4, 4) where it is if that fails
    carried  whether odometry says so, which knows the lengths of its ways
    said     (4, 4) odom_T_base by which it does; None: it does not
    """

    guesses: tuple[tuple[Array, Array], ...]
    led: Array
    carried: bool = False
    said: Array | None = None


@dataclass(frozen=True, eq=False)
class Track:
    """What is known of one camera after a frame.

    reference   what the next image is aligned to
    pose        (4, 4) network_T_camera of the last frame
    step        (6,) twist from the frame before to it; 0 where it was not aligned
    correction  of the last frame's depth
    focal       its focal lengths, where they are not known
    motion      to the last frame
    misses      images in a row that were aligned to nothing
    known       whether it was followed from where the map began, or a place was found since; else
                nobody knows where the camera is, and it is sought at all places
    left        it before the first image that was aligned to nothing: since then the network led
                alone, or somebody carried the camera elsewhere. None once it was found again
    since       images that were aligned since then
    stamps      of the last two frames, ns
    began       (4, 4) where the reference was seen from, as the camera that carries this one moved
                since; None while none does
    offset      (4, 4) what moved the network's pose of the last frame to ``pose``; None where that
                was not aligned
    past        stamps and (4, 4) poses of its last frames, up to AHEAD_NS old: images of others may
                come later than its own. Images led all the way
    still       what stands still in its images
    window      the references before, that are refined with the next; none where others say where
                the camera is
    said        (4, 4) odom_T_base that led to ``pose``; None where that did not
    """

    reference: Reference
    pose: Array
    step: Array
    correction: Correction
    focal: Focal
    motion: Motion = Motion()
    misses: int = 0
    known: bool = True
    left: Track | None = None
    since: int = 0
    stamps: tuple[int, int] = (0, 0)
    began: Array | None = None
    offset: Array | None = None
    past: tuple[tuple[int, Array], ...] = ()
    still: Still = field(default_factory=Still)
    window: tuple[Reference, ...] = ()
    said: Array | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is known where the camera is: not where a session was just loaded either."""
        return self.known and not self.is_stale

    @property
    def is_steady(self) -> bool:
        """Whether images led all the way to its pose."""
        return self.known and not self.misses and self.left is None

    @property
    def is_stale(self) -> bool:
        """Whether its pose may be of long ago, and no motion leads from there."""
        return self.misses >= SOUGHT_AFTER

    @classmethod
    def started(
        cls,
        picture: Picture,
        pose: Array,
        correction: Correction,
        focal: Focal,
        motion: Motion = Motion(),
        misses: int = 0,
        known: bool = True,
    ) -> Track:
        """By an image that is aligned to nothing."""
        reference = Reference(picture, pose, correction)
        return cls(reference, pose, np.zeros(6), correction, focal, motion, misses, known)

    @classmethod
    def found(cls, fit: Fit, picture: Picture, focal: Focal) -> Track:
        """By an image that was laid over a place, without having been led there."""
        place, T = fit.reference, fit.camera_T_reference
        correction = place.correction_of(T, picture.depth, picture.camera, picture.hidden)
        correction = correction or Correction.constant(place.correction.mean)
        focal, motion = focal.aligned(*fit.focal), Motion.unaligned(FOUND, place.typical_depth)
        return cls(place, fit.world_T_camera, np.zeros(6), correction, focal, motion)

    def laid_over(self, picture: Picture, known: float, expected: Expected) -> Fit | None:
        """Its next image, laid over its reference; None where that fails. As in ``followed``."""
        grey, camera, hidden = picture.grey, picture.camera, picture.hidden
        fits = (
            self.reference.align(grey, camera, guess, known, hidden, prior)
            for guess, prior in expected.guesses
        )
        fit = next((fit for fit in fits if fit is not None), None)
        if expected.said is not None:
            return fit
        guess = expected.guesses[-1][0]
        return self.reference.align_turned(fit, grey, camera, guess, known, hidden)

    def followed(
        self,
        fit: Fit | None,
        picture: Picture,
        expected: Expected,
        known: float,
        places: Places,
        learns: bool,
        lost: bool,
    ) -> tuple[Track, Places]:
        """After one more frame: aligned, or led where that fails; and the places.

        fit     its image, ``laid_over`` its reference
        known   information about the logarithm of the focal length, inf if it is given
        learns  whether what is left becomes a place
        lost    whether it is looked for at all places, as after SOUGHT_AFTER misses
        """
        loaded = self.known and self.is_stale  # or left alone for a while
        every = Places((self.reference, *places.references)) if loaded else places
        if loaded and fit and not (fit.lasts and every.alike(picture)[0] is self.reference):
            fit = None  # where it was last is a place like all others
        misses = self.misses + 1 if fit is None else 0
        sure = expected.carried and not self.is_stale  # since when it may be another odometry
        if sure:  # it is not anywhere, nor after a few images without odometry
            misses = min(misses, 1)
        sought = lost or not self.known or misses >= SOUGHT_AFTER
        place = None
        if fit is None or not fit.lasts or (self.left is not None and self.misses):
            place = self._back(picture, known)
            if not loaded:
                near = fit.world_T_camera if fit else expected.guesses[0][0]
                place = place or places.near(picture, near, known)
            if place is None and (sought or self.left is not None):
                place = every.anywhere(picture, known, fit.alike if fit else 0.0)
            if place is None and fit is not None and self.is_steady:
                place = places.again(picture, fit.world_T_camera, known)
        if fit is None:
            if place is not None:
                return Track.found(place, picture, self.focal), places
            is_known = not sought or (sure and self.known)
            return self._led(picture, expected, misses, is_known), places
        pose, left, motion = fit.world_T_camera, fit.reference, Motion(fit.covariance)
        step = se3_log(invert(self.pose) @ pose)
        if place is not None:
            jump = rigid(place.world_T_camera @ invert(pose))
            motion = replace(motion, jump=jump)
            left = replace(left, world_T_camera=jump @ left.world_T_camera)
            fit = place
        # Where there are no places to come back to, the map begins with what the camera leaves now.
        begins = learns and not (fit.lasts or places.references)
        is_known = self.known or place is not None or begins
        found = place is not None or begins or self.since >= NEW_AFTER
        astray = None if found else self.left
        if learns and is_known and astray is None and not (fit.lasts and place is None):
            places = places.with_place(left)
        reference, T = fit.reference, fit.camera_T_reference
        mended = reference.correction_of(T, picture.depth, picture.camera, picture.hidden)
        correction = mended or self.correction
        pose, references = fit.world_T_camera, (*(self.window if place is None else ()), reference)
        if not fit.lasts:
            new = Reference(picture, pose, correction.drawn_back())
            references = refined((*references, new))
            pose, correction = references[-1].world_T_camera, references[-1].correction
        *window, reference = references[1 - LONGEST :]
        focal = self.focal.aligned(*fit.focal)
        track = Track(reference, pose, step, correction, focal, motion, 0, is_known, astray)
        since = 0 if astray is None else self.since + 1
        return replace(track, since=since, window=tuple(window)), places

    def _led(self, picture: Picture, expected: Expected, misses: int, known: bool) -> Track:
        """After a frame that was aligned to nothing; ``known`` whether it is known where it is."""
        correction = Correction.constant(self.correction.mean)
        motion = Motion.unaligned(LED, self.reference.typical_depth)
        motion = replace(motion, carried=expected.carried)
        track = Track.started(picture, expected.led, correction, self.focal, motion, misses, known)
        left = self.left or (self if self.is_known else None)
        return replace(track, left=left, said=expected.said)

    def guess(self, stamp_ns: int) -> Array:
        """(4, 4) where it is at a later stamp, if it goes on as it went."""
        before, last = self.stamps
        intervals = (stamp_ns - last) / (last - before) if stamp_ns > last > before else 1.0
        return self.pose @ se3_exp(min(intervals * DAMPING**intervals, MOST_STEPS) * self.step)

    def _back(self, picture: Picture, known: float) -> Fit | None:
        """Lay an image over what was seen before those that were aligned to nothing."""
        if self.left is None:
            return None
        left = self.left
        fit = left.reference.align(picture.grey, picture.camera, left.pose, known, picture.hidden)
        return fit if fit is not None and fit.lasts else None

    def left_alone(self) -> Track:
        """After a frame that was not aligned, and of which it knows nothing."""
        return replace(self, misses=SOUGHT_AFTER, offset=None)

    def moved(self, jump: Array) -> Track:
        """In the world after another camera of the same body found a place again."""
        references = (self.reference, *self.window)
        reference, *window = (
            replace(each, world_T_camera=jump @ each.world_T_camera) for each in references
        )
        began, offset = (None if T is None else jump @ T for T in (self.began, self.offset))
        left = None if self.left is None else self.left.moved(jump)
        pose, past = jump @ self.pose, tuple((ns, jump @ T) for ns, T in self.past)
        moved = replace(self, reference=reference, pose=pose, began=began, offset=offset)
        return replace(moved, left=left, past=past, window=tuple(window))

    def remembered(self, before: Track | None) -> Track:
        """With its past, as far as images led from there; ``before`` its last frame."""
        past: tuple[tuple[int, Array], ...] = ()
        stamp_ns, jump = self.stamps[1], self.motion.jump
        if before is not None and before.is_steady and (self.motion.carried or self.step.any()):
            kept = [(ns, T) for ns, T in before.past if stamp_ns - AHEAD_NS <= ns < stamp_ns]
            past = tuple((ns, T if jump is None else jump @ T) for ns, T in kept)
        return replace(self, past=(*past, (stamp_ns, self.pose)) if self.is_steady else ())

    def leads(self, stamp_ns: int, anew: bool) -> bool:
        """Whether it says where the body was at a stamp.

        anew  for a camera's first image, which has nothing better than where it was about then
        """
        before, last = self.stamps
        reach = AHEAD_NS if anew else min(AHEAD * (last - before), AHEAD_NS)
        since = min([last - reach, *(ns for ns, _ in self.past)])
        return self.is_steady and since <= stamp_ns <= last + reach

    def at(self, stamp_ns: int) -> Array:
        """(4, 4) its pose at a stamp of its past, or near its last, as it moved."""
        for (ns, T), (next_ns, next_T) in pairwise(self.past):
            if ns <= stamp_ns < next_ns:
                share = (stamp_ns - ns) / (next_ns - ns)
                return T @ se3_exp(share * se3_log(invert(T) @ next_T))
        before, last = self.stamps
        share = np.clip((stamp_ns - last) / max(last - before, 1), -AHEAD, AHEAD)
        return self.pose @ se3_exp(share * self.step)

    def carried(self, leader: Track, leader_T_self: Array) -> Track:
        """Where a camera that is steady says, both of one body: only depth is its own.

        Its scale becomes the leader's, by how far each says that they are from the reference.
        """
        pose = rigid(leader.at(self.stamps[1]) @ leader_T_self)
        reference, correction = self.reference, self.correction
        self_T_reference = invert(self.pose) @ reference.world_T_camera
        there = rigid(pose @ self_T_reference)
        seen = float(np.linalg.norm(self_T_reference[:3, 3]))
        began = there if self.began is None or seen == 0 else self.began
        went = float(np.linalg.norm((invert(pose) @ began)[:3, 3]))
        if min(seen, went) > BASELINE * reference.typical_depth:
            factor = np.exp(TIED * np.clip(np.log(went / seen), -FASTEST, FASTEST))
            correction = correction.times(factor)
            reference = replace(reference, correction=reference.correction.times(factor))
        motion = replace(self.motion, carried=True)
        if leader.motion.covariance is not None:
            across = adjoint(invert(leader_T_self))
            motion = replace(motion, covariance=across @ leader.motion.covariance @ across.T)
        return replace(
            self,
            reference=replace(reference, world_T_camera=there),
            pose=pose,
            correction=correction,
            motion=motion,
            misses=min(self.misses, SOUGHT_AFTER - 1),
            known=True,
            left=None,
            began=began,
            window=(),
            said=None,
        )
