# SPDX-License-Identifier: Apache-2.0
"""StreamMapper with a network that knows the room: poses, map, gauge, scale and rollback, exact."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_world import (
    CAMERA,
    ROOM,
    UNITS_PER_METRE,
    KnownWorld,
    blobs,
    frame,
    path,
    room_depth,
)

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, Camera, invert, look_at, pose
from zipmap_ros.mapping import MappingError, StreamMapper
from zipmap_ros.mapping.mapper import Counts
from zipmap_ros.mapping.prepare import prepare
from zipmap_ros.mapping.query import fitted
from zipmap_ros.model import ModelConfig, QueryPrediction, ZipMap
from zipmap_ros.parameters import Parameters

FIXED = {"scale_source": "fixed", "scale": 1 / UNITS_PER_METRE}


def make(poses=None, model=None, **changes) -> StreamMapper:
    """A mapper of the known room."""
    model = model or KnownWorld(path(60) if poses is None else poses)
    return StreamMapper(model, Parameters().updated(changes))


def real_network() -> ZipMap:
    """A tiny network of random weights whose fields of view are about a radian."""
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny()).eval()
    model.camera_mlp_head.mlp.fc2.bias.data[7:] = 1.0
    return model


def run(mapper, indices, **changes):
    return [e for i in indices for e in mapper.add_frame(frame(i, **changes))]


def true_poses(mapper, indices) -> np.ndarray:
    """map_T_camera that follow from the true poses and the first camera's place in the map."""
    poses = np.array([mapper.model.poses[i] for i in indices])
    return BODY_T_OPTICAL @ invert(mapper.model.poses[0]) @ poses


def test_poses_depth_and_stamps_are_those_of_the_room():
    mapper = make(**FIXED)
    estimates = run(mapper, range(40))
    assert [e.stamp_ns for e in estimates] == [frame(i).stamp_ns for i in range(40)]
    np.testing.assert_allclose(
        [e.map_T_camera for e in estimates], true_poses(mapper, range(40)), atol=1e-5
    )
    for i, estimate in enumerate(estimates):
        np.testing.assert_allclose(estimate.depth, room_depth(mapper.model.poses[i]), rtol=1e-4)
        assert estimate.rgb[0, 0].tolist() == [i, 100, 200]
        assert estimate.camera.fx == pytest.approx(CAMERA.fx) and estimate.kept
    assert mapper.counts.received == mapper.counts.used == 40
    assert mapper.state.frames_seen == len(mapper.keyframes.views) and mapper.status == "tracking"


def test_the_map_is_the_rooms_walls_with_z_up():
    """The camera looks level at first; remembers clouds tilted by optical axes used as body's."""
    poses = [look_at([0, 0, 0], [1, 0, 0])] + path(40)
    mapper = make(poses, map_voxel_m=0.1, max_jump_m=10, max_turn_deg=180, **FIXED)
    run(mapper, range(41))
    cloud = mapper.voxel_map.cloud()
    assert len(cloud) > 1000
    outside = np.abs(cloud.points) - ROOM
    assert np.abs(outside.max(axis=1)).max() < 0.1 + 1e-3  # every point is on a wall
    assert cloud.points[:, 2].max() == pytest.approx(1.5, abs=0.05)
    assert cloud.points[:, 2].min() == pytest.approx(-1.5, abs=0.05)
    assert (cloud.colors[:, 1] == 100).all() and np.ptp(cloud.colors[:, 2]) == 100


def test_filters_keep_far_and_doubtful_points_out():
    near = make(map_range_m=2.5, **FIXED)
    estimate = run(near, [0])[0]
    assert 0 < len(estimate.points) < (estimate.depth <= 2.5).sum() + 1
    local = (estimate.points - estimate.map_T_camera[:3, 3]) @ estimate.map_T_camera[:3, :3]
    assert local[:, 2].max() <= 2.5 + 1e-4
    doubtful = make(map_min_confidence=2.5)
    assert len(run(doubtful, [0])[0].points) == 0 == len(doubtful.voxel_map)
    few = make(points_per_frame=100)
    points = run(few, [0])[0].points
    assert len(points) == 100
    assert len(np.unique(points, axis=0)) == 100


