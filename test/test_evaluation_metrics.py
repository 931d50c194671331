# SPDX-License-Identifier: Apache-2.0
"""The metrics of trajectories, on cases known by hand and against evo on a real trajectory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zipmap_ros.evaluation import EvaluationError, metrics
from zipmap_ros.geometry import pose, se3_exp


def rotation(axis: int, angle_deg: float) -> np.ndarray:
    """A (3, 3) rotation about one coordinate axis."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    R = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
    return R


def straight(n: int, step: float = 0.1) -> np.ndarray:
    """A walk along x without turning."""
    return np.stack([pose(np.eye(3), (step * k, 0.0, 0.0)) for k in range(n)])


def square(side: float = 1.0) -> np.ndarray:
    """A closed walk around a square, turning a quarter at each corner."""
    corners = [(0, 0, 0), (side, 0, 0), (side, side, 0), (0, side, 0), (0, 0, 0)]
    return np.stack([pose(rotation(2, 90.0 * k), corner) for k, corner in enumerate(corners)])


@pytest.fixture(scope="module")
def kitchen() -> np.ndarray:
    """(250, 4, 4) true poses of a real hand-held camera, made exactly rigid, as evo demands."""
    root = os.environ.get("ZIPMAP_TEST_DATA")
    if not root or not (Path(root) / "data/kitchen").is_dir():
        pytest.skip("ZIPMAP_TEST_DATA does not name a folder with data/kitchen")
    files = sorted((Path(root) / "data/kitchen").glob("frame-*.pose.txt"))
    poses = np.stack([np.loadtxt(file) for file in files])
    U, _, Vt = np.linalg.svd(poses[:, :3, :3])
    poses[:, :3, :3] = U @ Vt
    return poses


@pytest.fixture(scope="module")
def drifting(kitchen: np.ndarray) -> np.ndarray:
    """The kitchen trajectory with noise in every step, another scale and another start."""
    rng = np.random.default_rng(0)
    steps = np.linalg.inv(kitchen[:-1]) @ kitchen[1:]
    drifted = [pose(rotation(1, 40.0), (3.0, -2.0, 1.0))]
    for step in steps:
        noise = rotation(int(rng.integers(3)), rng.normal(0, 0.3))
        moved = step @ pose(noise, rng.normal(0, 0.002, 3))
        moved[:3, 3] *= 0.4
        drifted.append(drifted[-1] @ moved)
    return np.stack(drifted)


def test_alignment_undoes_a_similarity():
    truth = square()
    estimate = pose(rotation(0, 30.0), (1.0, 2.0, 3.0)) @ truth
    estimate[:, :3, 3] *= 0.5
    scale, aligned = metrics.align(estimate, truth)
    assert scale == pytest.approx(2.0)
    np.testing.assert_allclose(aligned, truth, atol=1e-12)
    assert metrics.absolute_errors(aligned, truth)["rmse"] == pytest.approx(0, abs=1e-12)
    scale, aligned = metrics.align(estimate, truth, with_scale=False)
    assert scale == 1.0
    # Half the size, same centre: each of the 5 points keeps half its distance to the mean.
    spread = np.linalg.norm(truth[:, :3, 3] - truth[:, :3, 3].mean(0), axis=1)
    expected = np.sqrt(np.mean((spread / 2) ** 2))
    assert metrics.absolute_errors(aligned, truth)["rmse"] == pytest.approx(expected)


@pytest.mark.parametrize("walk", [square(), straight(5)], ids=["square", "straight line"])
def test_a_similarity_is_found_by_orientations_too(walk):
    """Along a straight line, camera centres leave open how the world is turned around it."""
    T = pose(rotation(0, 70.0) @ rotation(2, 20.0), (1.0, 2.0, 3.0))
    estimate = T @ walk
    estimate[:, :3, 3] *= 0.5
    scale, true_T_estimate = metrics.similarity(estimate, walk)
    moved = estimate.copy()
    moved[:, :3, 3] *= scale
    assert scale == pytest.approx(2.0)
    np.testing.assert_allclose(true_T_estimate @ moved, walk, atol=1e-12)


def test_a_similarity_weighs_what_drifts_against_what_does_not():
    truth = square()
    estimate = truth.copy()
    estimate[-1, :3, :3] = rotation(2, 30.0) @ estimate[-1, :3, :3]
    scale, T = metrics.similarity(estimate, truth)
    turned = np.rad2deg(np.arccos((np.trace(T[:3, :3]) - 1) / 2))
    assert 4.0 < turned < 30.0 / 5, "the mean over five cameras, one of them off by 30 degrees"
    assert scale == pytest.approx(np.cos(np.deg2rad(turned)))
    np.testing.assert_allclose(
        T[:3, 3] + scale * T[:3, :3] @ truth[:, :3, 3].mean(0), truth[:, :3, 3].mean(0)
    )


