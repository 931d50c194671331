# SPDX-License-Identifier: Apache-2.0
"""Turns that are more than alignment finds by itself: images were dropped, or stamps are rough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_world import blobs
from test_mapping_alignment import (
    CAMERA,
    SeenWorld,
    Walk,
    as_picture,
    errors,
    make,
    missed,
    noisy,
    run,
    seen,
)

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, invert, rotation_angle_deg, se3_exp
from zipmap_ros.mapping.alignment import MORE, SURE, TURNED, Fit, Reference
from zipmap_ros.mapping.focal import Focal
from zipmap_ros.mapping.level import PRIOR
from zipmap_ros.mapping.places import SURELY, Places
from zipmap_ros.mapping.track import Expected, Track
from zipmap_ros.mapping.turning import SEEN, STEP_DEG, _correlations
from zipmap_ros.synthetic import World

pytestmark = pytest.mark.filterwarnings("error")

TURNS_DEG = [(0, 17), (0, -19), (9, 1), (-8, -11)]  # up, aside
STEP_NS = 100_000_000


def turn(up: float, aside: float) -> np.ndarray:
    return se3_exp([0.02, 0, 0.03, *np.deg2rad([up, aside, 1])])


@pytest.fixture(scope="module")
def kitchen() -> World:
    return World(1)


@pytest.fixture(scope="module")
def start(kitchen: World) -> np.ndarray:
    return kitchen.trajectory(1).numpy()[0]


@pytest.fixture(scope="module")
def moved(kitchen: World, start: np.ndarray) -> Walk:
    """The first image, and one after each of TURNS_DEG."""
    return seen(kitchen, np.stack([start, *(start @ turn(*each) for each in TURNS_DEG)]))


@pytest.fixture(scope="module")
def dropped(kitchen: World, start: np.ndarray) -> Walk:
    """A camera stands, and turns: 16 degrees at once, where images were dropped; then slowly on."""
    asides = np.cumsum([0, 0, 16, 2, 2, -16, 0, 0])
    return seen(kitchen, np.stack([start @ turn(0, aside) for aside in asides]))


@pytest.mark.parametrize("i", range(1, 1 + len(TURNS_DEG)))
def test_a_turn_is_found_to_where_alignment_finds_the_rest(moved: Walk, i: int) -> None:
    reference = moved.reference()
    guess = reference.turned(moved.grey[i], CAMERA, moved.poses[0])
    assert guess is not None
    assert rotation_angle_deg((invert(guess) @ moved.poses[i])[:3, :3]) < STEP_DEG
    fit = reference.align(moved.grey[i], CAMERA, guess)
    assert fit is not None and fit.alike > 0.9
    distance, angle = missed(fit, moved, i)
    assert distance < 0.02 and angle < 0.5


def test_a_camera_turns_from_where_it_is_guessed(kitchen: World, start: np.ndarray) -> None:
    """Not from where the reference was: it was rolled meanwhile."""
    guess = start @ se3_exp([0, 0, 0, 0, 0, np.deg2rad(25)])
    poses = np.stack([start, guess @ turn(0, 17)])
    walk = seen(kitchen, poses)
    found = walk.reference().turned(walk.grey[1], CAMERA, guess)
    assert found is not None
    assert rotation_angle_deg((invert(found) @ poses[1])[:3, :3]) < STEP_DEG


def test_likeness_is_the_correlation_of_what_is_seen() -> None:
    rng = np.random.default_rng(0)
    found, values = (rng.random(shape, dtype=np.float32) for shape in ((4, 50), 50))
    shares = np.array([1.0, 0.7, SEEN + 0.02, SEEN])
    seen = np.arange(50) < 50 * shares[:, None]
    whole = [np.corrcoef(found[i, row], values[row])[0, 1] for i, row in enumerate(seen[:3])]
    likeness = _correlations(found, values, seen)
    np.testing.assert_allclose(likeness, [*whole, -1], atol=1e-6)


def test_nothing_is_gained_where_the_camera_has_not_turned(moved: Walk) -> None:
    assert moved.reference().turned(moved.grey[0], CAMERA, moved.poses[0]) is None


def test_nothing_is_gained_where_nothing_is_seen(moved: Walk) -> None:
    """Neither by an image of one brightness, nor of another size, nor by a bare reference."""
    reference, grey = moved.reference(), moved.grey[1]
    assert reference.turned(np.full_like(grey, 0.5), CAMERA, moved.poses[0]) is None
    assert reference.turned(grey[::2, ::2].copy(), CAMERA, moved.poses[0]) is None
    bare = replace(reference, picture=as_picture(np.full_like(grey, 0.5), moved.depth[0]))
    assert bare.turned(grey, CAMERA, moved.poses[0]) is None


def test_what_is_hidden_tells_no_turn(moved: Walk) -> None:
    """The robot's own body is in both images, where it was."""
    hidden = np.zeros(moved.grey[0].shape, bool)
    hidden[:, :70] = True
    body = np.kron(np.random.default_rng(0).random((14, 20)), np.ones((8, 7))).astype(np.float32)
    first, later = (np.where(hidden, body, moved.grey[i]) for i in (0, 1))
    reference = replace(moved.reference(), picture=as_picture(first, moved.depth[0]))
    guess = reference.turned(later, CAMERA, moved.poses[0], hidden)
    assert guess is not None
    assert rotation_angle_deg((invert(guess) @ moved.poses[1])[:3, :3]) < STEP_DEG
    assert reference.turned(later, CAMERA, moved.poses[0]) is None