def test_the_first_base_pose_is_the_origin():
    mapper = make(chunk_frames=2, **FIXED)
    base_T_camera = pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.0, 1.2])
    mapper.set_extrinsic("", base_T_camera)
    estimates = run(mapper, range(10))
    np.testing.assert_allclose(
        estimates[0].map_T_camera @ invert(base_T_camera), np.eye(4), atol=1e-12
    )
    moved = invert(mapper.model.poses[0]) @ mapper.model.poses[9]
    np.testing.assert_allclose(estimates[9].map_T_camera, base_T_camera @ moved, atol=1e-5)


def test_chunks_wait_fill_and_can_be_flushed():
    mapper = make(chunk_frames=4)
    assert [len(mapper.add_frame(frame(i))) for i in range(6)] == [0, 0, 0, 4, 0, 0]
    assert mapper.pending == 2
    assert [e.stamp_ns for e in mapper.flush()] == [frame(i).stamp_ns for i in (4, 5)]
    assert mapper.flush() == [] and mapper.model.calls == [[0, 1, 2, 3], [4, 5]]


def test_a_chunk_that_waits_may_be_given_up():
    mapper = make(chunk_frames=4)
    run(mapper, range(3))
    for _ in range(2):
        mapper.drop_pending("paused")
    assert mapper.flush() == [] and mapper.pending == 0 == len(mapper.voxel_map)
    assert (mapper.counts.received, mapper.counts.dropped) == (3, {"paused": 3})
    mapper.drop_pending("reset")
    assert "reset" not in mapper.counts.dropped


def test_a_robot_that_stands_still_changes_nothing():
    mapper = make(keyframe_max_gap=5)
    run(mapper, [0])
    state, points = mapper.state, len(mapper.voxel_map)
    estimates = run(mapper, [0] * 30)
    assert mapper.state is state and len(mapper.voxel_map) == points
    assert len(estimates) == 30 and not any(e.kept for e in estimates)
    assert not any(len(e.points) for e in estimates)
    assert (mapper.counts.used, mapper.counts.gated) == (1, 30)
    assert run(mapper, [1])[0].kept
    assert mapper.state_update == pytest.approx(0.01 / _rms(state), rel=0.01)


def _rms(state) -> float:
    weights = torch.cat([w.flatten() for layer in state.layers for w in layer])
    return float(weights.square().mean().sqrt())


def test_the_distance_between_keyframes_is_in_metres():
    mapper = make(keyframe_translation_m=0.12, keyframe_rotation_deg=180.0, **FIXED)
    kept = [e.map_T_camera[:3, 3] for e in run(mapper, range(10)) if e.kept]
    gaps = np.linalg.norm(np.diff(kept, axis=0), axis=1)
    assert len(kept) > 2 and gaps.min() > 0.12 and gaps.max() < 0.25


def test_a_gap_is_counted_in_frames_not_chunks():
    far = {"keyframe_translation_m": 0.3, "keyframe_rotation_deg": 180.0}
    mapper = make(chunk_frames=4, keyframe_max_gap=8, **far, **FIXED)
    run(mapper, [0] * 12)
    assert mapper.keyframes.gap == 8
    assert (mapper.counts.used, mapper.counts.gated) == (4, 8)
    assert run(mapper, [2] * 4)[0].kept  # 10 cm: after a gap a quarter is enough