@pytest.mark.parametrize("estimate", [np.stack([np.eye(4)] * 5), straight(5, -0.1)])
def test_a_similarity_has_no_scale_where_nothing_moves_along(estimate):
    scale, _ = metrics.similarity(estimate, straight(5))
    assert scale == 1.0


def test_an_estimate_that_moves_by_rounding_alone_has_no_scale():
    estimate = straight(5, step=1e-14)
    scale, _ = metrics.align(estimate, straight(5))
    assert scale == 1.0


@pytest.mark.parametrize("align", [metrics.align, metrics.similarity])
def test_rounding_has_no_scale_away_from_the_origin_either(align):
    estimate = straight(5, step=1e-14)
    estimate[:, :3, 3] += (1.0, 2.0, 3.0)
    scale, _ = align(estimate, straight(5))
    assert scale == 1.0


def test_three_poses_can_be_aligned():
    scale, aligned = metrics.align(square(2.0)[:3], square()[:3])
    assert scale == pytest.approx(0.5)
    np.testing.assert_allclose(aligned, square()[:3], atol=1e-12)


def test_a_truth_that_stands_still_has_no_scale():
    """With the scale of 0 that is least squares an estimate that runs away has no error."""
    truth = np.repeat(straight(1), 5, axis=0)
    scale, aligned = metrics.align(straight(5, step=1.0), truth)
    assert scale == 1.0
    assert metrics.absolute_errors(aligned, truth)["max"] == pytest.approx(2.0)
    assert metrics.relative_errors(aligned, truth)["translation"] == pytest.approx(1.0)


def test_absolute_errors_of_known_offsets():
    truth = straight(3, step=1.0)
    estimate = truth.copy()
    estimate[:, 1, 3] = (0.0, 3.0, 0.0)
    errors = metrics.absolute_errors(estimate, truth)
    assert errors["rmse"] == pytest.approx(np.sqrt(3))
    assert (errors["mean"], errors["median"], errors["max"]) == (1.0, 0.0, 3.0)
    assert errors["percent"] == pytest.approx(100 * np.sqrt(3) / 2)


def test_relative_errors_of_a_stretched_and_turning_walk():
    truth = straight(31)
    estimate = np.stack(
        [pose(rotation(0, 2.0 * k), (0.102 * k, 0, 0)) for k in range(31)]
    )  # 2 % too long, rolling 2 degrees a step about the direction of motion
    frame = metrics.relative_errors(estimate, truth)
    assert frame["translation"] == pytest.approx(0.002)
    assert frame["rotation_deg"] == pytest.approx(2.0)
    metre = metrics.relative_errors_per_metre(estimate, truth)
    assert metre["pairs"] == 21
    assert metre["translation"] == pytest.approx(0.02)
    assert metre["rotation_deg"] == pytest.approx(20.0)
    assert metrics.relative_errors(estimate, truth, step=2)["rotation_deg"] == pytest.approx(4.0)


def test_relative_errors_see_the_last_step():
    truth = straight(5)
    estimate = truth.copy()
    estimate[4, 1, 3] = 0.2
    assert metrics.relative_errors(estimate, truth)["translation"] == pytest.approx(0.1)
    assert metrics.relative_errors(estimate, truth, step=4)["translation"] == pytest.approx(0.2)


def test_errors_per_metre_are_those_of_a_stretch_by_its_length():
    """Steps of 15 cm make stretches of 1.05 m."""
    turning = np.stack([pose(rotation(0, 3.0 * k), (0.15 * k, 0, 0)) for k in range(31)])
    metre = metrics.relative_errors_per_metre(turning, straight(31, step=0.15))
    assert metre["rotation_deg"] == pytest.approx(20.0)


def test_what_is_not_defined_is_nan():
    truth = straight(5)
    short = metrics.relative_errors_per_metre(truth, truth)
    assert short["pairs"] == 0 and np.isnan(short["translation"])
    still = np.stack([np.eye(4)] * 5)
    assert np.isnan(metrics.absolute_errors(still, still)["percent"])
    assert np.isnan(metrics.relative_errors(truth, truth, step=9)["translation"])
    assert np.isnan(metrics.pairwise_accuracy(still, still)["tacc@5"])
    assert metrics.pairwise_accuracy(still, still)["auc@5"] == 100.0


