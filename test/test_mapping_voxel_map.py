# SPDX-License-Identifier: Apache-2.0
"""The voxel map against a dictionary of voxels, its bounds, and what it does when full."""

from __future__ import annotations

import numpy as np
import pytest

from zipmap_ros.geometry import Camera, look_at
from zipmap_ros.mapping import Cloud, MappingError, VoxelMap
from zipmap_ros.mapping.ply import write_ply
from zipmap_ros.mapping.query import project_cloud
from zipmap_ros.mapping.voxel_map import MAX_WEIGHT


def some_points(rng, count, size=1.0):
    return (
        rng.uniform(-size, size, (count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.uniform(1, 5, count).astype(np.float32),
    )


def flat(xs):
    """A point in the middle of each of these voxels of 0.1, along x."""
    points = np.full((len(xs), 3), 0.05)
    points[:, 0] += 0.1 * np.array(xs)
    return points, np.zeros((len(xs), 3), np.uint8), np.ones(len(xs))


def merged_slowly(batches, voxel):
    """Voxel -> (weighted mean of position, colour and confidence, weight), one point at a time."""
    voxels: dict[tuple, tuple] = {}
    for points, colors, confidence in batches:
        for p, c, w in zip(points, colors, confidence, strict=True):
            value = np.array([*p, *c, w], float)
            key = tuple(np.floor(p / np.float32(voxel)).astype(int))
            mean, weight = voxels.get(key, (np.zeros(7), 0.0))
            voxels[key] = ((mean * weight + value * w) / (weight + w), weight + w)
    return voxels


def test_merging_equals_one_point_at_a_time():
    rng = np.random.default_rng(0)
    batches = [some_points(rng, 400) for _ in range(5)]
    voxel_map = VoxelMap(0.25, 10_000, 10)
    for batch in batches:
        voxel_map.insert(*batch)
    expected = merged_slowly(batches, 0.25)
    cloud = voxel_map.cloud()
    assert len(cloud) == len(voxel_map) == len(expected)
    for i in range(len(cloud)):
        # The first point decides the voxel; a mean stays inside it.
        mean, weight = expected[tuple(np.floor(cloud.points[i] / np.float32(0.25)).astype(int))]
        np.testing.assert_allclose(cloud.points[i], mean[:3], atol=1e-5)
        np.testing.assert_allclose(cloud.colors[i], mean[3:6], atol=0.51)
        np.testing.assert_allclose(cloud.confidence[i], mean[6], atol=1e-4)
        assert weight < MAX_WEIGHT


def test_the_same_points_again_do_not_grow_it():
    voxel_map = VoxelMap(0.05, 100_000, 10)
    batch = some_points(np.random.default_rng(1), 2000)
    voxel_map.insert(*batch)
    size, megabytes = len(voxel_map), voxel_map.megabytes
    arrays = sum(array.nbytes for key, array in voxel_map.state().items() if key != "counts")
    assert megabytes - VoxelMap(0.05, 100_000, 10).megabytes == pytest.approx(arrays / 1e6)
    for _ in range(100):
        voxel_map.insert(*batch)
    assert (len(voxel_map), voxel_map.megabytes) == (size, megabytes)


def test_an_old_surface_gives_way_to_a_new_colour():
    """Evidence is bounded: a thousand looks at red do not hide that it is blue now."""
    voxel_map = VoxelMap(1.0, 100, 1)
    one = np.full((1, 3), 0.5, np.float32), np.array([2.0], np.float32)
    for color in [(255, 0, 0)] * 1000 + [(0, 0, 255)] * 500:
        voxel_map.insert(one[0], np.array([color], np.uint8), one[1])
    assert voxel_map.cloud().colors[0].tolist() == pytest.approx([0, 0, 255], abs=3)


def test_evidence_of_one_frame_is_bounded_too():
    voxel_map = VoxelMap(0.1, 100, 10)
    voxel_map.insert(*flat([0] * 2000))
    assert voxel_map.state()["rows"][0, 7] == MAX_WEIGHT


def test_points_that_are_nowhere_are_left_out():
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0], [1e9, 0, 0]], np.float32)
    voxel_map = VoxelMap(0.05, 100, 1)
    voxel_map.insert(points, np.zeros((4, 3), np.uint8), np.ones(4, np.float32))
    assert voxel_map.cloud().points.tolist() == [[0, 0, 0]]


def test_points_that_nobody_believes_are_left_out():
    voxel_map = VoxelMap(0.05, 100, 1)
    for confidence in (np.array([1, np.nan, np.inf, 0, -1], np.float32), np.zeros(5, np.float32)):
        points, colors = np.zeros((5, 3), np.float32), np.full((5, 3), 9, np.uint8)
        points[1:] = [0.01, 0, 0]  # in the voxel of the first
        voxel_map.insert(points, colors, confidence)
    cloud = voxel_map.cloud()
    assert cloud.points.tolist() == [[0, 0, 0]] and cloud.confidence.tolist() == [1]


