# SPDX-License-Identifier: Apache-2.0
"""Runs and scores: a tiny network of random weights on a room whose truth is known exactly."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from zipmap_ros.evaluation import EvaluationError, baselines, metrics, runs
from zipmap_ros.evaluation.runs import (
    STILL,
    VELOCITY,
    Run,
    Views,
    batch_run,
    fit,
    guess_runs,
    guess_views,
    hidden_frames,
    mapper_run,
    mapper_views,
    query_views,
    stream_run,
    true_depth,
    true_poses,
)
from zipmap_ros.evaluation.scores import (
    aligned_clouds,
    calibration,
    mean_scores,
    motion_scores,
    score,
    view_scores,
)
from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import Camera, look_at, se3_exp
from zipmap_ros.mapping import StreamMapper
from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.parameters import Parameters

FRAMES = 10


@pytest.fixture(scope="module")
def model() -> ZipMap:
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny()).eval()
    with torch.no_grad():  # a field of view of 1 radian: random weights give none
        model.camera_mlp_head.mlp.fc2.bias[7:] = 1.0
    return model


def sphere_frames(count: int = FRAMES, width: int = 56, height: int = 42) -> list[Frame]:
    """Frames from inside a sphere of radius 3 m: depth in closed form, coloured by direction."""
    camera = Camera.from_fov(width, height, 60.0)
    rays = camera.rays()
    frames = []
    for k in range(count):
        angle = 0.1 * k
        eye = np.array([np.cos(angle), np.sin(angle), 0.1 * k])
        pose = look_at(eye, eye + (-np.sin(angle + 0.3), np.cos(angle), 0.05 * k))
        directions = rays @ pose[:3, :3].T
        a, b = (directions**2).sum(-1), directions @ eye
        depth = (-b + np.sqrt(b * b - a * (eye @ eye - 9.0))) / a  # |eye + depth * d| = 3
        point = eye + depth[..., None] * directions
        rgb = (127 + 40 * point).clip(0, 255).astype(np.uint8)
        frames.append(Frame(k, rgb, "camera", camera, depth.astype(np.float32), map_T_camera=pose))
    return frames


def perfect_run(frames: list[Frame], size: float = 0.5) -> Run:
    """The truth itself, in a world of another size."""
    poses = true_poses(frames).copy()
    poses[:, :3, 3] *= size
    K = np.stack([frames[0].camera.matrix] * len(frames))
    return Run("perfect", np.arange(len(frames)), poses, size * true_depth(frames), K)


def test_baselines_know_two_frames_and_no_more():
    truth = true_poses(sphere_frames())
    np.testing.assert_array_equal(baselines.still_camera(truth)[-1], truth[0])
    guess = baselines.constant_velocity(truth)
    np.testing.assert_allclose(guess[:2], truth[:2], atol=1e-12)
    changed = truth.copy()
    changed[2:, :3, 3] += 5.0
    np.testing.assert_array_equal(baselines.constant_velocity(changed), guess)
    depth = np.array([[[0.25, 0.5, 8.0, np.nan, 0.0]], [[9.0] * 5]])
    np.testing.assert_array_equal(baselines.constant_depth(depth), np.full((2, 1, 5), 0.5))
    assert (baselines.constant_depth(np.zeros((2, 2, 2))) == 1).all()


def test_a_perfect_run_has_no_error_but_scale():
    frames = sphere_frames()
    scores = score(perfect_run(frames), frames)
    assert scores["scale"] == pytest.approx(2.0)
    assert scores["depth_scale"] == pytest.approx(2.0)
    for key in ("ate_sim3.rmse", "rpe.translation", "drift.percent", "depth.abs_rel"):
        assert scores[key] == pytest.approx(0.0, abs=1e-6), key
    assert scores["pairs.auc@5"] == 100 and scores["map.f_score"] == 100
    assert scores["depth_raw.abs_rel"] == pytest.approx(0.5)
    assert scores["ate_se3.rmse"] > 0.05
    percent = 100 * scores["ate_se3.rmse"] / metrics.path_length(true_poses(frames))
    assert scores["ate_se3.percent"] == pytest.approx(percent)
    assert scores["map.accuracy_mean"] == pytest.approx(0.0, abs=1e-5)
    assert "seconds_per_frame" not in scores


def test_each_part_of_the_score_sees_its_own_fault():
    frames = sphere_frames()
    perfect = perfect_run(frames)
    turned = perfect.poses.copy()
    turned[5:, :3, 3] += 0.1
    faulty = score(replace(perfect, poses=turned), frames)
    assert faulty["ate_sim3.rmse"] > 0.02 and faulty["map.f_score"] < 90
    assert faulty["depth.abs_rel"] == pytest.approx(0.0, abs=1e-6)
    bumpy = perfect.depth * np.where(np.arange(56) % 2, 1.2, 1.0).astype(np.float32)
    faulty = score(replace(perfect, depth=bumpy), frames)
    assert faulty["depth.abs_rel"] > 0.05 and faulty["ate_sim3.rmse"] < 1e-6
    assert faulty["map.accuracy_mean"] > 0.05
    wide = score(replace(perfect, K=perfect.K * (0.5, 0.5, 1.0)), frames)
    assert wide["map.f_score"] < 50 and wide["depth.abs_rel"] < 1e-6


def test_depth_is_judged_by_the_robust_scale_and_by_the_median_s():
    frames = sphere_frames()
    perfect = perfect_run(frames)
    bumpy = perfect.depth * np.where(np.arange(56) % 3, 1.0, 1.5).astype(np.float32)
    scores = score(replace(perfect, depth=bumpy), frames)
    robust = metrics.depth_errors(bumpy * scores["depth_scale"], true_depth(frames))
    assert scores["depth.abs_rel"] == pytest.approx(robust["abs_rel"])
    assert scores["depth_median.abs_rel"] != pytest.approx(scores["depth.abs_rel"], rel=1e-3)


def test_the_map_is_not_judged_where_the_camera_is_not_a_camera():
    frames = sphere_frames()
    perfect = perfect_run(frames)
    K = perfect.K.copy()
    K[0, 0, 0] = np.inf
    scores = score(replace(perfect, K=K), frames)
    assert "map.f_score" not in scores and scores["pairs.auc@5"] == 100


def test_streams_and_batch_are_the_networks_own(model):
    frames = sphere_frames()
    single, whole, batch = (
        stream_run(model, frames, 1),
        stream_run(model, frames, FRAMES),
        batch_run(model, frames),
    )
    assert [run.mode for run in (single, whole, batch)] == ["stream 1", "stream 10", "batch"]
    np.testing.assert_allclose(whole.poses, batch.poses, atol=1e-5)
    np.testing.assert_allclose(whole.depth, batch.depth, rtol=1e-4)
    assert np.abs(single.poses - batch.poses).max() > 1e-4
    images = torch.from_numpy(np.stack([f.rgb for f in frames])).permute(0, 3, 1, 2).float() / 255
    expected, _ = model.stream(images, model.new_state(), 1)
    np.testing.assert_allclose(single.depth, expected.depth[0].numpy(), rtol=1e-6)
    camera_T_world = expected.camera_T_world[0].double().numpy()
    product = camera_T_world @ single.poses
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(4)[:3], product.shape), atol=1e-5)
    assert single.seconds_per_frame is not None and single.seconds_per_frame > 0


def test_the_mapper_run_knows_which_frames_it_has(model):
    frames = sphere_frames()
    run = mapper_run(model, frames)
    assert run.mode == "mapper" and len(run.index) == len(run.poses) == len(run.depth) > 0
    assert set(run.index) <= set(range(FRAMES))
    scores = score(run, frames)
    assert scores["estimated_percent"] == 100 * len(run.index) / FRAMES
    assert 0 < scores["kept_percent"] <= 100


def test_a_mapper_of_ones_own_obeys_its_parameters(model):
    frames = sphere_frames()
    closed = {"keyframe_translation_m": 100.0, "keyframe_rotation_deg": 180.0}
    run = mapper_run(model, frames, StreamMapper(model, Parameters().updated(closed)))
    assert run.kept_percent == pytest.approx(100 / FRAMES)  # the first


def test_kept_frames_are_a_share_of_all_that_came(model):
    mapper = StreamMapper(model)
    answers = iter([None, "jump"] * FRAMES)
    judge = mapper.tracker.judge
    mapper.tracker.judge = lambda *arguments: next(answers) or judge(*arguments)
    run = mapper_run(model, sphere_frames(), mapper)
    assert len(run.index) == FRAMES / 2 and run.kept_percent <= 50


def test_the_mapper_never_sees_a_true_depth(model):
    depths = []

    class Seen(StreamMapper):
        def add_frame(self, frame):
            depths.append(frame.depth)
            return super().add_frame(frame)

    mapper_run(model, sphere_frames(), Seen(model))
    assert depths == [None] * FRAMES


def test_missing_frames_are_judged_against_their_own_truth():
    frames = sphere_frames()
    run = perfect_run(frames)
    half = Run("half", run.index[::2], run.poses[::2], run.depth[::2], run.K[::2])
    scores = score(half, frames)
    assert scores["ate_sim3.rmse"] == pytest.approx(0.0, abs=1e-9)
    assert scores["estimated_percent"] == 50
    assert scores["map.accuracy_mean"] < 1e-3 and scores["map.f_score"] == 100


def test_what_is_not_finite_has_no_figures():
    frames = sphere_frames()
    broken = perfect_run(frames)
    broken.depth[3, 2, 1] = np.nan
    assert set(score(broken, frames)) == {"estimated_percent"}
    assert calibration(broken, frames) is None


def test_without_truth_only_the_clock_is_reported(model):
    frames = [replace(f, depth=None, map_T_camera=None) for f in sphere_frames()]
    scores = score(stream_run(model, frames, 5), frames)
    assert set(scores) == {"estimated_percent", "kept_percent", "seconds_per_frame"}
    with pytest.raises(EvaluationError, match="lack a pose"):
        guess_runs(frames)


def test_the_clock_says_the_seconds_of_a_frame(model, monkeypatch):
    frames = sphere_frames(4)
    for run in (partial(stream_run, chunk=2), batch_run, mapper_run):
        times = iter([100.0, 102.0])
        monkeypatch.setattr(runs, "_now", lambda device, times=times: next(times))
        found = run(model, frames)
        assert (found.seconds_per_frame, found.kept_percent) == (0.5, 100)


def test_guesses_are_scored_like_networks():
    frames = sphere_frames()
    still, velocity = guess_runs(frames)
    assert (still.mode, velocity.mode) == (STILL, VELOCITY)
    assert score(still, frames)["pairs.tacc@30"] == 0
    # On a smooth arc, going on as before is the better guess.
    assert score(velocity, frames)["ate_se3.rmse"] < score(still, frames)["ate_se3.rmse"]


def test_without_true_poses_the_constant_depth_is_guessed():
    frames = [replace(frame, map_T_camera=None) for frame in sphere_frames()]
    (guess,) = guess_runs(frames)
    scores = score(guess, frames)
    assert guess.mode == STILL and scores["depth.abs_rel"] > 0.01
    assert not [key for key in scores if key.startswith(("ate", "rpe", "pairs", "map"))]


def test_an_uncalibrated_camera_is_guessed_to_see_60_degrees():
    frames = [replace(frame, camera=None) for frame in sphere_frames(3)]
    for guess in guess_runs(frames):
        np.testing.assert_allclose(guess.K, [Camera.from_fov(56, 42, 60.0).matrix] * 3)


def test_a_network_whose_poses_are_no_numbers_has_no_figures(model, monkeypatch):
    bias = model.camera_mlp_head.mlp.fc2.bias
    monkeypatch.setattr(bias, "data", torch.nan * bias.data)
    frames = sphere_frames()
    for run in (stream_run(model, frames, 4), batch_run(model, frames)):
        assert not run.finite and run.poses.shape == (FRAMES, 4, 4)
    assert query_views(model, frames, 1) is None


def test_hidden_frames_are_never_shown(model):
    frames = sphere_frames()
    hidden = hidden_frames(FRAMES)
    assert len(hidden) and 0 not in hidden and FRAMES - 1 not in hidden
    assert len(hidden_frames(4)) == 0
    black = [
        replace(f, rgb=np.zeros_like(f.rgb)) if i in hidden else f for i, f in enumerate(frames)
    ]
    for ask in (partial(query_views, chunk=1), mapper_views):
        views, same = ask(model, frames), ask(model, black)
        assert views is not None and same is not None
        np.testing.assert_array_equal(views.depth, same.depth)
        assert views.rgb.shape == (len(hidden), 42, 56, 3) and views.rgb.max() <= 1


@pytest.mark.parametrize("size", [(320, 180), (180, 320)])
def test_unseen_views_have_the_size_of_the_images_whatever_their_aspect(model, size):
    frames = [fit(frame, model.config) for frame in sphere_frames(FRAMES, *size)]
    for ask in (partial(query_views, chunk=1), mapper_views):
        views = ask(model, frames)
        assert views is not None and "query.abs_rel" in view_scores(views, frames)


def test_a_perfect_answer_scores_perfectly():
    frames = sphere_frames()
    hidden = hidden_frames(FRAMES)
    rgb = np.stack([frames[i].rgb for i in hidden]).astype(np.float32) / 255
    scores = view_scores(Views(hidden, rgb, 3.0 * true_depth(frames)[hidden]), frames)
    assert scores["query.psnr_db"] > 100
    assert scores["query.abs_rel"] == pytest.approx(0.0, abs=1e-6)
    guessed = guess_views(frames)
    before = np.stack([frames[i - 1].rgb for i in hidden])
    np.testing.assert_allclose(guessed.rgb, before / 255, atol=1e-6)
    guess = view_scores(guessed, frames)
    assert guess["query.psnr_db"] < 40 and guess["query.abs_rel"] > 0.01


def test_a_query_stands_where_the_truth_says(model, monkeypatch):
    """The rays of a hidden frame start at its true place, seen from the network's own world."""
    frames = sphere_frames()
    truth = true_poses(frames)
    rays = []
    query = ZipMap.query
    monkeypatch.setattr(ZipMap, "query", lambda m, s, r: rays.append(r) or query(m, s, r))
    # The network would have found the truth, turned, elsewhere and at a third of its size.
    predicted = look_at([1, 2, 3], [4, 1, 2]) @ truth
    predicted[:, :3, 3] /= 3
    shown = np.setdiff1d(np.arange(FRAMES), hidden_frames(FRAMES))
    monkeypatch.setattr("zipmap_ros.evaluation.runs._network_poses", lambda _: predicted[shown])
    query_views(model, frames, 1)
    expected = predicted[hidden_frames(FRAMES), :3, 3]
    np.testing.assert_allclose(rays[0][0, :, :3, 0, 0].numpy(), expected, atol=1e-5)


