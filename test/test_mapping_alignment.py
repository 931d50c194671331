# SPDX-License-Identifier: Apache-2.0
"""Poses by alignment, on pictures of a synthetic room: exact depth, a network with bad poses."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from known_world import LooksUp, blobs, says
from safetensors import safe_open

from zipmap_ros.evaluation.metrics import normalised_errors
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera, invert, rigid, se3_exp, se3_log
from zipmap_ros.mapping import StreamMapper, level, load_session, save_session
from zipmap_ros.mapping import alignment as alignment_module
from zipmap_ros.mapping import mapper as mapper_module
from zipmap_ros.mapping import places as places_module
from zipmap_ros.mapping import query as query_module
from zipmap_ros.mapping import track as track_module
from zipmap_ros.mapping.alignment import Fit, Picture, Reference
from zipmap_ros.mapping.correction import (
    COLUMNS,
    PRIOR,
    ROWS,
    Correction,
    neighbours,
    node_weights,
    products_of_nodes,
)
from zipmap_ros.mapping.focal import MOST, NETWORK_FRAMES, Focal
from zipmap_ros.mapping.gauge import scaled
from zipmap_ros.mapping.pixels import correlation
from zipmap_ros.mapping.places import Places
from zipmap_ros.mapping.prepare import View, prepare
from zipmap_ros.mapping.query import QueriedView, draw_references, mended
from zipmap_ros.mapping.track import FOUND, LED, SOUGHT_AFTER, Expected, Motion, Track
from zipmap_ros.mapping.tracks import Tracks
from zipmap_ros.model import VARIANTS, ModelConfig, QueryPrediction
from zipmap_ros.parameters import Parameters
from zipmap_ros.synthetic import MOTIONS as CARRIED
from zipmap_ros.synthetic import World

# Nothing here may divide by zero or lose a number, whatever the images.
pytestmark = pytest.mark.filterwarnings("error")

CAMERA = Camera.from_fov(140, 112, 70.0)
FRAMES = 24
MOTIONS = {
    "along": [0.05, 0.02, 0.05, *np.deg2rad([1, -2, 0.5])],
    "across": [0.06, -0.03, 0.02, *np.deg2rad([1, 1, -1])],
    "turn": [0, 0, 0, *np.deg2rad([-1, 3, 1])],
}


@dataclass(frozen=True)
class Walk:
    """What a camera saw: (N, h, w, 3) uint8, (N, h, w) metres, and where, (N, 4, 4)."""

    rgb: np.ndarray
    depth: np.ndarray
    poses: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        return (self.rgb / 255 @ [0.299, 0.587, 0.114]).astype(np.float32)

    def joined(self, other: Walk) -> Walk:
        return Walk(*(np.concatenate([vars(self)[k], vars(other)[k]]) for k in vars(self)))

    def reference(self) -> Reference:
        """Its first image."""
        return reference(self.grey[0], self.depth[0], self.poses[0])


def as_picture(grey: np.ndarray, depth: np.ndarray, camera: Camera = CAMERA) -> Picture:
    return Picture(grey, depth, camera, np.zeros((*grey.shape, 3), np.uint8))


def reference(grey: np.ndarray, depth: np.ndarray, pose: np.ndarray) -> Reference:
    return Reference(as_picture(grey, depth), pose, Correction.constant(1.0))


def seen(world: World, poses: np.ndarray, camera: Camera = CAMERA, antialias: int = 2) -> Walk:
    rgb, depth = world.render(torch.as_tensor(poses), camera, antialias=antialias)
    return Walk(rgb.numpy(), depth.numpy(), poses)


@pytest.fixture(scope="module")
def kitchen() -> World:
    return World(1)


@pytest.fixture(scope="module")
def walk(kitchen) -> Walk:
    slow = replace(CARRIED["hand"], speed_m=(0.03, 0.05))
    return seen(kitchen, kitchen.trajectory(FRAMES, slow).numpy())


@pytest.fixture(scope="module")
def moved(kitchen, walk) -> Walk:
    """The walk's first image, and one after each of MOTIONS."""
    twists = [np.zeros(6), *MOTIONS.values()]
    return seen(kitchen, np.stack([walk.poses[0] @ se3_exp(twist) for twist in twists]))


@pytest.fixture(scope="module")
def elsewhere() -> Walk:
    """One image of another room."""
    world = World(4)
    return seen(world, world.trajectory(1).numpy())


