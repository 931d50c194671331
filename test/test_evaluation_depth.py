# SPDX-License-Identifier: Apache-2.0
"""The metrics of depth, images and maps, on cases whose answers are known by hand."""

import numpy as np
import pytest

from zipmap_ros.evaluation import EvaluationError, metrics


def test_depth_errors_by_hand():
    truth = np.array([[1.0, 2.0, np.inf], [4.0, 0.0, np.nan]])
    prediction = np.array([[1.1, 3.0, 9.0], [4.0, 9.0, 9.0]])
    errors = metrics.depth_errors(prediction, truth)
    assert errors["pixels"] == 3  # a true depth of 0 is unknown, so is one that is not finite
    assert errors["abs_rel"] == pytest.approx((0.1 + 0.5 + 0.0) / 3)
    assert errors["rmse"] == pytest.approx(np.sqrt((0.01 + 1.0) / 3))
    assert errors["delta_1_25"] == pytest.approx(200 / 3)
    near = metrics.depth_errors(np.array([1.0, 1.7]), np.array([2.0, 2.0]))
    assert near["delta_1_25"] == 50  # too near is as wrong as too far
    assert np.isnan(metrics.depth_errors(prediction, np.zeros((2, 3)))["abs_rel"])


def test_a_depth_behind_the_camera_never_counts_as_accurate():
    errors = metrics.depth_errors(np.array([-1.0, 0.0]), np.array([1.0, 1.0]))
    assert errors["delta_1_25"] == 0
    assert errors["abs_rel"] == pytest.approx(1.5)
    assert metrics.depth_errors(np.zeros(1), np.full(1, 1e-13))["delta_1_25"] == 0
    for scale in (metrics.median_scale, metrics.robust_scale):
        assert np.isnan(scale(-np.ones(3), np.ones(3)))
        assert np.isnan(scale(np.zeros(3), np.ones(3)))


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_depths_may_be_of_any_unit(unit):
    """Of the network 1 is no special depth."""
    truth = unit * np.array([1.0, 4.0, 10.0])
    assert metrics.median_scale(unit * np.array([0.5, 2.0, 9.0]), truth) == pytest.approx(2.0)
    assert metrics.robust_scale(truth / 2, truth) == pytest.approx(2.0)
    near = metrics.depth_errors(1.1 * truth, truth)
    assert (near["delta_1_25"], near["abs_rel"]) == pytest.approx((100, 0.1))


def test_a_scale_needs_a_valid_pixel():
    for scale in (metrics.median_scale, metrics.robust_scale):
        assert np.isnan(scale(np.ones(3), np.zeros(3)))
    nothing = metrics.depth_errors(np.ones(3), np.zeros(3))
    assert nothing["pixels"] == 0 and np.isnan(nothing["rmse"])


def test_depth_of_another_shape_or_not_finite_is_refused():
    with pytest.raises(EvaluationError, match="shape"):
        metrics.depth_errors(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(EvaluationError, match="not finite"):
        metrics.depth_errors(np.array([np.nan]), np.ones(1))


def test_scales_find_the_factor_despite_outliers():
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 5, (4, 20, 30))
    prediction = truth / 2.5
    prediction[:, :3] *= 0.1  # 15 % of the pixels are far off
    truth[:, 10, :5] = np.nan
    assert metrics.median_scale(prediction, truth) == pytest.approx(2.5, rel=0.25)
    assert metrics.robust_scale(prediction, truth) == pytest.approx(2.5, rel=1e-3)


def test_robust_scale_is_the_weighted_median_in_the_end():
    """sum |s d - d*| = sum d |s - d*/d|: least at the median of d*/d weighted by d."""
    rng = np.random.default_rng(2)
    prediction = rng.uniform(1, 5, 400)
    truth = prediction * rng.lognormal(0.5, 0.4, 400)
    ratio = truth / prediction
    order = np.argsort(ratio)
    cumulated = np.cumsum(prediction[order])
    median = ratio[order][np.searchsorted(cumulated, cumulated[-1] / 2)]
    assert metrics.robust_scale(prediction, truth, steps=200) == pytest.approx(median, rel=1e-3)
    assert metrics.robust_scale(prediction, truth) == pytest.approx(median, rel=5e-2)
    assert np.isnan(metrics.robust_scale(np.zeros(3), np.ones(3)))


def test_confidence_deciles_order_the_errors():
    truth = np.full(100, 2.0)
    confidence = np.arange(100.0)[::-1] + 1
    prediction = truth + 2.0 / confidence
    truth[3] = np.nan
    error = metrics.confidence_deciles(prediction, truth, confidence)
    assert (np.diff(error) < 0).all()
    assert error[0] == pytest.approx(np.mean(1 / np.arange(1, 11)))


def test_a_confidence_that_knows_nothing_has_equal_deciles():
    """Ties were once in the order of the pixels, whose errors may well have one."""
    truth = np.ones((10, 20))
    prediction = truth + np.linspace(0, 0.38, 20)
    error = metrics.confidence_deciles(prediction, truth, np.ones_like(truth))
    np.testing.assert_allclose(error, 0.19)
    half = np.where(np.arange(20) < 10, 2.0, 1.0) * truth
    error = metrics.confidence_deciles(prediction, truth, half)
    np.testing.assert_allclose(error, np.repeat([0.29, 0.09], 5))