def test_a_camera_is_followed_past_images_that_were_dropped(dropped: Walk, monkeypatch) -> None:
    mapper = make(SeenWorld(dropped, noisy(dropped.poses)))
    off = errors(run(mapper, dropped), dropped.poses)
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5
    monkeypatch.setattr(Reference, "turned", lambda *arguments: None)
    off = errors(run(make(SeenWorld(dropped, noisy(dropped.poses))), dropped), dropped.poses)
    assert off[:, 1].max() > 1


def test_a_turn_is_looked_for_where_the_camera_would_be_by_now(kitchen, start) -> None:
    """It turned by 9 degrees an image, and is seen again 33 degrees on."""
    poses = np.stack([start @ turn(0, aside) for aside in (0, 3, 8, 14, 22, 31, 64)])
    walk = seen(kitchen, poses)
    off = errors(run(make(SeenWorld(walk, noisy(poses))), walk), poses)
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5


def test_a_camera_that_turns_is_followed_by_rough_stamps(kitchen: World, start: np.ndarray) -> None:
    """Of images that come too late, which are stamped as they come, the next is next to them."""
    poses = np.stack([start @ turn(0, 5.0 * i) for i in range(-5, 6)])
    walk = seen(kitchen, poses)
    mapper, estimates = make(SeenWorld(walk, noisy(poses))), []
    for i, rgb in enumerate(walk.rgb):
        stamp_ns = i * STEP_NS + (95_000_000 if i % 3 == 1 else 0)
        estimates += mapper.add_frame(Frame(stamp_ns, rgb, camera=CAMERA))
    off = errors(estimates, poses)
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5


@pytest.mark.parametrize("i", range(1, 1 + len(TURNS_DEG)))
def test_a_camera_that_looks_elsewhere_is_found_where_nobody_knew(moved: Walk, i: int) -> None:
    """It may look so far aside that it does not follow the place."""
    places = Places().with_place(moved.reference())
    fit = places.anywhere(as_picture(moved.grey[i], moved.depth[i]), np.inf)
    assert fit is not None and not fit.lasts
    distance, angle = missed(fit, moved, i)
    assert distance < 0.02 and angle < 0.5


def test_what_shows_a_place_is_much_like_it(moved: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other rooms some images are aligned too, by what is alike in all of them."""
    reference = moved.reference()
    fit = reference.align(moved.grey[0], CAMERA, moved.poses[0])
    places, picture = Places().with_place(reference), as_picture(moved.grey[0], moved.depth[0])
    monkeypatch.setattr(Reference, "turned", lambda *arguments: None)
    for alike, found in ((SURELY, True), (SURELY - 0.01, False)):
        as_much = replace(fit, alike=alike)
        monkeypatch.setattr(Reference, "align", lambda *arguments, fit=as_much: fit)
        assert (places.anywhere(picture, np.inf) is not None) == found
        assert places.anywhere(picture, np.inf, 0.9) is None


def test_odometry_knows_turns_better(dropped: Walk, monkeypatch) -> None:
    """Where it leads, nothing else is looked for, whatever is in the way."""
    rgb = dropped.rgb.copy()
    rgb[4] = blobs(0, *rgb.shape[1:3])
    dropped = replace(dropped, rgb=rgb)
    asked: list[np.ndarray] = []
    monkeypatch.setattr(Reference, "turned", lambda *arguments: asked.append(arguments[0]))
    mapper = make(SeenWorld(dropped, noisy(dropped.poses)), scale_source="fixed", scale=1.0)
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    for i, T in enumerate(dropped.poses):
        mapper.add_odometry(i * STEP_NS, T @ invert(BODY_T_OPTICAL))
    off = errors(run(mapper, dropped), dropped.poses)
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5
    assert not asked


@pytest.mark.parametrize(
    ("first", "other", "taken"),
    [
        (SURE + 0.01, 0.99, "first"),  # which is not doubted
        (SURE - 0.01, SURE - 0.01 + MORE + 0.01, "other"),
        (SURE - 0.01, SURE - 0.01 + MORE - 0.01, "first"),
        (0.4, TURNED + 0.01, "other"),
        (0.4, TURNED - 0.01, "first"),
        (None, TURNED + 0.01, "other"),
        (None, TURNED - 0.01, None),
        (0.4, None, "first"),
        (None, None, None),
    ],
)
def test_what_is_found_by_turning_must_be_alike_and_more_so(
    moved: Walk, monkeypatch, first, other, taken
) -> None:
    """``first`` and ``other``: how alike the image is where it is looked for, and further away."""
    reference, away = moved.reference(), moved.poses[1]
    sure = reference.align(moved.grey[0], CAMERA, moved.poses[0])

    def align(self, grey, camera, guess, *others) -> Fit | None:
        alike = other if guess is away else first
        return None if alike is None else replace(sure, alike=alike)

    monkeypatch.setattr(Reference, "align", align)
    monkeypatch.setattr(Reference, "turned", lambda *arguments: away)
    track = Track.started(reference.picture, moved.poses[0], reference.correction, Focal())
    expected = Expected(((moved.poses[0], PRIOR),), moved.poses[0])
    fit = track.laid_over(reference.picture, np.inf, expected)
    assert (fit and fit.alike) == {"first": first, "other": other, None: None}[taken]