def dark(walk: Walk, count: int, seed: int = 0) -> Walk:
    """Images in which there is next to nothing to see, each time something else."""
    glimmer = np.stack([blobs(100 * seed + i, *walk.rgb.shape[1:3]) // 16 for i in range(count)])
    return Walk(glimmer, walk.depth[:count], walk.poses[:count])


class SeenWorld(LooksUp):
    """Recognises the frames of a walk by their pixels, and says of each what it was given.

    poses  (N, 4, 4) network_T_camera, true by default
    focal  (N,) pixels
    """

    def __init__(self, walk: Walk, poses=None, focal=None, variant: str = "tiny"):
        super().__init__(variant=variant, image_size=walk.rgb.shape[2])
        self.index = {rgb.tobytes(): i for i, rgb in enumerate(walk.rgb)}
        self.poses = np.array(walk.poses if poses is None else poses)
        self.depth = walk.depth.copy()
        self.focal = np.full(len(walk.rgb), CAMERA.fx) if focal is None else focal

    def reconstruct(self, images, outputs=("depth", "local_points")):
        pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
        found = [self.index[image.tobytes()] for image in pixels]
        K = np.repeat(CAMERA.matrix[None], len(found), axis=0)
        K[:, 0, 0] = K[:, 1, 1] = self.focal[found]
        return says(self.poses[found], K, self.depth[found])


def noisy(poses: np.ndarray, seed: int = 0) -> np.ndarray:
    """Poses off by about 15 cm and 6 degrees, each on its own."""
    twists = np.random.default_rng(seed).normal(size=(len(poses), 6)) * ([0.1] * 3 + [0.06] * 3)
    return np.stack([T @ se3_exp(twist) for T, twist in zip(poses, twists, strict=True)])


def make(model: SeenWorld, **changes) -> StreamMapper:
    return StreamMapper(model, Parameters().updated(changes))


def run(mapper: StreamMapper, walk: Walk, indices=None, camera: Camera | None = CAMERA, source=""):
    estimates = []
    for i in range(len(walk.rgb)) if indices is None else indices:
        frame = Frame(i * 100_000_000, walk.rgb[i], camera=camera, source=source)
        estimates += mapper.add_frame(frame)
    return estimates


def errors(estimates, true) -> np.ndarray:
    """(N, 2): how many metres and degrees the ways from the first pose to each are off."""
    poses = [getattr(e, "map_T_camera", e) for e in estimates]
    return np.array(
        [
            _size(se3_log(invert(invert(true[0]) @ there) @ invert(poses[0]) @ pose))
            for pose, there in zip(poses, true, strict=True)
        ]
    )


def _size(twist: np.ndarray) -> tuple[float, float]:
    return float(np.linalg.norm(twist[:3])), float(np.rad2deg(np.linalg.norm(twist[3:])))


def motion_is_known(estimates) -> list[bool]:
    """Whether turns are, better than by a radian."""
    turns = [np.sqrt(np.diag(e.motion_covariance)[3:]) for e in estimates]
    assert all((turn == FOUND[1]).all() or (turn < 0.2).all() for turn in turns)
    return [bool((turn < 0.2).all()) for turn in turns]


def missed(fit, moved: Walk, i: int) -> tuple[float, float]:
    """Metres and degrees between a fit to the first image and where image i was."""
    return _size(se3_log(invert(moved.poses[i]) @ moved.poses[0] @ invert(fit.camera_T_reference)))


def brighter(grey: np.ndarray) -> np.ndarray:
    return np.minimum(np.float32(1.2) * grey + np.float32(0.05), 1)


def covered(grey: np.ndarray) -> np.ndarray:
    """A quarter of the image is grey."""
    grey = grey.copy()
    grey[: grey.shape[0] // 2, : grey.shape[1] // 2] = 0.5
    return grey


# One image on another.


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize(
    ("change", "metres", "degrees"),
    [(lambda grey: grey, 0.008, 0.2), (brighter, 0.008, 0.25), (covered, 0.008, 0.25)],
    ids=["plain", "brighter", "covered"],
)
def test_a_motion_is_found_from_the_guess_that_there_was_none(moved, name, change, metres, degrees):
    """The motions are of 7 cm and 2 to 3 degrees."""
    i = 1 + list(MOTIONS).index(name)
    fit = moved.reference().align(change(moved.grey[i]), CAMERA, moved.poses[0])
    assert fit is not None and (fit.lasts or change is covered)
    distance, angle = missed(fit, moved, i)
    assert distance < metres and angle < degrees


def test_the_same_image_has_not_moved(moved):
    fit = moved.reference().align(moved.grey[0], CAMERA, moved.poses[0])
    np.testing.assert_allclose(fit.camera_T_reference, np.eye(4), atol=1e-6)


def test_a_good_guess_is_kept_and_a_bad_one_is_mended(moved):
    """Also one beside the truth, not only none at all."""
    beside = moved.poses[1] @ se3_exp([0.03, -0.03, 0.02, 0.01, 0.02, -0.01])
    for guess in (moved.poses[1], beside):
        fit = moved.reference().align(moved.grey[1], CAMERA, guess)
        distance, angle = missed(fit, moved, 1)
        assert distance < 0.01 and angle < 0.25


def test_rounding_is_taken_out_of_rotations():
    T = se3_exp([1, 2, 3, 0.3, -0.2, 0.5])
    worn = T.copy()
    worn[:3, :3] += np.random.default_rng(0).normal(size=(3, 3)) * 1e-4
    before = worn.copy()
    mended = rigid(worn)
    np.testing.assert_allclose(mended[:3, :3] @ mended[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(mended, T, atol=5e-4)
    np.testing.assert_array_equal(worn, before)


@pytest.mark.parametrize("unit", [1e-4, 1e6, 1e20])
def test_the_unit_of_depth_is_that_of_the_motion(moved, unit):
    place = moved.poses[0].copy()
    place[:3, 3] *= unit
    fit = reference(moved.grey[0], moved.depth[0] * np.float32(unit), place).align(
        moved.grey[1], CAMERA, place
    )
    in_metres = moved.reference().align(moved.grey[1], CAMERA, moved.poses[0])
    expected = in_metres.camera_T_reference
    np.testing.assert_allclose(fit.camera_T_reference[:3, :3], expected[:3, :3], atol=1e-4)
    shift = fit.camera_T_reference[:3, 3] / unit
    np.testing.assert_allclose(shift, expected[:3, 3], atol=2e-4)
    units = np.array([unit] * 3 + [1.0] * 3)
    covariance = in_metres.covariance * np.outer(units, units)
    np.testing.assert_allclose(np.diag(fit.covariance), np.diag(covariance), rtol=0.05)


def test_a_few_wild_depths_do_no_harm(moved):
    """A network's depth is an exponential: what it does not know may be anything above zero."""
    chance = np.random.default_rng(0)
    for wild in (1e-30, 1e-4, 1e4, 1e30):
        depth = moved.depth[0].copy()
        depth[chance.random(depth.shape) < 0.01] = wild
        fit = reference(moved.grey[0], depth, moved.poses[0]).align(
            moved.grey[1], CAMERA, moved.poses[0]
        )
        distance, angle = missed(fit, moved, 1)
        assert distance < 0.01 and angle < 0.25


def test_another_room_is_nothing_to_align_to(moved, elsewhere):
    assert moved.reference().align(elsewhere.grey[0], CAMERA, moved.poses[0]) is None


@pytest.mark.parametrize("contrast", [1.0, 0.3, 0.1])
def test_another_room_is_nothing_to_align_to_in_poor_light_either(moved, elsewhere, contrast):
    """All of its pixels are as bright as those of any other room; the same room is still found."""
    first, same, other = (
        0.2 + contrast * (g - g.mean()) for g in (*moved.grey[:2], elsewhere.grey[0])
    )
    dim = reference(first, moved.depth[0], moved.poses[0])
    assert dim.align(other, CAMERA, moved.poses[0]) is None
    metres, degrees = missed(dim.align(same, CAMERA, moved.poses[0]), moved, 1)
    assert metres < 0.01 and degrees < 0.3


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_without_features_is_nothing_to_align(moved, value):
    plain = np.full_like(moved.grey[0], value)
    assert moved.reference().align(plain, CAMERA, moved.poses[0]) is None
    blank = reference(plain, moved.depth[0], moved.poses[0])
    for grey in (moved.grey[0], plain):
        assert blank.align(grey, CAMERA, moved.poses[0]) is None


def test_an_image_of_another_size_is_not_aligned(moved):
    grey = moved.grey[0][:98]
    camera = CAMERA.cropped(0, 0, 140, 98)
    assert moved.reference().align(grey, camera, moved.poses[0]) is None


@pytest.mark.parametrize(
    "twist",
    [
        [0.6, 0, 0, 0, 0, 0],  # lost
        [0, 0, 0, 0, np.deg2rad(12), 0],  # lost
        [0, 0, 0, 0, np.deg2rad(75), 0],  # out of view
        [0, 0, 0, 0, np.pi, 0],  # behind
        [0, 0, 100.0, 0, 0, 0],  # through the wall
    ],
)
def test_what_is_far_from_the_guess_is_not_found(moved, twist):
    guess = moved.poses[0] @ se3_exp(twist)
    assert moved.reference().align(moved.grey[0], CAMERA, guess) is None


def test_what_is_found_must_be_near_the_guess(moved, monkeypatch):
    """What looks right but is far off is chance."""
    guess = moved.poses[0] @ se3_exp([0.05, 0, 0, 0, np.deg2rad(4), 0])
    assert moved.reference().align(moved.grey[0], CAMERA, guess) is not None
    for i, name in enumerate(["translation", "rotation"]):
        farthest = np.array([1.0, 1.0])
        farthest[i] = [0.01, np.deg2rad(3)][i]  # 5 cm are 0.018 of the depth
        monkeypatch.setattr("zipmap_ros.mapping.alignment.FARTHEST", farthest)
        assert moved.reference().align(moved.grey[0], CAMERA, guess) is None, name


def test_a_reference_does_not_last_when_the_camera_is_far_away(kitchen, walk):
    """Aligned it is, by a good guess, but the next image needs another reference."""
    first = walk.reference()
    for twist, lasts in [
        ([0.05, 0, 0, 0, 0, 0], True),
        ([0.7, 0, 0, 0, 0, 0], False),
        ([0, 0, 0, 0, np.deg2rad(2), 0], True),
        ([0, 0, 0, 0, np.deg2rad(15), 0], False),
    ]:
        pose = walk.poses[0] @ se3_exp(twist)
        fit = first.align(seen(kitchen, pose[None]).grey[0], CAMERA, pose)
        assert fit is not None and fit.lasts == lasts


def test_a_reference_lasts_while_most_of_it_is_seen_and_fits(kitchen, walk):
    """Also where the middle hardly moves, as on the way ahead, or the camera not at all."""
    first = walk.reference()
    for metres, lasts in ((0.3, True), (0.7, False)):
        pose = walk.poses[0] @ se3_exp([0, 0, metres, 0, 0, 0])
        assert first.align(seen(kitchen, pose[None]).grey[0], CAMERA, pose).lasts == lasts
    for columns, lasts in ((42, True), (91, False)):
        grey = walk.grey[0]
        grey[:, :columns] = 0.5
        assert first.align(grey, CAMERA, walk.poses[0]).lasts == lasts


def test_what_the_image_does_not_tell_is_left_as_guessed():
    """Along upright stripes on a wall nothing changes by going up."""
    stripes = np.float32(0.5 + 0.3 * np.sin(np.arange(140) / 3)) * np.ones((112, 1), np.float32)
    wall = reference(stripes, np.full((112, 140), 2, np.float32), np.eye(4))
    fit = wall.align(stripes, CAMERA, se3_exp([0.01, 0.1, 0, 0, 0, 0]))
    np.testing.assert_allclose(
        invert(fit.camera_T_reference), se3_exp([0, 0.1, 0, 0, 0, 0]), atol=1e-3
    )
    deviation = np.sqrt(np.diag(fit.covariance))
    assert deviation[1] > 5 * deviation[0]
    # Seen by a camera that is rolled, the unknown way is another.
    level, T = wall.levels[0], se3_exp([0, 0, 0, 0, 0, 0.5])
    everything = np.ones(len(level.values), bool)
    covariance = level.covariance(T, np.zeros_like(level.values), everything)
    unknown = np.linalg.eigh(covariance[:3, :3])[1][:, -1]
    np.testing.assert_allclose(np.abs(unknown @ T[:3, 1]), 1, atol=1e-3)


def test_less_is_known_of_a_motion_by_fewer_and_by_noisier_pixels(moved):
    first, guess = moved.reference(), moved.poses[0]
    noise = np.random.default_rng(0).normal(0, 0.04, moved.grey[1].shape).astype(np.float32)
    sure, noisy, less = (
        first.align(grey, CAMERA, guess).covariance
        for grey in (moved.grey[1], moved.grey[1] + noise, covered(moved.grey[1]))
    )
    for other in (noisy, less):
        assert (np.diag(other) > 1.1 * np.diag(sure)).all()


def test_a_translation_is_never_surer_than_a_share_of_the_depth(moved):
    first = moved.reference()
    same = first.align(moved.grey[0], CAMERA, moved.poses[0]).covariance
    assert (np.sqrt(np.diag(same)[:3]) > 0.005 * first.levels[0].depth).all()


def test_depth_matters_along_the_way_as_the_reference_sees_it():
    """Brightness changes across upright stripes: there an unknown depth looks like a motion."""
    stripes = np.float32(0.5 + 0.3 * np.sin(np.arange(140) / 3)) * np.ones((112, 1), np.float32)
    level = reference(stripes, np.full((112, 140), 2, np.float32), np.eye(4)).levels[0]
    left, everything = np.zeros_like(level.values), np.ones(len(level.values), bool)

    def turn_known(way: list[float]) -> float:
        """By a camera that is rolled by a right angle and a way aside in the reference."""
        T = se3_exp([0, 0, 0, 0, 0, np.pi / 2])
        T[:3, 3] = T[:3, :3] @ way
        return float(np.trace(level.covariance(T, left, everything)[3:, 3:]))

    assert turn_known([0.8, 0, 0]) > 1.2 * turn_known([0, 0.8, 0])


def test_pixels_whose_depth_is_wild_leave_a_covariance_one(moved):
    depth = moved.depth[0].copy()
    depth[::5, ::7] = 1e-12
    wild = reference(moved.grey[0], depth, moved.poses[0]).levels[0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        T, left = se3_exp(rng.normal(0, 0.3, 6)), rng.normal(0, 0.1, len(wild.values))
        seen = rng.random(len(wild.values)) < 0.8
        covariance = wild.covariance(T, np.where(seen, left, 0).astype(np.float32), seen)
        assert (np.diag(covariance) > 0).all() and (np.linalg.eigvalsh(covariance) > 0).all()


def test_depth_that_is_not_known_makes_a_motion_less_known_the_longer_it_is(moved):
    level = moved.reference().levels[0]
    left, all_of_it = np.zeros_like(level.values), np.ones(len(level.values), bool)
    deviations = [
        np.sqrt(np.diag(level.covariance(se3_exp([way, 0, 0, 0, 0, 0]), left, all_of_it)))
        for way in (0.0, 0.3, 1.0)
    ]
    assert (np.diff(deviations, axis=0)[:, 3:] > 0).all()


def bent(shape, size: float, seed: int = 0) -> np.ndarray:
    """(h, w) factors with a logarithm of this standard deviation, as smooth as the prior's."""
    normal = np.random.default_rng(seed).normal(size=len(PRIOR))
    log = np.linalg.cholesky(np.linalg.inv(PRIOR)) @ normal
    return Correction(log * size / log.std(), PRIOR).factor(shape)


def test_images_correlate_whatever_their_light():
    values = np.random.default_rng(0).random(1000).astype(np.float32)
    assert correlation(values, 0.1 * values + 0.3) == pytest.approx(1, abs=1e-5)
    assert correlation(values, 1 - values) == pytest.approx(-1, abs=1e-5)
    assert abs(correlation(values, values[::-1].copy())) < 0.1


@pytest.mark.parametrize(("value", "count"), [(0.213, 4001), (0.3, 6000), (0.1, 75), (0.0, 75)])
def test_what_is_constant_correlates_with_nothing(value, count):
    """Rounding of its mean would."""
    flat = np.full(count, value, np.float32)
    values = np.random.default_rng(0).random(count).astype(np.float32)
    for other in (values, flat, np.full(count, 0.7, np.float32)):
        assert correlation(flat, other) == correlation(other, flat) == 0


def test_a_correction_is_a_factor_bilinear_between_nodes():
    log = np.arange(ROWS * COLUMNS) / 100
    factor = Correction(log, PRIOR).factor((112, 140))
    assert factor.shape == (112, 140) and factor.dtype == np.float32
    v, u = np.indices((112, 140)) + 0.5
    expected = np.exp(0.01 * (u / 140 * (COLUMNS - 1) + v / 112 * (ROWS - 1) * COLUMNS))
    np.testing.assert_allclose(factor, expected, rtol=1e-6)
    nodes = node_weights(np.stack([u.ravel(), v.ravel()]), (112, 140))
    np.testing.assert_allclose(np.exp(nodes @ log), expected.ravel(), rtol=1e-6)
    np.testing.assert_allclose(nodes.sum(1), 1)
    assert Correction.constant(2.0).factor((3, 5)) == pytest.approx(np.full((3, 5), 2.0))
    assert Correction.constant(2.0).mean == pytest.approx(2)


def test_products_of_nodes_are_those_of_the_whole_matrix():
    chance = np.random.default_rng(0)
    pixels, weights = chance.uniform([[0], [0]], [[140], [112]], (2, 2000)), chance.random(2000)
    nodes = node_weights(pixels, (112, 140))
    down, across = neighbours(nodes)
    found = products_of_nodes((down * weights) @ across)
    np.testing.assert_allclose(found, (nodes.T * weights) @ nodes, atol=1e-12)
    assert np.count_nonzero(found) < 0.2 * found.size


def test_a_correction_is_found_in_spite_of_wild_pixels_and_carries_on_beside_them():
    """Of pixels in the left half only, a tenth of them wild."""
    chance = np.random.default_rng(0)
    true = np.log(bent((112, 140), 0.2))
    pixels = chance.uniform([[0.5], [0.5]], [[69.5], [111.5]], size=(2, 1000))
    u, v = pixels.astype(int)
    logs = true[v, u] + 0.02 * chance.normal(size=1000)
    logs[:100] = chance.uniform(-3, 3, size=100)
    found = Correction.fitted(node_weights(pixels, (112, 140)), logs)
    left = np.log(found.factor((112, 140))) - true
    assert np.abs(left[:, :65]).mean() < 0.04 < 0.1 < np.abs(true[:, :65]).mean()
    assert np.abs(left[:, 65:85]).mean() < 0.8 * np.abs(true[:, 65:85]).mean()
    sure, unsure = np.sqrt(
        np.diag(np.linalg.inv(found.precision)).reshape(ROWS, COLUMNS)[3, [1, 7]]
    )
    assert sure < 0.1 < 0.25 < unsure


def test_a_factor_far_from_the_networks_scale_is_drawn_back_and_others_are_not():
    log = np.linspace(-0.3, 0.3, ROWS * COLUMNS)
    for mean in (0.4, -0.4):
        np.testing.assert_array_equal(Correction(log + mean, PRIOR).drawn_back().log, log + mean)
    for mean, back in ((1.5, 1.3), (-1.5, -1.3)):
        there = Correction(log + mean, PRIOR)
        np.testing.assert_allclose(there.drawn_back().log, log + back)
        np.testing.assert_array_equal(there.drawn_back().precision, PRIOR)


def test_the_correction_of_another_image_brings_its_depth_to_this_ones(moved):
    """Scale and shape, also where both are bent."""
    for i in range(len(moved.rgb)):
        camera_T_reference = invert(moved.poses[i]) @ moved.poses[0]
        for factor, bend in ((1.0, 0.0), (1.5, 0.1), (0.2, 0.2)):
            depth = moved.depth[i] / (factor * bent((112, 140), bend, seed=i))
            found = moved.reference().correction_of(
                camera_T_reference, depth.astype(np.float32), CAMERA
            )
            off = np.log(depth * found.factor(depth.shape) / moved.depth[i])
            assert np.abs(np.median(off)) < 0.02 and np.abs(off).mean() < 0.05


def test_a_correction_is_of_the_pixels_that_it_was_taken_from(moved):
    """Depth that is steep in the image shows a shift of a pixel."""
    v, u = np.indices((112, 140), dtype=np.float32)
    for slope in (0.02 * u, 0.02 * v):
        depth = np.exp(slope)
        steep = reference(moved.grey[0], depth, np.eye(4))
        found = steep.correction_of(np.eye(4), depth, CAMERA)
        np.testing.assert_allclose(found.log, 0, atol=0.01)


def test_a_motion_is_found_by_depth_that_its_correction_makes_right(moved):
    """As well as by depth that was right, whatever the factor: also in a few steps."""
    expected = moved.reference().align(moved.grey[1], CAMERA, moved.poses[0]).camera_T_reference
    for factor in (0.2, 6.0):
        picture = as_picture(moved.grey[0], moved.depth[0] / np.float32(factor), CAMERA)
        corrected = Reference(picture, moved.poses[0], Correction.constant(factor))
        fit = corrected.align(moved.grey[1], CAMERA, moved.poses[0])
        np.testing.assert_allclose(fit.camera_T_reference, expected, atol=1e-3)


def test_a_focal_length_is_off_by_what_the_images_say_however_sure_one_was(moved):
    """What was known before is weighed against it where both are averaged, not here as well."""
    wide = replace(CAMERA, fx=CAMERA.fx * 1.1, fy=CAMERA.fy * 1.1)
    picture = as_picture(moved.grey[0], moved.depth[0], wide)
    first = Reference(picture, moved.poses[0], Correction.constant(1.0))
    fits = [first.align(moved.grey[1], wide, moved.poses[0], sure) for sure in (100.0, 3000.0)]
    (off, told), (other, _) = (fit.focal for fit in fits)
    assert off == pytest.approx(other, rel=0.1) and off < -0.02 and told > 0


def test_without_overlap_there_is_no_correction(moved):
    away = se3_exp([0, 0, 0, 0, np.pi, 0])
    assert moved.reference().correction_of(away, moved.depth[0], CAMERA) is None


def test_depth_that_is_bent_is_mended_as_the_camera_moves_away(kitchen, walk):
    """In shape, not in scale, of which images tell nothing."""
    bend = bent((112, 140), 0.15, seed=1)
    found = reference(walk.grey[0], (walk.depth[0] * bend).astype(np.float32), walk.poses[0])
    left = [float(np.log(bend).std())]
    for metres in (0.1, 0.2, 0.3):
        pose = walk.poses[0] @ se3_exp([0.8 * metres, 0.6 * metres, 0, 0, 0, 0])
        fit = found.align(seen(kitchen, pose[None]).grey[0], CAMERA, pose)
        found = fit.reference
        left.append(float(np.log(bend * found.correction.factor(bend.shape)).std()))
        way = invert(pose) @ walk.poses[0] @ invert(fit.camera_T_reference)
        distance, angle = _size(se3_log(way))
        assert distance < 0.06 and angle < 1.2
    assert left[0] > 0.1 and left[3] < 0.75 * left[0]


def test_depth_is_left_alone_by_a_camera_that_turns_or_stands(kitchen, walk):
    """However long: noise would be laid on it, look by look."""
    first = reference(walk.grey[0], walk.depth[0], walk.poses[0])
    noise = np.random.default_rng(0)

    def changed_by(found: Reference, twist) -> tuple[Reference, list[float]]:
        pose = walk.poses[0] @ se3_exp(twist)
        grey = seen(kitchen, pose[None]).grey[0]
        changes = []
        for _ in range(20):
            noisy_grey = grey + np.float32(0.01) * noise.normal(size=grey.shape).astype(np.float32)
            found = found.align(noisy_grey, CAMERA, pose).reference
            changes.append(float(np.abs(found.correction.log).max()))
        return found, changes

    for twist in ([0, 0, 0, 0, np.deg2rad(4), 0], [0.02, 0.02, 0, 0.01, 0, 0]):
        assert changed_by(first, twist)[0] is first
    away, changes = changed_by(first, [0.16, 0.12, 0, 0, 0, 0])
    assert away is not first and len(set(changes)) == 1 and away.baseline > 0.05


def test_a_refinement_that_runs_away_is_left_out(moved, monkeypatch):
    bend = bent((112, 140), 0.15)
    first = reference(moved.grey[0], (moved.depth[0] * bend).astype(np.float32), moved.poses[0])
    fit = first.align(moved.grey[1], CAMERA, moved.poses[0])
    assert np.abs(fit.reference.correction.log).max() > 0.02
    for farthest in ([1e-6, 9.0], [9.0, 1e-6]):
        monkeypatch.setattr("zipmap_ros.mapping.alignment.FARTHEST_REFINED", np.array(farthest))
        plain = first.align(moved.grey[1], CAMERA, moved.poses[0])
        assert plain.reference is first
        distance, angle = missed(plain, moved, 1)
        assert distance < 0.05 and angle < 1.0


# Tracks of cameras, with a network whose depth is right and whose poses are not.


def test_poses_are_far_better_than_the_networks(walk):
    poses = noisy(walk.poses)
    estimates = run(make(SeenWorld(walk, poses), align_poses="on"), walk)
    assert len(estimates) == FRAMES
    aligned, raw = errors(estimates, walk.poses), errors(poses, walk.poses)
    assert np.median(raw, axis=0) == pytest.approx([0.2, 8], rel=0.5)
    assert aligned[:, 0].max() < 0.025 and aligned[:, 1].max() < 0.5


def test_a_camera_that_turns_ever_faster_is_followed(kitchen, walk):
    """By 9 degrees a frame in the end: each motion is guessed from the last."""
    angles = np.deg2rad(np.cumsum([-30, 2, 4, 6, 8, 9, 9, 9]))
    poses = np.stack([walk.poses[0] @ se3_exp([0, 0, 0, 0, angle, 0]) for angle in angles])
    turn = seen(kitchen, poses)
    off = errors(run(make(SeenWorld(turn, noisy(poses))), turn), poses)
    assert off[:, 0].max() < 0.015 and off[:, 1].max() < 0.4


def test_the_last_motion_is_that_of_the_camera_in_itself(walk):
    """It is the guess of the next: seen from elsewhere it would lead astray."""
    mapper = make(SeenWorld(walk, noisy(walk.poses)))
    run(mapper, walk, range(8))
    before = mapper.tracks.cameras[""]
    run(mapper, walk, [8])
    after = mapper.tracks.cameras[""]
    np.testing.assert_allclose(before.pose @ se3_exp(after.step), after.pose, atol=1e-9)


def test_motions_are_off_by_about_what_is_predicted(walk):
    """By bent depth, as a network's is, in map units; of the first image there is no motion."""
    estimates = run(make(bent_world(walk), scale_source="fixed", scale=3.0), walk)
    assert estimates[0].motion_covariance is None
    covariances = [np.full((6, 6), np.nan), *(e.motion_covariance for e in estimates[1:])]
    poses, true = np.array([e.map_T_camera for e in estimates]), walk.poses.copy()
    true[:, :3, 3] *= 3
    found = normalised_errors(poses, true, covariances, step=5)
    assert 0.03 < found["translation"] < 1 and 0.03 < found["rotation"] < 1


def test_a_motion_past_images_that_were_not_aligned_is_unknown(walk):
    mapper = make(SeenWorld(walk))
    run(mapper, walk, range(4))
    mapper.parameters = mapper.parameters.updated({"align_poses": "off"})
    run(mapper, walk, range(4, 9))
    mapper.parameters = mapper.parameters.updated({"align_poses": "on"})
    assert motion_is_known(run(mapper, walk, [9, 10])) == [False, True]


def test_without_alignment_poses_and_depth_are_the_networks(walk):
    poses = noisy(walk.poses)
    mapper = make(SeenWorld(walk, poses), align_poses="off")
    estimates = run(mapper, walk)
    np.testing.assert_allclose(errors(estimates, poses), 0, atol=1e-4)
    np.testing.assert_array_equal([e.depth for e in estimates], walk.depth)
    assert mapper.tracks.cameras == {}
    assert all(e.motion_covariance is None for e in estimates)


@pytest.mark.parametrize(
    ("variant", "aligned"), [("tiny", True), ("small", True), *((v, False) for v in VARIANTS)]
)
def test_auto_aligns_all_networks_but_the_official_ones(walk, variant, aligned):
    poses = noisy(walk.poses)
    estimates = run(make(SeenWorld(walk, poses, variant=variant)), walk, range(3))
    choice = "on" if aligned else "off"
    same = run(make(SeenWorld(walk, poses), align_poses=choice), walk, range(3))
    other = run(make(SeenWorld(walk, poses), align_poses="off" if aligned else "on"), walk, [0, 1])
    np.testing.assert_array_equal(
        [e.map_T_camera for e in estimates], [e.map_T_camera for e in same]
    )
    assert np.abs(estimates[1].map_T_camera - other[1].map_T_camera).max() > 0.01


def test_depth_stays_in_one_scale_where_the_networks_wanders(walk):
    """A little of it is given back on purpose, for the poses' scale not to drift away for ever."""
    model = SeenWorld(walk, noisy(walk.poses))
    wander = np.exp(0.25 * np.sin(0.35 * np.arange(FRAMES)))
    model.depth *= wander[:, None, None].astype(np.float32)
    estimates = run(make(model), walk)
    scale = np.array(
        [np.median(e.depth / true) for e, true in zip(estimates, walk.depth, strict=True)]
    )
    assert np.ptp(np.log(wander)) > 0.45
    assert np.ptp(np.log(scale)) < 0.1
    assert errors(estimates, walk.poses)[:, 0].max() < 0.04


def test_a_frame_whose_depth_is_wild_is_brought_back(walk):
    model = SeenWorld(walk)
    model.depth[3] *= 10
    for estimate, true in zip(run(make(model), walk, range(5)), walk.depth, strict=False):
        assert np.median(estimate.depth / true) == pytest.approx(1, abs=0.08)


def test_depth_is_mended_in_shape_as_the_camera_moves(walk):
    """Each frame's is bent in a way of its own, as a network's is."""
    model = SeenWorld(walk, noisy(walk.poses))
    for i in range(FRAMES):
        model.depth[i] *= bent((112, 140), 0.15, seed=i // 6)
    mapper = make(model)
    estimates = run(mapper, walk)
    off = [np.log(e.depth / true) for e, true in zip(estimates, walk.depth, strict=True)]
    off = [np.abs(o - np.median(o)).mean() for o in off]
    raw = [np.log(d / true) for d, true in zip(model.depth, walk.depth, strict=True)]
    raw = [np.abs(o - np.median(o)).mean() for o in raw]
    assert np.mean(off[12:]) < 0.5 * np.mean(raw[12:])
    away = errors(estimates, walk.poses)
    assert away[:, 0].max() < 0.08 and away[:, 1].max() < 1.0


def test_a_scale_far_from_the_networks_comes_back_to_it(walk, monkeypatch):
    """By the errors of a long walk, on which nothing is seen twice, it may creep that far."""
    monkeypatch.setattr(places_module, "MOST", 0)
    model = SeenWorld(walk)
    model.depth[0] *= 6
    mapper = make(model)
    run(mapper, walk, [0, 1])
    assert mapper.tracks.cameras[""].correction.mean > 5
    for _ in range(3):
        run(mapper, walk, [3, 6, 9, 12, 15, 18, 21, 23, 20, 17, 14, 11, 8, 5, 2])
    assert mapper.tracks.cameras[""].correction.mean < 2.5


def test_the_scale_of_what_the_network_remembers_is_the_mean_over_all_frames(monkeypatch):
    camera = Camera.from_fov(56, 42, 60.0)
    view = View(Frame(0, np.zeros((42, 56, 3), np.uint8)), torch.zeros(3, 42, 56), camera, None)
    larger = Correction.constant(4.0)

    def followed(self, fit, picture, expected, known, places, learns, lost):
        return replace(self, correction=larger), places

    monkeypatch.setattr(Track, "followed", followed)
    tracks = Tracks.none()
    for _ in range(2):
        tracks, _ = tracks.follow(view, np.ones((42, 56), np.float32), camera.matrix, np.eye(4))
    assert tracks.scale == pytest.approx(2.0)


class Remembers(SeenWorld):
    """Answers a query by a depth of its own, (h, w)."""

    remembered: np.ndarray

    def query(self, state, rays):
        depth = torch.from_numpy(self.remembered)[None, None].float()
        return QueryPrediction(torch.ones(*depth.shape, 3), depth, torch.ones_like(depth))


def remembering(walk: Walk, remembered: np.ndarray) -> Remembers:
    model = Remembers(walk)
    model.config = replace(model.config, query=True)
    model.remembered = remembered
    return model


def test_a_queried_view_has_the_scale_of_the_map(walk):
    """The state knows the network's own, of which each frame's depth was brought to the first's."""
    model = remembering(walk, np.ones((112, 140), np.float32))
    model.depth[1:] /= 2
    mapper = make(model)
    run(mapper, walk, range(12))
    assert mapper.tracks.cameras[""].correction.mean == pytest.approx(2, rel=0.07)
    assert mapper.tracks.scale == pytest.approx(2 ** (11 / 12), rel=0.05)
    away = mapper.trajectory.poses[-1].copy()
    away[:3, 3] += 40
    view = mapper.query(away, CAMERA)
    assert view.depth == pytest.approx(mapper.tracks.scale) and view.source == "network"


def without_references(mapper: StreamMapper) -> None:
    mapper.tracks = replace(mapper.tracks, cameras={}, places=Places())


@pytest.mark.parametrize("known", ["map", "references"])
def test_a_queried_view_has_the_shape_of_what_is_known(walk, known):
    """In map units. A map that takes only what is very sure is empty here."""
    remembered = 1.3 * walk.depth[6] * bent((112, 140), 0.2, seed=1)
    least = 1.0 if known == "map" else 1e6
    fixed = {"scale_source": "fixed", "scale": 3.0}
    mapper = make(
        remembering(walk, remembered), map_min_confidence=least, map_range_m=30.0, **fixed
    )
    view = run(mapper, walk, range(12))[6]
    if known == "map":
        without_references(mapper)
    assert (len(mapper.voxel_map) > 0) == (known == "map")
    known = mapper.query(view.map_T_camera, CAMERA)
    off = np.abs(np.log(known.depth / (3 * walk.depth[6])))
    assert off.mean() < 0.25 * np.abs(np.log(remembered / walk.depth[6])).mean()
    assert known.source == "network" and np.isfinite(known.depth).all()


def test_an_image_shows_what_is_seen_of_it_from_aside(moved):
    """Depth in map units, and colours."""
    here = replace(moved.reference().picture, rgb=moved.rgb[0])
    (straight,) = draw_references(
        [Reference(here, moved.poses[0], Correction.constant(1.5))], moved.poses[0], CAMERA, 2.0
    )
    off = np.log(straight.depth / moved.depth[0])
    assert np.median(off) == pytest.approx(np.log(3), abs=0.02)
    assert np.median(np.abs(straight.rgb.astype(float) - moved.rgb[0])) < 5
    ahead = moved.poses[0] @ se3_exp([0, 0, 0.3, 0, 0, 0])
    (nearer,) = draw_references([moved.reference()], ahead, CAMERA, 1.0)
    assert np.isnan(nearer.depth[20:-20, 20:-20]).mean() < 0.002, (
        "far or near, pixels leave no gaps"
    )
    aside = moved.poses[0] @ se3_exp([0.3, 0, 0, 0, 0, 0])
    (view,) = draw_references([moved.reference()], aside, CAMERA, 1.0)
    assert 0.5 < np.isfinite(view.depth).mean() < 0.95, "not all of it is in the image"
    assert draw_references([], aside, CAMERA, 1.0) == []


def test_a_view_takes_of_each_drawing_what_those_before_do_not_show():
    shape, nothing = (112, 140), np.full((112, 140), np.nan, np.float32)

    def drawing(depth: np.ndarray, shade: int) -> QueriedView:
        rgb = np.full((*shape, 3), shade, np.uint8)
        return QueriedView(CAMERA, depth.astype(np.float32), np.ones(shape, np.float32), rgb, "map")

    left, top = nothing.copy(), nothing.copy()
    left[:, :70], top[:56] = 2.0, 4.0
    view = mended(drawing(np.full(shape, 1.0), 1), drawing(left, 2), drawing(top, 4))
    assert (view.rgb[:, :70] == 2).all() and (view.rgb[:56, 70:] == 4).all()
    assert (view.rgb[56:, 70:] == 1).all()
    assert (view.depth[:, :70] == 2).all() and (view.depth[:56, 70:] == 4).all()
    brought = view.depth[56:, 70:]
    assert brought.min() > 1.5 and brought.max() < 4.2, "not what the network said"
    v, u = np.mgrid[:112, :140]
    sloping, hole = 0.01 * u + 0.008 * v, np.s_[40:60, 60:80]
    seen = np.exp(sloping)
    seen[hole] = np.nan
    view = mended(drawing(np.full(shape, 1.0), 1), drawing(seen, 2))
    np.testing.assert_allclose(np.log(view.depth[hole]), sloping[hole], atol=0.015)
    untouched = mended(drawing(np.full(shape, 1.0), 1), drawing(nothing, 2))
    assert (untouched.depth == 1).all() and (untouched.rgb == 1).all()
    assert "it is a guess" in untouched.warning and view.warning == ""


def test_the_nearest_references_are_those_of_places_and_of_the_cameras(walk, monkeypatch):
    monkeypatch.setattr(places_module, "SHOWN", 2)
    mapper = make(SeenWorld(walk))
    run(mapper, walk, source="left")
    run(mapper, walk, source="right")
    tracks = mapper.tracks
    every = [*tracks.places.references, *(t.reference for t in tracks.cameras.values())]
    assert len(every) > places_module.SHOWN
    for wanted in every:
        nearest = tracks.nearest(wanted.world_T_camera)
        assert nearest[0] is wanted and len(nearest) == places_module.SHOWN
    assert Tracks.none().nearest(np.eye(4)) == []


def test_a_large_map_mends_a_view_by_a_part_of_its_points(walk, monkeypatch):
    """In a moment: the network waits meanwhile."""
    mapper = make(remembering(walk, 1.3 * walk.depth[6]), map_min_confidence=1.0, map_voxel_m=0.01)
    here = run(mapper, walk, range(12))[6].map_T_camera
    drawn = []
    without_references(mapper)
    by_all = mapper.query(here, CAMERA).depth
    project = query_module.project_cloud
    monkeypatch.setattr(mapper_module, "MOST_POINTS", len(mapper.voxel_map) // 10)
    monkeypatch.setattr(
        query_module, "project_cloud", lambda c, *rest: drawn.append(len(c)) or project(c, *rest)
    )
    by_some = mapper.query(here, CAMERA).depth
    assert drawn[0] == pytest.approx(len(mapper.voxel_map) / 10, rel=0.02)
    assert np.abs(np.log(by_some / by_all)).mean() < 0.04


def test_a_few_points_of_the_map_do_not_mend_a_view(walk):
    """They may be wild, and what they would be corrected to reaches far."""
    mapper = make(remembering(walk, np.full((112, 140), 3.0, np.float32)))
    run(mapper, walk, [0])
    without_references(mapper)
    here = mapper.trajectory.poses[-1]
    mapper.voxel_map.clear()
    wild = (here @ [0, 0, 0.3, 1])[None, :3]
    mapper.voxel_map.insert(wild, np.zeros((1, 3), np.uint8), np.ones(1))
    assert np.isfinite(query_module.project_map(mapper.voxel_map, here, CAMERA).depth).any()
    assert (mapper.query(here, CAMERA).depth == 3).all()


def test_poses_go_on_from_where_they_were_aligned(walk):
    """When the parameter is changed, or a session goes on with another."""
    network = noisy(walk.poses)
    mapper = make(SeenWorld(walk, network), keyframe_translation_m=0.0)
    before = run(mapper, walk, range(12))[-1].map_T_camera
    mapper.parameters = mapper.parameters.updated({"align_poses": "off"})
    after = run(mapper, walk, [12])[-1].map_T_camera
    np.testing.assert_allclose(invert(before) @ after, invert(network[11]) @ network[12], atol=1e-5)


def test_the_length_of_chunks_changes_no_bit(walk):
    model = SeenWorld(walk, noisy(walk.poses))
    one, four = (run(make(model, chunk_frames=n), walk) for n in (1, 4))
    assert len(one) == len(four) == FRAMES
    for a, b in zip(one, four, strict=True):
        np.testing.assert_array_equal(a.map_T_camera, b.map_T_camera)
        np.testing.assert_array_equal(a.depth, b.depth)


def test_aligning_a_chunk_changes_neither_tracks_nor_prediction(walk):
    """A chunk may be refused afterwards."""
    model = SeenWorld(walk, noisy(walk.poses), focal=CAMERA.fx * np.linspace(0.9, 1.1, FRAMES))
    model.depth *= np.linspace(1, 1.3, FRAMES, dtype=np.float32)[:, None, None]
    mapper = make(model)
    run(mapper, walk, range(4), camera=None)
    views = [prepare(Frame(0, rgb), model.config, False) for rgb in walk.rgb[4:20]]
    prediction = model.reconstruct(torch.stack([view.pixels for view in views]))
    tracks = mapper.tracks
    before = copy.deepcopy(tracks.state())
    depth, K = prediction.depth.clone(), prediction.intrinsics.clone()
    found = tracks.align(views, prediction, list(model.poses[4:20]))
    again = tracks.align(views, prediction, list(model.poses[4:20]))
    np.testing.assert_array_equal(found.poses, again.poses)
    aligned, after = found.prediction, found.tracks
    assert after.places.references and not tracks.places.references
    assert torch.equal(prediction.depth, depth) and torch.equal(prediction.intrinsics, K)
    assert not torch.equal(aligned.depth, depth) and not torch.equal(aligned.intrinsics, K)
    assert after.cameras[""].reference is not tracks.cameras[""].reference
    small, arrays = tracks.state()
    assert small == before[0] != after.state()[0]
    assert all(np.array_equal(arrays[key], before[1][key]) for key in before[1])


def test_where_alignment_fails_the_networks_motion_leads_on(walk, elsewhere):
    both = walk.joined(elsewhere)
    poses = noisy(both.poses)
    poses[FRAMES] = poses[9] @ se3_exp([0.2, 0, 0.1, 0, 0.1, 0])
    model = SeenWorld(both, poses)
    model.depth *= np.float32(0.8)
    model.depth[0] /= np.float32(0.8)
    mapper = make(model)
    before = run(mapper, both, range(10))
    scale = mapper.tracks.cameras[""].correction.mean
    assert scale > 1.1
    (away,) = run(mapper, both, [FRAMES])
    motion = invert(poses[9]) @ poses[FRAMES]
    np.testing.assert_allclose(away.map_T_camera, before[9].map_T_camera @ motion, atol=1e-6)
    np.testing.assert_allclose(away.depth, model.depth[FRAMES] * scale, rtol=1e-6)
    assert not mapper.tracks.cameras[""].step.any()
    led, aligned = (np.sqrt(np.diag(e.motion_covariance)) for e in (away, before[9]))
    assert (led[3:] == LED[1]).all() and (led > 4 * aligned).all()
    # Nothing is aligned to what was seen before; from the next image on it goes as always.
    (back,) = run(mapper, both, [10])
    motion = invert(poses[FRAMES]) @ poses[10]
    np.testing.assert_allclose(back.map_T_camera, away.map_T_camera @ motion, atol=1e-6)
    after = run(mapper, both, range(11, 20))
    ratio = np.median(after[0].depth / model.depth[11])
    assert ratio == pytest.approx(scale, rel=0.02)
    assert errors([back, *after], both.poses[10:20])[:, 0].max() < 0.05


def test_a_refused_chunk_leaves_the_tracks_as_they_were(walk, elsewhere):
    both = walk.joined(elsewhere)
    poses = noisy(both.poses)
    poses[FRAMES] = poses[11] @ se3_exp([0, 0, 5.0, 0, 0, 0])
    model = SeenWorld(both, poses)
    model.depth[6] = np.nan
    mapper = make(model, max_jump_m=1.0)
    estimates = run(mapper, both, range(6))
    tracks = mapper.tracks
    assert run(mapper, both, [6]) == [] and mapper.tracks is tracks
    estimates += run(mapper, both, range(7, 12))
    tracks = mapper.tracks
    assert run(mapper, both, [FRAMES]) == [] and mapper.tracks is tracks
    assert mapper.counts.dropped == {"not_finite": 1, "jump": 1}
    estimates += run(mapper, both, range(12, FRAMES))
    rest = [*range(6), *range(7, FRAMES)]
    off = errors(estimates, both.poses[rest])
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5


def test_reset_forgets_the_tracks(walk):
    mapper = make(SeenWorld(walk))
    run(mapper, walk, range(2))
    mapper.reset()
    assert mapper.tracks.cameras == {} and (mapper.tracks.correction == np.eye(4)).all()


def two_cameras(mapper: StreamMapper, walk: Walk, indices) -> dict[str, list]:
    """One goes along the walk from its beginning, the other from its end, one after the other."""
    estimates: dict[str, list] = {"left": [], "right": []}
    for i in indices:
        estimates["left"] += run(mapper, walk, [i], source="left")
        estimates["right"] += run(mapper, walk, [FRAMES - 1 - i], source="right")
    return estimates


def test_each_camera_has_its_track(walk):
    poses = noisy(walk.poses)
    estimates = two_cameras(make(SeenWorld(walk, poses)), walk, range(10))
    for source, indices in [("left", range(10)), ("right", range(FRAMES - 1, FRAMES - 11, -1))]:
        off = errors(estimates[source], walk.poses[list(indices)])
        assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.5


def test_a_new_camera_is_placed_by_the_networks_motion_from_the_last_frame(walk):
    poses = noisy(walk.poses)
    mapper = make(SeenWorld(walk, poses))
    left = run(mapper, walk, range(5), source="left")
    right = run(mapper, walk, [20], source="right")
    motion = invert(poses[4]) @ poses[20]
    np.testing.assert_allclose(right[0].map_T_camera, left[4].map_T_camera @ motion, atol=1e-6)
    tracks = mapper.tracks.cameras
    assert list(tracks) == ["left", "right"]
    assert tracks["right"].correction.mean == pytest.approx(tracks["left"].correction.mean) != 1


def test_a_session_continues_the_tracks_bit_for_bit(walk, tmp_path):
    model = SeenWorld(walk, noisy(walk.poses))
    model.depth *= np.linspace(1, 1.3, FRAMES, dtype=np.float32)[:, None, None]
    whole, loaded = make(model), make(model)
    two_cameras(whole, walk, range(5))
    run(whole, walk, range(5), camera=None, source="unknown")
    save_session(whole, tmp_path, "house")
    run(loaded, walk, [12, 13])
    load_session(loaded, tmp_path, "house")
    np.testing.assert_array_equal(loaded.tracks.correction, whole.tracks.correction)
    assert loaded.tracks.scale == whole.tracks.scale != 1
    assert loaded.tracks.frames == whole.tracks.frames
    assert list(loaded.tracks.cameras) == ["left", "right", "unknown"]
    for source, track in whole.tracks.cameras.items():
        other = loaded.tracks.cameras[source]
        one, two = track.reference, other.reference
        np.testing.assert_array_equal(other.pose, track.pose)
        np.testing.assert_array_equal(other.step, track.step)
        assert other.focal == track.focal
        for a, b in ((track, other), (one, two)):
            for name in ("log", "precision"):
                np.testing.assert_array_equal(
                    getattr(a.correction, name), getattr(b.correction, name)
                )
        assert one.baseline == two.baseline
        np.testing.assert_array_equal(one.world_T_camera, two.world_T_camera)
        np.testing.assert_array_equal(one.picture.grey, two.picture.grey)
        np.testing.assert_array_equal(one.picture.depth, two.picture.depth)
        assert one.picture.camera == two.picture.camera

    def go_on(mapper):
        estimates = two_cameras(mapper, walk, range(5, 10))
        unknown = run(mapper, walk, range(5, 10), camera=None, source="unknown")
        return [*estimates["left"], *estimates["right"], *unknown]

    for one, other in zip(go_on(whole), go_on(loaded), strict=True):
        np.testing.assert_array_equal(one.map_T_camera, other.map_T_camera)
        np.testing.assert_array_equal(one.depth, other.depth)
        assert one.camera == other.camera


def test_a_saved_track_is_as_large_after_one_frame_as_after_many(walk, tmp_path):
    mapper = make(SeenWorld(walk, noisy(walk.poses)))
    sizes = []
    for indices in ([0], range(1, FRAMES)):
        run(mapper, walk, indices)
        folder, _ = save_session(mapper, tmp_path, "house", overwrite=True)
        with safe_open(folder / "mapper.safetensors", "np") as file:
            names = file.keys()  # an open file is no mapping: only this lists it
            keys = [key for key in names if key.startswith("tracks.0")]
            sizes.append({key: file.get_tensor(key).nbytes for key in keys})
    nodes = ROWS * COLUMNS * 8
    pixels = 140 * 112
    names = {"grey": 4 * pixels, "depth": 4 * pixels, "rgb": 3 * pixels}
    names |= {"log": nodes, "reference_log": nodes, "still": 4 * (141 // 3) * (114 // 3)}
    names |= dict.fromkeys(["precision", "reference_precision"], ROWS * COLUMNS * nodes)
    assert sizes[0] == sizes[1] == {f"tracks.0.{name}": size for name, size in names.items()}


def test_the_focal_length_of_an_uncalibrated_camera_is_the_mean_of_the_networks(walk):
    focal = CAMERA.fx * (1 + 0.08 * np.random.default_rng(0).normal(size=FRAMES))
    mapper = make(SeenWorld(walk, noisy(walk.poses), focal=focal))
    estimates = run(mapper, walk, range(10), camera=None)
    (known,) = run(mapper, walk, [10])
    assert known.camera == CAMERA
    estimates += run(mapper, walk, range(11, FRAMES), camera=None)
    said = np.delete(focal, 10)
    mean = np.cumsum(said) / np.arange(1, FRAMES)
    np.testing.assert_allclose([e.camera.fx for e in estimates[:4]], mean[:4], rtol=1e-5)
    np.testing.assert_allclose([e.camera.fx for e in estimates], mean, rtol=0.05)
    assert estimates[5].camera == replace(
        CAMERA, fx=estimates[5].camera.fx, fy=estimates[5].camera.fx
    )
    assert np.std([e.camera.fx for e in estimates[4:]]) < np.std(said[4:]) / 4
    assert errors(estimates, np.delete(walk.poses, 10, axis=0))[:, 0].max() < 0.15


@pytest.mark.parametrize("factor", [1.2, 0.85])
def test_the_focal_length_of_an_uncalibrated_camera_is_found(walk, factor):
    """A network that is off by a fifth in every frame is corrected by motion."""
    model = SeenWorld(walk, noisy(walk.poses), focal=np.full(FRAMES, factor * CAMERA.fx))
    mapper = make(model)
    estimates = run(mapper, walk, camera=None)
    ratio = np.array([e.camera.fx for e in estimates]) / CAMERA.fx
    assert ratio[0] == pytest.approx(factor, rel=1e-3)
    assert ratio[-1] == pytest.approx(1, abs=0.06)
    assert [e.camera.fy for e in estimates] == [e.camera.fx for e in estimates]
    known = make(model)
    assert all(e.camera == CAMERA for e in run(known, walk))
    assert known.tracks.cameras[""].focal == Focal()


def test_what_is_known_of_a_focal_length():
    """The network's mean is off by a tenth; images count by what they know, up to a bound."""
    K = np.array([[100.0, 0, 70], [0, 110, 56], [0, 0, 1]])
    said = Focal().said(K, aspect=1.1)
    assert said.camera(140, 112, K) == Camera(140, 112, 100.0, pytest.approx(110.0), 70.0, 56.0)
    assert said.aligned(0.0, 0.0) == said
    focal = said
    for _ in range(1000):
        off = np.log(120 / focal.camera(140, 112, K).fx)
        focal = focal.aligned(off, 1e4)
    assert focal.information == MOST
    camera = focal.camera(140, 112, K)
    assert camera.fx == pytest.approx(120, rel=0.01) and camera.fy == pytest.approx(132, rel=0.01)
    # The network changes its mind, which moves what images found as little as what they weigh.
    moved = focal.said(1.2 * K, aspect=1.1).camera(140, 112, K)
    assert moved.fx == pytest.approx(camera.fx, rel=0.005)
    assert said.aligned(5.0, 1e9).camera(140, 112, K).fx < 100 * np.exp(0.3) + 1e-9


def test_an_uncalibrated_camera_has_square_pixels():
    """The network takes an image of any shape for one of 4:3."""
    upright = Frame(0, blobs(0, 96, 64))
    view = prepare(upright, ModelConfig.tiny(), undistort=True)
    height, width = view.pixels.shape[1:]
    assert view.aspect == pytest.approx((height / 96) / (width / 64))
    K = np.array([[20.0, 0, width / 2], [0, 80.0, height / 2], [0, 0, 1]])
    depth = np.ones((height, width), np.float32)
    tracks, camera = Tracks.none().follow(view, depth, K, np.eye(4))
    assert camera.fx * camera.fy == pytest.approx(20 * 80), "neither is known better"
    assert camera.fy / camera.fx == pytest.approx(view.aspect)
    assert tracks.cameras[""].focal.fx == camera.fx


def test_a_focal_length_is_of_images_of_one_size():
    """Whoever sends others of another aspect has another one in pixels."""
    tracks = Tracks.none()
    for i, (height, width) in enumerate([(112, 140), (112, 140), (84, 168), (84, 280), (84, 280)]):
        rgb = blobs(i, height, width)
        view = View(Frame(i, rgb), torch.from_numpy(rgb).permute(2, 0, 1) / 255, None, None)
        K = Camera.from_fov(width, height, 70.0).matrix
        depth = np.full((height, width), 2.0, np.float32)
        tracks, camera = tracks.follow(view, depth, K, np.eye(4))
        assert camera.fx == pytest.approx(K[0, 0], rel=0.01)
        assert tracks.cameras[""].focal.frames == (1, 2, 1, 1, 2)[i]


def test_a_focal_length_that_changed_is_followed_in_the_end(walk):
    """The mean is over some seconds, not over all time."""
    focal = np.full(FRAMES, 80.0)
    focal[0] = 120.0
    mapper = make(SeenWorld(walk, focal=focal))
    run(mapper, walk, [0] * 2 * NETWORK_FRAMES + [1] * NETWORK_FRAMES, camera=None)
    assert mapper.tracks.cameras[""].focal.fx == pytest.approx(80 + 40 / np.e, abs=1)


def test_a_large_image_is_followed_at_half_its_size(kitchen, walk):
    """Its pixels are the rays whose means are those of the smaller image."""
    camera = CAMERA.resized(280, 224)
    large = seen(kitchen, walk.poses[:10], camera, antialias=1)
    poses = noisy(walk.poses)
    mapper = make(SeenWorld(large, poses))
    estimates = run(mapper, large, camera=camera)
    assert estimates[-1].depth.shape == (224, 280)
    assert mapper.tracks.cameras[""].reference.picture.grey.shape == (112, 140)
    small = run(make(SeenWorld(walk, poses)), walk, range(10))
    for a, b in zip(estimates, small, strict=True):
        np.testing.assert_allclose(a.map_T_camera, b.map_T_camera, atol=0.015)


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_depth_that_underflows_is_no_fault(walk, share):
    """The exponential of a large negative number is zero."""
    tracks, chance = Tracks.none(), np.random.default_rng(0)
    for i, pose in enumerate(walk.poses[:4]):
        depth = np.where(chance.random((112, 140)) < share, np.float32(0), walk.depth[i])
        view = prepare(Frame(0, walk.rgb[i], camera=CAMERA), SeenWorld(walk).config, False)
        tracks, _ = tracks.follow(view, depth, CAMERA.matrix, pose)
        track = tracks.cameras[""]
        assert np.isfinite(track.correction.log).all()
        np.testing.assert_allclose(track.pose, pose, atol=0.02)


@pytest.mark.parametrize("shape", [(14, 14), (14, 56), (14, 210), (28, 42), (14, 518)])
def test_images_smaller_than_the_pyramid_take_the_networks_poses(shape):
    """Patches of 14 pixels in a row are an image too."""
    height, width = shape
    chance = np.random.default_rng(0)
    camera = Camera.from_fov(width, height, 70.0)
    tracks, poses = Tracks.none(), noisy(np.stack([np.eye(4)] * 3))
    for pose in poses:
        pixels = torch.tensor(chance.random((3, height, width)), dtype=torch.float32)
        view = View(Frame(0, np.zeros((height, width, 3), np.uint8)), pixels, camera, None)
        tracks, found = tracks.follow(view, np.ones(shape, np.float32), camera.matrix, pose)
        assert found == camera
        np.testing.assert_allclose(tracks.cameras[""].pose, pose, atol=1e-9)


# Where a camera comes back.

THERE_AND_BACK = [*range(FRAMES), *range(FRAMES - 2, 0, -1)]


def bent_world(walk: Walk) -> SeenWorld:
    """A network whose poses are bad, and whose depth bends in another way every few frames."""
    model = SeenWorld(walk, noisy(walk.poses))
    for i in range(FRAMES):
        model.depth[i] *= bent((112, 140), 0.25, seed=i // 4)
    return model


def drift(walk: Walk, rounds: int) -> np.ndarray:
    """(N, 2) errors of the last of ``rounds`` there and back."""
    estimates = run(make(bent_world(walk)), walk, rounds * THERE_AND_BACK)
    last = [estimates[0], *estimates[-len(THERE_AND_BACK) :]]
    return errors(last, walk.poses[[0, *THERE_AND_BACK]])


def test_rounds_add_nothing_to_the_drift_of_the_first(walk, monkeypatch):
    one, six = drift(walk, 1), drift(walk, 6)
    assert (six.max(0) < 1.3 * one.max(0)).all()
    monkeypatch.setattr(track_module, "refined", tuple)
    with_places = drift(walk, 6).mean(0)
    monkeypatch.setattr(places_module, "MOST", 0)
    assert (drift(walk, 6).mean(0) > 2 * with_places).all()


def test_a_jump_to_a_place_is_told_from_the_motion(walk):
    mapper = make(bent_world(walk), scale_source="fixed", scale=3.0)
    estimates = run(mapper, walk, 3 * THERE_AND_BACK)
    jumps = [i for i, e in enumerate(estimates) if e.jump is not None]
    assert jumps and jumps[0] > FRAMES / 2
    sizes = [_size(se3_log(estimates[i].jump)) for i in jumps]
    assert max(size[0] for size in sizes) > 0.01
    true = walk.poses[3 * THERE_AND_BACK]
    for i in jumps:
        now, before = estimates[i], estimates[i - 1]
        step = invert(before.map_T_camera) @ invert(now.jump) @ now.map_T_camera
        motion = invert(true[i - 1]) @ true[i]
        motion[:3, 3] *= 3
        metres, degrees = _size(se3_log(invert(motion) @ step))
        assert metres < 0.06 and degrees < 0.6


def test_a_place_moves_the_other_cameras_as_well(walk):
    """And the way by which the scale is found."""
    mapper = make(bent_world(walk), scale_source="odom")
    run(mapper, walk, [0], source="other")
    other, jumps = mapper.tracks.cameras["other"], np.eye(4)
    for estimate in run(mapper, walk, 2 * THERE_AND_BACK, source="finder"):
        if estimate.jump is not None:
            jumps = estimate.jump @ jumps
    assert _size(se3_log(jumps))[0] > 1e-3
    now, gauge = mapper.tracks.cameras["other"], mapper.gauge
    expected = jumps @ gauge.to_map(other.pose)
    np.testing.assert_allclose(gauge.to_map(now.pose), expected, atol=1e-9)
    np.testing.assert_array_equal(mapper.tracker.believed["other"], now.pose)
    kept = invert(other.reference.world_T_camera) @ other.pose
    np.testing.assert_allclose(invert(now.reference.world_T_camera) @ now.pose, kept, atol=1e-9)


def unled(track: Track, led, stamp_ns: int) -> Expected:
    """Without odometry."""
    return Expected(((track.guess(stamp_ns), level.PRIOR),), led)


def follow(track: Track, picture: Picture, led, known, places, learns, lost, stamp_ns):
    """One image more, laid over its reference."""
    expected = unled(track, led, stamp_ns)
    fit = track.laid_over(picture, known, expected)
    return track.followed(fit, picture, expected, known, places, learns, lost)


def test_who_comes_to_a_known_place_knows_where_it_was_before(walk):
    """By a reference that was seen from elsewhere than believed, which becomes a place as well."""
    away = se3_exp([0.3, 0, 0, 0, 0.2, 0])
    first = replace(walk.reference(), world_T_camera=away @ walk.poses[0])
    place = reference(walk.grey[13], walk.depth[13], walk.poses[13])
    start = first.picture, first.world_T_camera, first.correction, Focal()
    track = replace(Track.started(*start, known=False), pose=away @ walk.poses[13])
    picture = as_picture(walk.grey[14], walk.depth[14])
    for learns in (False, True):
        after, places = follow(
            track, picture, np.eye(4), np.inf, Places((place,)), learns, False, 1
        )
        assert after.known and after.is_steady
        assert _size(se3_log(invert(walk.poses[14]) @ after.pose))[0] < 0.02
        assert _size(se3_log(after.motion.jump @ away))[0] < 0.05
        assert len(places.references) == 1 + learns
    then = places.references[1].world_T_camera
    np.testing.assert_allclose(then, after.motion.jump @ first.world_T_camera)


def test_the_way_for_the_scale_is_moved_with_a_jump(walk, monkeypatch):
    mapper, moves = make(bent_world(walk), scale_source="odom"), []
    monkeypatch.setattr(mapper.scale, "move", moves.append)
    estimates = run(mapper, walk, 2 * THERE_AND_BACK)
    assert len(moves) == sum(e.jump is not None for e in estimates) > 0


def test_places_are_few_apart_and_small(walk, monkeypatch):
    mapper = make(bent_world(walk))
    run(mapper, walk, THERE_AND_BACK)
    once = mapper.tracks.places.references
    run(mapper, walk, 4 * THERE_AND_BACK)
    many = mapper.tracks.places.references
    assert 2 <= len(once) <= len(many) <= 2 * len(once)
    assert all("levels" not in vars(p) and "levels" not in vars(p.picture) for p in many)
    monkeypatch.setattr(places_module, "MOST", 2)
    mapper.reset()
    run(mapper, walk, THERE_AND_BACK)
    assert len(mapper.tracks.places.references) == 2


def test_localising_makes_no_places(walk):
    mapper = make(bent_world(walk))
    run(mapper, walk, range(12))
    places = mapper.tracks.places
    mapper.parameters = mapper.parameters.updated({"mode": "localization"})
    run(mapper, walk, THERE_AND_BACK)
    assert mapper.tracks.places is places


def test_a_camera_that_is_sought_makes_no_places_and_shows_nothing(walk, elsewhere, tmp_path):
    """In a loaded map, of which it sees nothing: where it believes to be means nothing."""
    whole = make(SeenWorld(walk))
    run(whole, walk)
    save_session(whole, tmp_path, "house")
    other = World(4)
    away = seen(
        other, other.trajectory(FRAMES, replace(CARRIED["hand"], speed_m=(0.03, 0.05))).numpy()
    )
    loaded = make(SeenWorld(away), max_jump_m=100.0, max_turn_deg=180.0)
    load_session(loaded, tmp_path, "house")
    places = loaded.tracks.places
    estimates = run(loaded, away, source="stranger")
    assert len(estimates) == FRAMES and not loaded.tracks.cameras["stranger"].known
    assert loaded.tracks.places is places
    here = loaded.tracks.cameras["stranger"].reference
    assert here not in loaded.tracks.nearest(here.world_T_camera)


def test_what_cannot_be_followed_is_no_place(walk, moved, monkeypatch):
    """A wall that has nothing on it is not kept, and another that just fits is not gone back to."""
    blank = reference(np.full((112, 140), 0.5, np.float32), walk.depth[0], walk.poses[0])
    assert Places().with_place(blank).references == ()
    monkeypatch.setattr(alignment_module, "LASTING_FIT", 1.0)
    places = Places().with_place(moved.reference())
    again = as_picture(moved.grey[1], moved.depth[1], CAMERA)
    assert places.near(again, moved.poses[0], np.inf) is None
    first, wall = (
        Track.started(r.picture, r.world_T_camera, r.correction, Focal())
        for r in (moved.reference(), blank)
    )
    lost, _ = follow(replace(wall, left=first), again, np.eye(4), np.inf, Places(), True, False, 1)
    assert lost.left is first


def test_a_place_of_another_size_keeps_none_out(walk):
    small = as_picture(walk.grey[0][:56], walk.depth[0][:56], replace(CAMERA, height=56))
    places = Places().with_place(Reference(small, walk.poses[0], Correction.constant(1.0)))
    assert len(places.with_place(walk.reference()).references) == 2


def test_only_what_looks_the_same_is_a_place(walk, moved, elsewhere, monkeypatch):
    place = walk.reference()
    places = Places().with_place(place)
    other = as_picture(elsewhere.grey[0], elsewhere.depth[0], CAMERA)
    assert places.near(other, place.world_T_camera, np.inf) is None
    assert places.anywhere(other, np.inf) is None
    seen_again = as_picture(moved.grey[1], moved.depth[1], CAMERA)
    fit = places.near(seen_again, moved.poses[0], np.inf)
    assert missed(fit, moved, 1)[0] < 0.01
    near = moved.poses[0] @ se3_exp([0.02, 0, 0, 0, 0, 0])
    assert places.near(seen_again, near, np.inf) is not None
    monkeypatch.setattr(places_module, "NEAR_SHARE", 1e-3)
    assert places.near(seen_again, near, np.inf) is None
    assert Places().near(seen_again, moved.poses[0], np.inf) is None


def test_of_many_places_those_that_look_alike_are_tried(walk, moved, monkeypatch):
    """Whatever the network says. A place of images of another size is none."""
    small = as_picture(walk.grey[0][:56], walk.depth[0][:56], replace(CAMERA, height=56))
    others = [Reference(small, np.eye(4), Correction.constant(1.0))]
    others += [reference(walk.grey[i], walk.depth[i], walk.poses[i]) for i in (8, 16, 23)]
    monkeypatch.setattr(places_module, "TRIED", 1)
    places = Places((*others, walk.reference()))
    fit = places.anywhere(as_picture(moved.grey[1], moved.depth[1], CAMERA), np.inf)
    assert missed(fit, moved, 1)[0] < 0.01
    assert Places().anywhere(small, np.inf) is None


@pytest.mark.parametrize("mode", ["mapping", "localization"])
def test_a_camera_is_found_anywhere_in_a_map_that_was_loaded(walk, tmp_path, mode):
    """The network's poses are of no use."""
    whole = make(SeenWorld(walk))
    mapped = run(whole, walk)
    save_session(whole, tmp_path, "house")
    loaded = make(SeenWorld(walk, noisy(walk.poses, seed=1)), mode=mode)
    loaded.model.depth *= np.float32(1.2)
    load_session(loaded, tmp_path, "house")
    estimates = run(loaded, walk, range(3, 9))
    for i, estimate in enumerate(estimates):
        metres, degrees = _size(se3_log(invert(mapped[3 + i].map_T_camera) @ estimate.map_T_camera))
        assert metres < 0.03 and degrees < 0.6
    assert estimates[0].jump is None, "nothing led there"
    assert motion_is_known(estimates[:2]) == [False, True], "where it was before nobody knows"
    assert loaded.status == "tracking"


@pytest.mark.parametrize("lasting", [False, True])
def test_where_a_session_ended_is_a_place_like_all_others(walk, tmp_path, monkeypatch, lasting):
    """Also where what was seen last would fit: a bare wall looks like many others."""
    whole = make(SeenWorld(walk))
    mapped = run(whole, walk)
    save_session(whole, tmp_path, "house")
    for name in ("FAILED_FIT", "FAILED_VIEW", *["LASTING_FIT", "LASTING_VIEW"][: 2 * lasting]):
        monkeypatch.setattr(alignment_module, name, 0.0)
    for name in ("FARTHEST", *["LASTING_FLOW"][:lasting]):
        monkeypatch.setattr(alignment_module, name, np.inf)
    monkeypatch.setattr(alignment_module, "FAILED_ALIKE", -1.0)
    loaded = make(SeenWorld(walk, noisy(walk.poses, seed=1)))
    load_session(loaded, tmp_path, "house")
    (estimate,) = run(loaded, walk, [3])
    metres, degrees = _size(se3_log(invert(mapped[3].map_T_camera) @ estimate.map_T_camera))
    assert metres < 0.03 and degrees < 0.6


@pytest.mark.parametrize("mode", ["mapping", "localization"])
def test_where_a_session_ended_any_camera_is_found(walk, tmp_path, mode):
    """Not only the one that was there, by its first image. Who localises adds nothing."""
    whole = make(SeenWorld(walk))
    run(whole, walk, range(12))
    places = whole.tracks.places.references
    whole.parameters = whole.parameters.updated({"mode": mode})
    run(whole, walk, range(12, 15))
    left = whole.tracks.places.references
    save_session(whole, tmp_path, "house")
    loaded = make(SeenWorld(walk))
    load_session(loaded, tmp_path, "house")
    ended = loaded.tracks.places.references
    assert len(ended) == (len(left) + 1 if mode == "mapping" else len(places))
    run(loaded, walk, [14], source="another")
    assert loaded.tracks.cameras["another"].known == (mode == "mapping")


@pytest.mark.parametrize("source", ["", "another"])
def test_a_camera_that_saw_nothing_at_first_is_still_looked_for(walk, tmp_path, source):
    both = walk.joined(dark(walk, 1))
    whole = make(SeenWorld(both))
    mapped = run(whole, walk)
    save_session(whole, tmp_path, "house")
    elsewhere = both.poses @ se3_exp([1.5, 0, 0, 0, 0.6, 0])  # so the network says
    loaded = make(SeenWorld(both, noisy(elsewhere, seed=1)), max_jump_m=100.0, max_turn_deg=180.0)
    load_session(loaded, tmp_path, "house")
    estimates = run(loaded, both, [FRAMES, *range(3, 9)], source=source)
    away = [
        _size(se3_log(invert(mapped[i].map_T_camera) @ e.map_T_camera))
        for i, e in zip(range(3, 9), estimates[1:], strict=True)
    ]
    assert np.max(away, axis=0)[0] < 0.03 and np.max(away, axis=0)[1] < 0.6


def test_after_a_while_in_the_dark_a_camera_is_looked_for(walk):
    both = walk.joined(dark(walk, 8))
    poses = noisy(both.poses, seed=2)
    model = SeenWorld(both, poses)
    mapper = make(model)
    mapped = run(mapper, both, range(FRAMES))
    run(mapper, both, range(FRAMES, FRAMES + 8))
    assert not mapper.tracks.cameras[""].known
    back = run(mapper, both, [4, 5, 6])
    assert motion_is_known(back[:2]) == [False, True]
    for i, estimate in zip((4, 5, 6), back, strict=True):
        metres, degrees = _size(se3_log(invert(mapped[i].map_T_camera) @ estimate.map_T_camera))
        assert metres < 0.03 and degrees < 0.6


def test_a_camera_that_is_steady_is_not_looked_for_elsewhere(walk, elsewhere, monkeypatch):
    """What looks alike may be another room: for one bad image the network leads on."""
    both = walk.joined(elsewhere)
    mapper = make(SeenWorld(both))
    run(mapper, both, [0])
    monkeypatch.setattr(Places, "anywhere", lambda *_: pytest.fail("it was looked for"))
    run(mapper, both, [*range(1, 20), FRAMES, 20])


def test_after_a_bad_image_it_is_told_what_is_known(moved, elsewhere):
    """Where the tracker lost it, a session was loaded or nobody knew, it may be anywhere."""
    picture = as_picture(elsewhere.grey[0], elsewhere.depth[0])
    blank = as_picture(np.full((112, 140), 0.5, np.float32), elsewhere.depth[0])
    start = as_picture(moved.grey[0], moved.depth[0]), moved.poses[0], Correction.constant(1.0)
    seen_well = Track.started(*start, Focal())
    unknown = replace(seen_well, known=False)
    assert seen_well.is_steady and not unknown.is_steady
    assert not seen_well.left_alone().is_steady and not replace(seen_well, left=unknown).is_steady
    for track, lost in (
        (seen_well, False),
        (seen_well, True),
        (unknown, False),
        (seen_well.left_alone(), False),
    ):
        after, _ = follow(track, picture, track.pose, np.inf, Places(), True, lost, 0)
        assert after.known == (track.is_known and not lost)
        assert after.left is (track if track.is_known else None)
        assert after.misses == track.misses + 1
        again, _ = follow(after, blank, track.pose, np.inf, Places(), True, False, 0)
        assert again.left is after.left, "not where the network led"


@pytest.mark.parametrize(("alike", "is_put_back"), [(0.5, True), (1.0, False)])
def test_a_lost_camera_is_where_its_image_is_more_alike(walk, alike, is_put_back):
    """One fits badly where it would be by its motion, and well at a place: a lens was covered."""
    last = reference(walk.grey[20], walk.depth[20], walk.poses[20])
    place = reference(walk.grey[4], walk.depth[4], walk.poses[4])
    track = Track.started(last.picture, last.world_T_camera, last.correction, Focal())
    picture = as_picture(walk.grey[5], walk.depth[5])
    chance = Fit(np.eye(4), last, np.eye(6), np.zeros(2), np.array([1.0, 0.0]), alike, False)
    for lost in (False, True):
        expected = unled(track, np.eye(4), 1)
        after, _ = track.followed(chance, picture, expected, np.inf, Places((place,)), True, lost)
        metres, _ = _size(se3_log(invert(walk.poses[5]) @ after.pose))
        assert (metres < 0.02) == (lost and is_put_back)


def test_a_camera_whose_lens_was_covered_is_looked_for(walk, monkeypatch):
    mapper, sought = make(SeenWorld(walk), lost_after=3), []
    align = Tracks.align

    def spy(self, views, prediction, poses, learns, lost, *others):
        sought.append("" in lost)
        return align(self, views, prediction, poses, learns, lost, *others)

    monkeypatch.setattr(Tracks, "align", spy)
    run(mapper, walk, range(6))
    for i in range(3):
        black = np.zeros_like(walk.rgb[0])
        mapper.add_frame(Frame(600_000_000 + i, black, camera=CAMERA))
        assert (mapper.status == "lost") == (i == 2)
    run(mapper, walk, [9, 10])
    assert sought == [False] * 6 + [True, False] and mapper.status == "tracking"


def test_who_was_left_alone_is_looked_for_also_where_it_was_last(moved):
    """However fast it went, and without a single place."""
    start = as_picture(moved.grey[0], moved.depth[0]), moved.poses[0], Correction.constant(1.0)
    track = replace(Track.started(*start, Focal()), step=np.array([2.0, 0, 0, 0, 1.0, 0]))
    picture = as_picture(moved.grey[1], moved.depth[1])
    for before, is_found in ((track, False), (track.left_alone(), True)):
        after, _ = follow(before, picture, np.eye(4), 100.0, Places(), True, False, 1)
        assert (_size(se3_log(invert(moved.poses[1]) @ after.pose))[0] < 0.02) == is_found
        assert (after.focal.information > 0) == is_found
    deviations = np.sqrt(np.diag(after.motion.covariance))
    depth = after.reference.typical_depth
    np.testing.assert_allclose(deviations, np.repeat([FOUND[0] * depth, FOUND[1]], 3))


def away(estimates, mapped, indices) -> np.ndarray:
    """(N, 2) metres and degrees from where the same images were mapped."""
    pairs = zip(indices, estimates, strict=True)
    return np.array(
        [_size(se3_log(invert(mapped[i].map_T_camera) @ e.map_T_camera)) for i, e in pairs]
    )


@pytest.mark.parametrize("mode", ["mapping", "localization"])
def test_a_camera_that_was_carried_to_a_known_place_is_found_there(walk, kitchen, mode):
    """The first image is one that might be bad, the next looks for where it was seen before."""
    turn = [walk.poses[-1] @ se3_exp([0, 0, 0, 0, np.deg2rad(6 * i), 0]) for i in range(1, 9)]
    both = walk.joined(seen(kitchen, np.stack(turn)))
    model = SeenWorld(both, noisy(both.poses, seed=3))
    mapper = make(model, max_jump_m=100.0, max_turn_deg=180.0)
    mapped = run(mapper, both)
    model.poses = model.poses @ se3_exp(
        [1.5, 0, 0, 0, 0.9, 0]
    )  # nothing that the network says is so
    mapper.parameters = mapper.parameters.updated({"mode": mode})
    places = mapper.tracks.places
    assert away(run(mapper, both, [2]), mapped, [2])[0, 0] > 0.5
    assert mapper.tracks.places is places
    back = run(mapper, both, [3, 4, 5])
    off = away(back, mapped, [3, 4, 5])
    assert off[:, 0].max() < 0.03 and off[:, 1].max() < 0.6
    assert mapper.tracks.cameras[""].is_steady


def test_after_one_bad_image_the_camera_goes_on_from_before(walk, elsewhere):
    """However wrong the network is about it."""
    both = walk.joined(elsewhere)
    poses = noisy(both.poses)
    poses[FRAMES] = poses[19] @ se3_exp([2.0, 0, 0, 0, 0.5, 0])
    estimates = run(make(SeenWorld(both, poses)), both, [*range(20), FRAMES, 20, 21])
    off = errors([estimates[0], *estimates[-2:]], walk.poses[[0, 20, 21]])
    assert off[:, 0].max() < 0.06 and off[:, 1].max() < 1.0


def test_who_was_led_by_the_network_makes_no_places_until_found(walk, kitchen, elsewhere):
    """They would be where it only might have been, and look like it ever after."""
    turned = walk.poses[:8] @ se3_exp([0, 0, 0, 0, np.deg2rad(80), 0])
    both = walk.joined(elsewhere).joined(seen(kitchen, turned))
    mapper = make(SeenWorld(both, noisy(both.poses)))
    run(mapper, both, range(FRAMES))
    places = mapper.tracks.places
    run(mapper, both, range(FRAMES, FRAMES + 9))
    assert mapper.tracks.places is places and not mapper.tracks.cameras[""].is_steady
    run(mapper, both, THERE_AND_BACK)
    assert len(mapper.tracks.places.references) > len(places.references)


def test_who_finds_nothing_for_long_is_taken_to_see_what_is_new(walk, elsewhere, monkeypatch):
    """One bad image on a long way through new rooms costs no places for ever."""
    monkeypatch.setattr(track_module, "NEW_AFTER", 6)
    monkeypatch.setattr(Track, "_back", lambda *_: None)
    both = walk.joined(elsewhere)
    mapper = make(SeenWorld(both, noisy(both.poses)))
    run(mapper, both, [0, 1, 2, 3, FRAMES])
    places, steady = mapper.tracks.places, []
    for i in range(8, FRAMES):
        run(mapper, both, [i])
        steady.append(mapper.tracks.cameras[""].is_steady)
    assert not any(steady[:6]) and all(steady[8:])
    assert len(mapper.tracks.places.references) > len(places.references)


METRES = 4.0  # of a unit of the rig's lengths
FRONT_T_LEFT = se3_exp([-0.1, 0.05, 0.0, 0.0, np.deg2rad(-75), 0.0])


@pytest.fixture(scope="module")
def rig(kitchen, walk) -> Walk:
    """The walk, and what another camera of the same body saw at the same times."""
    return walk.joined(seen(kitchen, walk.poses @ FRONT_T_LEFT))


def run_rig(
    mapper: StreamMapper, rig: Walk, indices, blind=(), silent=(), late=(0, 0), metres=1.0
) -> dict[str, list[np.ndarray]]:
    """Where each camera says that the front one is, (4, 4) by frame.

    blind  cameras and images that are too dark; silent  those that never come
    late   by how many images each camera is behind; metres  of a unit of length of the rig
    """
    mapper.set_extrinsic("front", np.eye(4))
    mapper.set_extrinsic("left", scaled(FRONT_T_LEFT, metres))
    found: dict[str, list[np.ndarray]] = {"front": [], "left": []}
    for now in indices:
        for k, source in enumerate(found):
            i = now - late[k]
            if i < 0 or (source, i) in silent:
                continue
            rgb = rig.rgb[i + k * FRAMES]
            if (source, i) in blind:
                rgb = dark(rig, 1, seed=2 * i + k).rgb[0]
                mapper.model.index[rgb.tobytes()] = i + k * FRAMES
            frame = Frame(i * 100_000_000 + k, rgb, camera=CAMERA, source=source)
            (estimate,) = mapper.add_frame(frame)
            found[source].append(estimate.map_T_camera @ invert(mapper.base_T_camera(source)))
    return found


def astray(rig: Walk) -> SeenWorld:
    """A network that knows nothing of how the second camera is turned, and halves its depth."""
    poses = noisy(rig.poses)
    poses[FRAMES:] = poses[FRAMES:] @ se3_exp([0.5, 0, 0, 0.2, 1.0, 0])
    model = SeenWorld(rig, poses)
    model.depth[FRAMES:] *= np.float32(0.6)
    return model


def test_cameras_of_one_body_are_where_it_is(rig, walk):
    found = run_rig(make(astray(rig)), rig, range(FRAMES))
    for source, poses in found.items():
        off = errors([found["front"][0], *poses], walk.poses[[0, *range(FRAMES)]])
        assert off[:, 0].max() < 0.06 and off[:, 1].max() < 1.2, source


def test_a_camera_takes_the_scale_of_the_one_that_carries_it(rig):
    mapper = make(astray(rig))
    run_rig(mapper, rig, [*range(FRAMES), *range(FRAMES - 2, -1, -1)])
    left = mapper.tracks.cameras["left"].correction.mean * 0.6
    front = mapper.tracks.cameras["front"].correction.mean
    assert left / front == pytest.approx(1, abs=0.15)


def test_a_camera_that_sees_nothing_is_carried_by_another(rig, walk):
    mapper = make(astray(rig))
    blind = {("front", i) for i in range(8, 20)}
    found = run_rig(mapper, rig, range(FRAMES), blind)
    off = errors([found["front"][0], *found["front"][1:]], walk.poses)
    assert off[:, 0].max() < 0.12 and off[:, 1].max() < 1.5, "1.4 m where nobody carries it"
    assert mapper.tracks.cameras["front"].is_steady


def test_who_is_carried_leaves_no_places_until_mounts_can_be_measured(rig):
    """They would be off by the wrong length of the mount, and pull the scale that is waited for."""

    def places(silent=(), **changes) -> int:
        mapper = make(astray(rig), **changes)
        run_rig(mapper, rig, range(FRAMES), silent=silent)
        return len(mapper.tracks.places.references)

    front_alone = places({("left", i) for i in range(FRAMES)})
    assert places(scale_source="odom") == front_alone < places()
    assert places(scale_source="fixed") > front_alone


def test_no_pose_by_a_mount_of_unknown_length_is_kept(rig, walk):
    """When the scale locked, the path went to and fro by what the mount had been too long."""
    mapper = make(astray(rig), scale_source="odom")
    for i, pose in enumerate(walk.poses):
        mapper.add_odometry(i * 100_000_000, scaled(pose, METRES))
        mapper.add_odometry(i * 100_000_000 + 1, scaled(pose, METRES))
    run_rig(mapper, rig, [0], metres=METRES)
    assert len(mapper.trajectory) == 1 and mapper.counts.used == 2
    points = len(mapper.voxel_map)
    run_rig(mapper, rig, range(1, FRAMES), metres=METRES)
    assert mapper.scale.metric and mapper.scale.scale == pytest.approx(METRES, rel=0.1)
    made, base = mapper.trajectory, []
    for source, map_T_camera in zip(made.sources, made.poses, strict=True):
        base.append(map_T_camera @ invert(mapper.base_T_camera(source)))
    assert FRAMES < len(base) < 2 * FRAMES, "all of the first camera, and the second's later ones"
    positions = np.array(base)[:, :3, 3]
    truth = METRES * (walk.poses[:, :3, 3] - walk.poses[0, :3, 3])
    assert len(mapper.voxel_map) > points
    assert (
        np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()
        < 1.3 * np.linalg.norm(np.diff(truth, axis=0), axis=1).sum()
    )


def test_a_camera_that_sends_nothing_holds_no_other(rig, walk):
    """However steady it was."""
    silent = {("front", i) for i in range(8, FRAMES)}
    found = run_rig(make(astray(rig)), rig, range(FRAMES), silent=silent)
    off = errors([found["front"][0], *found["left"]], walk.poses[[0, *range(FRAMES)]])
    assert off[:, 0].max() < 0.12 and off[:, 1].max() < 1.2, "0.5 m and 9 degrees where it does"


@pytest.mark.parametrize("late", [(0, 4), (4, 0)])
def test_a_camera_whose_images_come_late_is_carried_all_the_same(rig, late):
    """Each by itself they drifted apart, and odom -> base went to and fro between them."""
    found = run_rig(make(astray(rig)), rig, range(FRAMES), late=late)
    both = zip(found["front"], found["left"], strict=False)
    apart = np.array([_size(se3_log(invert(one) @ other)) for one, other in both][1:])
    assert apart.max() < 1e-6, f"{apart.max(axis=0)}, m and degrees"


def test_a_camera_leads_as_long_as_its_images_come():
    track = Track.started(as_picture(*np.ones((2, 112, 140), np.float32)), np.eye(4), None, None)
    track = replace(track, step=np.array([0.1, 0, 0, 0, 0, 0]))
    for stamps, stamp_ns, expected in (
        ((0, 100), 250, 0.15),
        ((0, 100), 50, -0.05),
        ((0, 100), 301, None),
        ((0, 100), -101, None),
        ((100, 0), 0, None),  # time jumped back
        ((100, 100), 101, None),  # its first
        ((0, 20 * 10**9), 22 * 10**9, None),
        ((0, 20 * 10**9), 20 * 10**9 + 500, 0),
    ):
        moving = replace(track, stamps=stamps)
        assert moving.leads(stamp_ns, anew=False) == (expected is not None), stamps
        if expected is not None:
            assert moving.at(stamp_ns)[0, 3] == pytest.approx(expected, abs=1e-6)
    assert replace(track, stamps=(0, 100)).at(10**6)[0, 3] == pytest.approx(0.2, abs=1e-6)
    assert replace(track, stamps=(100, 100)).leads(101, anew=True)
    assert not replace(track, stamps=(100, 100)).leads(2 * 10**9, anew=True)


def test_who_is_carried_is_where_the_other_is_at_its_stamp():
    """By the mounts; and its depth becomes a little more that of the other."""
    picture = as_picture(*np.ones((2, 112, 140), np.float32))
    start = Track.started(picture, np.eye(4), Correction.constant(1.0), Focal())
    covariance = np.diag([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    step = np.array([0.1, 0, 0, 0, 0, 0])
    leader = replace(start, step=step, stamps=(0, 100), motion=Motion(covariance))
    there = se3_exp([0.05, 0, 0, 0, 0, 0]) @ FRONT_T_LEFT
    for seen, went, factor in ((1.0, 1.2, 1.2**0.2), (1.0, 9.0, np.exp(0.1)), (0.01, 0.03, 1.0)):
        track = replace(
            start,
            pose=se3_exp([seen, 0, 0, 0, 0, 0]),
            stamps=(50, 150),
            began=there @ se3_exp([went, 0, 0, 0, 0, 0]),
            misses=9,
            known=False,
            left=start,
        )
        after = track.carried(leader, FRONT_T_LEFT)
        np.testing.assert_allclose(after.pose, there, atol=1e-9)
        way = invert(after.reference.world_T_camera) @ after.pose
        np.testing.assert_allclose(way, track.pose, atol=1e-9)
        corrections = [after.correction.mean, after.reference.correction.mean]
        np.testing.assert_allclose(corrections, factor)
        assert after.motion.carried and after.is_known and after.left is None
        assert after.misses == SOUGHT_AFTER - 1, "which its own images still are"
    unit = [invert(FRONT_T_LEFT) @ se3_exp(1e-6 * e) @ FRONT_T_LEFT for e in np.eye(6)]
    across = np.stack([se3_log(T) / 1e-6 for T in unit], axis=1)
    expected = across @ covariance @ across.T
    np.testing.assert_allclose(after.motion.covariance, expected, atol=1e-4)


def test_all_of_a_track_is_moved_with_a_jump():
    picture = as_picture(*np.ones((2, 112, 140), np.float32))
    start = Track.started(picture, se3_exp([1.0, 0, 0, 0, 0, 0]), Correction.constant(1.0), Focal())
    track = replace(start, began=se3_exp([0, 2.0, 0, 0, 0, 0]), offset=FRONT_T_LEFT, left=start)
    jump = se3_exp([0, 0, 1.0, 0.1, 0, 0])
    after = track.moved(jump)
    for name in ("pose", "began", "offset"):
        np.testing.assert_allclose(getattr(after, name), jump @ getattr(track, name))
    for one in (after, after.left):
        np.testing.assert_allclose(one.reference.world_T_camera, jump @ start.pose)
    np.testing.assert_allclose(after.left.pose, jump @ start.pose)
    assert track.left_alone().offset is None


@pytest.mark.parametrize(
    ("stamps", "stamp_ns", "steps"),
    [
        ((0, 100), 200, 0.9),
        ((0, 100), 150, 0.4743),
        ((0, 100), 300, 1.62),  # after an image that was dropped
        ((0, 5), 65, 2.0),  # stamps of when they arrived
        ((0, 100), 10**12, 0),  # after a long time
        ((0, 100), 50, 0.9),  # time jumped back
        ((100, 100), 200, 0.9),  # its second
    ],
)
def test_the_next_image_is_looked_for_as_far_on_as_time_has_passed(stamps, stamp_ns, steps):
    track = Track.started(as_picture(*np.ones((2, 112, 140), np.float32)), np.eye(4), None, None)
    moving = replace(track, step=np.array([0.1, 0, 0, 0, 0, 0]), stamps=stamps)
    assert moving.guess(stamp_ns)[0, 3] == pytest.approx(0.1 * steps, abs=1e-5)


def test_where_all_are_blind_the_network_leads_each_from_where_it_was(rig, walk):
    """However wrong it is about how one camera is turned against the other."""
    blind = {(source, 12) for source in ("front", "left")}
    mapper = make(astray(rig), max_jump_m=100.0, max_turn_deg=180.0)
    found = run_rig(mapper, rig, range(13), blind)
    for poses in found.values():
        assert errors([found["front"][0], poses[12]], walk.poses[[0, 12]])[1, 1] < 30, "56 degrees"


def test_who_joins_those_who_are_led_by_the_network_carries_none(rig, walk):
    blind, late = {("front", i) for i in range(14, 17)}, {("left", i) for i in range(14)}
    mapper = make(astray(rig), max_jump_m=100.0, max_turn_deg=180.0)
    found = run_rig(mapper, rig, range(20), blind, late)
    for poses in found.values():
        off = errors([found["front"][0], *poses[-3:]], walk.poses[[0, 17, 18, 19]])
        assert off[:, 0].max() < 0.06 and off[:, 1].max() < 1.2


def test_the_motion_of_who_is_carried_is_that_of_another(rig):
    mapper = make(astray(rig))
    run_rig(mapper, rig, range(4))
    (front,) = run(mapper, rig, [4], source="front")
    seen_left = Frame(front.stamp_ns + 1, rig.rgb[4 + FRAMES], camera=CAMERA, source="left")
    (left,) = mapper.add_frame(seen_left)
    assert left.carried and not front.carried


def test_the_motion_of_who_is_carried_back_is_not_known(rig):
    """From where the network had led it, however well the other's is."""
    blind = {(source, i) for source in ("front", "left") for i in (12, 13)}
    silent = {("front", 14), ("front", 15)}
    mapper = make(astray(rig), max_jump_m=100.0, max_turn_deg=180.0)
    run_rig(mapper, rig, range(16), blind, silent)
    back = []
    for i in (16, 17):
        back += run(mapper, rig, [i], source="front")
        run_rig(mapper, rig, [i], silent={("front", i)})
    assert motion_is_known(back) == [False, True]


def test_the_scale_is_not_learnt_from_the_mounts(kitchen, walk):
    """A camera that is carried goes as far as its mount says, which takes the scale for known."""
    mount, count, unit = se3_exp([0.6, 0, 0, 0, np.deg2rad(-75), 0]), 40, 2.1
    turn = np.stack(
        [walk.poses[0] @ se3_exp([0, 0, 0, 0, np.deg2rad(4 * i), 0]) for i in range(count)]
    )
    both = seen(kitchen, turn).joined(seen(kitchen, turn @ mount))
    poses = both.poses.copy()
    poses[:, :3, 3] /= unit
    model = SeenWorld(both, poses)
    model.depth /= np.float32(unit)
    mapper = make(model, scale_source="odom")
    mapper.set_extrinsic("front", np.eye(4))
    mapper.set_extrinsic("left", mount)
    for i in range(count):
        mapper.add_odometry(i * 100_000_000, turn[i])
        run(mapper, both, [i], source="front")
        frame = Frame(i * 100_000_000, both.rgb[i + count], camera=CAMERA, source="left")
        mapper.add_frame(frame)
    assert not mapper.scale.metric, "it turned in place: 1 where the mount is asked"


def test_a_scale_that_locks_leaves_the_depth_of_who_is_carried(kitchen, walk):
    """Its mount is shorter in network units at once, which is no way that it went."""
    mount, unit = se3_exp([0.6, 0, 0, 0, np.deg2rad(-75), 0]), 2.1
    both = walk.joined(seen(kitchen, walk.poses @ mount))
    poses = both.poses.copy()
    poses[:, :3, 3] /= unit
    model = SeenWorld(both, poses)
    model.depth /= np.float32(unit)
    mapper = make(model)
    mapper.set_extrinsic("front", np.eye(4))
    mapper.set_extrinsic("left", mount)
    means = []
    for i in range(14):
        if i == 8:
            mapper.parameters = mapper.parameters.updated({"scale_source": "fixed", "scale": unit})
        run(mapper, both, [i], source="front")
        frame = Frame(i * 100_000_000, both.rgb[FRAMES + i], camera=CAMERA, source="left")
        mapper.add_frame(frame)
        means.append(mapper.tracks.cameras["left"].correction.mean)
    assert max(means[8:]) < 1.1 * means[7], "a third more where it is taken for one"


@pytest.mark.parametrize("dark", [1, 7])
def test_a_map_begins_after_images_that_show_nothing(walk, dark):
    """A camera's first ones are often black: there is nothing to come back to."""
    both = walk.joined(Walk(np.zeros_like(walk.rgb[:1]), walk.depth[:1], walk.poses[:1]))
    mapper = make(SeenWorld(both))
    run(mapper, both, [FRAMES] * dark)
    run(mapper, both, range(FRAMES))
    assert mapper.tracks.cameras[""].is_steady
    assert len(mapper.tracks.places.references) > 1


def test_without_mounts_each_camera_is_by_itself(rig):
    model = astray(rig)
    alone = make(model)
    run(alone, rig, [0, 1], source="front")
    (left,) = run(alone, rig, [FRAMES], source="left")
    expected = alone.gauge.to_map(alone.tracks.correction @ model.poses[FRAMES])
    np.testing.assert_allclose(left.map_T_camera, expected, atol=1e-6)


def test_a_session_keeps_the_places_bit_for_bit(walk, tmp_path):
    whole = make(bent_world(walk))
    run(whole, walk, THERE_AND_BACK)
    save_session(whole, tmp_path, "house")
    loaded = make(bent_world(walk))
    load_session(loaded, tmp_path, "house")
    assert len(loaded.tracks.places.references) == len(whole.tracks.places.references) > 1
    np.testing.assert_array_equal(loaded.keyframes.views, whole.keyframes.views)
    pairs = [run(mapper, walk, THERE_AND_BACK) for mapper in (whole, loaded)]
    assert any(e.jump is not None for e in pairs[0])
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one.map_T_camera, other.map_T_camera)
        np.testing.assert_array_equal(one.depth, other.depth)


def test_the_state_learns_nothing_from_what_it_has_seen(walk):
    mapper = make(bent_world(walk))
    run(mapper, walk, THERE_AND_BACK)
    state, used = mapper.state, mapper.counts.used
    assert 0 < state.frames_seen == len(mapper.keyframes.views) < used
    run(mapper, walk, 3 * THERE_AND_BACK)
    assert mapper.state is state and mapper.counts.used > 2 * used


def test_where_poses_are_the_networks_every_kept_frame_is_in_the_state(walk):
    mapper = make(SeenWorld(walk), align_poses="off")
    run(mapper, walk, 2 * THERE_AND_BACK)
    assert mapper.state.frames_seen == mapper.counts.used > FRAMES