def test_voxels_that_are_not_at_their_first_slot_are_found_again():
    """In a full map of sixteen slots, wherever the others lie."""
    for start in range(50):
        voxel_map = VoxelMap(0.1, 8, 10)
        for count in (1, 8, 8):  # the first is where it belongs, others must pass it
            voxel_map.insert(*flat(range(start, start + count)))
            assert (len(voxel_map), voxel_map.evicted) == (count, 0)


def test_a_place_is_near_by_the_size_of_the_voxels():
    place = np.array([3e4, 0, 0])
    VoxelMap(0.1, 100, 10).check_near(place)
    with pytest.raises(MappingError, match="too far out"):
        VoxelMap(0.05, 100, 10).check_near(place)


def test_the_bounds_hold_and_what_goes_is_old_and_unsure():
    rng = np.random.default_rng(2)
    voxel_map = VoxelMap(0.01, 4000, 1000)
    sure = some_points(rng, 1000)
    sure[2][:] = 50
    voxel_map.insert(*sure)
    inserted = len(voxel_map)
    for _ in range(20):
        before = len(voxel_map) + voxel_map.evicted
        unsure = some_points(rng, 1000)
        unsure[2][:] = 1
        voxel_map.insert(*unsure)
        assert len(voxel_map) <= 4000
        inserted += len(voxel_map) + voxel_map.evicted - before
    assert voxel_map.evicted == inserted - len(voxel_map) > 0
    assert (voxel_map.cloud().confidence > 10).sum() > 950


def test_of_equal_evidence_the_oldest_goes():
    voxel_map = VoxelMap(0.1, 16, 10)
    voxel_map.insert(*flat(range(12)))
    voxel_map.insertions += 5000
    voxel_map.insert(*flat(range(100, 108)))
    assert len(voxel_map) == 16 and voxel_map.evicted == 4
    voxel_map.insertions += 5000
    voxel_map.insert(*flat(range(200, 208)))
    assert voxel_map.cloud().points[:, 0].min() > 9.9


def test_a_batch_larger_than_the_map_fills_it():
    voxel_map = VoxelMap(0.001, 1000, 10)
    for _ in range(2):
        voxel_map.insert(*some_points(np.random.default_rng(3), 5000))
        assert len(voxel_map) == 1000


def test_a_map_that_shrinks_keeps_the_newest_and_surest():
    """Wherever they are."""
    rng = np.random.default_rng(2)
    whole, small = VoxelMap(0.05, 10_000, 10), VoxelMap(0.05, 500, 10)
    points, colors, _ = some_points(rng, 1000)
    sure = rng.permutation(1000) < 400
    for _ in range(3):
        whole.insert(points, colors, np.where(sure, 50, 1.5).astype(np.float32))
    count, surest = len(whole), float(whole.cloud().confidence.max())
    small.absorb(whole)
    kept = small.cloud()
    assert len(kept) == 500 and small.evicted == count - 500
    assert (kept.confidence > 0.9 * surest).sum() > 350
    assert kept.points[:, 0].min() < -0.9 and kept.points[:, 0].max() > 0.9


def test_what_was_evicted_before_is_counted_on():
    small, other = VoxelMap(0.1, 16, 10), VoxelMap(0.2, 16, 10)
    small.insert(*flat(range(20)))
    other.absorb(small)
    assert other.evicted == small.evicted == 4


@pytest.mark.parametrize(("xs", "youngest"), [((0, 1), 2), ((0, 1, 0), 3)])
def test_a_merged_voxel_is_as_young_as_its_youngest_point(xs, youngest):
    voxel_map, coarse = VoxelMap(0.1, 100, 10), VoxelMap(1.0, 100, 10)
    for x in xs:
        voxel_map.insert(*flat([x]))
    coarse.absorb(voxel_map)
    assert coarse.state()["seen"].tolist() == [youngest]


def test_a_voxel_that_is_seen_again_is_young():
    voxel_map = VoxelMap(0.1, 100, 10)
    for x in (0, 1, 0):
        voxel_map.insert(*flat([x]))
    assert voxel_map.state()["seen"].tolist() == [3, 2]
    other = VoxelMap(0.2, 100, 10)
    other.absorb(voxel_map)
    assert other.insertions == 3  # what comes next is younger


def test_megabytes_bound_the_memory():
    voxel_map = VoxelMap(0.001, 10_000_000, 2.0)
    for seed in range(10):
        voxel_map.insert(*some_points(np.random.default_rng(seed), 5000))
    assert voxel_map.evicted > 0
    assert 1.0 < voxel_map.megabytes <= 2.0


