# SPDX-License-Identifier: Apache-2.0
"""Odometry leads where images do not: where a camera is looked for, and where it is unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_mapping_alignment import (
    CAMERA,
    FRAMES,
    SeenWorld,
    Walk,
    dark,
    errors,
    make,
    motion_is_known,
    noisy,
    run,
    seen,
)

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, invert, pose, se3_exp, se3_log
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.mapping.level import PRIOR
from zipmap_ros.mapping.odometry import AHEAD_NS, MAX_GAP_NS, Lead, Odometry
from zipmap_ros.synthetic import MOTIONS, World

METRES = {"scale_source": "fixed", "scale": 1.0}
WORLD_T_ODOM = se3_exp([3.0, -2.0, 0.5, 0.1, 0.2, 2.0])
UNSEEN = slice(10, 18)
STEP_NS = 100_000_000


@pytest.fixture(scope="module")
def kitchen() -> World:
    return World(1)


@pytest.fixture(scope="module")
def walk(kitchen: World) -> Walk:
    slow = replace(MOTIONS["hand"], speed_m=(0.03, 0.05))
    return seen(kitchen, kitchen.trajectory(FRAMES, slow).numpy())


def wheels(mapper: StreamMapper, poses: np.ndarray) -> None:
    """Odometry of a base whose camera went along ``poses``."""
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    for i, T in enumerate(poses):
        mapper.add_odometry(i * STEP_NS, WORLD_T_ODOM @ T @ invert(BODY_T_OPTICAL))


@pytest.fixture(scope="module")
def darkened(walk: Walk) -> Walk:
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
    walk: Walk,
    kitchen: World,
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


def test_wheels_that_slip_cost_nothing(walk: Walk) -> None:
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


def test_a_session_begins_where_nobody_knows_whatever_odometry_says(walk: Walk) -> None:
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


@pytest.mark.parametrize("gap_ns", [STEP_NS, 60 * 10**9])
def test_a_robot_that_boots_anew_is_not_led_from_where_its_session_ended(
    walk: Walk,
    gap_ns: int,
) -> None:
    """Its odometry is another then, by which it would have gone twenty metres."""
    unseen = dark(walk, 1)
    both = walk.joined(unseen)
    mapper = make(SeenWorld(both, noisy(both.poses)), max_jump_m=5.0, **METRES)
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    far = pose(np.eye(3), [20.0, 0, 0])
    for i, T in enumerate(walk.poses[:8]):
        mapper.add_odometry(i * STEP_NS, far @ T @ invert(BODY_T_OPTICAL))
    run(mapper, walk, range(8))
    mapper.tracks = type(mapper.tracks).restored(*mapper.tracks.state())
    now_ns = 7 * STEP_NS + gap_ns
    mapper.add_odometry(now_ns, np.eye(4))
    frame = Frame(now_ns, unseen.rgb[0], camera=CAMERA)
    assert len(mapper.add_frame(frame)) == 1, mapper.problem


def test_another_source_of_odometry_begins_anew(walk: Walk) -> None:
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
    ahead = pose(np.eye(3), [1.0, 0.2, 0.3])  # metres
    odometry.add(0, WORLD_T_ODOM)
    odometry.add(STEP_NS, WORLD_T_ODOM @ ahead @ turn)
    lead = Lead(odometry, scale, sure=True)
    step = lead.step(mount, 0, STEP_NS)
    assert step is not None
    units = pose(np.eye(3), np.array([1.0, 0.2, 0.3]) / (scale or np.inf))
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
    odometry, step, last_ns = Odometry(), se3_exp([1.0, 0, 0, 0, 0, 0.1]), AHEAD_NS
    odometry.add(0, WORLD_T_ODOM)
    assert odometry.about(1) is None
    odometry.add(last_ns, WORLD_T_ODOM @ step)
    there = odometry.about(last_ns + AHEAD_NS)
    np.testing.assert_allclose(there, WORLD_T_ODOM @ step @ step, atol=1e-12)
    np.testing.assert_array_equal(odometry.about(last_ns), odometry.at(last_ns))
    assert odometry.about(last_ns + AHEAD_NS + 1) is None
    assert odometry.about(-1) is None
    odometry.add(last_ns + MAX_GAP_NS + 1, WORLD_T_ODOM)
    assert odometry.about(last_ns + MAX_GAP_NS + 2) is None


def test_odometry_that_is_stamped_in_bursts_does_not_fly_off() -> None:
    """Stamped when they were read: two messages of 20 ms apart within 1 ms."""
    odometry, ms = Odometry(), 1_000_000
    for i in range(10):
        stamp_ns = 20 * ms * (i if i % 2 else i + 1) - (i + 1) % 2 * ms
        odometry.add(stamp_ns, pose(np.eye(3), [0.02 * i, 0, 0]))
    there = odometry.about(200 * ms)
    assert there is not None and abs(there[0, 3] - 0.2) < 0.03


@pytest.mark.parametrize("late_ns", [20_000_000, 60_000_000])
def test_odometry_that_comes_after_the_next_image_leads_too(darkened: Walk, late_ns: int) -> None:
    """As of 50 Hz for a camera of 30; what was led ahead of it is mended when it is there."""
    mapper = make(SeenWorld(darkened, noisy(darkened.poses)), **METRES)
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    told_ns, every_ns, estimates = 0, STEP_NS // 3, []
    for i, rgb in enumerate(darkened.rgb):
        while told_ns <= i * every_ns - late_ns:
            share, before = np.modf(told_ns / every_ns)
            a, b = darkened.poses[int(before)], darkened.poses[int(before) + 1]
            there = a @ se3_exp(share * se3_log(invert(a) @ b))
            mapper.add_odometry(told_ns, WORLD_T_ODOM @ there @ invert(BODY_T_OPTICAL))
            told_ns += 20_000_000
        estimates += mapper.add_frame(Frame(i * every_ns, rgb, camera=CAMERA))
    used = [e.stamp_ns // every_ns for e in estimates]
    off = errors(estimates, darkened.poses[used])
    assert sum(e.carried for e in estimates) >= UNSEEN.stop - UNSEEN.start - 3
    assert off[:, 0].max() < 0.05
    assert off[-1, 1] < 1.5


def test_a_little_without_odometry_in_the_dark_is_no_end(darkened: Walk) -> None:
    """Two messages that are missing do not lose the camera for good."""
    mapper = make(SeenWorld(darkened, darkened.poses), **METRES)
    wheels(mapper, darkened.poses)
    every, mapper.odometry = mapper.odometry.entries, Odometry()
    estimates = []
    for i, (stamp_ns, odom_T_base) in enumerate(every):
        if i not in (15, 16):
            mapper.odometry.add(stamp_ns, odom_T_base)
        estimates += run(mapper, darkened, [i])
        assert mapper.tracks.cameras[""].is_known, i
    led = [e.stamp_ns // STEP_NS for e in estimates if e.carried]
    assert 16 not in led and led[-1] >= UNSEEN.stop - 1


def test_a_camera_whose_mount_nobody_knows_is_not_led(darkened: Walk) -> None:
    """With tf_mode camera, or of a bag without its TF: it may look to the side."""
    mapper = make(SeenWorld(darkened, noisy(darkened.poses)), **METRES)
    wheels(mapper, darkened.poses)
    mapper.extrinsics.clear()
    assert not any(e.carried for e in run(mapper, darkened))
    assert not mapper.tracks.cameras[""].is_known


def test_a_scale_that_is_only_likely_does_not_prove_itself(darkened: Walk) -> None:
    """Ratios that disagree do not agree because it was dark, where motions are made of them."""
    mapper = make(SeenWorld(darkened, darkened.poses), scale_source="odom", max_jump_m=100.0)
    metres = darkened.poses.copy()
    for i in range(1, FRAMES):
        way = invert(darkened.poses[i - 1]) @ darkened.poses[i]
        way[:3, 3] *= 7 * ([0.5, 1.5, 1.0, 0.7][i % 4] if i < UNSEEN.start else 2.0)
        metres[i] = metres[i - 1] @ way
    wheels(mapper, metres)
    run(mapper, darkened, range(UNSEEN.start))
    assert mapper.scale.likely is not None and not mapper.scale.metric
    seen = len(mapper.scale.state()["log_ratios"])
    run(mapper, darkened, range(UNSEEN.start, UNSEEN.stop))
    ratios = np.exp(mapper.scale.state()["log_ratios"][seen:])
    assert len(ratios) and (ratios > 10).all()  # those of the network's motion


def test_odometry_of_hours_is_not_kept() -> None:
    odometry = Odometry()
    for i in range(5000):
        odometry.add(i * STEP_NS, WORLD_T_ODOM)
    assert len(odometry.entries) < 5000
    assert odometry.at(4998 * STEP_NS + 1) is not None


@pytest.mark.parametrize("i", [1, 2])
def test_a_turn_that_odometry_tells_is_held_where_images_tell_little(
    walk: Walk,
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
    turned = Lead.prior(se3_exp([1.0, 1.0, 1.0, 0.1, 0, 0]))
    np.testing.assert_allclose(turned[3:6], np.hypot(0.005, 0.01))  # wheels slip as they turn
    np.testing.assert_array_equal(np.delete(turned, [3, 4, 5]), np.delete(PRIOR, [3, 4, 5]))


@pytest.mark.parametrize("there", [[5.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 3.0]])
def test_odometry_that_was_set_elsewhere_is_no_motion(darkened: Walk, there: list[float]) -> None:
    """As by a service that sets it to 0, in the middle of the dark."""
    poses = darkened.poses.copy()
    poses[14:] = se3_exp(there) @ poses[14:]
    mapper = make(SeenWorld(darkened, darkened.poses), **METRES)
    mapper.set_extrinsic("", BODY_T_OPTICAL)
    estimates = []
    for i, T in enumerate(poses):
        mapper.add_odometry(i * STEP_NS, WORLD_T_ODOM @ T @ invert(BODY_T_OPTICAL))
        estimates += run(mapper, darkened, [i])
    used = [e.stamp_ns // STEP_NS for e in estimates]
    assert errors(estimates, darkened.poses[used])[:, 0].max() < 0.03
    assert mapper.tracks.cameras[""].is_known


def test_a_session_that_is_saved_in_the_dark_knows_what_was_seen_before(darkened: Walk) -> None:
    mapper = make(SeenWorld(darkened, noisy(darkened.poses)), **METRES)
    wheels(mapper, darkened.poses)
    run(mapper, darkened, range(UNSEEN.start + 3))
    assert not mapper.tracks.places.references
    (place,) = mapper.tracks.with_places().places.references
    assert place.picture.grey.std() > 0.05
