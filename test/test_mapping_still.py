# SPDX-License-Identifier: Apache-2.0
"""What is in a camera's images and not in the scene: its own robot, bars around the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_world import KnownWorld, blobs, path
from test_mapping_alignment import (
    CAMERA,
    SeenWorld,
    Walk,
    as_picture,
    errors,
    make,
    noisy,
    reference,
    run,
    seen,
)

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera, invert, se3_exp
from zipmap_ros.mapping import StreamMapper, load_session, save_session
from zipmap_ros.mapping.alignment import Fit
from zipmap_ros.mapping.bars import AGREEING, Bars
from zipmap_ros.mapping.still import CELL, Still
from zipmap_ros.synthetic import MOTIONS, World

FRAMES = 40
BODY = 20  # of 112 rows
SAME_LIGHT = np.array([1.0, 0.0])


@pytest.fixture(scope="module")
def walk() -> Walk:
    world = World(1)
    steady = replace(MOTIONS["hand"], speed_m=(0.08, 0.12))
    return seen(world, world.trajectory(FRAMES, steady, 1).numpy())


def with_body(walk: Walk) -> Walk:
    """Its own robot is in the lowest rows, near, as a network sees it."""
    rgb, depth = walk.rgb.copy(), walk.depth.copy()
    rgb[:, -BODY:] = blobs(3, BODY, 140)
    depth[:, -BODY:] = 0.4
    return Walk(rgb, depth, walk.poses)


def test_a_camera_that_sees_its_own_robot_is_followed(walk, tmp_path):
    """And nothing of the robot is in the map once it is known to stand still."""
    walk = with_body(walk)
    mapper = make(SeenWorld(walk, noisy(walk.poses)), keyframe_translation_m=0.01)
    estimates = run(mapper, walk)
    # From when it may be known: what the first images have cost stays. Else it is 1.7 m and 32°.
    metres, degrees = errors(estimates[20:], walk.poses[20:]).T
    assert metres.max() < 0.4
    assert degrees.max() < 12
    save_session(mapper, tmp_path, "house")
    loaded = make(mapper.model)
    load_session(loaded, tmp_path, "house")
    hidden = (each.tracks.cameras[""].still.hidden((112, 140)) for each in (mapper, loaded))
    assert np.array_equal(*hidden)
    last = estimates[-1]
    assert last.kept
    assert (last.confidence[-BODY:] == 1).mean() > 0.25  # what is plain tells nothing
    assert (last.confidence[: -BODY - 2 * CELL] == 1).mean() < 0.05


def test_a_scene_is_not_taken_for_what_stands_still(walk):
    mapper = make(SeenWorld(walk, noisy(walk.poses)))
    for i in range(FRAMES):
        run(mapper, walk, [i])
        assert mapper.tracks.cameras[""].still.hidden((112, 140)) is None


@pytest.mark.parametrize(("turn_deg", "stands"), [(0.0, False), (1.0, True)])
def test_what_is_far_stands_still_for_who_does_not_turn(walk, turn_deg, stands):
    """However near a network believes it."""
    step = se3_exp([0.05, 0, 0, 0, np.deg2rad(turn_deg), 0])
    poses = np.stack([walk.poses[0] @ np.linalg.matrix_power(step, i) for i in range(4)])
    way = with_body(seen(World(1), poses))  # what stands may be its own body, or far away
    still, first = Still.unknown((112, 140)), reference(way.grey[0], way.depth[0], poses[0])
    for i in (1, 2, 3) * 5:
        fit = Fit(invert(poses[i]) @ poses[0], first, np.eye(6), np.zeros(2), SAME_LIGHT, 1.0, True)
        still = still.told(first, fit, as_picture(way.grey[i], way.depth[i]))
    assert (still.hidden((112, 140)) is not None) == stands


def test_a_camera_that_stands_keeps_its_view(walk):
    """Also where something else moves, which alignment may take for the camera's motion."""
    rgb = np.repeat(walk.rgb[:1], FRAMES, axis=0)
    for i in range(FRAMES):
        rgb[i, 30:, 2 * i : 2 * i + 50] = blobs(5, 82, 50)
    walk = Walk(rgb, np.repeat(walk.depth[:1], FRAMES, axis=0), walk.poses[[0] * FRAMES])
    mapper = make(SeenWorld(walk))
    run(mapper, walk)
    hidden = mapper.tracks.cameras[""].still.hidden((112, 140))
    assert hidden is None or hidden.mean() < 0.25  # of three quarters that stand


def test_what_was_taken_off_is_seen_again(walk):
    both = with_body(walk).joined(Walk(walk.rgb[::-1], walk.depth[::-1], walk.poses[::-1]))
    mapper = make(SeenWorld(both))
    run(mapper, both, range(FRAMES))
    assert mapper.tracks.cameras[""].still.hidden((112, 140)) is not None
    before = mapper.tracks.cameras[""].still.hidden((112, 140)).mean()
    run(mapper, both, range(FRAMES, 2 * FRAMES))
    hidden = mapper.tracks.cameras[""].still.hidden((112, 140))
    assert hidden is None or hidden.mean() < 0.7 * before  # what is plain tells nothing


