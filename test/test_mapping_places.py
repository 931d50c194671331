# SPDX-License-Identifier: Apache-2.0
"""Places that a camera sees again which was led astray since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_mapping_alignment import Walk, as_picture, follow, reference, seen

from zipmap_ros.geometry import invert, rotation_angle_deg, se3_exp
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.mapping import places as places_module
from zipmap_ros.mapping.alignment import Picture, Reference
from zipmap_ros.mapping.focal import Focal
from zipmap_ros.mapping.places import Places
from zipmap_ros.mapping.track import Track
from zipmap_ros.model import load_checkpoint, shipped_checkpoint
from zipmap_ros.sources import open_source
from zipmap_ros.synthetic import World

pytestmark = pytest.mark.filterwarnings("error")

NEAR = se3_exp([0.1, 0.02, 0.05, 0.02, 0.12, 0.02])  # how far it was led astray
FAR = se3_exp([2.0, 0.5, 1.0, 0.1, 0.9, 0.1])


@pytest.fixture(scope="module")
def back() -> Walk:
    """Two places, one that a camera comes from, where it is, and where it was just before."""
    world = World(1)
    start = world.trajectory(1).numpy()[0]
    ways = (
        [0, 0, 0, 0, 0, 0],
        [0.05, 0, 0.02, 0, 0.06, 0],
        [0.4, 0, 0, 0, 0.8, 0],
        [0.02, 0, 0, 0, 0.03, 0],
        [0, 0, 0, 0, -0.14, 0],
    )
    return seen(world, np.stack([start @ se3_exp(np.array(way)) for way in ways]))


@pytest.fixture
def places(back: Walk, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(places_module, "RECENT", 1)
    return Places(tuple(reference(back.grey[i], back.depth[i], back.poses[i]) for i in range(3)))


@pytest.fixture
def picture(back: Walk) -> Picture:
    return as_picture(back.grey[3], back.depth[3])


def off(pose: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Metres, degrees."""
    error = invert(true) @ pose
    return float(np.linalg.norm(error[:3, 3])), float(rotation_angle_deg(error[:3, :3]))


def is_found(places: Places, picture: Picture, guess: np.ndarray, true: np.ndarray) -> bool:
    fit = places.again(picture, guess, np.inf)
    if fit is None:
        return False
    distance, angle = off(fit.world_T_camera, true)
    assert distance < 0.02 and angle < 0.5
    return True


@pytest.mark.parametrize("astray", [NEAR, FAR], ids=["near", "far"])
def test_a_place_is_seen_again_wherever_the_camera_was_led(
    back: Walk, places: Places, picture: Picture, astray: np.ndarray
) -> None:
    assert is_found(places, picture, astray @ back.poses[3], back.poses[3])


def test_far_from_where_it_was_led_another_place_has_to_say_the_same(
    back: Walk, places: Places, picture: Picture
) -> None:
    """Rooms may look alike."""
    first, second, last = places.references
    alone = Places((first, last))
    assert is_found(alone, picture, NEAR @ back.poses[3], back.poses[3])
    assert not is_found(alone, picture, FAR @ back.poses[3], back.poses[3])
    elsewhere = replace(
        second, world_T_camera=second.world_T_camera @ se3_exp([0, 0, 0, 0, 0.12, 0])
    )
    doubted = Places((first, elsewhere, last))
    assert not is_found(doubted, picture, FAR @ back.poses[3], back.poses[3])


def test_where_a_camera_comes_from_it_is_not_seen_again(
    back: Walk, places: Places, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn before a bare wall would be none."""
    monkeypatch.setattr(places_module, "RECENT", 3)
    assert not is_found(places, picture, NEAR @ back.poses[3], back.poses[3])
    assert Places().again(picture, back.poses[3], np.inf) is None


@pytest.mark.parametrize(
    ("name", "value"), [("AGAIN", 1.0), ("SURE", (1e-4, 1.0)), ("LIKELY", 1.0)]
)
def test_what_may_be_another_place_is_not_seen_again(
    back: Walk,
    places: Places,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
) -> None:
    monkeypatch.setattr(places_module, name, value)
    assert not is_found(places, picture, NEAR @ back.poses[3], back.poses[3])


def test_of_places_side_by_side_one_is_tried(
    back: Walk, places: Places, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Reference] = []
    monkeypatch.setattr(places_module, "_shown", lambda place, *_: tried.append(place))
    several = Places((*places.references[:2], *places.references[:1] * 3, places.references[2]))
    assert several.again(picture, back.poses[3], np.inf) is None
    assert len(tried) == 2


@pytest.mark.parametrize("learns", [True, False])
def test_a_camera_that_went_astray_goes_on_from_the_place(
    back: Walk, places: Places, picture: Picture, learns: bool
) -> None:
    """What it saw astray stays there, but what it saw last."""
    before = reference(back.grey[4], back.depth[4], FAR @ back.poses[4])
    track = Track.started(before.picture, before.world_T_camera, before.correction, Focal())
    track = replace(track, pose=FAR @ back.poses[3])
    after, known = follow(track, picture, np.eye(4), np.inf, places, learns, False, 1)
    assert after.motion.jump is not None and after.is_steady
    distance, angle = off(after.pose, back.poses[3])
    assert distance < 0.02 and angle < 0.5
    distance, angle = off(after.motion.jump @ FAR, np.eye(4))
    assert distance < 0.05 and angle < 1
    assert len(known.references) == len(places.references) + learns


def test_a_walk_around_an_office_ends_where_it_began(test_data: Path) -> None:
    """The last images show what those about the twelfth do. It drifts by a sixth of its length."""
    mapper = StreamMapper(load_checkpoint(shipped_checkpoint()))
    video = open_source("video", str(test_data / "data/videos/office_loop.mp4"))
    estimates = [estimate for frame in video for estimate in mapper.add_frame(frame)]
    poses = np.array([estimate.map_T_camera for estimate in estimates])
    length = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum()
    distance, angle = off(poses[-1], poses[12])
    assert distance < 0.03 * length and angle < 10
    assert sum(e.jump is not None for e in estimates[:-10]) == 0