def test_the_mapper_is_asked_from_where_the_truth_says(model, monkeypatch):
    """In its own map, also where it has no estimate of some frames."""
    frames = sphere_frames()
    hidden = hidden_frames(FRAMES)
    some = np.setdiff1d(np.arange(FRAMES), hidden)[[0, 1, 3, 5, 8]]
    asked = []
    query = StreamMapper.query
    monkeypatch.setattr(
        StreamMapper, "query", lambda m, T, c: asked.append(T) or query(m, frames[0].map_T_camera)
    )

    def third(model, shown, mapper):
        run = mapper_run(model, shown, mapper)
        places = [frames.index(shown[i]) for i in run.index]
        index = [i for i, place in enumerate(places) if place in some]
        poses = true_poses(frames)[some]
        poses[:, :3, 3] /= 3
        return replace(run, index=run.index[index], poses=poses, depth=run.depth[index])

    monkeypatch.setattr("zipmap_ros.evaluation.runs.mapper_run", third)
    assert mapper_views(model, frames) is not None
    expected = true_poses(frames)[hidden]
    np.testing.assert_allclose(np.array(asked)[:, :3, 3], expected[:, :3, 3] / 3, atol=1e-9)


def test_a_mapper_that_knows_two_frames_is_asked_for_nothing(model, monkeypatch):
    def two(model, shown, mapper):
        run = mapper_run(model, shown, mapper)
        return replace(run, index=run.index[:2], poses=run.poses[:2], depth=run.depth[:2])

    monkeypatch.setattr("zipmap_ros.evaluation.runs.mapper_run", two)
    assert mapper_views(model, sphere_frames()) is None