def test_deciles_need_ten_pixels():
    truth, confidence = np.ones(10), np.arange(10.0)
    prediction = 1 + np.arange(10) / 100
    np.testing.assert_allclose(
        metrics.confidence_deciles(prediction, truth, confidence), np.arange(10) / 100
    )
    few = metrics.confidence_deciles(prediction[:9], truth[:9], confidence[:9])
    assert few.shape == (10,) and np.isnan(few).all()


def test_psnr_by_hand():
    assert metrics.psnr_db(np.full((2, 2, 3), 0.6), np.full((2, 2, 3), 0.5)) == pytest.approx(20.0)
    assert metrics.psnr_db([0.5, 0.5, 0.5, 0.7], [0.5] * 4) == pytest.approx(20.0)
    assert metrics.psnr_db(np.ones(3), np.zeros(3)) == 0
    assert metrics.psnr_db(np.ones(3), np.ones(3)) == np.inf
    assert np.isnan(metrics.psnr_db([np.nan, 1], [0, 1]))
    assert np.isnan(metrics.psnr_db([], []))
    with pytest.raises(EvaluationError, match="differ in shape"):
        metrics.psnr_db(np.ones((2, 3)), np.ones(3))


def test_nearest_distances_equal_brute_force():
    rng = np.random.default_rng(3)
    points, reference = rng.normal(size=(300, 3)), rng.normal(size=(500, 3))
    reference[:50] = reference[50:100]
    brute = np.linalg.norm(points[:, None] - reference[None], axis=-1).min(1)
    np.testing.assert_allclose(metrics.nearest_distances(points, reference), brute, atol=1e-5)


def test_map_errors_do_not_see_where_the_origin_is():
    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 5, (2000, 3))
    points = truth + rng.normal(0, 0.02, truth.shape)
    places = np.array([[0.0, 0.0, 0.0], [4e6, 0.0, -4e6]])
    here, far = (metrics.map_errors(points + at, truth + at) for at in places)
    assert far == pytest.approx(here, rel=1e-3)


def test_map_errors_of_two_planes():
    """Half of a wall, 2 cm off: all of it is near the truth, the other half is missing."""
    u, v = np.meshgrid(np.arange(0, 2, 0.02), np.arange(0, 1, 0.02))
    truth = np.stack([u.ravel(), v.ravel(), np.zeros(u.size)], axis=1)
    seen = truth[truth[:, 0] < 0.99] + (0, 0, 0.02)
    errors = metrics.map_errors(seen, truth, threshold=0.05)
    assert errors["accuracy_mean"] == pytest.approx(0.02, abs=1e-6)
    assert errors["precision"] == 100
    assert errors["recall"] == pytest.approx(52, abs=0.1)  # 50 columns and the 2 within 5 cm
    assert errors["f_score"] == pytest.approx(2 * 100 * 52 / 152, abs=0.1)
    assert errors["completeness_median"] < 0.05 < errors["completeness_mean"]
    partly = metrics.map_errors(np.concatenate([seen, seen[:100] + (0, 0, 5)]), truth)
    assert partly["precision"] == pytest.approx(100 * len(seen) / (len(seen) + 100))
    far = metrics.map_errors(seen + 10.0, truth)
    assert far["f_score"] == 0
    with pytest.raises(EvaluationError, match="cloud"):
        metrics.map_errors(np.zeros((0, 3)), truth)


def test_voxels_hold_the_mean_of_their_points():
    points = np.array([[0.01, 0.0, 0.0], [0.03, 0.0, 0.0], [-0.01, 0.0, 0.0], [1.0, 1.0, 1.0]])
    merged = metrics.voxel_downsample(points, 0.1)
    np.testing.assert_allclose(merged, [[-0.01, 0, 0], [0.02, 0, 0], [1, 1, 1]], atol=1e-12)
    assert metrics.voxel_downsample(np.zeros((0, 3)), 0.1).shape == (0, 3)
    corner = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1], [0.1, 0.0, 0.0]])
    assert len(metrics.voxel_downsample(corner, 0.06)) == 3
    for none in (0, np.inf):
        with pytest.raises(EvaluationError, match=f"voxel is {none}"):
            metrics.voxel_downsample(points, none)
    for wrong in (points.T, points * np.nan):
        with pytest.raises(EvaluationError, match=r"must be \(N, 3\) and finite"):
            metrics.voxel_downsample(wrong, 0.1)


def test_voxels_are_cubes_on_both_sides_of_the_origin():
    points = np.random.default_rng(5).uniform((-1, 0.5, -2), (0.3, 2, 2), (500, 3))
    cubes: dict[tuple, list] = {}
    for point in points:
        cubes.setdefault(tuple(np.floor(point / 0.4)), []).append(point)
    expected = [np.mean(members, axis=0) for _, members in sorted(cubes.items())]
    np.testing.assert_allclose(metrics.voxel_downsample(points, 0.4), expected)
