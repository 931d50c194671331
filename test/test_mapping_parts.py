# SPDX-License-Identifier: Apache-2.0
"""Undistortion, preparation, gauge, scale, tracking, keyframes and trajectory, each by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from known_world import CAMERA, frame, path

from zipmap_ros.geometry import (
    Camera,
    look_at,
    matrix_from_quaternion,
    pose,
    se3_exp,
    transform_points,
)
from zipmap_ros.mapping import MappingError
from zipmap_ros.mapping import keyframes as keyframes_module
from zipmap_ros.mapping.gauge import Gauge, scaled
from zipmap_ros.mapping.keyframes import Keyframes
from zipmap_ros.mapping.odometry import Odometry
from zipmap_ros.mapping.points import frame_points
from zipmap_ros.mapping.prepare import prepare
from zipmap_ros.mapping.scale import MIN_RATIOS, WINDOW, ScaleEstimator
from zipmap_ros.mapping.track import Motion
from zipmap_ros.mapping.tracking import JUMP, LOST, NOT_FINITE, Tracker
from zipmap_ros.mapping.trajectory import Trajectory
from zipmap_ros.mapping.undistort import MAX_HALF_FOV_DEG, distort, rectification
from zipmap_ros.model import ModelConfig

DISTORTED = {
    "plumb_bob": (-0.28, 0.07, 0.0002, -0.0003, 0.0),
    "rational_polynomial": (2.1, 0.9, 0.0001, -0.0001, 0.04, 2.4, 1.5, 0.2),
    "equidistant": (-0.012, 0.004, -0.003, 0.0008),
}


def distorted_camera(model: str) -> Camera:
    """Its principal point is off the centre, so that a half pixel or a swap shows."""
    return Camera(320, 240, 190.0, 188.0, 163.3, 115.8, model, DISTORTED[model])


@pytest.mark.parametrize("model", DISTORTED)
def test_a_rectified_image_shows_each_direction_at_its_pixel(model):
    """An image painted with the rays that its pixels see, rectified, shows the rays of a pinhole.

    The rays come from OpenCV's inverse of the distortion, of which the product uses only the other
    direction. Remembers the half pixel between OpenCV's pixel centres and ours.
    """
    camera = distorted_camera(model)
    K = camera.matrix - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    v, u = np.mgrid[:240, :320].astype(np.float64)
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    D = np.array(camera.distortion)
    if model == "equidistant":
        painted = cv2.fisheye.undistortPoints(pixels, K, D)
    else:
        exact = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 200, 1e-9)
        if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
            painted = cv2.undistortPointsIter(pixels, K, D, None, None, exact)
        else:
            painted = cv2.undistortPoints(pixels, K, D, criteria=exact)
    painted = painted.reshape(240, 320, 2)
    rectify = rectification(camera)
    seen = cv2.remap(painted.astype(np.float32), rectify.map_x, rectify.map_y, cv2.INTER_LINEAR)
    error_px = (seen - rectify.camera.rays()[..., :2]) * 190
    assert np.abs(error_px).max() < 0.05


@pytest.mark.parametrize("model", DISTORTED)
def test_a_rectified_image_has_no_empty_border(model):
    camera, white = distorted_camera(model), np.full((240, 320, 3), 255, np.uint8)
    mirrored = replace(camera, cx=320 - camera.cx, cy=240 - camera.cy)
    for each in (camera, mirrored, replace(camera, cx=260.0)):
        assert rectification(each).image(white).min() == 255


def test_rectified_depth_is_never_mixed():
    depth = np.where(np.arange(320) < 80, 1.0, 3.0).astype(np.float32)[None].repeat(240, 0)
    rectified = rectification(distorted_camera("plumb_bob")).depth(depth)
    assert set(np.unique(rectified)) == {1.0, 3.0}


def test_a_rectified_view_is_bounded_in_height_too():
    camera = Camera(100, 400, 90.0, 90.0, 50.0, 200.0, "equidistant", (0.0,) * 4)
    found = rectification(camera).camera
    seen_deg = math.degrees(math.atan(found.height / 2 / found.fy))
    assert seen_deg == pytest.approx(MAX_HALF_FOV_DEG)


def test_a_lens_that_draws_outwards_is_zoomed_into_as_far_as_it_goes():
    camera = distorted_camera("plumb_bob")
    assert rectification(replace(camera, distortion=(0.5, 0, 0, 0, 0))).camera.fx > 1.2 * camera.fx
    with pytest.raises(MappingError, match="map no view into the 320x240 image"):
        rectification(replace(camera, distortion=(1000.0, 0, 0, 0, 0)))


def test_equidistant_agrees_with_its_formula():
    camera = replace(distorted_camera("equidistant"), distortion=(0.0, 0.0, 0.0, 0.0))
    theta = 0.7
    pixels = distort(camera, np.array([[np.sin(theta), 0, np.cos(theta)]]))
    np.testing.assert_allclose(pixels[0], [163.3 + 190 * theta, 115.8], atol=1e-6)


def test_maps_are_made_once_for_a_camera():
    assert rectification(distorted_camera("plumb_bob")) is rectification(
        distorted_camera("plumb_bob")
    )


def test_an_unknown_model_is_refused_with_a_remedy():
    with pytest.raises(MappingError, match="set undistort to off"):
        rectification(replace(distorted_camera("plumb_bob"), distortion_model="fov"))


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_wrong_number_of_coefficients_is_refused(model, count):
    camera = replace(distorted_camera(model), distortion=(0.01,) * count)
    with pytest.raises(MappingError, match=f"coefficients, not {count}"):
        rectification(camera)


@pytest.mark.parametrize(("variant", "width"), [("main", 112), ("tiny", 84)])
def test_prepare_carries_camera_and_depth_to_the_network_size(variant, width):
    """A point keeps its ray: pixel coordinates scale alike in image, camera and depth."""
    config = replace(ModelConfig.tiny(), image_size=112, variant=variant)
    camera = Camera(320, 400, 300.0, 310.0, 150.0, 210.0)  # upright: rows may be cropped
    rgb = np.zeros((400, 320, 3), np.uint8)
    under = []  # row and column of the big image under each pixel of the small one
    for depth in np.mgrid[:400, :320].astype(np.float32) + 1:
        view = prepare(frame(0, camera, rgb=rgb, depth=depth), config, undistort=True)
        assert view.camera is not None and view.measured is not None
        under.append(view.measured - 0.5)
    assert view.pixels.shape == (3, 112, width) and view.rgb.shape == (112, width, 3)
    small, down, across = view.camera, np.arange(112) + 0.5, np.arange(width) + 0.5
    y, small_y = (under[0][:, 0] - camera.cy) / camera.fy, (down - small.cy) / small.fy
    np.testing.assert_allclose(y, small_y, atol=0.51 / camera.fy)
    x, small_x = (under[1][0] - camera.cx) / camera.fx, (across - small.cx) / small.fx
    np.testing.assert_allclose(x, small_x, atol=0.51 / camera.fx)


def test_a_view_keeps_no_image_of_full_size():
    """A batch has hundreds of views, a 4K image 25 MB."""
    taken = frame(3, None, rgb=np.zeros((240, 320, 3), np.uint8), source="left")
    view = prepare(replace(taken, depth=np.ones((240, 320), np.float32)), ModelConfig.tiny(), True)
    assert view.frame.rgb.nbytes == 0 and view.frame.rgb.base is None and view.frame.depth is None
    assert (view.frame.stamp_ns, view.frame.source) == (taken.stamp_ns, "left")


def test_prepare_rectifies_depth_as_it_does_the_image():
    camera = distorted_camera("plumb_bob")
    near = np.arange(320) < 80
    rgb = np.where(near, 255, 0).astype(np.uint8)[None, :, None].repeat(240, 0).repeat(3, 2)
    depth = np.where(near, 1.0, 3.0).astype(np.float32)[None].repeat(240, 0)
    config = replace(ModelConfig.tiny(), image_size=280)
    view = prepare(frame(0, camera, rgb=rgb, depth=depth), config, undistort=True)
    assert view.measured is not None
    edges = (view.pixels[0, 105] > 0.5).sum(), (view.measured[105] == 1).sum()
    assert abs(edges[0] - edges[1]) <= 1 and abs(edges[1] - 70) > 3


def test_prepare_rectifies_only_when_asked_to():
    camera = distorted_camera("plumb_bob")
    rgb = np.zeros((240, 320, 3), np.uint8)
    cameras = [
        prepare(frame(0, camera, rgb=rgb), ModelConfig.tiny(), undistort).camera
        for undistort in (True, False)
    ]
    assert cameras[0] is not None and cameras[1] is not None
    assert cameras[0].fx == pytest.approx(rectification(camera).camera.fx * 56 / 320)
    assert cameras[1].fx == pytest.approx(190 * 56 / 320)
    assert not any(c.is_distorted for c in cameras)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rgb": np.zeros((0, 56, 3), np.uint8)}, "could not be read"),
        ({"rgb": np.zeros((42, 56), np.uint8)}, "give uint8"),
        ({"rgb": np.zeros((42, 56, 3), np.float32)}, "give uint8"),
        ({"camera": CAMERA.resized(64, 48)}, "its camera 64x48"),
        ({"depth": np.zeros((48, 64), np.float32)}, "its depth 64x48"),
    ],
)
def test_prepare_says_what_is_wrong(changes, reason):
    with pytest.raises(MappingError, match=reason):
        prepare(frame(0, **changes), ModelConfig.tiny(), undistort=True)


def test_a_selection_of_points_is_even_over_the_image():
    depth = torch.ones(42, 56)
    for most in (100, 1500, 42 * 56 - 1):
        arguments = CAMERA, np.eye(4), 1.0, 9.0, most
        y = frame_points(depth, depth, torch.zeros(3, 42, 56), *arguments).points[:, 1]
        assert len(y) == most and y.min() < -0.6 and y.max() > 0.6


def test_the_points_of_a_frame_are_where_its_pixels_centres_are():
    camera = Camera(6, 4, 5.0, 7.0, 2.8, 2.1)
    T = look_at([1, 2, 3], [2, 2, 3])
    depth = torch.arange(1, 25, dtype=torch.float32).reshape(4, 6)
    cloud = frame_points(depth, torch.ones(4, 6), torch.zeros(3, 4, 6), camera, T, 1.0, 99.0, 1000)
    expected = transform_points(T, camera.unproject(depth.numpy())).reshape(-1, 3)
    np.testing.assert_allclose(cloud.points, expected, atol=1e-4)


def test_the_points_of_a_frame_are_the_confident_near_ones_and_have_their_colours() -> None:
    depth = torch.full((16, 16), 2.0)
    depth[:4], depth[4] = 2.5, float("inf")
    confidence = torch.arange(256.0).reshape(16, 16)
    value = torch.arange(256).reshape(16, 16)
    pixels = torch.stack([value, 255 - value, value // 2 - 0.4]) / 255
    camera = Camera(16, 16, 9.0, 9.0, 8.0, 8.0)
    cloud = frame_points(depth, confidence, pixels, camera, np.eye(4), 100.0, 2.0, 1000)
    kept = np.arange(100, 256)
    np.testing.assert_array_equal(cloud.confidence, kept)
    np.testing.assert_array_equal(cloud.colors, np.stack([kept, 255 - kept, kept // 2], 1))
    cloud = frame_points(depth, confidence, pixels, camera, np.eye(4), 0.0, 2.5, 1000)
    np.testing.assert_array_equal(cloud.confidence, np.delete(np.arange(256), np.s_[64:80]))


def test_a_change_of_gauge_moves_points_as_it_moves_poses():
    rng = np.random.default_rng(0)
    old = Gauge(look_at(rng.normal(size=3), rng.normal(size=3)), look_at([1, 2, 3], [0, 0, 0]), 0.7)
    new = Gauge(look_at(rng.normal(size=3), rng.normal(size=3)), look_at([3, 2, 1], [0, 5, 0]), 2.1)
    network_T_camera = look_at(rng.normal(size=3), rng.normal(size=3))
    new_T_old, ratio = new.change_from(old)
    before, after = old.to_map(network_T_camera), new.to_map(network_T_camera)
    moved = new_T_old @ scaled(before, ratio)
    np.testing.assert_allclose(moved, after, atol=1e-12)
    np.testing.assert_allclose(new.to_network(after), network_T_camera, atol=1e-12)
    np.testing.assert_allclose(old.to_map(old.anchor_network), old.anchor_map, atol=1e-12)


def test_scale_from_depth_survives_outliers_and_locks_once_it_agrees():
    rng = np.random.default_rng(1)
    estimator = ScaleEstimator("depth")
    predicted = rng.uniform(0.5, 3, (30, 40)).astype(np.float32)
    confidence = rng.uniform(1, 3, (30, 40)).astype(np.float32)
    changes = []
    for _ in range(20):
        measured = predicted * 2.5
        measured[rng.random(measured.shape) < 0.3] = np.nan
        measured[rng.random(measured.shape) < 0.2] = 9.0
        measured[confidence < 1.5] *= 3  # wrong where the network is unsure
        changes.append(estimator.add_depth(predicted, confidence, measured))
    assert estimator.metric and estimator.scale == pytest.approx(2.5, rel=0.02)
    assert changes.index(True) == MIN_RATIOS - 1 and sum(changes) == 1
    assert estimator.spread < 0.05


def test_scale_does_not_lock_on_disagreement_and_does_not_breathe():
    rng = np.random.default_rng(2)
    ones = np.ones((30, 40), np.float32)
    unsure = ScaleEstimator("depth")
    for _ in range(50):
        unsure.add_depth(ones, ones, ones * np.float32(np.exp(rng.normal() * 0.5)))
    assert not unsure.metric and unsure.scale == 1.0 and unsure.spread > 0.2
    locked = ScaleEstimator("depth")
    for _ in range(10):
        locked.add_depth(ones, ones, 2 * ones)
    for _ in range(100):
        assert not locked.add_depth(ones, ones, 2.1 * ones)
    assert locked.scale == 2.0
    assert any(locked.add_depth(ones, ones, 3 * ones) for _ in range(100))
    assert locked.scale == pytest.approx(3.0)


def test_scale_may_shrink_as_well():
    locked = ScaleEstimator("depth")
    ones = np.ones((30, 40), np.float32)
    for _ in range(10):
        locked.add_depth(ones, ones, 3 * ones)
    assert any(locked.add_depth(ones, ones, 2 * ones) for _ in range(100))
    assert locked.scale == pytest.approx(2.0)


def test_scale_is_that_of_the_confident_half_of_what_was_measured():
    estimator = ScaleEstimator("depth")
    confidence = np.geomspace(1, 1e8, 1200, dtype=np.float32).reshape(30, 40)
    index = np.arange(1200).reshape(30, 40)
    wrong = (index < 300) | (index >= 700)
    measured = np.where(wrong, 9.0, 2.0).astype(np.float32)
    measured[-8:] = np.nan
    for _ in range(MIN_RATIOS):
        estimator.add_depth(np.ones_like(measured), confidence, measured)
    assert estimator.scale == pytest.approx(2.0)


def test_scale_ignores_empty_depth():
    estimator = ScaleEstimator("depth")
    ones = np.ones((30, 40), np.float32)
    assert not estimator.add_depth(ones, ones, np.full((30, 40), np.nan, np.float32))
    with np.errstate(over="ignore"):
        estimator.add_depth(1e-40 * ones, ones, ones)  # less than can be divided by
    assert estimator.state()["log_ratios"] == [] and estimator.spread == 0.0
    measured, predicted = 0.5 * ones, ones.copy()
    measured[:18] = predicted[-8:] = 0.0  # nothing there, and an underflow
    for _ in range(MIN_RATIOS):
        estimator.add_depth(predicted, ones, measured)
    assert estimator.metric and estimator.scale == 0.5


def test_a_fixed_scale_is_metric_and_another_begins_at_one():
    fixed, other = ScaleEstimator("fixed", 2.5), ScaleEstimator("depth", 2.5)
    assert (fixed.scale, fixed.metric, other.scale, other.metric) == (2.5, True, 1.0, False)


def test_the_spread_of_the_scale_is_a_standard_deviation_that_outliers_do_not_move():
    estimator, ones = ScaleEstimator("depth"), np.ones((30, 40), np.float32)
    for log in (-0.2, -0.1, 0.0, 0.1, 3.0):
        estimator.add_depth(ones, ones, ones * np.float32(np.exp(log)))
    assert estimator.spread == pytest.approx(0.14826, rel=1e-5)


def test_a_restored_scale_forgets_as_much_as_any():
    restored, ones = ScaleEstimator("depth"), np.ones((20, 20), np.float32)
    restored.restore(ScaleEstimator("depth").state())
    for _ in range(WINDOW + 1):
        restored.add_depth(ones, ones, 2 * ones)
    assert len(restored.state()["log_ratios"]) == WINDOW


def test_scale_from_path_lengths_is_not_fooled_by_jitter_at_rest():
    rng = np.random.default_rng(3)
    estimator = ScaleEstimator("odom")
    for _ in range(200):  # at rest: the network's poses tremble
        still = pose(np.eye(3), rng.normal(size=3) * 0.01)
        assert not estimator.add_motion("", np.eye(4), still)
    assert not estimator.metric
    for metres in np.arange(0, 3, 0.02):
        units = pose(np.eye(3), [metres / 4, 0, 0] + rng.normal(size=3) * 0.001)
        estimator.add_motion("", pose(np.eye(3), [0, metres, 0]), units)
    assert estimator.metric and estimator.scale == pytest.approx(4.0, rel=0.05)


def test_a_way_that_the_network_did_not_see_tells_no_scale():
    estimator = ScaleEstimator("odom")
    assert not any(estimator.add_motion("", moved(i), np.eye(4)) for i in range(2 * MIN_RATIOS))
    assert not estimator.metric


def test_odometry_is_interpolated_and_never_invented():
    odometry = Odometry()
    assert odometry.at(5) is None
    for stamp, x in ((0, 0.0), (100_000_000, 1.0), (900_000_000, 2.0)):
        odometry.add(stamp, pose(np.eye(3), [x, 0, 0]))
    T = odometry.at(25_000_000)
    assert T is not None and T[0, 3] == pytest.approx(0.25)
    assert odometry.at(950_000_000) is None and odometry.at(-1) is None
    assert odometry.at(500_000_000) is None  # 800 ms without odometry
    odometry.add(1_400_000_000, np.eye(4))
    assert odometry.at(1_150_000_000) is not None  # 500 ms
    odometry.add(2_000_000_000, np.eye(4))
    odometry.add(50, np.eye(4))  # time jumped back
    assert odometry.at(25_000_000) is None and odometry.at(50) is not None


def test_cameras_that_are_not_in_step_take_no_odometry_from_each_other():
    odometry = Odometry()
    for stamp in (0, 100, 100, 90, 200, 190, 0):
        odometry.add(stamp, moved(stamp / 1024))
    assert [stamp for stamp, _ in odometry.entries] == [0, 90, 100, 190, 200]
    for stamp in (0, 45, 90, 95, 100, 150, 200):
        assert odometry.at(stamp)[0, 3] == pytest.approx(stamp / 1024)


def test_odometry_turns_evenly_between_entries_and_changes_none():
    odometry = Odometry()
    turned = pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [1, 0, 0])
    for stamp, T in ((0, np.eye(4)), (400_000_000, turned)):
        odometry.add(stamp, T.copy())
    for share in (0.25, 0.75):
        expected = se3_exp([0, 0, 0, 0, 0, np.deg2rad(90 * share)])
        there = odometry.at(int(share * 400_000_000))
        np.testing.assert_allclose(there[:3, :3], expected[:3, :3], atol=1e-12)
    np.testing.assert_array_equal([T for _, T in odometry.entries], [np.eye(4), turned])


def moved(x: float) -> np.ndarray:
    return pose(np.eye(3), [x, 0, 0])


def judge(tracker: Tracker, *xs: float | None) -> str | None:
    poses = None if None in xs else [moved(float(x or 0)) for x in xs]
    return tracker.judge([""] * len(xs), poses, 1.0, 30.0, lost_after=3, found_after=4)


def test_a_jump_is_refused_and_the_old_place_still_counts():
    tracker = Tracker()
    assert judge(tracker, 0.0) is None
    assert judge(tracker, 5.0) == JUMP
    assert judge(tracker, 0.5) is None
    assert not tracker.lost and not tracker.doubted


def test_lost_after_so_many_and_found_where_it_is_consistent():
    tracker = Tracker()
    assert judge(tracker, 0.0) is None
    assert [judge(tracker, None), judge(tracker, 5.0)] == [NOT_FINITE, JUMP] and not tracker.lost
    assert judge(tracker, 9.0) == JUMP and tracker.lost
    assert judge(tracker, 9.5, 9.6) == LOST
    assert judge(tracker, 3.0) == JUMP  # the count starts again
    assert [judge(tracker, 3.1, 3.2), judge(tracker, 3.3)] == [LOST, LOST]
    assert judge(tracker, 3.4) is None and not tracker.lost
    assert judge(tracker, 3.5) is None
    assert judge(tracker, 9.0) == JUMP and not tracker.lost, "all is as it was before"
    assert judge(tracker, 3.6) is None


def test_a_camera_that_shows_nothing_is_lost_after_so_many_and_found_at_once():
    tracker = Tracker()
    for _ in range(3):
        tracker.blind("", lost_after=3)
    assert not tracker.doubted, "it has not begun yet"
    assert judge(tracker, 0.0) is None
    for lost in (False, False, True):
        tracker.blind("", lost_after=3)
        assert (tracker.lost, "" in tracker.covered) == (lost, lost)
    assert judge(tracker, 0.1) is None
    assert not (tracker.lost or tracker.covered or tracker.doubted)


def test_where_a_camera_is_taken_to_be_its_next_pose_is_compared():
    tracker = Tracker()
    assert judge(tracker, 0.0) is None
    tracker.move({"": moved(5), "another": moved(9)})
    assert tracker.believed.keys() == {""}
    assert judge(tracker, 0.1) == JUMP and judge(tracker, 5.1) is None


def test_to_be_taken_to_a_place_is_no_motion_of_any_camera():
    tracker, limits = Tracker(), (1.0, 30.0, 3, 4)
    assert tracker.judge(["left", "right"], [moved(0), moved(0)], *limits) is None
    sources, jumps = ["left", "left", "right"], [None, moved(5), None]
    for last, reason in ((0.4, JUMP), (5.4, None)):
        poses = [moved(0.2), moved(5.2), moved(last)]
        assert tracker.judge(sources, poses, *limits, jumps) == reason
    assert tracker.judge(sources[:2], [moved(5.4), moved(9)], *limits, [None, moved(1)]) == JUMP


def test_each_frame_of_a_chunk_is_compared_with_the_one_before():
    for xs, reason in (((0.8, -0.8), JUMP), ((1.0, 2.0, 3.0), None)):
        tracker = Tracker()
        assert judge(tracker, 0.0) is None
        assert judge(tracker, *xs) == reason


def test_each_frame_of_a_refused_chunk_is_doubted():
    tracker = Tracker()
    assert judge(tracker, 0.0) is None
    assert judge(tracker, 5.0, 5.0, 5.0) == JUMP and tracker.lost


def test_a_turn_is_a_jump_too_and_cameras_are_compared_with_themselves():
    tracker = Tracker()
    front, back = np.eye(4), look_at([0, 0, 0], [-1, 0, 0])
    arguments = (1.0, 30.0, 3, 4)
    assert tracker.judge(["front", "back"], [front, back], *arguments) is None
    assert tracker.judge(["front", "back"], [front, back], *arguments) is None
    assert tracker.judge(["back"], [front], *arguments) == JUMP


def test_each_camera_is_lost_and_found_by_itself():
    """One that is right vouches for no other, and one that is wild costs no other a frame."""
    tracker, arguments = Tracker(), (1.0, 30.0, 3, 4)
    assert tracker.judge(["a", "b"], [moved(0), moved(0)], *arguments) is None
    reasons = []
    for i in range(6):
        reasons.append(tracker.judge(["a"], [moved(50 + 0.1 * i)], *arguments))
        assert tracker.judge(["b"], [moved(0.1 * i)], *arguments) is None
    assert reasons == [JUMP, JUMP, JUMP, LOST, LOST, LOST] and not tracker.lost
    assert tracker.judge(["a"], [moved(50.7)], *arguments) is None
    for i in range(20):
        assert tracker.judge(["a"], [moved(99.0 * (i + 1))], *arguments) == JUMP
        assert tracker.judge(["b"], [moved(0.5)], *arguments) is None
    assert [tracker.judge(["b"], [moved(9.0)], *arguments) for _ in range(3)] == [JUMP] * 3
    assert tracker.lost


def test_keyframes_by_motion_by_turn_and_after_a_gap():
    keyframes = Keyframes()

    def wants(T, gap=10):
        return keyframes.wants([("", T)], 0.1, 5.0, gap)

    def turned(degrees):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return pose([[c, -s, 0], [s, c, 0], [0, 0, 1]], [0, 0, 0])

    assert wants(np.eye(4))
    keyframes.kept([("", np.eye(4))])
    assert not wants(moved(0.05)) and wants(moved(0.11))
    assert not wants(turned(3)) and wants(turned(8))
    keyframes.dropped(10)
    assert wants(moved(0.05)) and wants(turned(3))
    assert not wants(np.eye(4)), "a camera that stands still is never kept"
    keyframes.kept([("", moved(0.05))])
    assert not wants(moved(0.1))


def test_a_transform_of_the_networks_world_is_one_of_the_map():
    gauge = Gauge(look_at([1, 2, 3], [0, 0, 0]), look_at([5, 1, 1], [0, 1, 0]), 2.5)
    jump, T = look_at([0.1, 0, 0], [3, 1, 0]), look_at([2, 2, 0], [0, 0, 1])
    np.testing.assert_allclose(gauge.to_map(jump @ T), gauge.in_map(jump) @ gauge.to_map(T))


def test_where_nothing_is_seen_no_view_is_known():
    keyframes = Keyframes()
    keyframes.folded([np.eye(4)])
    assert keyframes.are_new([moved(0.1)], [0.0]) and not keyframes.are_new([np.eye(4)], [0.0])


def test_a_view_is_new_by_how_far_it_sees_and_where():
    keyframes = Keyframes()
    assert keyframes.are_new([np.eye(4)], [1.0])
    keyframes.folded([np.eye(4), moved(10)])
    near, turned = moved(0.3), look_at([0, 0, 0], [0, 1, 0])
    assert keyframes.are_new([near], [1.0]) and not keyframes.are_new([near], [2.0])
    assert keyframes.are_new([turned], [100.0])
    for degrees, is_new in ((9, False), (11, True)):
        turn = se3_exp([0, 0, 0, 0, 0, math.radians(degrees)])
        assert keyframes.are_new([turn], [1.0]) == is_new
    assert not keyframes.are_new([moved(10.1), near], [1.0, 2.0])
    assert keyframes.are_new([moved(10.1), turned], [1.0, 2.0]), "one of a chunk is enough"


def test_only_the_last_views_are_known(monkeypatch):
    monkeypatch.setattr(keyframes_module, "MOST_VIEWS", 2)
    keyframes = Keyframes()
    keyframes.folded([moved(0), moved(5), moved(10)])
    assert keyframes.are_new([moved(0)], [1.0]) and not keyframes.are_new([moved(5)], [1.0])
    assert keyframes.views.shape == (2, 4, 4)


def test_a_place_that_was_found_again_is_no_way_for_the_scale():
    estimator = ScaleEstimator("odom")
    for i in range(20):
        jump = pose(np.eye(3), [0, 0, i % 3])
        estimator.move(jump)
        offset = sum(j % 3 for j in range(i + 1))
        odom, network = pose(np.eye(3), [i, 0, 0]), pose(np.eye(3), [i / 2, 0, offset])
        estimator.add_motion("", odom, network)
    assert estimator.metric and estimator.scale == pytest.approx(2.0)


def test_trajectory_is_bounded_moved_and_written_as_tum():
    trajectory = Trajectory(3)
    for i, T in enumerate(path(5)):
        trajectory.append(1_700_000_000_000_000_001 + i, "", T)
    assert len(trajectory) == 3 and trajectory.stamps_ns[0] == 1_700_000_000_000_000_003
    before = trajectory.poses
    T = look_at([1, 2, 3], [0, 0, 0])
    trajectory.transform(T, 2.0)
    np.testing.assert_allclose(
        trajectory.poses[:, :3, 3], transform_points(T, 2 * before[:, :3, 3]), atol=1e-12
    )
    turned = T[:3, :3] @ before[0, :3, :3]
    np.testing.assert_allclose(trajectory.poses[0, :3, :3], turned, atol=1e-12)
    line = trajectory.to_tum().splitlines()[0].split()
    assert line[0] == "1700000000.000000003" and len(line) == 8
    np.testing.assert_allclose([float(x) for x in line[1:4]], trajectory.poses[0, :3, 3], atol=1e-9)
    written = matrix_from_quaternion([float(x) for x in line[4:]])
    np.testing.assert_allclose(written, trajectory.poses[0, :3, :3], atol=1e-8)
    trajectory.append(1_700_000_000_000_000_006, "", T)
    assert len(trajectory) == 3, "also after it was moved"


def test_a_trajectory_that_is_moved_keeps_its_cameras_and_may_be_empty() -> None:
    trajectory = Trajectory(3)
    trajectory.transform(moved(1), 2.0)
    assert len(trajectory) == 0 and trajectory.poses.shape == (0, 4, 4)
    for stamp, source in enumerate(("front", "back")):
        trajectory.append(stamp, source, moved(stamp))
    trajectory.transform(moved(1), 2.0)
    assert trajectory.sources == ["front", "back"] and trajectory.stamps_ns.tolist() == [0, 1]


def test_what_is_known_of_a_motion_is_in_map_units() -> None:
    gauge = Gauge(np.eye(4), look_at([5, 1, 1], [0, 1, 0]), 2.5)
    twists = np.random.default_rng(0).normal(size=(100, 6))
    in_map = twists * ([gauge.scale] * 3 + [1.0] * 3)
    found = gauge.covariance_in_map(np.cov(twists.T))
    np.testing.assert_allclose(found, np.cov(in_map.T), atol=1e-12)
    assert gauge.covariance_in_map(None) is None


def test_a_motion_that_nothing_was_aligned_for_is_known_to_a_share_of_the_depth() -> None:
    deviations = np.sqrt(np.diag(Motion.unaligned((0.1, 0.5), 4.0).covariance))
    np.testing.assert_allclose(deviations, [0.4] * 3 + [0.5] * 3)
