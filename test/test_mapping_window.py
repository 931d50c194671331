# SPDX-License-Identifier: Apache-2.0
"""The last references of a camera, refined together, on pictures of a synthetic room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_mapping_alignment import (
    CAMERA,
    SeenWorld,
    Walk,
    as_picture,
    errors,
    make,
    noisy,
    run,
    seen,
)

from zipmap_ros.geometry import invert, se3_exp
from zipmap_ros.mapping import track as track_module
from zipmap_ros.mapping.alignment import Reference
from zipmap_ros.mapping.correction import COLUMNS, PIXEL, ROWS, Correction
from zipmap_ros.mapping.level import HUBER, noise_of
from zipmap_ros.mapping.pixels import gradient, project, sample
from zipmap_ros.mapping.refinement import FOCAL, NODES, Target, normal_equations
from zipmap_ros.mapping.track import Track
from zipmap_ros.mapping.window import LONGEST, refined
from zipmap_ros.synthetic import MOTIONS, World

ASIDE = np.array([0.005] * 3 + [np.deg2rad(0.35)] * 3)
SMOOTH = np.add.outer(np.linspace(-1, 1, ROWS), np.linspace(1, -1, COLUMNS)).ravel()


@pytest.fixture(scope="module")
def walk() -> Walk:
    world = World(1)
    steady = replace(MOTIONS["hand"], speed_m=(0.08, 0.12))
    return seen(world, world.trajectory(24, steady, 1).numpy())


def references(walk: Walk, step: int = 2, bend: float = 0.0, count: int = LONGEST):
    """Of some images, all but the first aside; depth bent by a smooth factor of this logarithm."""
    factor = Correction(bend * SMOOTH, np.eye(len(SMOOTH))).factor(walk.depth[0].shape)
    return [
        Reference(
            as_picture(walk.grey[i * step], walk.depth[i * step] * factor),
            walk.poses[i * step] @ se3_exp(ASIDE * np.roll([0, 1, -1, 0, 1, -1], i) * (i > 0)),
            Correction.constant(1.0),
        )
        for i in range(count)
    ]


def off(found, walk: Walk, step: int = 2) -> tuple[float, float]:
    """Metres and degrees, mean."""
    poses = [each.world_T_camera for each in found]
    metres, degrees = errors(poses, walk.poses[: len(found) * step : step])[1:].mean(0)
    return metres, degrees


@pytest.mark.parametrize("bend", [0.0, 0.05])
def test_references_that_are_aside_are_put_where_they_were(walk, bend):
    """Turns most of all, which a depth that is bent cannot hide from all of them."""
    given = references(walk, bend=bend)
    before, after = off(given, walk), off(refined(given), walk)
    assert before[1] > 0.45 and after[1] < 0.3 * before[1]
    assert after[0] < 1.1 * before[0]


def test_their_depth_is_mended_where_it_was_bent(walk):
    """That of the oldest is held, and with it the scale: only that of the others is bent."""
    given = [references(walk)[0], *references(walk, bend=0.1)[1:]]
    given = [replace(r, world_T_camera=T) for r, T in zip(given, walk.poses[::2], strict=False)]
    found = refined(given)
    assert found[0] is given[0]
    for old, new in list(zip(given, found, strict=True))[1:]:
        assert new.picture is old.picture and new.correction.precision is old.correction.precision
        assert np.abs(new.correction.log + 0.1 * SMOOTH).mean() < 0.7 * np.abs(0.1 * SMOOTH).mean()
        assert abs(new.correction.log.mean()) < 0.1


def test_the_unit_of_length_does_not_matter(walk):
    given, large = references(walk), []
    for each in given:
        pose = each.world_T_camera.copy()
        pose[:3, 3] *= 1e3
        picture = replace(each.picture, depth=each.picture.depth * np.float32(1e3))
        large.append(replace(each, picture=picture, world_T_camera=pose))
    for a, b in zip(refined(given), refined(large), strict=True):
        np.testing.assert_allclose(a.world_T_camera[:3, :3], b.world_T_camera[:3, :3], atol=1e-5)
        scaled = b.world_T_camera[:3, 3] / 1e3
        np.testing.assert_allclose(a.world_T_camera[:3, 3], scaled, atol=1e-4)


def test_what_is_right_stays(walk):
    given = references(walk)
    right = [replace(each, world_T_camera=walk.poses[2 * i]) for i, each in enumerate(given)]
    metres, degrees = off(refined(right), walk)
    assert metres < 0.004 and degrees < 0.06


def test_the_newest_comes_to_where_the_others_are(walk):
    """Its pairs are fitted anew each round, those of the others once."""
    given = references(walk)
    given[:4] = [
        replace(each, world_T_camera=walk.poses[2 * i]) for i, each in enumerate(given[:4])
    ]
    aside = se3_exp(2 * ASIDE * [0, 1, -1, 0, 1, -1])
    given[4] = replace(given[4], world_T_camera=walk.poses[8] @ aside)
    before, after = off(given, walk)[1], off(refined(given), walk)[1]
    assert after < 0.2 * before


def test_what_would_go_too_far_stays(walk):
    bent = [references(walk)[0], *references(walk, bend=0.3)[1:]]
    assert all(a is b for a, b in zip(refined(bent), bent, strict=True))


def test_brightness_may_change_from_one_to_the_next(walk):
    given = references(walk)
    for i, gain in enumerate((1.0, 0.7, 1.3, 0.75, 1.25)):
        grey = given[i].picture.grey * np.float32(gain) + np.float32(0.02)
        given[i] = replace(given[i], picture=replace(given[i].picture, grey=grey))
    before, after = off(references(walk), walk), off(refined(given), walk)
    assert after[1] < 0.3 * before[1]


def test_without_a_third_that_sees_them_two_stay_as_they_are(walk):
    two = references(walk, count=2)
    assert all(a is b for a, b in zip(refined(two), two, strict=True))
    three = references(walk, count=3)
    assert all(a is not b for a, b in zip(refined(three)[1:], three[1:], strict=True))
    apart = references(walk, count=3)
    apart[2] = replace(apart[2], world_T_camera=apart[2].world_T_camera @ se3_exp([0] * 4 + [2, 0]))
    assert all(a is b for a, b in zip(refined(apart), apart, strict=True))


def test_images_of_something_else_move_nothing(walk):
    given = references(walk)
    noise = np.random.default_rng(0).random(walk.grey[0].shape, np.float32)
    for i in (2, 3, 4):
        given[i] = replace(given[i], picture=replace(given[i].picture, grey=noise))
    assert all(a is b for a, b in zip(refined(given), given, strict=True))


@pytest.mark.filterwarnings("error")  # a mean over no pixels would only warn
def test_an_image_that_shows_nothing_stays_and_keeps_none_from_moving(walk):
    given = references(walk)
    flat = np.full_like(walk.grey[0], 0.5)
    given[2] = replace(given[2], picture=replace(given[2].picture, grey=flat))
    found = refined(given)
    np.testing.assert_allclose(found[2].world_T_camera, given[2].world_T_camera, atol=1e-12)
    assert all(found[i] is not given[i] for i in (1, 3, 4))


def test_images_that_are_alike_and_fit_nowhere_move_nothing(walk):
    given, rng = references(walk), np.random.default_rng(0)
    for i in (1, 2, 3, 4):
        grey = given[i].picture.grey
        grey = grey + rng.normal(0, 0.2, grey.shape).astype(np.float32)
        given[i] = replace(given[i], picture=replace(given[i].picture, grey=grey))
    assert all(a is b for a, b in zip(refined(given), given, strict=True))


def test_where_no_scene_is_shown_nothing_is_looked_for(walk):
    """A body in the lowest eighth, which stands still in the images."""
    given, body = references(walk), walk.grey[7][-14:]
    hidden = np.zeros(walk.grey[0].shape, bool)
    hidden[-14:] = True
    marked = []
    for each in given:
        grey = each.picture.grey.copy()
        grey[-14:] = body
        marked.append(replace(each, picture=replace(each.picture, grey=grey)))
    told = [replace(each, picture=replace(each.picture, hidden=hidden)) for each in marked]
    nowhere = np.zeros_like(hidden)  # as it was thought at first
    told[0] = replace(told[0], picture=replace(told[0].picture, hidden=nowhere))
    turn = off(refined(told), walk)[1]
    assert turn < 0.3 * off(given, walk)[1] and turn < 0.6 * off(refined(marked), walk)[1]


def test_who_was_placed_before_the_body_was_known_is_left_alone(walk):
    given = references(walk)
    hidden = np.zeros(walk.grey[0].shape, bool)
    hidden[-14:] = True
    for i in (1, 2, 3, 4):
        given[i] = replace(given[i], picture=replace(given[i].picture, hidden=hidden))
    found = refined(given)
    assert found[0] is given[0] and found[1] is given[1]  # that is the oldest now
    assert all(new is not old for new, old in zip(found[2:], given[2:], strict=True))
    given[3] = replace(given[3], picture=replace(given[3].picture, hidden=None))
    given[2] = replace(given[2], picture=replace(given[2].picture, hidden=None))
    given[1] = replace(given[1], picture=replace(given[1].picture, hidden=None))
    assert all(new is old for new, old in zip(refined(given), given, strict=True))


def equations_in_double(level, target, T, light, log, unit, zoom):
    """`normal_equations` as they are written down, one pixel after the other."""
    wide = np.exp(zoom)
    camera = replace(target.camera, fx=target.camera.fx * wide, fy=target.camera.fy * wide)
    points = level.points.astype(float) / unit * np.exp(level.nodes.astype(float) @ log)
    points[:2] /= wide
    pixels, seen = project(points.astype(np.float32), T, camera, target.image.shape)
    value, gx, gy = (sample(each, pixels) for each in (target.image, *gradient(target.image)))
    left = (1 + light[0]) * value + light[1] - level.values
    noise = noise_of(left[seen], level.slopes)
    H, g = np.zeros((NODES + len(log),) * 2), np.zeros(NODES + len(log))
    for k in np.flatnonzero(seen):
        here = points[:, k]
        x, y, z = there = T[:3, :3] @ here + T[:3, 3]
        pinhole = np.array(
            [[camera.fx / z, 0, -camera.fx * x / z**2], [0, camera.fy / z, -camera.fy * y / z**2]]
        )
        slope = (1 + light[0]) * np.array([gx[k], gy[k]]) @ pinhole
        deeper = slope @ (T[:3, :3] @ here)
        spread = (1 + light[0]) * (gx[k] * camera.fx * x + gy[k] * camera.fy * y) / z
        zoomed = spread - slope @ (T[:3, :2] @ here[:2])
        J = np.array(
            [*slope, *np.cross(there, slope), value[k], 1, zoomed, *(deeper * level.nodes[k])]
        )
        weight = min(1, HUBER * noise[k] / max(abs(left[k]), 1e-9))
        weight /= noise[k] ** 2 + (PIXEL * deeper) ** 2
        H += weight * np.outer(J, J)
        g += weight * J * left[k]
    return H, g


def test_equations_are_those_of_one_pixel_after_the_other(walk):
    first, second = references(walk)[:2]
    level, unit = first.levels[0], 2.0
    target = Target(second.picture.grey, CAMERA, None)
    T = invert(second.world_T_camera) @ first.world_T_camera
    T[:3, 3] /= unit
    light = np.array([0.1, -0.02])
    given = (level, target, T, light, 0.1 * SMOOTH, unit, 0.03)
    for fast, slow in zip(normal_equations(*given), equations_in_double(*given), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=2e-3, atol=2e-4 * np.abs(slow).max())
    known = normal_equations(*given[:-1])
    assert not known[0][FOCAL].any() and known[1][FOCAL] == 0


def test_a_walk_drifts_less_where_they_are_refined(walk, monkeypatch):
    """Depth that each image bends in another way, as a network's."""
    model = SeenWorld(walk, noisy(walk.poses))
    bends = np.random.default_rng(3).normal(size=(len(walk.rgb), len(SMOOTH))) * 0.15
    for i, bend in enumerate(bends):
        model.depth[i] *= Correction(bend, np.eye(len(bend))).factor(walk.depth[0].shape)
    together = errors(run(make(model), walk), walk.poses)
    monkeypatch.setattr(track_module, "refined", tuple)
    alone = errors(run(make(model), walk), walk.poses)
    assert together[:, 1].mean() < 0.6 * alone[:, 1].mean()
    assert together[:, 0].mean() < 1.5 * alone[:, 0].mean()


def test_a_window_is_short_and_goes_where_its_camera_goes(walk):
    mapper = make(SeenWorld(walk, noisy(walk.poses)))
    lengths = []
    for i in range(len(walk.rgb)):
        run(mapper, walk, [i])
        lengths.append(len(mapper.tracks.cameras[""].window))
    assert max(lengths) == lengths[-1] == LONGEST - 2
    track: Track = mapper.tracks.cameras[""]
    jump = se3_exp([0.3, 0, 0.1, 0, 0.2, 0])
    for old, new in zip(track.window, track.moved(jump).window, strict=True):
        np.testing.assert_allclose(new.world_T_camera, jump @ old.world_T_camera)
    assert track.carried(track, np.eye(4)).window == ()