def test_drift_at_the_end_of_a_loop():
    truth = square()
    estimate = truth.copy()
    estimate[-1] = pose(rotation(2, 370.0), (0.3, 0.4, 0.0))
    drift = metrics.end_drift(estimate, truth)
    assert drift["translation"] == pytest.approx(0.5)
    assert drift["percent"] == pytest.approx(12.5)
    assert drift["rotation_deg"] == pytest.approx(10.0)
    estimate[1] = np.eye(4)  # what happens on the way is not asked
    assert metrics.end_drift(estimate, truth) == drift


def test_pairwise_accuracy_of_two_frames():
    truth = np.stack([np.eye(4), pose(np.eye(3), (1.0, 0.0, 0.0))])
    estimate = np.stack([np.eye(4), pose(rotation(1, 2.5), rotation(2, 7.5) @ (5.0, 0.0, 0.0))])
    accuracy = metrics.pairwise_accuracy(estimate, truth)
    assert accuracy["racc@5"] == 100 and accuracy["tacc@5"] == 0 and accuracy["tacc@15"] == 100
    assert accuracy["auc@5"] == 0 and accuracy["rotation_deg"] == pytest.approx(2.5)
    assert accuracy["auc@15"] == pytest.approx(100 * 8 / 15)  # thresholds 8..15
    assert accuracy["auc@30"] == pytest.approx(100 * 23 / 30)


def test_pairwise_accuracy_judges_every_pair_by_itself():
    """Of three frames the last is off the line by 10 degrees, as seen from the middle one."""
    bend = np.tan(np.deg2rad(10.0))
    estimate = straight(3, step=1.0)
    estimate[2, 1, 3] = bend
    accuracy = metrics.pairwise_accuracy(estimate, straight(3, step=1.0))
    assert accuracy["tacc@5"] == pytest.approx(100 / 3)  # 0, 5.04 and 10 degrees
    assert accuracy["tacc@15"] == accuracy["racc@5"] == 100
    assert accuracy["auc@15"] == pytest.approx(100 * (5 / 3 + 5 * 2 / 3 + 5) / 15)


def test_pairwise_accuracy_sees_opposite_and_missing_motion():
    truth = straight(4)
    backwards = metrics.pairwise_accuracy(straight(4, step=-0.1), truth)
    assert backwards["tacc@30"] == 0 and backwards["racc@5"] == 100 and backwards["auc@30"] == 0
    still = metrics.pairwise_accuracy(np.stack([np.eye(4)] * 4), truth)
    assert still["tacc@30"] == 0 and still["auc@30"] == 0


def test_errors_in_standard_deviations_are_one_where_those_are_true():
    rng = np.random.default_rng(3)
    # A camera that rolls on its way round a bend: what that moves it by depends on the bend's side.
    root = np.diag([0.002] * 3 + [0.001, 0.001, 0.01])
    steps = np.tile(se3_exp([0.1, 0, 0.1, 0, 0.15, 0]), (1500, 1, 1))
    errors = rng.normal(size=(1500, 6)) @ root
    truth, walked = [np.eye(4)], [np.eye(4)]
    for step, error in zip(steps, errors, strict=True):
        truth.append(truth[-1] @ step)
        walked.append(walked[-1] @ step @ se3_exp(error))
    covariances = np.tile(root @ root.T, (1501, 1, 1))
    for step in (1, 10):
        found = metrics.normalised_errors(walked, truth, covariances, step)
        assert found == pytest.approx({"translation": 1, "rotation": 1}, rel=0.15)
        bold = metrics.normalised_errors(walked, truth, covariances / 4, step)
        assert bold["rotation"] == pytest.approx(2 * found["rotation"])
    covariances[300:] = np.nan
    walked[300:] = truth[300:]
    first = metrics.normalised_errors(walked[:300], truth[:300], covariances[:300])
    assert metrics.normalised_errors(walked, truth, covariances) == first
    short = metrics.normalised_errors(walked[:5], truth[:5], covariances[:5])
    assert np.isnan([*short.values()]).all()


