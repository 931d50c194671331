# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: which are given, and from which pixels, where truth is missing."""

from dataclasses import replace

import numpy as np
import pytest
from test_evaluation_runs import perfect_run, sphere_frames

from zipmap_ros.evaluation.plots import view_sheet
from zipmap_ros.evaluation.runs import Views, has_depth, has_poses, hidden_frames
from zipmap_ros.evaluation.scores import aligned_clouds, calibration, score, view_scores


def test_points_off_the_surface_cost_the_map_precision_and_not_recall():
    frames = sphere_frames()
    run = perfect_run(frames)
    run.depth[5, 10:20, 10:20] *= 1.5
    scores = score(run, frames)
    assert scores["map.precision"] < 99.5 and scores["map.recall"] == 100
    assert scores["map.accuracy_mean"] > 1.3 * scores["map.completeness_mean"]


def test_a_frame_without_depth_or_camera_gives_the_map_nothing():
    frames = sphere_frames(5)
    run = perfect_run(frames)
    frames[1], frames[2] = replace(frames[1], depth=None), replace(frames[2], camera=None)
    points, truth = aligned_clouds(run, frames)
    np.testing.assert_allclose(points, truth, atol=1e-5)
    assert len(points) == 3 * 42 * 56
    scores = score(run, [replace(frame, camera=None) for frame in frames])
    assert "depth.abs_rel" in scores and not any(key.startswith("map") for key in scores)


def test_a_depth_that_no_scale_brings_to_the_true_one_is_judged_as_predicted():
    frames = sphere_frames(3)
    run = perfect_run(frames)
    scores = score(replace(run, depth=np.zeros_like(run.depth)), frames)
    assert "depth_raw.abs_rel" in scores and "depth.abs_rel" not in scores


def test_an_infinite_confidence_has_no_deciles():
    """Of a network that diverged: it ended the evaluation."""
    frames = sphere_frames(3)
    run = perfect_run(frames)
    run = replace(run, confidence=np.ones_like(run.depth))
    assert calibration(run, frames) is not None
    run.confidence[0, 0, 0] = np.inf
    assert calibration(run, frames) is None


def test_what_is_near_is_part_of_the_map():
    frames = [replace(frame, depth=frame.depth / 10) for frame in sphere_frames(3)]
    assert len(aligned_clouds(perfect_run(frames), frames)[0]) == 3 * 42 * 56


def test_three_frames_make_a_trajectory_and_eleven_a_motion():
    for count in (2, 3, 10, 11):
        frames = sphere_frames(count)
        run = replace(perfect_run(frames), covariances=np.tile(np.eye(6), (count, 1, 1)))
        scores = score(run, frames)
        assert ("ate_sim3.rmse" in scores) == (count > 2)
        assert np.isfinite(scores.get("motion.translation", np.nan)) == (count > 10)


def test_poses_are_had_by_all_and_depth_by_any():
    frames = sphere_frames(3)
    frames[1] = replace(frames[1], depth=None, map_T_camera=None)
    assert has_depth(frames) and not has_poses(frames)
    assert not has_depth(frames[1:2]) and has_poses(frames[2:])


def test_no_frame_at_an_end_is_hidden():
    assert [hidden_frames(n).tolist() for n in (5, 6, 13, 14)] == [[], [4], [4], [4, 12]]


def test_unseen_views_are_judged_where_the_truth_is_known():
    frames = sphere_frames(2)
    seen = np.stack([frame.rgb for frame in frames]).astype(np.float32) / 255
    views = Views(np.arange(2), seen + np.float32(0.1), np.full((2, 42, 56), 2.0, np.float32))
    half = np.where(np.arange(56) < 28, np.nan, 4.0) * np.ones((42, 1), np.float32)
    known = view_scores(views, [replace(frame, depth=half) for frame in frames])
    assert known["query.psnr_db"] == pytest.approx(20.0, abs=1e-3)
    assert known["query.abs_rel"] == pytest.approx(0.0, abs=1e-6)
    assert known["query.pixels"] == 2 * 42 * 28
    assert view_sheet(views, frames) is not None
    views.depth[0, 0, 0] = np.inf
    assert view_sheet(views, frames) is None
    assert view_scores(views, frames).keys() == {"query.psnr_db"}
    unknown = [replace(frame, depth=None) for frame in frames]
    assert view_scores(replace(views, depth=seen[..., 0]), unknown).keys() == {"query.psnr_db"}