def test_fit_brings_frames_to_the_networks_size(model):
    frame = sphere_frames(1)[0]
    large = replace(
        frame,
        rgb=np.repeat(np.repeat(frame.rgb, 4, 0), 4, 1),
        depth=np.repeat(np.repeat(frame.depth, 4, 0), 4, 1),
        camera=frame.camera.resized(224, 168),
    )
    small = fit(large, model.config)
    assert small.rgb.shape == (42, 56, 3) and small.camera.fx == pytest.approx(frame.camera.fx)
    np.testing.assert_array_equal(small.depth, frame.depth)
    again = fit(small, model.config)
    np.testing.assert_array_equal(again.rgb, small.rgb)
    bent = replace(frame.camera, distortion_model="plumb_bob", distortion=(-0.3, 0.1, 0, 0))
    straight = fit(replace(frame, camera=bent), model.config)
    assert not straight.camera.is_distorted and not np.array_equal(straight.rgb, frame.rgb)


def test_clouds_pair_pixels():
    frames = sphere_frames()
    points, truth = aligned_clouds(perfect_run(frames), frames)
    assert len(points) == FRAMES * 42 * 56
    np.testing.assert_allclose(points, truth, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(truth, axis=1), 3.0, atol=1e-5)


def test_a_true_depth_of_nothing_is_no_point_of_the_map():
    frames = sphere_frames()
    frames[0].depth[:2] = 0.0
    points, truth = aligned_clouds(perfect_run(sphere_frames()), frames)
    assert len(points) == len(truth) == FRAMES * 42 * 56 - 2 * 56