def test_transform_moves_scales_and_sorts_anew():
    voxel_map = VoxelMap(0.05, 100_000, 10)
    batch = some_points(np.random.default_rng(4), 3000)
    voxel_map.insert(*batch)
    before = voxel_map.cloud()
    T = look_at([1, 2, 3], [0, 0, 0])
    voxel_map.transform(T, 2.0)
    expected = 2 * before.points @ T[:3, :3].T + T[:3, 3]
    assert len(voxel_map) == pytest.approx(len(before), rel=0.01)
    after = VoxelMap(0.05, 100_000, 10)
    after.insert(expected, before.colors, before.confidence)
    np.testing.assert_allclose(
        np.sort(voxel_map.cloud().points, axis=0), np.sort(after.cloud().points, axis=0), atol=0.05
    )
    voxel_map.transform(T, 0.01)
    assert len(voxel_map) < 10


def test_a_restored_map_goes_on_bit_for_bit():
    rng = np.random.default_rng(5)
    first, second = VoxelMap(0.05, 3000, 10), VoxelMap(0.05, 3000, 10)
    for _ in range(3):
        first.insert(*some_points(rng, 500))
    second.restore(first.state())
    for _ in range(8):  # far enough to evict
        batch = some_points(rng, 500)
        first.insert(*batch)
        second.insert(*batch)
    assert first.evicted == second.evicted > 0
    for key, value in first.state().items():
        np.testing.assert_array_equal(value, second.state()[key])


def test_a_map_too_small_refuses_to_restore():
    voxel_map = VoxelMap(0.05, 3000, 10)
    voxel_map.insert(*some_points(np.random.default_rng(6), 2500))
    with pytest.raises(MappingError, match="raise map_max_points"):
        VoxelMap(0.05, 1000, 10).restore(voxel_map.state())


def test_projection_draws_the_nearest_point_where_it_is():
    camera = Camera.from_fov(64, 48, 90.0)
    map_T_camera = look_at([0, 0, 0], [1, 0, 0])
    points = np.array([[4, 0, 0], [2, 0, 0], [-2, 0, 0], [2, 1, 0.5]], np.float32)
    colors = np.array([[9, 9, 9], [1, 2, 3], [8, 8, 8], [4, 5, 6]], np.uint8)
    cloud = Cloud(points, colors, np.array([1, 2, 3, 4], np.float32))
    view = project_cloud(cloud, 0.01, map_T_camera, camera)
    pixels, _ = camera.project((points - map_T_camera[:3, 3]) @ map_T_camera[:3, :3])
    u, v = np.floor(pixels[1]).astype(int)
    assert view.depth[v, u] == 2 and view.rgb[v, u].tolist() == [1, 2, 3]
    u, v = np.floor(pixels[3]).astype(int)
    assert view.depth[v, u] == 2 and view.confidence[v, u] == 4
    assert np.isfinite(view.depth).sum() == 2 and (view.rgb > 0).any(axis=2).sum() == 2
    covered = project_cloud(cloud, 0.2, map_T_camera, camera)
    assert np.isfinite(covered.depth).sum() > 20  # voxels have a size


def test_a_point_covers_what_its_voxel_would():
    camera = Camera(41, 31, 50.0, 50.0, 20.5, 15.5)
    _, color, confidence = flat([0])
    cloud = Cloud(np.array([[0, 0, 2]], np.float32), color, confidence.astype(np.float32))
    view = project_cloud(cloud, 0.24, np.eye(4), camera)  # 6 pixels wide
    v, u = np.nonzero(np.isfinite(view.depth))
    assert (u.min(), u.max(), v.min(), v.max(), len(u)) == (17, 23, 12, 18, 49)


def test_a_part_of_the_points_is_even_over_all():
    voxel_map = VoxelMap(0.01, 100_000, 10)
    voxel_map.insert(*some_points(np.random.default_rng(3), 5000))
    whole, part = voxel_map.cloud(), voxel_map.cloud(every=4)
    np.testing.assert_array_equal(part.points, whole.points[::4])
    np.testing.assert_array_equal(part.colors, whole.colors[::4])
    np.testing.assert_array_equal(part.confidence, whole.confidence[::4])


def test_ply_holds_every_point(tmp_path):
    cloud = Cloud(*some_points(np.random.default_rng(7), 10))
    write_ply(tmp_path / "map.ply", cloud)
    data = (tmp_path / "map.ply").read_bytes()
    header, body = data.split(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "element vertex 10",
        *(f"property float {name}" for name in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        "property float confidence",
    ]
    vertices = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3), ("confidence", "<f4")])
    np.testing.assert_array_equal(vertices["xyz"], cloud.points)
    np.testing.assert_array_equal(vertices["rgb"], cloud.colors)
    np.testing.assert_array_equal(vertices["confidence"], cloud.confidence)
