# SPDX-License-Identifier: Apache-2.0
"""Poses by alignment: each camera followed from image to image by the network's depth.

A small network knows the shape of a view better than the way between two. So each image is aligned
to an earlier one with its depth (`alignment`), which gives the pose; the network's own is taken
where that fails, and for the first frame. Depth is brought to that of what it is aligned to, in
scale and in shape, which motion refines, but its scale does not go far from the network's. Where a
camera comes back, it is aligned to what was seen there before (`places`). What is kept is one image
with depth for each camera, and for a limited number of places, whatever the length of the stream.
Poses and depths are in the network's units.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from zipmap_ros.geometry import Array, Camera, invert, rigid, se3_exp, se3_log
from zipmap_ros.mapping.alignment import Fit, Picture, Reference
from zipmap_ros.mapping.correction import Correction
from zipmap_ros.mapping.focal import Focal
from zipmap_ros.mapping.pixels import Image, half, shrunk
from zipmap_ros.mapping.places import Places, references_state, restored_references
from zipmap_ros.mapping.prepare import View
from zipmap_ros.model import VARIANTS, ModelConfig, Prediction

WIDEST = 200  # pixels: larger images are halved before
DAMPING = 0.9  # of the last motion, taken as the guess of the next
SOUGHT_AFTER = 5  # images in a row that could not be aligned: the camera may be anywhere
# Standard deviations of a motion that nothing was aligned for (share of the depth, radians), by the
# network as measured, and where nothing led there, which says that nothing is known.
LED, FOUND = (0.1, 0.09), (1.0, 1.0)
NEAREST = np.float32(1e-12)  # depth above the zero of an underflow, whose square is a float32 too


def aligns(choice: str, config: ModelConfig) -> bool:
    """Whether a network's poses are aligned, by the parameter ``align_poses``: auto, on or off.

    With auto those of official checkpoints are not, whose poses are better than what alignment
    gives in the long run.
    """
    return choice == "on" or (choice == "auto" and config.variant not in VARIANTS)


@dataclass(frozen=True, eq=False)
class Motion:
    """How a camera came from its frame before to its last one.

    covariance  (6, 6) of the error of the way between, a twist in the later camera: that of the
                last pose against what it was aligned to; None where there is no frame before
    jump        (4, 4) what a place that was found again moved the pose by: without it the pose
                would be ``invert(jump) @ pose``; None where none was, or nothing led there
    """

    covariance: Array | None = None
    jump: Array | None = None

    @classmethod
    def unaligned(cls, deviations: tuple[float, float], depth: float) -> Motion:
        """Known by such standard deviations (share of the depth, radians) alone."""
        translation, rotation = deviations
        return cls(np.diag([(translation * depth) ** 2] * 3 + [rotation**2] * 3))


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
    """

    reference: Reference
    pose: Array
    step: Array
    correction: Correction
    focal: Focal
    motion: Motion = Motion()
    misses: int = 0
    known: bool = True

    @property
    def is_known(self) -> bool:
        """Whether it is known where the camera is: not where a session was just loaded either."""
        return self.known and not self.is_stale

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
        correction = place.correction_of(T, picture.depth, picture.camera)
        correction = correction or Correction.constant(place.correction.mean)
        focal, motion = focal.aligned(*fit.focal), Motion.unaligned(FOUND, place.typical_depth)
        return cls(place, fit.world_T_camera, np.zeros(6), correction, focal, motion)

    def followed(
        self,
        picture: Picture,
        expected: Array,
        known: float,
        places: Places,
        learns: bool,
        lost: bool,
    ) -> tuple[Track, Places]:
        """After one more frame: aligned, or ``expected`` (4, 4) where that fails; and the places.

        known   information about the logarithm of the focal length, inf if it is given
        learns  whether what is left becomes a place
        lost    whether it is looked for at all places, as after SOUGHT_AFTER misses
        """
        guess = self.pose @ se3_exp(DAMPING * self.step)
        fit = self.reference.align(picture.grey, picture.camera, guess, known)
        misses = self.misses + 1 if fit is None else 0
        sought = lost or not self.known or misses >= SOUGHT_AFTER
        place = None
        if fit is None or not fit.lasts:
            place = places.near(picture, fit.world_T_camera if fit else guess, known)
            if place is None and sought:
                place = places.anywhere(picture, known)
        if fit is None:
            if place is not None:
                return Track.found(place, picture, self.focal), places
            correction = Correction.constant(self.correction.mean)
            motion = Motion.unaligned(LED, self.reference.typical_depth)
            track = Track.started(
                picture, expected, correction, self.focal, motion, misses, not sought
            )
            return track, places
        pose, left, motion = fit.world_T_camera, fit.reference, Motion(fit.covariance)
        step = se3_log(invert(self.pose) @ pose)
        if place is not None:
            jump = rigid(place.world_T_camera @ invert(pose))
            motion = replace(motion, jump=jump)
            left = replace(left, world_T_camera=jump @ left.world_T_camera)
            fit = place
        is_known = self.known or place is not None
        if learns and is_known and not (fit.lasts and place is None):
            places = places.with_place(left)
        reference, T = fit.reference, fit.camera_T_reference
        correction = reference.correction_of(T, picture.depth, picture.camera) or self.correction
        if not fit.lasts:
            correction = correction.drawn_back()
            reference = Reference(picture, fit.world_T_camera, correction)
        focal = self.focal.aligned(*fit.focal)
        track = Track(reference, fit.world_T_camera, step, correction, focal, motion, 0, is_known)
        return track, places

    def left_alone(self) -> Track:
        """After a frame that was not aligned, and of which it knows nothing."""
        return replace(self, misses=SOUGHT_AFTER)

    def moved(self, jump: Array) -> Track:
        """In the world after another camera of the same body found a place again."""
        reference = replace(self.reference, world_T_camera=jump @ self.reference.world_T_camera)
        return replace(self, reference=reference, pose=jump @ self.pose)


