# SPDX-License-Identifier: Apache-2.0
"""Transforms, cameras, alignment: against hand-worked cases and identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zipmap_ros.geometry import (
    BODY_T_OPTICAL,
    Camera,
    GeometryError,
    adjoint,
    along_the_ground,
    invert,
    look_at,
    matrix_from_quaternion,
    pose,
    quaternion_from_matrix,
    rotation_angle_deg,
    se3_exp,
    se3_log,
    transform_points,
    umeyama,
)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    Q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return Q * np.sign(np.linalg.det(Q))


def turn(axis, angle_deg: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    a = np.deg2rad(angle_deg)
    return np.eye(3) + np.sin(a) * K + (1 - np.cos(a)) * K @ K


def test_optical_axes_become_body_axes():
    """REP-103: what is ahead of the camera is along x, right is -y, down is -z."""
    forward, right, down = np.eye(3)[2], np.eye(3)[0], np.eye(3)[1]
    R = BODY_T_OPTICAL[:3, :3]
    np.testing.assert_array_equal(R @ forward, [1, 0, 0])
    np.testing.assert_array_equal(R @ right, [0, -1, 0])
    np.testing.assert_array_equal(R @ down, [0, 0, -1])
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_array_equal(BODY_T_OPTICAL, pose(R, (0, 0, 0)))


def test_camera_from_field_of_view_sees_that_angle():
    camera = Camera.from_fov(640, 480, 90.0)
    assert camera.fx == pytest.approx(320)
    assert camera.fy == camera.fx
    assert (camera.cx, camera.cy) == (320, 240)
    np.testing.assert_allclose(camera.matrix, [[320, 0, 320], [0, 320, 240], [0, 0, 1]])
    assert Camera.from_matrix(camera.matrix, 640, 480) == camera


def test_a_camera_without_a_focal_length_cannot_be_used():
    assert Camera(8, 6, 0.7, 0.5, 4.0, 3.0).is_usable
    for fx, fy, cx in ((0.0, 5.0, 4.0), (5.0, 0.0, 4.0), (5.0, -5.0, 4.0), (5.0, 5.0, np.inf)):
        assert not Camera(8, 6, fx, fy, cx, 3.0).is_usable
    assert not Camera(8, 6, 5.0, 5.0, 4.0, 3.0, "plumb_bob", (0.1, np.nan)).is_usable


def test_pixel_centres_are_at_one_half():
    """A camera of 2 x 2 pixels: the rays pass through the middles of the four pixels."""
    rays = Camera(2, 2, 1.0, 2.0, 1.0, 1.0).rays()
    np.testing.assert_allclose(rays[..., 0], [[-0.5, 0.5], [-0.5, 0.5]])
    np.testing.assert_allclose(rays[..., 1], [[-0.25, -0.25], [0.25, 0.25]])
    assert (rays[..., 2] == 1).all()


def test_project_undoes_unproject():
    camera = Camera(7, 5, 6.0, 7.0, 3.2, 2.1)
    depth = np.random.default_rng(0).uniform(0.5, 4, (5, 7))
    pixels, z = camera.project(camera.unproject(depth))
    np.testing.assert_allclose(z, depth)
    np.testing.assert_allclose(pixels[..., 0], np.broadcast_to(np.arange(7) + 0.5, (5, 7)))
    np.testing.assert_allclose(pixels[..., 1], np.arange(5)[:, None] + np.full((5, 7), 0.5))


def test_points_behind_and_beside_the_camera_have_no_pixel():
    points = [[0, 0, -1.0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    pixels, z = Camera.from_fov(8, 8, 90).project(points)
    assert np.isnan(pixels[:3]).all()
    np.testing.assert_allclose(pixels[3], [4, 4])
    np.testing.assert_allclose(z, [-1, 0, 0, 1])


def test_resized_and_cropped_cameras_see_the_same_point_at_the_same_place():
    camera = Camera(64, 48, 50.0, 55.0, 30.0, 25.0, "plumb_bob", (0.1,))
    point = [0.1, -0.05, 1.3]
    (u, v), _ = camera.project(point)
    half = camera.resized(32, 12)
    np.testing.assert_allclose(half.project(point)[0], [u / 2, v / 4])
    window = camera.cropped(10, -4, 40, 60)
    np.testing.assert_allclose(window.project(point)[0], [u - 10, v + 4])
    assert (half.width, half.height, window.width, window.height) == (32, 12, 40, 60)
    assert half.distortion == window.distortion == (0.1,)
    assert half.is_distorted
    assert not half.undistorted().is_distorted
    assert half.undistorted().matrix == pytest.approx(half.matrix)


def test_invert_is_the_inverse_of_stacks_and_of_3x4():
    rng = np.random.default_rng(1)
    T = np.stack([pose(random_rotation(rng), rng.normal(size=3)) for _ in range(4)])
    np.testing.assert_allclose(invert(T) @ T, np.broadcast_to(np.eye(4), (4, 4, 4)), atol=1e-12)
    np.testing.assert_allclose(invert(T[:, :3]), invert(T))


def test_a_twist_without_rotation_is_a_shift_and_one_without_translation_a_turn():
    np.testing.assert_array_equal(se3_exp([1, 2, 3, 0, 0, 0]), pose(np.eye(3), [1, 2, 3]))
    for angle in (1e-8, 0.1, 90, 179):
        twist = np.concatenate([np.zeros(3), np.deg2rad(angle) * np.array([1, -2, 2]) / 3])
        np.testing.assert_allclose(se3_exp(twist), pose(turn([1, -2, 2], angle), np.zeros(3)))
        np.testing.assert_allclose(se3_log(se3_exp(twist)), twist, rtol=1e-9, atol=1e-20)


def test_a_twist_seen_from_elsewhere_drives_the_same_way():
    T, twist = se3_exp([1, -2, 0.5, 0.3, 0.8, -0.4]), np.array([0.1, 0.3, -0.2, 0.5, -0.1, 0.2])
    np.testing.assert_allclose(se3_exp(adjoint(T) @ twist), T @ se3_exp(twist) @ invert(T))


def test_a_twist_drives_along_an_arc():
    """A quarter of a circle of radius 1, to the left."""
    quarter = np.pi / 2
    T = se3_exp([quarter, 0, 0, 0, 0, quarter])
    np.testing.assert_allclose(T, pose(turn([0, 0, 1], 90), [1, 1, 0]), atol=1e-15)
    np.testing.assert_allclose(se3_log(T), [quarter, 0, 0, 0, 0, quarter], atol=1e-15)


def test_the_twist_of_the_identity_is_zero():
    np.testing.assert_array_equal(se3_log(np.eye(4)), np.zeros(6))
    np.testing.assert_array_equal(se3_exp(np.zeros(6)), np.eye(4))


@pytest.mark.parametrize(
    "angle", [0.0, 1e-9, 0.9e-6, 1.1e-6, 0.9e-4, 1.1e-4, 1e-3, 0.02, 1.0, 2.5, 3.1]
)
def test_exponential_and_logarithm_are_those_of_matrices(angle):
    """Against the series, also on both sides of where the formulas change."""
    rng = np.random.default_rng(4)
    for _ in range(10):
        axis = rng.normal(size=3)
        v, (x, y, z) = rng.normal(size=3), angle * axis / np.linalg.norm(axis)
        generator = np.zeros((4, 4))
        generator[:3, :3], generator[:3, 3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]], v
        series = term = np.eye(4)
        for n in range(1, 60):
            term = term @ generator / n
            series = series + term
        twist = np.array([*v, x, y, z])
        np.testing.assert_allclose(se3_exp(twist), series, rtol=0, atol=1e-10)
        np.testing.assert_allclose(se3_log(series), twist, rtol=0, atol=1e-10)


def test_transform_points_applies_scale_rotation_and_shift():
    T = pose(2 * turn([0, 0, 1], 90), [1, 2, 3])
    moved = transform_points(T, [[[1.0, 0, 0], [0, 0, 1]]])
    np.testing.assert_allclose(moved, [[[1, 4, 3], [1, 2, 5]]], atol=1e-12)


@pytest.mark.parametrize("angle", [0, 1e-7, 0.01, 45, 90, 179.9999, 180])
def test_rotation_angle_is_exact_at_both_ends(angle):
    """arccos of the trace loses half the digits near 0 and near 180 degrees."""
    measured = rotation_angle_deg(turn([1, -2, 0.5], angle))
    assert measured == pytest.approx(angle, rel=1e-6, abs=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_quaternions_and_matrices_are_two_names_of_a_rotation(seed):
    R = random_rotation(np.random.default_rng(seed))
    quaternion = quaternion_from_matrix(R)
    assert quaternion[3] >= 0
    assert np.linalg.norm(quaternion) == pytest.approx(1)
    np.testing.assert_allclose(matrix_from_quaternion(quaternion), R, atol=1e-9)
    np.testing.assert_allclose(matrix_from_quaternion(-3 * quaternion), R, atol=1e-9)


def test_quaternions_are_in_ros_order():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        quaternion_from_matrix(turn([0, 0, 1], 90)), [0, 0, half, half], atol=1e-12
    )
    np.testing.assert_allclose(
        matrix_from_quaternion([1, 0, 0, 0]), np.diag([1, -1, -1]), atol=1e-12
    )


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_a_quaternion_without_direction_is_refused(quaternion):
    with pytest.raises(GeometryError, match="unit quaternion"):
        matrix_from_quaternion(quaternion)


def test_look_at_puts_the_target_in_the_middle_and_up_on_top():
    world_T_camera = look_at((1, 2, 1), (4, 6, 2))
    camera_T_world = invert(world_T_camera)
    x, y, z = transform_points(camera_T_world, [4.0, 6, 2])
    assert (x, y) == pytest.approx((0, 0), abs=1e-12)
    assert z == pytest.approx(np.sqrt(26))
    above = transform_points(camera_T_world, [4.0, 6, 3])
    assert above[1] < 0  # y is down
    assert above[0] == pytest.approx(0, abs=1e-12)
    assert np.linalg.det(world_T_camera) == pytest.approx(1)
    with pytest.raises(GeometryError, match="parallel"):
        look_at((0, 0, 0), (0, 0, 5))
    with pytest.raises(GeometryError, match="no direction"):
        look_at((1, 2, 3), (1, 2, 3))


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_umeyama_finds_a_known_similarity(seed, scale):
    rng = np.random.default_rng(seed)
    truth = pose(random_rotation(rng), rng.normal(size=3))
    source = rng.normal(size=(10, 3))
    target = scale * source @ truth[:3, :3].T + truth[:3, 3]
    found, T = umeyama(source, target)
    assert found == pytest.approx(scale, rel=1e-9)
    np.testing.assert_allclose(T, truth, atol=1e-7 * max(1, scale))


def test_umeyama_gives_a_rotation_even_for_mirrored_or_flat_points():
    """A plane, or a mirror image, tempts the SVD into a reflection."""
    rng = np.random.default_rng(2)
    source = rng.normal(size=(20, 3))
    mirrored = source * [1, 1, -1]
    scale, T = umeyama(source, mirrored)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
    turned = (source - source.mean(0)) @ T[:3, :3].T
    assert scale == pytest.approx((turned * mirrored).sum() / (turned**2).sum())  # least squares
    flat = source * [1, 1, 0]
    R = random_rotation(rng)
    _, T = umeyama(flat, flat @ R.T, with_scale=False)
    np.testing.assert_allclose(T[:3, :3], R, atol=1e-9)


def test_umeyama_without_scale_keeps_it_at_one():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(8, 3))
    scale, T = umeyama(source, 3 * source + 1, with_scale=False)
    assert scale == 1.0
    np.testing.assert_allclose(T[:3, :3], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 3), (5, 2), (3,)])
def test_umeyama_refuses_what_it_cannot_align(shape):
    with pytest.raises(GeometryError, match="N >= 3"):
        umeyama(np.zeros(shape), np.zeros(shape))


def test_along_the_ground_height_and_tilt_stay():
    """The heading becomes the other's, whatever the tilt."""
    tilt, heading = turn([0, 1, 0], 20) @ turn([1, 0, 0], 10), turn([0, 0, 1], 120)
    moved = along_the_ground(
        pose(turn([0, 0, 1], -75) @ tilt, [4, 5, 1.5]), pose(heading, [1, 2, 0])
    )
    np.testing.assert_allclose(moved, pose(heading @ tilt, [1, 2, 1.5]), atol=1e-12)