def test_images_of_another_size_hide_where_they_are_alike():
    odds = np.full((38, 47), -1, np.float32)
    odds[30:] = 20
    still = Still(odds)
    small, large = still.hidden((112, 140)), still.hidden((224, 280))
    assert small is not None and large is not None
    assert small.shape == (112, 140) and large.shape == (224, 280)
    assert (large[::2, ::2] == small).all()
    assert not small[: 29 * CELL].any() and small[29 * CELL :].all()
    assert still.hidden((112, 112)) is None
    assert Still().hidden((112, 140)) is None


def test_odds_of_a_session_that_no_image_gave_are_refused():
    Still().check()
    Still(np.zeros((3, 4), np.float32)).check()
    for odds in (np.zeros(3), np.full((3, 4), np.nan)):
        with pytest.raises(ValueError, match="stands still"):
            Still(odds).check()


# Bars.


def film(seed: int, top: int = 0, left: int = 0, height: int = 120, width: int = 160) -> np.ndarray:
    """(height, width, 3) uint8 with bars of these widths on both sides, as a codec leaves them."""
    image = np.maximum(blobs(seed, height, width), 40)
    bars = np.random.default_rng(seed).integers(14, 19, image.shape, np.uint8)
    inner = np.s_[top : height - top, left : width - left]
    bars[inner] = image[inner]
    return bars


def framed(rgb: np.ndarray, **changes) -> Frame:
    camera = Camera.from_fov(160, 120, 70.0)
    depth = np.ones((120, 160), np.float32)
    return replace(Frame(0, rgb, camera=camera, depth=depth), **changes)


@pytest.mark.parametrize(("top", "left"), [(15, 0), (0, 20), (10, 16), (0, 0)])
def test_bars_are_cut_off_with_depth_and_calibration(top, left):
    whole = framed(film(1, top, left))
    frame = Bars().cut(whole)
    y, x = (top and top + 2), (left and left + 2)  # a hundredth beyond
    assert (frame.rgb == whole.rgb[y : 120 - y, x : 160 - x]).all()
    assert frame.depth is not None and frame.depth.shape == frame.rgb.shape[:2]
    assert frame.camera is not None and whole.camera is not None
    assert (frame.camera.height, frame.camera.width) == frame.rgb.shape[:2]
    assert (frame.camera.cx, frame.camera.cy) == (whole.camera.cx - x, whole.camera.cy - y)
    assert (Bars().cut(frame).rgb == frame.rgb).all()


def test_a_dark_side_is_no_bar():
    night = film(1)
    night[:50] = 3  # the sky
    noise = np.random.default_rng(0).integers(0, 30, (120, 160, 3), np.uint8)
    dark = film(1, 15)
    dark[:15], dark[-15:] = noise[:15], noise[-15:]
    most = film(1, 40)
    for image in (night, dark, most, 0 * night):
        frame = framed(image)
        assert Bars().cut(frame) is frame


def test_an_odd_image_does_not_change_the_size():
    bars = Bars()
    shape = bars.cut(framed(film(1, 15))).rgb.shape
    title = film(2, 15)
    title[5:10, 60:100] = 200  # in the bar
    for odd in (film(3), title, film(4, 30), 0 * film(5)):
        for _ in range(AGREEING):
            assert bars.cut(framed(odd)).rgb.shape == shape
        assert bars.cut(framed(film(6, 16))).rgb.shape == shape
    for _ in range(AGREEING):
        assert bars.cut(framed(film(3))).rgb.shape == shape
    assert bars.cut(framed(film(3))).rgb.shape == (120, 160, 3)
    assert bars.cut(framed(film(1, 15), source="other")).rgb.shape == shape


def test_what_cannot_be_used_is_left_to_who_says_so():
    bars = Bars()
    rgb = film(1, 15)
    for frame in (
        framed(rgb[:0]),
        framed(rgb[..., 0]),
        framed(rgb.astype(np.float32)),
        framed(rgb, camera=CAMERA),
        framed(rgb, depth=np.ones((3, 3), np.float32)),
    ):
        assert bars.cut(frame) is frame
    assert bars.widths == {}


def test_the_mapper_cuts_bars_off_but_not_in_a_batch():
    """Whose images must be of one size."""
    mapper = StreamMapper(KnownWorld(path(2)))
    bars = film(1, 16, 0, 74, 56)
    view = mapper.begin(Frame(0, bars)).args[0]
    assert (view.pixels.shape[1] / view.pixels.shape[2]) < 42 / 56 + 0.01
    assert (view.rgb.max(axis=(1, 2)) > 30).all()
    whole = mapper._prepare(Frame(0, bars))
    assert (whole.rgb[:8] < 30).all()