@dataclass(frozen=True, eq=False)
class Aligned:
    """A chunk after alignment.

    poses       its (4, 4) network_T_camera
    motions     of each frame's camera to it
    prediction  with each frame's depth corrected by what it was aligned to, and steady intrinsics
                where the camera is not known
    tracks      those after it
    """

    poses: list[Array]
    motions: list[Motion]
    prediction: Prediction
    tracks: Tracks


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracks of all cameras, by name; never changed in place.

    correction  (4, 4) what moved the network's last pose to where it was aligned
    frames      that were aligned, of all cameras
    log         mean over them of the logarithm of the factor of their depth
    places      where the cameras were
    """

    cameras: Mapping[str, Track]
    correction: Array
    frames: int = 0
    log: float = 0.0
    places: Places = field(default_factory=Places)

    @classmethod
    def none(cls) -> Tracks:
        """Before the first frame."""
        return cls({}, np.eye(4))

    @property
    def scale(self) -> float:
        """By what a depth that the network remembers is multiplied to fit the map: each frame had
        a factor of its own, the network's state has seen them all."""
        return float(np.exp(self.log))

    def left_alone(self) -> Tracks:
        """After frames that were not aligned."""
        return replace(self, cameras={name: t.left_alone() for name, t in self.cameras.items()})

    def nearest(self, network_T_camera: Array) -> list[Reference]:
        """Images with depth from near a (4, 4) pose, nearest first; not of who is sought."""
        current = [track.reference for track in self.cameras.values() if track.known]
        return self.places.nearest(network_T_camera, current)

    def align(
        self,
        views: Sequence[View],
        prediction: Prediction,
        poses: Sequence[Array],
        learns: bool = True,
        lost: Collection[str] = (),
    ) -> Aligned:
        """Align the frames of a chunk, one after the other.

        poses   the network's (4, 4) network_T_camera of each frame
        learns  whether what the cameras leave become places to come back to
        lost    the cameras that are looked for everywhere
        The tracks that are returned are to be kept if the poses are believed.
        """
        assert prediction.depth is not None
        depth, intrinsics = prediction.depth.clone(), prediction.intrinsics.clone()
        tracks, aligned = self, []
        motions: list[Motion] = []
        for i, (view, pose) in enumerate(zip(views, poses, strict=True)):
            K = intrinsics[0, i].double().cpu().numpy()
            frame = depth[0, i].float().cpu().numpy()
            source = view.frame.source
            tracks, camera = tracks.follow(view, frame, K, pose, learns, source in lost)
            track = tracks.cameras[source]
            aligned.append(track.pose)
            motions.append(track.motion)
            factor = torch.from_numpy(track.correction.factor(depth.shape[2:]))
            depth[0, i] *= factor.to(depth.device)
            intrinsics[0, i] = torch.as_tensor(camera.matrix, dtype=intrinsics.dtype)
        prediction = replace(prediction, depth=depth, intrinsics=intrinsics)
        return Aligned(aligned, motions, prediction, tracks)

    def follow(
        self,
        view: View,
        depth: Image,
        K: Array,
        pose: Array,
        learns: bool = True,
        lost: bool = False,
    ) -> tuple[Tracks, Camera]:
        """The tracks after one more frame, and its camera: the known one, or a steady (3, 3) K."""
        source = view.frame.source
        before = self.cameras.get(source)
        focal = before.focal if before else Focal()
        camera = view.camera
        if camera is None:
            focal = focal.said(K)
            camera = focal.camera(depth.shape[1], depth.shape[0], K)
        depth = np.maximum(depth, NEAREST)
        expected = self.correction @ pose  # where the network's own motion leads
        scale = float(np.mean([t.correction.mean for t in self.cameras.values()] or [1.0]))
        picture, places = _picture(view, depth, camera), self.places
        information = np.inf if view.camera is not None else focal.total_information
        if before is not None:
            track, places = replace(before, focal=focal).followed(
                picture, expected, information, places, learns, lost
            )
            if before.is_stale:
                unknown = Motion.unaligned(FOUND, track.reference.typical_depth)
                track = replace(track, motion=replace(unknown, jump=track.motion.jump))
        elif place := places.anywhere(picture, information):
            track = replace(Track.found(place, picture, focal), motion=Motion())
        else:
            # The network's motion leads from a camera that is known to a new one.
            led = not places.references or any(t.is_known for t in self.cameras.values())
            constant = Correction.constant(scale)
            track = Track.started(picture, expected, constant, focal, known=led)
        cameras = {**self.cameras, source: track}
        if (jump := track.motion.jump) is not None:
            others = {name: t for name, t in cameras.items() if name != source}
            cameras |= {name: other.moved(jump) for name, other in others.items()}
        frames = self.frames + 1
        log = self.log + (float(track.correction.log.mean()) - self.log) / frames
        return Tracks(cameras, track.pose @ invert(pose), frames, log, places), camera

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All of it for a session: what is small, for JSON, and arrays by name."""
        references, arrays = references_state([t.reference for t in self.cameras.values()])
        places, images = references_state(self.places.references)
        arrays |= {f"places.{name}": array for name, array in images.items()}
        small: dict[str, Any] = {"correction": self.correction.tolist(), "cameras": {}}
        small |= {"frames": self.frames, "log": self.log, "places": places}
        for i, (source, track) in enumerate(self.cameras.items()):
            small["cameras"][source] = {
                "reference": references[i],
                "pose": track.pose.tolist(),
                "known": track.known,
                "step": track.step.tolist(),
                "focal": asdict(track.focal),
            }
            arrays |= {
                f"{i}.log": track.correction.log,
                f"{i}.precision": track.correction.precision,
            }
        return small, arrays

    @classmethod
    def restored(cls, small: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Tracks:
        """What ``state`` gave, the same to the bit. Raises KeyError for anything else."""
        saved = small["cameras"].values()
        references = restored_references([track["reference"] for track in saved], arrays)
        cameras = {}
        for i, (source, track) in enumerate(small["cameras"].items()):
            pose, step = np.array(track["pose"]), np.array(track["step"])
            correction = Correction(arrays[f"{i}.log"], arrays[f"{i}.precision"])
            focal = Focal(**track["focal"])
            # Where the camera is now nobody knows.
            cameras[source] = Track(
                references[i], pose, step, correction, focal, Motion(), SOUGHT_AFTER, track["known"]
            )
        images = {
            k.removeprefix("places."): v for k, v in arrays.items() if k.startswith("places.")
        }
        places = Places(tuple(restored_references(small["places"], images)))
        return cls(cameras, np.array(small["correction"]), small["frames"], small["log"], places)


def _picture(view: View, depth: Image, camera: Camera) -> Picture:
    """Of at most WIDEST pixels a row."""
    red, green, blue = view.pixels.numpy()
    grey, rgb = 0.299 * red + 0.587 * green + 0.114 * blue, view.rgb
    while grey.shape[1] > WIDEST:
        grey, depth = half(grey), np.exp(half(np.log(depth)))
        rgb = (half(rgb.astype(np.float32)) + np.float32(0.5)).astype(np.uint8)
        camera = shrunk(camera, grey)
    return Picture(grey, depth, camera, rgb)