def test_calibration_sees_a_confidence_that_knows():
    frames = sphere_frames()
    run = perfect_run(frames)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, run.depth.shape).astype(np.float32)
    knowing = replace(run, depth=run.depth * (1 + noise), confidence=1 - np.abs(noise))
    errors = calibration(knowing, frames)
    # In its scale: the least sure tenth is off by 9 to 10 %, the surest by less than 1 %.
    np.testing.assert_allclose(errors, np.arange(0.095, 0, -0.01), atol=0.003)
    assert calibration(run, frames) is None  # a guess has no confidence
    assert calibration(replace(knowing, depth=0 * run.depth), frames) is None  # nor this a scale


def test_mean_scores_skip_what_is_not_defined():
    mean = mean_scores([{"a": 1.0, "b": np.nan}, {"a": 3.0, "c": 5.0}])
    assert mean["a"] == 2.0 and mean["c"] == 5.0 and np.isnan(mean["b"])


def test_what_is_known_of_motions_has_the_unit_of_the_poses():
    rng = np.random.default_rng(0)
    truth, walked = [np.eye(4)], [np.eye(4)]
    for _ in range(40):
        step = se3_exp([0.1, 0, 0.1, 0, 0.15, 0])
        truth.append(truth[-1] @ step)
        walked.append(walked[-1] @ step @ se3_exp(0.001 * rng.normal(size=6)))
    estimate, covariances = np.array(walked), np.tile(1e-6 * np.eye(6), (41, 1, 1))
    in_metres = motion_scores(estimate, np.array(truth), covariances)
    assert 0.5 < in_metres["motion.translation"] < 2
    assert 0.9 < in_metres["motion.rotation"] < 1.5
    estimate[:, :3, 3] *= 7
    covariances *= np.outer([7] * 3 + [1] * 3, [7] * 3 + [1] * 3)
    assert motion_scores(estimate, np.array(truth), covariances) == pytest.approx(in_metres)


def test_a_jump_to_a_place_is_no_motion_to_judge(model):
    frames = [Frame(i, np.zeros((8, 8, 3), np.uint8)) for i in range(3)]

    class Finds(StreamMapper):
        def add_frame(self, frame):
            flat, K = np.ones((8, 8), np.float32), Camera.from_fov(8, 8, 60)
            jump = se3_exp([1, 0, 0, 0, 0, 0]) if frame.stamp_ns == 2 else None
            known = np.eye(6) if frame.stamp_ns else None
            return [
                Estimate(
                    frame.stamp_ns, "", np.eye(4), flat, flat, K, frame.rgb,
                    jump=jump, motion_covariance=known,
                )
            ]  # fmt: skip

    covariances = mapper_run(model, frames, Finds(model)).covariances
    assert np.isfinite(covariances).all((1, 2)).tolist() == [False, True, False]
