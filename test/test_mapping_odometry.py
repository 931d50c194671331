# SPDX-License-Identifier: Apache-2.0
"""Odometry leads where images do not: where a camera is looked for, and where it is unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_mapping_alignment import (  # noqa: F401 - fixtures
    CAMERA,
    FRAMES,
    SeenWorld,
    Walk,
    dark,
    errors,
    kitchen,
    make,
    motion_is_known,
    noisy,
    run,
    seen,
    walk,
)

from zipmap_ros.geometry import BODY_T_OPTICAL, invert, pose, se3_exp, se3_log
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.mapping.level import PRIOR
from zipmap_ros.mapping.odometry import AHEAD_NS, MAX_GAP_NS, Lead, Odometry
from zipmap_ros.synthetic import World

METRES = {"scale_source": "fixed", "scale": 1.0}
WORLD_T_ODOM = se3_exp([3.0, -2.0, 0.5, 0.1, 0.2, 2.0])
UNSEEN = slice(10, 18)
STEP_NS = 100_000_000


def wheels(mapper: StreamMapper, poses: np.ndarray) -> None:
    """Odometry of a base whose camera went along ``poses``, with the default mount."""
    for i, T in enumerate(poses):
        mapper.add_odometry(i * STEP_NS, WORLD_T_ODOM @ T @ invert(BODY_T_OPTICAL))


@pytest.fixture(scope="module")
def darkened(walk: Walk) -> Walk:  # noqa: F811
    """The walk, in the middle of which there is next to nothing to see."""
    rgb = walk.rgb.copy()
    rgb[UNSEEN] = dark(walk, UNSEEN.stop - UNSEEN.start).rgb
    return replace(walk, rgb=rgb)


def test_in_the_dark_odometry_leads_on(darkened: Walk) -> None:
    """Neither is the camera sought anywhere, nor lost; what it says of its motion is no secret."""
    mapper = make(SeenWorld(darkened, noisy(darkened.poses)), **METRES)
    wheels(mapper, darkened.poses)
    estimates = run(mapper, darkened)
    used = [e.stamp_ns // STEP_NS for e in estimates]  # some are blank
    off = errors(estimates, darkened.poses[used])
    assert off[:, 0].max() < 0.03
    assert off[:, 1].max() < 0.3
    assert mapper.tracks.cameras[""].is_known
    assert all(motion_is_known(estimates[1:]))
    unseen = range(UNSEEN.start, UNSEEN.stop + 1)  # the first in the light has nothing to fit to
    assert [e.carried for e in estimates] == [i in unseen for i in used]
    alone = make(SeenWorld(darkened, noisy(darkened.poses)), **METRES)
    off = errors(run(alone, darkened), darkened.poses[used])
    assert off[-1, 0] > 0.1
    assert not alone.tracks.cameras[""].is_known


def test_a_robot_that_was_carried_to_a_known_place_is_found_there(
    walk: Walk,  # noqa: F811
    kitchen: World,  # noqa: F811
) -> None:
    """Its wheels stood meanwhile."""
    turn = [walk.poses[-1] @ se3_exp([0, 0, 0, 0, np.deg2rad(6 * i), 0]) for i in range(1, 9)]
    there = walk.joined(seen(kitchen, np.stack(turn)))
    both = there.joined(Walk(walk.rgb[2:6], walk.depth[2:6], walk.poses[2:6]))
    model = SeenWorld(both, noisy(both.poses, seed=3))
    mapper = make(model, max_jump_m=100.0, max_turn_deg=180.0, **METRES)
    wheels(mapper, np.concatenate([there.poses, np.repeat(there.poses[-1:], 4, axis=0)]))
    estimates = run(mapper, both)
    off = errors(estimates, both.poses)
    assert off[len(there.rgb), 0] > 0.1  # where it was, by the wheels
    assert off[-3:, 0].max() < 0.04
    assert off[-3:, 1].max() < 0.6


def test_where_the_scale_is_not_known_odometry_tells_turns_alone(darkened: Walk) -> None:
    mapper = make(SeenWorld(darkened, noisy(darkened.poses)))
    metres = darkened.poses.copy()
    metres[:, :3, 3] *= 7
    wheels(mapper, metres)
    estimates = run(mapper, darkened, range(14))
    assert errors(estimates, darkened.poses[:14])[:, 1].max() < 0.3
    assert errors(estimates, darkened.poses[:14])[-1, 0] > 0.1
    assert mapper.tracks.cameras[""].left is not None  # and where it is nobody knows


def test_wheels_that_slip_cost_nothing(walk: Walk) -> None:  # noqa: F811
    """A jump of half a metre and 25 degrees, as far as they say."""
    poses = walk.poses.copy()
    poses[12:] = (
        poses[11] @ se3_exp([0.5, 0, 0.1, 0, np.deg2rad(25), 0]) @ invert(poses[11]) @ poses[12:]
    )
    mapper = make(SeenWorld(walk, noisy(walk.poses)), **METRES)
    wheels(mapper, poses)
    estimates = run(mapper, walk)
    assert not any(e.carried for e in estimates)
    assert errors(estimates, walk.poses)[:, 0].max() < 0.04
    assert errors(estimates, walk.poses)[:, 1].max() < 1.0


def test_a_session_begins_where_nobody_knows_whatever_odometry_says(walk: Walk) -> None:  # noqa: F811
    mapper = make(SeenWorld(walk, noisy(walk.poses)), **METRES)
    wheels(mapper, walk.poses)
    run(mapper, walk, range(8))
    tracks = type(mapper.tracks).restored(*mapper.tracks.state())
    assert not tracks.cameras[""].is_known
    mapper.tracks = tracks
    unseen = dark(walk, 1)
    model = SeenWorld(walk.joined(unseen), walk.joined(unseen).poses)
    mapper.model = model
    run(mapper, walk.joined(unseen), [FRAMES])
    assert not mapper.tracks.cameras[""].is_known


def test_another_source_of_odometry_begins_anew(walk: Walk) -> None:  # noqa: F811
    mapper = make(SeenWorld(walk), scale_source="odom")
    wheels(mapper, walk.poses)
    mapper.parameters = mapper.parameters.updated({"map_range_m": 5.0})
    assert len(mapper.odometry.entries) == FRAMES
    mapper.parameters = mapper.parameters.updated({"scale_source": "fixed"})
    assert not mapper.odometry.entries


@pytest.mark.parametrize("scale", [None, 2.0])
def test_a_step_is_that_of_the_camera_not_of_the_base(scale: float | None) -> None:
    """A base that turns about itself moves a camera that sits in front of its axis."""
    mount = pose(BODY_T_OPTICAL[:3, :3], [0.4, 0, 0.2])  # network units
    odometry = Odometry()
    turn = se3_exp([0, 0, 0, 0, 0, np.deg2rad(10)])
    ahead = pose(np.eye(3), [1.0, 0, 0])  # metres
    odometry.add(0, WORLD_T_ODOM)
    odometry.add(STEP_NS, WORLD_T_ODOM @ ahead @ turn)
    lead = Lead(odometry, scale, sure=True)
    step = lead.step(mount, 0, STEP_NS)
    assert step is not None
    units = pose(np.eye(3), [1.0 / scale if scale else 0.0, 0, 0])
    np.testing.assert_allclose(step, invert(mount) @ units @ turn @ mount, atol=1e-12)
    here, other = se3_exp([1, 2, 3, 0.1, 0.2, 0.3]), se3_exp([1, 2, 4, 0.3, 0.2, 0.1])
    led = lead.led(here, other, step)
    np.testing.assert_allclose((invert(here) @ led)[:3, :3], step[:3, :3], atol=1e-12)
    way = (invert(here) @ led)[:3, 3]
    expected = step[:3, 3] if scale else (invert(here) @ other)[:3, 3]
    np.testing.assert_allclose(way, expected, atol=1e-12)
    assert lead.step(mount, 0, STEP_NS + AHEAD_NS + 1) is None
    assert lead.step(mount, -1, STEP_NS) is None


def test_images_that_come_before_their_odometry_are_led_as_it_went() -> None:
    odometry, step = Odometry(), se3_exp([1.0, 0, 0, 0, 0, 0.1])
    odometry.add(0, WORLD_T_ODOM)
    assert odometry.about(1) is None
    odometry.add(100, WORLD_T_ODOM @ step)
    np.testing.assert_allclose(odometry.about(300), WORLD_T_ODOM @ step @ step @ step, atol=1e-12)
    np.testing.assert_array_equal(odometry.about(100), odometry.at(100))
    assert odometry.about(100 + AHEAD_NS) is not None
    assert odometry.about(101 + AHEAD_NS) is None
    assert odometry.about(-1) is None
    odometry.add(100 + MAX_GAP_NS + 1, WORLD_T_ODOM)
    assert odometry.about(100 + MAX_GAP_NS + 2) is None


@pytest.mark.parametrize("i", [1, 2])
def test_a_turn_that_odometry_tells_is_held_where_images_tell_little(
    walk: Walk,  # noqa: F811
    i: int,
) -> None:
    """Through a small window a turn and a step aside look almost the same."""
    hidden = np.ones(walk.grey[0].shape, bool)
    hidden[40:70, 50:90] = False
    first = walk.reference()
    guess = walk.poses[i] @ se3_exp([0.03, -0.03, 0, 0, 0, 0])
    off = []
    for prior in (PRIOR, Lead.prior(np.eye(4))):
        fit = first.align(walk.grey[i], CAMERA, guess, hidden=hidden, prior=prior)
        assert fit is not None
        away = se3_log(invert(walk.poses[i]) @ fit.world_T_camera)
        off.append(np.rad2deg(np.linalg.norm(away[3:])))
    assert off[1] < 0.5 * off[0]
    turned = Lead.prior(se3_exp([1.0, 0, 0, 0, 0.1, 0]))
    np.testing.assert_allclose(turned[3:6], np.hypot(0.005, 0.01))  # wheels slip as they turn
    np.testing.assert_array_equal(np.delete(turned, [3, 4, 5]), np.delete(PRIOR, [3, 4, 5]))
