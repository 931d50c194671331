# SPDX-License-Identifier: Apache-2.0
"""Poses by alignment: cameras followed from image to image by the network's depth.

A small network knows the shape of a view better than the way between two. So each image is aligned
to an earlier one with its depth (`alignment`), which gives the pose; the network's own is taken
where that fails, and for the first frame. Depth is brought to that of what it is aligned to, in
scale and in shape, which motion refines, but its scale does not go far from the network's. Where a
camera comes back, it is aligned to what was seen there before (`places`). Of cameras whose mounts
on one body are known, one that is followed steadily carries the others (`track`). What is kept is
one image with depth for each camera, and for a limited number of places, whatever the length of the
stream. Poses and depths are in the network's units.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from zipmap_ros.geometry import Array, Camera, invert
from zipmap_ros.mapping.alignment import Picture, Reference
from zipmap_ros.mapping.correction import Correction
from zipmap_ros.mapping.focal import Focal
from zipmap_ros.mapping.level import PRIOR
from zipmap_ros.mapping.odometry import Lead
from zipmap_ros.mapping.pixels import Image, half, shrunk
from zipmap_ros.mapping.places import Places, references_state, restored_references
from zipmap_ros.mapping.prepare import View
from zipmap_ros.mapping.still import Still
from zipmap_ros.mapping.track import FOUND, SOUGHT_AFTER, Expected, Motion, Track
from zipmap_ros.model import ModelConfig, Prediction

WIDEST = 200  # pixels: larger images are halved before
NEAREST = np.float32(1e-12)  # depth above the zero of an underflow, whose square is a float32 too


def aligns(choice: str, config: ModelConfig) -> bool:
    """Whether a network's poses are aligned, by the parameter ``align_poses``: auto, on or off.

    With auto those of official checkpoints are not, whose poses are better than what alignment
    gives in the long run.
    """
    return choice == "on" or (choice == "auto" and not config.is_official)


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

    def with_places(self) -> Tracks:
        """Also where images led the cameras last: any may come back to it."""
        places = self.places
        for track in self.cameras.values():
            last = track.left or track
            if last.is_steady:
                places = places.with_place(last.reference)
        return replace(self, places=places)

    def left_alone(self) -> Tracks:
        """After frames that were not aligned."""
        return replace(self, cameras={name: t.left_alone() for name, t in self.cameras.items()})

    def remounted(self) -> Tracks:
        """Where mounts have other lengths in network units from now on."""
        return replace(self, cameras={n: replace(t, began=None) for n, t in self.cameras.items()})

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
        mounts: Mapping[str, Array] | None = None,
        measured: bool = True,
        lead: Lead | None = None,
    ) -> Aligned:
        """Align the frames of a chunk, one after the other.

        poses   the network's (4, 4) network_T_camera of each frame
        learns  whether what the cameras leave become places to come back to
        lost    the cameras that are looked for everywhere
        mounts  (4, 4) base_T_camera of those of which it is known, in network units
        measured  whether these are so long; else who is carried leaves no places: they would be off
        lead    the odometry of the body, if there is any
        The tracks that are returned are to be kept if the poses are believed.
        """
        assert prediction.depth is not None
        depth, intrinsics = prediction.depth.clone(), prediction.intrinsics.clone()
        confidence = None if prediction.confidence is None else prediction.confidence.clone()
        tracks, aligned = self, []
        motions: list[Motion] = []
        for i, (view, pose) in enumerate(zip(views, poses, strict=True)):
            K = intrinsics[0, i].double().cpu().numpy()
            frame = depth[0, i].float().cpu().numpy()
            source = view.frame.source
            carried = source in tracks.cameras and tracks.cameras[source].motion.carried
            knows = learns and (measured or not carried)
            tracks, camera = tracks.follow(
                view, frame, K, pose, knows, source in lost, mounts, lead
            )
            track = tracks.cameras[source]
            aligned.append(track.pose)
            motion = track.motion
            motions.append(replace(motion, measured=measured or not motion.carried))
            factor = torch.from_numpy(track.correction.factor(depth.shape[2:]))
            depth[0, i] *= factor.to(depth.device)
            hidden = track.still.hidden(depth.shape[2:])
            if confidence is not None and hidden is not None:
                confidence[0, i][torch.from_numpy(hidden).to(confidence.device)] = 1.0
            intrinsics[0, i] = torch.as_tensor(camera.matrix, dtype=intrinsics.dtype)
        prediction = replace(prediction, depth=depth, confidence=confidence, intrinsics=intrinsics)
        return Aligned(aligned, motions, prediction, tracks)

    def follow(
        self,
        view: View,
        depth: Image,
        K: Array,
        pose: Array,
        learns: bool = True,
        lost: bool = False,
        mounts: Mapping[str, Array] | None = None,
        lead: Lead | None = None,
    ) -> tuple[Tracks, Camera]:
        """The tracks after one more frame, and its camera: the known one, or a steady (3, 3) K.

        Of cameras with mounts the first that is steady carries the others.
        """
        source, stamp_ns, mounts = view.frame.source, view.frame.stamp_ns, mounts or {}
        before = self.cameras.get(source)
        # In pixels of images of one size: another says nothing of it.
        focal = before.focal if before is not None else Focal()
        if before and before.reference.picture.grey.shape != _picture_shape(depth.shape):
            focal = Focal()
        camera = view.camera
        if camera is None:
            focal = focal.said(K, view.aspect)
            camera = focal.camera(depth.shape[1], depth.shape[0], K)
        depth = np.maximum(depth, NEAREST)
        offset = before.offset if before is not None else None
        # Where the network's own motion leads.
        expected = (self.correction if offset is None else offset) @ pose
        scale = float(np.mean([t.correction.mean for t in self.cameras.values()] or [1.0]))
        picture, places = picture_of(view, depth, camera), self.places
        shape = picture.grey.shape
        still = before.still if before is not None else Still.unknown(shape)
        picture = replace(picture, hidden=still.hidden(shape))
        information = np.inf if view.camera is not None else focal.total_information
        if before is not None:
            there = _expected(before, expected, stamp_ns, mounts.get(source), lead)
            fit = before.laid_over(picture, information, there)
            still = still.told(before.reference, fit, picture)
            track, places = replace(before, focal=focal).followed(
                fit, picture, there, information, places, learns, lost
            )
        elif place := places.anywhere(picture, information):
            track = replace(Track.found(place, picture, focal), motion=Motion())
        else:
            led = self._lead(has_mount=source in mounts)
            constant = Correction.constant(scale)
            track = Track.started(picture, expected, constant, focal, known=led)
        last = before.stamps[1] if before is not None else stamp_ns
        track = replace(track, still=still, stamps=(last, stamp_ns))
        if before is not None and track.reference.picture is before.reference.picture:
            track = replace(track, began=before.began)
        cameras = {**self.cameras, source: track}
        jump = track.motion.jump
        if jump is not None and before is not None and before.known and before.left is None:
            others = {name: t for name, t in cameras.items() if name != source}
            cameras |= {name: other.moved(jump) for name, other in others.items()}
        leader = _leader(cameras, mounts, source, stamp_ns, anew=before is None)
        if leader != source:
            leader_T_self = invert(mounts[leader]) @ mounts[source]
            track = track.carried(cameras[leader], leader_T_self)
        carried_back = leader != source and before is not None and before.left is not None
        if carried_back or (before is not None and before.is_stale):  # from where nobody knows
            unknown = Motion.unaligned(FOUND, track.reference.typical_depth).covariance
            track = replace(track, motion=replace(track.motion, covariance=unknown))
        offset = track.pose @ invert(pose)
        cameras[source] = replace(track, offset=offset).remembered(before)
        frames = self.frames + 1
        log = self.log + (float(track.correction.log.mean()) - self.log) / frames
        return Tracks(cameras, offset, frames, log, places), camera

    def _lead(self, has_mount: bool) -> bool:
        """Whether the network's motion leads to a new camera from one that is known.

        One with a mount would carry all others: it waits for one that is steady.
        """
        known = [t.is_steady if has_mount else t.is_known for t in self.cameras.values()]
        return not self.places.references or any(known)

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
                "stamps": track.stamps,
                "offset": None if track.offset is None else track.offset.tolist(),
                "said": None if track.said is None else track.said.tolist(),
                "focal": asdict(track.focal),
            }
            arrays |= {
                f"{i}.log": track.correction.log,
                f"{i}.precision": track.correction.precision,
            }
            if track.still.odds is not None:
                arrays[f"{i}.still"] = track.still.odds
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
            before, last = track["stamps"]
            offset, said = track["offset"], track.get("said")
            cameras[source] = Track(
                references[i],
                pose,
                step,
                correction,
                focal,
                misses=SOUGHT_AFTER,  # where the camera is now nobody knows
                known=track["known"],
                stamps=(before, last),
                offset=None if offset is None else np.array(offset),
                still=Still(arrays.get(f"{i}.still")),
                said=None if said is None else np.array(said),
            )
        images = {
            k.removeprefix("places."): v for k, v in arrays.items() if k.startswith("places.")
        }
        places = Places(tuple(restored_references(small["places"], images)))
        return cls(cameras, np.array(small["correction"]), small["frames"], small["log"], places)


def _expected(
    track: Track, led: Array, stamp_ns: int, mount: Array | None, lead: Lead | None
) -> Expected:
    """Where a camera is next: where the network ``led`` (4, 4), or odometry if there is any.

    Odometry is the body's: it says nothing of a camera of which nobody knows how it sits there.
    Wheels slip: where no image fits there, it is looked for where it would be as it went.
    """
    guess, step, last_ns = track.guess(stamp_ns), None, track.stamps[1]
    # Where nothing has led here, as in a robot that booted anew, odometry may be another.
    may_lead = lead is not None and (not track.is_stale or lead.odometry.is_whole(last_ns))
    if lead is not None and mount is not None and may_lead:
        step = lead.step(mount, last_ns, stamp_ns, track.said)
    if lead is None or step is None:
        return Expected(((guess, PRIOR),), led)
    guesses = (lead.led(track.pose, guess, step), lead.prior(step)), (guess, PRIOR)
    # By a scale that is only likely, it would be its own proof.
    there = (lead if lead.sure else replace(lead, scale=None)).led(track.pose, led, step)
    return Expected(guesses, there, lead.sure, lead.odometry.about(stamp_ns))


def _leader(
    cameras: Mapping[str, Track],
    mounts: Mapping[str, Array],
    source: str,
    stamp_ns: int,
    anew: bool,
) -> str:
    """The camera that says where ``source`` is: the first that leads, or itself.

    One whose images come late leads none that was on its own meanwhile, but is led by it.
    """
    if source not in mounts:
        return source
    leaders = {n: t for n, t in cameras.items() if n in mounts and t.leads(stamp_ns, anew)}
    later = [n for n, t in leaders.items() if t.stamps[1] > stamp_ns and not t.motion.carried]
    return next(iter(later or leaders), source)


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the `picture_of` a frame with a depth of this shape."""
    while shape[1] > WIDEST:
        shape = shape[0] // 2, shape[1] // 2
    return shape


def picture_of(view: View, depth: Image, camera: Camera) -> Picture:
    """A frame, with its (h, w) depth and its camera, to align: of at most WIDEST pixels a row."""
    red, green, blue = view.pixels.numpy()
    grey, rgb = 0.299 * red + 0.587 * green + 0.114 * blue, view.rgb
    while grey.shape[1] > WIDEST:
        grey, depth = half(grey), np.exp(half(np.log(depth)))
        rgb = (half(rgb.astype(np.float32)) + np.float32(0.5)).astype(np.uint8)
        camera = shrunk(camera, grey)
    return Picture(grey, depth, camera, rgb)