def test_localization_computes_and_drops():
    mapper = make()
    mapper.parameters = mapper.parameters.updated({"mode": "localization"})
    assert run(mapper, [0]) == [] and mapper.counts.dropped["no_map"] == 1
    mapper.parameters = mapper.parameters.updated({"mode": "mapping"})
    run(mapper, range(5))
    state, points = mapper.state, len(mapper.voxel_map)
    mapper.parameters = mapper.parameters.updated({"mode": "localization"})
    estimates = run(mapper, range(5, 15))
    assert mapper.state is state and len(mapper.voxel_map) == points
    assert len(estimates) == 10 == mapper.counts.gated
    assert len(mapper.trajectory) == 15


def test_output_that_is_not_finite_is_rolled_back():
    mapper = make(model=KnownWorld(path(60), bad={3, 4}))
    run(mapper, range(3))
    state = mapper.state
    assert run(mapper, [3, 4]) == [] and mapper.state is state
    assert mapper.counts.dropped["not_finite"] == 2 and "not_finite" in mapper.problem
    assert mapper.status == "tracking" and len(run(mapper, [5])) == 1
    assert mapper.counts.used == 4


def test_a_focal_length_that_is_not_finite_is_refused_where_it_is_needed():
    class NoFocal(KnownWorld):
        def reconstruct(self, *args, **kwargs):
            prediction = super().reconstruct(*args, **kwargs)
            prediction.intrinsics[..., 0, 0] = float("inf")
            return prediction

    mapper = make(model=NoFocal(path(5)))
    assert run(mapper, [0], camera=None) == [] and mapper.counts.dropped == {"not_finite": 1}
    assert len(run(mapper, [1])) == 1  # a known camera has its own


def test_a_jump_makes_lost_and_consistency_ends_it():
    poses = path(40)
    poses[20:] = [pose(np.eye(3), [0, 0, 0.3]) @ T for T in poses[:20]]
    mapper = make(poses, max_jump_m=0.3, lost_after=3, found_after=4, **FIXED)
    run(mapper, range(15))
    state = mapper.state
    assert run(mapper, [20, 21]) == [] and mapper.status == "tracking"
    assert run(mapper, [22]) == [] and mapper.status == "lost"
    assert run(mapper, [23, 24, 25]) == [] and mapper.state is state
    assert mapper.counts.dropped == {"jump": 3, "lost": 3}
    assert len(run(mapper, [26])) == 1 and mapper.status == "tracking"


def test_memory_that_runs_out_splits_the_chunk_and_then_drops_it():
    class Small(KnownWorld):
        limit = 2

        def stream(self, images, *args, **kwargs):
            if len(images) > self.limit:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return super().stream(images, *args, **kwargs)

    mapper = make(model=Small(path(60)), chunk_frames=4)
    assert len(run(mapper, range(4))) == 4 and mapper.model.calls == [[0, 1], [2, 3]]
    Small.limit = 1
    assert len(run(mapper, range(4, 8))) == 4 and mapper.model.calls[2:] == [[4], [5], [6], [7]]
    Small.limit = 0
    assert run(mapper, range(8, 12)) == [] and mapper.counts.dropped["out_of_memory"] == 4


def test_a_fault_counts_all_frames_of_its_chunk():
    class Broken(KnownWorld):
        def stream(self, images, *args, **kwargs):
            raise IndexError("of ours")

    mapper = make(model=Broken(path(60)), chunk_frames=3)
    with pytest.raises(IndexError, match="of ours"):
        run(mapper, range(3))
    assert mapper.counts.received == 3 and mapper.counts.dropped == {"error": 3}
    # One of another size ends a chunk; the fault is that chunk's, and the new frame waits on.
    run(mapper, [3])
    square = np.full((32, 32, 3), np.arange(0, 256, 8)[:, None, None], np.uint8)
    with pytest.raises(IndexError, match="of ours"):
        mapper.add_frame(Frame(4, square))
    assert mapper.counts.received == 5 and mapper.counts.dropped == {"error": 4}
    with pytest.raises(IndexError, match="of ours"):
        mapper.flush()
    assert mapper.counts.dropped == {"error": 5}