def test_trajectories_that_do_not_fit_are_refused():
    with pytest.raises(EvaluationError, match="associate"):
        metrics.absolute_errors(straight(3), straight(4))
    with pytest.raises(EvaluationError, match="associate"):
        metrics.absolute_errors(straight(3)[:, :3], straight(3)[:, :3])
    with pytest.raises(EvaluationError, match="finite"):
        metrics.end_drift(straight(3) * np.nan, straight(3))
    for broken in range(2):
        pair = [straight(3), straight(3)]
        pair[broken][1, 0, 3] = np.inf
        with pytest.raises(EvaluationError, match="finite"):
            metrics.end_drift(*pair)
    with pytest.raises(EvaluationError, match="3 poses"):
        metrics.align(straight(2), straight(2))
    with pytest.raises(EvaluationError, match="step is 0: give 1 or more"):
        metrics.relative_errors(straight(3), straight(3), 0)
    with pytest.raises(EvaluationError, match=r"covariances must be \(3, 6, 6\)"):
        metrics.normalised_errors(straight(3), straight(3), np.zeros((2, 6, 6)))


@pytest.mark.parametrize("with_scale", [True, False])
def test_ate_agrees_with_evo(kitchen, drifting, with_scale):
    pytest.importorskip("evo", reason="evo is needed to compare with")
    from evo.core.metrics import APE, PoseRelation
    from evo.core.trajectory import PosePath3D

    reference, estimate = PosePath3D(poses_se3=list(kitchen)), PosePath3D(poses_se3=list(drifting))
    _, _, evo_scale = estimate.align(reference, correct_scale=with_scale)
    ape = APE(PoseRelation.translation_part)
    ape.process_data((reference, estimate))
    expected = ape.get_all_statistics()
    scale, aligned = metrics.align(drifting, kitchen, with_scale)
    errors = metrics.absolute_errors(aligned, kitchen)
    assert scale == pytest.approx(evo_scale, rel=1e-9)
    for name in ("rmse", "mean", "median", "max"):
        assert errors[name] == pytest.approx(expected[name], rel=1e-6), name
    assert metrics.path_length(kitchen) == pytest.approx(reference.path_length, rel=1e-9)


@pytest.mark.parametrize("step", [1, 10])
def test_rpe_agrees_with_evo(kitchen, drifting, step):
    pytest.importorskip("evo", reason="evo is needed to compare with")
    from evo.core.metrics import RPE, PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    reference, estimate = PosePath3D(poses_se3=list(kitchen)), PosePath3D(poses_se3=list(drifting))
    estimate.align(reference, correct_scale=True)
    _, aligned = metrics.align(drifting, kitchen)
    ours = metrics.relative_errors(aligned, kitchen, step)
    for relation, name in (
        (PoseRelation.translation_part, "translation"),
        (PoseRelation.rotation_angle_deg, "rotation_deg"),
    ):
        rpe = RPE(relation, delta=step, delta_unit=Unit.frames, all_pairs=True)
        rpe.process_data((reference, estimate))
        assert ours[name] == pytest.approx(rpe.get_statistic(_rmse()), rel=1e-3), name


def test_rpe_per_metre_is_close_to_evo_on_metre_pairs(kitchen, drifting):
    """evo takes the frame nearest to one metre, we the first beyond it, and divide."""
    pytest.importorskip("evo", reason="evo is needed to compare with")
    from evo.core.metrics import RPE, PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    _, aligned = metrics.align(drifting, kitchen)
    ours = metrics.relative_errors_per_metre(aligned, kitchen)
    reference, estimate = PosePath3D(poses_se3=list(kitchen)), PosePath3D(poses_se3=list(aligned))
    for relation, name in (
        (PoseRelation.translation_part, "translation"),
        (PoseRelation.rotation_angle_deg, "rotation_deg"),
    ):
        rpe = RPE(relation, 1.0, Unit.meters, all_pairs=True, pairs_from_reference=True)
        rpe.process_data((reference, estimate))
        assert ours[name] == pytest.approx(rpe.get_statistic(_rmse()), rel=0.05), name


def _rmse():
    from evo.core.metrics import StatisticsType

    return StatisticsType.rmse


def test_metrics_need_numpy_alone():
    """Training imports them on machines that have torch and numpy and nothing else of ours."""
    program = (
        "import sys\n"
        "for name in ('cv2', 'transforms3d', 'torch', 'matplotlib', 'rclpy'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from zipmap_ros.evaluation import metrics\n"
        "T = np.stack([np.eye(4)] * 4); T[:, 0, 3] = range(4)\n"
        "assert metrics.align(T, T)[0] > 0.99 and metrics.pairwise_accuracy(T, T)['auc@5'] == 100\n"
        "assert metrics.depth_errors(np.ones(9), np.ones(9))['abs_rel'] == 0\n"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True, timeout=300)