def test_a_fault_while_a_frame_is_prepared_is_counted_too(monkeypatch):
    mapper = make()
    monkeypatch.setattr("zipmap_ros.mapping.mapper.prepare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(mapper, [0])
    assert mapper.counts.received == 1 and mapper.counts.dropped == {"error": 1}


def test_a_bad_frame_is_counted_and_tracking_goes_on():
    mapper = make(chunk_frames=2)
    run(mapper, [0])
    assert mapper.add_frame(frame(1, rgb=np.zeros((0, 0, 3), np.uint8))) == []
    assert mapper.counts.dropped["bad_image"] == 1 and "could not be read" in mapper.problem
    assert len(run(mapper, [1])) == 2


def test_an_image_that_shows_nothing_costs_itself_alone():
    mapper = make(lost_after=3, **FIXED)
    whole = make(lost_after=3, **FIXED)

    def cover(mapper, brightness, indices):
        for i in indices:
            noise = np.random.default_rng(i).integers(0, 3, (42, 56, 3), np.uint8)
            assert mapper.add_frame(frame(i, rgb=brightness + noise)) == []

    cover(mapper, 0, range(4))
    assert mapper.status == "initialising" and mapper.state.frames_seen == 0
    assert "the image is blank, its contrast 0." in mapper.problem
    expected, seen = run(whole, [4, 5, 6, 11]), run(mapper, [4, 5, 6])
    cover(mapper, 250, [7, 8])
    assert mapper.status == "tracking"
    cover(mapper, 0, [9, 10])
    assert mapper.status == "lost"
    seen += run(mapper, [11])
    assert mapper.status == "tracking", "the first image that fits ends it"
    assert mapper.counts.dropped == {"blank": 8} and mapper.counts.received == 12
    for one, same in zip(expected, seen, strict=True):
        np.testing.assert_array_equal(one.map_T_camera, same.map_T_camera)


def test_noise_is_no_image():
    mapper, rng = make(**FIXED), np.random.default_rng(0)
    run(mapper, [0])
    for i, size in enumerate(((42, 56), (84, 112), (480, 640)), 1):
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
        assert mapper.add_frame(frame(i, rgb=noise, camera=None)) == []
        assert "the image is noise" in mapper.problem
    assert mapper.counts.dropped == {"blank": 3} and len(run(mapper, [4])) == 1
    assert not prepare(frame(0, rgb=blobs(0)), mapper.model.config, True).shows_nothing()


@pytest.mark.parametrize("turned", [False, True])
def test_the_slats_of_a_blind_are_no_noise(turned):
    slats = np.full((480, 640), 60, np.uint8)
    slats[np.arange(480) % 50 < 25] = 180  # four pixels of the network's image from one to the next
    rgb = np.repeat((slats.T if turned else slats)[..., None], 3, axis=2)
    view = prepare(frame(0, None, rgb=rgb), ModelConfig.tiny(), True)
    assert view.shows_nothing() is None


def test_a_covered_camera_that_is_elsewhere_afterwards_is_lost():
    poses = path(40)
    poses[20:] = [pose(np.eye(3), [0, 0, 0.6]) @ T for T in poses[20:]]
    mapper = make(poses, max_jump_m=0.3, lost_after=3, found_after=2, **FIXED)
    run(mapper, range(17))
    for i in range(17, 20):
        mapper.add_frame(frame(i, rgb=np.zeros((42, 56, 3), np.uint8)))
    assert run(mapper, [20, 21]) == [] and mapper.status == "lost"
    assert len(run(mapper, [22])) == 1 and mapper.status == "tracking"


def test_of_two_cameras_one_that_is_covered_is_not_lost_alone():
    mapper = make(lost_after=1)
    run(mapper, [0], source="left")
    run(mapper, [1], source="right")
    mapper.add_frame(frame(2, rgb=np.zeros((42, 56, 3), np.uint8), source="left"))
    assert mapper.status == "tracking"


def test_a_frame_that_is_begun_elsewhere_changes_nothing_until_it_is_added():
    whole, halves = make(), make()
    expected = run(whole, range(4))
    with ThreadPoolExecutor() as elsewhere:
        begun = list(elsewhere.map(halves.begin, [frame(i) for i in range(4)]))
        bad = elsewhere.submit(halves.begin, frame(4, rgb=np.zeros((0, 0, 3), np.uint8))).result()
    assert halves.counts == Counts() and not halves.problem
    for one, (same,) in zip(expected, [rest() for rest in begun], strict=True):
        np.testing.assert_array_equal(one.map_T_camera, same.map_T_camera)
        np.testing.assert_array_equal(one.depth, same.depth)
    assert bad() == []
    assert halves.counts.received == 5 and halves.counts.dropped == {"bad_image": 1}


def test_a_change_of_size_ends_the_chunk():
    mapper = make(model=real_network(), chunk_frames=3)
    assert mapper.add_frame(frame(0)) == [] == mapper.add_frame(frame(1))
    wide = frame(2, None, rgb=frame(2).rgb[7:35].repeat(2, 0).repeat(2, 1))
    ready = mapper.add_frame(wide)
    assert [e.depth.shape for e in ready] == [(42, 56)] * 2 and mapper.pending == 1
    assert mapper.flush()[0].depth.shape == (28, 70)


def test_scale_locks_on_depth_and_everything_is_metres_from_then_on():
    mapper = make(scale_source="depth", map_voxel_m=0.1)
    gauge_id = mapper.gauge_id
    for i in range(20):
        mapper.add_frame(frame(i, depth=room_depth(mapper.model.poses[i]).astype(np.float32)))
        assert mapper.scale.metric == (i >= 4)
    assert mapper.scale.scale == pytest.approx(1 / UNITS_PER_METRE, rel=1e-4)
    assert mapper.gauge_id == gauge_id + 1
    np.testing.assert_allclose(mapper.trajectory.poses, true_poses(mapper, range(20)), atol=1e-3)
    in_room = mapper.voxel_map.cloud().points @ BODY_T_OPTICAL[:3, :3]
    first = mapper.model.poses[0]
    outside = np.abs(in_room @ first[:3, :3].T + first[:3, 3]) - ROOM
    assert np.abs(outside.max(axis=1)).max() < 0.1


def test_a_map_to_be_located_in_keeps_its_metres():
    mapper = make(scale_source="depth")

    def see(indices, factor=1.0):
        for i in indices:
            depth = room_depth(mapper.model.poses[i]).astype(np.float32)
            mapper.add_frame(frame(i, depth=factor * depth))

    see(range(10))
    locked, gauge_id = mapper.scale.scale, mapper.gauge_id
    mapper.parameters = mapper.parameters.updated({"mode": "localization"})
    see(range(10, 50), factor=1.3)  # a depth camera that is off
    assert (mapper.scale.scale, mapper.gauge_id) == (locked, gauge_id)
    mapper.parameters = mapper.parameters.updated({"scale": 2.0})  # of the source fixed alone
    assert (mapper.scale.scale, mapper.scale.metric) == (locked, True)


def test_another_source_of_scale_goes_on_from_metres():
    mapper = make(scale_source="depth")
    for i in range(10):
        mapper.add_frame(frame(i, depth=room_depth(mapper.model.poses[i]).astype(np.float32)))
    locked, gauge_id = mapper.scale.scale, mapper.gauge_id
    assert mapper.scale.metric
    mapper.parameters = mapper.parameters.updated({"scale_source": "odom"})
    assert (mapper.scale.source, mapper.scale.scale, mapper.scale.metric) == ("odom", locked, True)
    assert (mapper.gauge.scale, mapper.gauge_id) == (locked, gauge_id)
    mapper.parameters = mapper.parameters.updated({"scale_source": "none"})
    assert (mapper.scale.scale, mapper.scale.metric, mapper.gauge.scale) == (1.0, False, 1.0)


def test_scale_from_odometry_uses_the_cameras_path_not_the_bases():
    mapper = make(scale_source="odom")
    base_T_camera = pose(BODY_T_OPTICAL[:3, :3], [0.5, 0.1, 0.3])
    mapper.set_extrinsic("", base_T_camera)
    for i in range(60):
        world_T_base = mapper.model.poses[i] @ invert(base_T_camera)
        mapper.add_odometry(frame(i).stamp_ns, world_T_base)
        mapper.add_frame(frame(i))
    assert mapper.scale.metric
    assert mapper.scale.scale == pytest.approx(1 / UNITS_PER_METRE, rel=1e-3)


def test_without_a_source_nothing_is_metric():
    mapper = make()
    estimate = run(mapper, range(10))[-1]
    assert not mapper.scale.metric and estimate.scale == 1.0
    true = true_poses(mapper, [9])[0]
    np.testing.assert_allclose(estimate.map_T_camera[:3, 3], true[:3, 3] * 0.5, atol=1e-5)


def test_a_place_that_no_map_can_be_around_is_refused():
    mapper = make(**FIXED)
    run(mapper, range(3))
    points, poses = len(mapper.voxel_map), mapper.trajectory.poses
    utm = pose(np.eye(3), [448_262.0, 5_411_932.0, 0.0])
    with pytest.raises(MappingError, match=r"5411932.0, 0.0\] is too far out for voxels of 0.05"):
        mapper.set_pose(utm)
    assert len(mapper.voxel_map) == points
    np.testing.assert_array_equal(mapper.trajectory.poses, poses)


def test_set_pose_moves_everything_rigidly():
    mapper = make(**FIXED)
    with pytest.raises(MappingError, match="wait for the first image"):
        mapper.set_pose(np.eye(4))
    base_T_camera = pose(BODY_T_OPTICAL[:3, :3], [0.1, 0.0, 0.5])
    mapper.set_extrinsic("left", base_T_camera)
    run(mapper, range(10), source="left")
    before, gauge_id = mapper.trajectory.poses, mapper.gauge_id
    points = mapper.voxel_map.cloud().points
    map_T_base = pose(look_at([0, 0, 0], [1, 2, 0])[:3, :3] @ BODY_T_OPTICAL[:3, :3].T, [5, 6, 0])
    mapper.set_pose(map_T_base)
    after = mapper.trajectory.poses
    np.testing.assert_allclose(after[-1] @ invert(base_T_camera), map_T_base, atol=1e-9)
    change = after[-1] @ invert(before[-1])
    np.testing.assert_allclose(change @ before, after, atol=1e-9)
    moved = points @ change[:3, :3].T + change[:3, 3]
    now = mapper.voxel_map.cloud().points
    apart = np.linalg.norm(now[::20, None] - moved, axis=-1).min(axis=1)
    assert apart.max() < 0.05 * math.sqrt(3)  # merged within a voxel
    assert mapper.gauge_id == gauge_id + 1
    following = run(mapper, [10], source="left")[0].map_T_camera
    step = invert(mapper.model.poses[9]) @ mapper.model.poses[10]
    np.testing.assert_allclose(following, after[-1] @ step, atol=1e-5)


def test_reset_forgets_the_scene_and_counts_on():
    mapper = make(chunk_frames=2, **FIXED)
    mapper.add_odometry(1, np.eye(4))
    run(mapper, range(5))
    mapper.add_frame(frame(5, rgb=np.zeros((42, 56, 3), np.uint8)))
    gauge_id = mapper.gauge_id
    assert mapper.problem
    mapper.reset()
    assert not mapper.problem
    assert (len(mapper.voxel_map), len(mapper.trajectory), mapper.pending) == (0, 0, 0)
    assert mapper.state.frames_seen == 0 and mapper.gauge_id == gauge_id + 1
    assert mapper.status == "initialising"
    assert mapper.odometry.entries == [] and mapper.last_camera is None
    assert (mapper.counts.received, mapper.counts.dropped["reset"]) == (6, 1)


def test_live_parameters_take_effect():
    mapper = make(**FIXED)
    run(mapper, range(10))
    fine = len(mapper.voxel_map)
    mapper.parameters = mapper.parameters.updated({"map_voxel_m": 0.5, "path_max_poses": 4})
    assert len(mapper.trajectory) == 4 and 0 < len(mapper.voxel_map) < fine / 3
    mapper.parameters = mapper.parameters.updated({"scale": 4.0})
    far = np.linalg.norm(mapper.trajectory.poses[-1, :3, 3])
    assert far == pytest.approx(2 * np.linalg.norm(true_poses(mapper, [9])[0][:3, 3]), rel=1e-4)
    mapper.parameters = mapper.parameters.updated({"chunk_frames": 3})
    assert [len(mapper.add_frame(frame(i))) for i in range(10, 13)] == [0, 0, 3]


def test_two_cameras_feed_one_state():
    """The second camera looks back and sits elsewhere; its frames have the same pose in the map."""
    front = path(20)
    front_T_back = pose(np.diag([-1.0, 1.0, -1.0]), [0, 0, -0.4])
    poses = [T for pair in zip(front, [T @ front_T_back for T in front], strict=True) for T in pair]
    mapper = make(poses, **FIXED)
    base_T_front = pose(BODY_T_OPTICAL[:3, :3], [0.2, 0.0, 1.0])
    base_T_back = base_T_front @ front_T_back
    mapper.set_extrinsic("front", base_T_front)
    mapper.set_extrinsic("back", base_T_back)
    extrinsics = {"front": base_T_front, "back": base_T_back}
    bases = []
    for i in range(40):
        source = "back" if i % 2 else "front"
        (estimate,) = mapper.add_frame(frame(i, source=source, frame_id=source + "_optical"))
        assert (estimate.source, estimate.frame_id) == (source, source + "_optical")
        bases.append(estimate.map_T_camera @ invert(extrinsics[source]))
    np.testing.assert_allclose(bases[0::2], bases[1::2], atol=1e-5)
    assert mapper.counts.used == 40, "a turn from camera to camera is no jump"


def test_an_uncalibrated_camera_takes_the_networks_focal_length():
    estimate = run(make(), [0], camera=None)[0]
    assert estimate.camera == replace(CAMERA, fx=estimate.camera.fx, fy=estimate.camera.fy)
    assert estimate.camera.fx == pytest.approx(CAMERA.fx, rel=1e-5)


def test_a_query_without_a_query_head_projects_the_map():
    mapper = make(map_voxel_m=0.1, **FIXED)
    with pytest.raises(MappingError, match="nothing has been seen"):
        mapper.query(np.eye(4))
    run(mapper, range(60))
    view = mapper.query(true_poses(mapper, [30])[0])
    assert view.source == "map" and view.warning == "" and view.camera.width == 56
    error = np.abs(view.depth - room_depth(mapper.model.poses[30]))
    assert np.isfinite(view.depth).mean() > 0.8 and np.nanmedian(error) < 0.1
    away = mapper.query(pose(np.eye(3), [100, 0, 0]))
    assert "outside of what is mapped" in away.warning
    assert np.isnan(away.depth).all()


def test_a_query_from_a_little_outside_of_the_map_is_not_doubted():
    mapper = make(map_voxel_m=0.1, map_range_m=5.0, **FIXED)
    run(mapper, range(5))
    top = mapper.voxel_map.cloud().points[:, 2].max()
    warned = [mapper.query(pose(BODY_T_OPTICAL[:3, :3], [0, 0, top + far])) for far in (3.0, 7.0)]
    assert ["outside of what is mapped" in view.warning for view in warned] == [False, True]


def test_a_query_of_the_network_gets_the_networks_own_gauge():
    asked = {}

    class Asked(KnownWorld):
        def query(self, state, rays):
            asked.update(state=state, rays=rays)
            shape = (1, 1, *rays.shape[-2:])
            return QueryPrediction(
                torch.full((*shape, 3), 0.5), torch.ones(shape), torch.ones(shape)
            )

    mapper = make(model=Asked(path(60), query=True), align_poses="off", **FIXED)
    run(mapper, range(10))
    camera = Camera.from_fov(200, 100, 80.0)
    view = mapper.query(true_poses(mapper, [5])[0], camera)
    assert view.source == "network" and asked["state"] is mapper.state
    network_T_camera = invert(mapper.model.poses[0]) @ mapper.model.poses[5]
    origin = asked["rays"][0, :3, 0, 0].numpy()
    np.testing.assert_allclose(origin, network_T_camera[:3, 3] * UNITS_PER_METRE, atol=1e-5)
    middle = asked["rays"][0, 3:6].mean(dim=(1, 2)).numpy()
    cosine = middle @ network_T_camera[:3, 2] / np.linalg.norm(middle)
    assert math.degrees(math.acos(min(cosine, 1.0))) < 0.1
    assert (view.depth == 1 / UNITS_PER_METRE).all() and (view.rgb == 128).all()
    np.testing.assert_allclose(view.camera.resized(200, 100).matrix, camera.matrix)
    assert view.depth.shape == (28, 70)


@pytest.mark.parametrize(
    ("variant", "size", "expected"),
    [
        ("main", (100, 95), (56, 56)),  # 53.2 pixels high
        ("main", (200, 100), (56, 28)),
        ("tiny", (200, 100), (70, 28)),
        ("tiny", (70, 28), (70, 28)),
        ("tiny", (100, 200), (28, 70)),
        ("tiny", (40, 30), (42, 28)),
        ("tiny", (10**9, 1), (56, 14)),
    ],
)
def test_a_query_has_at_most_the_size_of_images_of_its_aspect(variant, size, expected):
    config = replace(ModelConfig.tiny(), variant=variant)
    nearest = fitted(Camera.from_fov(*size, 80.0), config)
    assert (nearest.width, nearest.height) == expected


def test_batch_gives_the_same_room():
    mapper = make(model=KnownWorld(path(20)), **FIXED)
    estimates = mapper.reconstruct(frame(i) for i in range(20))
    np.testing.assert_allclose(
        [e.map_T_camera for e in estimates], true_poses(mapper, range(20)), atol=1e-5
    )
    assert mapper.model.calls == [list(range(20))] and len(mapper.voxel_map) > 1000
    assert mapper.query(estimates[3].map_T_camera).source == "map"
    with pytest.raises(MappingError, match="frames of one size"):
        mapper.reconstruct([])


def test_a_network_in_training_is_refused_with_a_hint():
    with pytest.raises(MappingError, match=r"call model\.eval\(\)"):
        StreamMapper(real_network().train())


def test_a_network_that_does_not_stream_is_refused_with_a_hint():
    config = replace(ModelConfig.tiny(), camera_head="refine", camera_heads=2)
    mapper = StreamMapper(ZipMap(config).eval())
    with pytest.raises(MappingError, match="zipmap reconstruct --batch"):
        mapper.add_frame(frame(0))


def test_a_real_network_runs_the_whole_way():
    mapper = make(model=real_network(), map_min_confidence=1.0)
    first = run(mapper, range(6))
    assert len(first) == 6 and 1 <= mapper.state.frames_seen <= mapper.counts.used
    view = mapper.query(first[-1].map_T_camera)
    assert view.source == "network" and np.isfinite(view.depth).all()
    np.testing.assert_allclose(mapper.base_T_camera(""), first[0].map_T_camera, atol=1e-6)
