# SPDX-License-Identifier: Apache-2.0
"""Saved sessions: continued bit for bit, whole after a kill at any moment, refused when foreign."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_world import CAMERA, KnownWorld, blobs, frame, path, room_depth
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch

from zipmap_ros.geometry import BODY_T_OPTICAL, Camera, pose
from zipmap_ros.mapping import MappingError, StreamMapper, load_session, save_session, session
from zipmap_ros.mapping.places import Places
from zipmap_ros.mapping.tracking import Tracker
from zipmap_ros.model import ModelConfig, ZipMap, file_sha256
from zipmap_ros.model.graph import QueryGraph, StreamGraph
from zipmap_ros.parameters import Parameters


@pytest.fixture(scope="module")
def model() -> ZipMap:
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny()).eval()
    model.camera_mlp_head.mlp.fc2.bias.data[7:] = 1.0
    return model


def make(model: ZipMap, **changes) -> StreamMapper:
    values = {"map_min_confidence": 1.0, "keyframe_translation_m": 1e-9, **changes}
    mapper = StreamMapper(model, Parameters().updated(values), "abc")
    mapper.set_extrinsic("left", pose(BODY_T_OPTICAL[:3, :3], [0.1, 0.2, 0.3]))
    return mapper


def feed(mapper: StreamMapper, indices) -> list:
    """Frames of two cameras with images, depth and odometry, so that every part has a memory."""
    estimates = []
    for i in indices:
        rgb = blobs(i)
        depth = np.random.default_rng(i).uniform(1, 1.1, (42, 56)).astype(np.float32)
        mapper.add_odometry(frame(i).stamp_ns, pose(np.eye(3), [0.1 * i, 0.0, 0.0]))
        camera = CAMERA if i % 3 else None
        source = "left" if i % 2 else ""
        estimates += mapper.add_frame(frame(i, camera, rgb=rgb, depth=depth, source=source))
    return estimates


def assert_same(a: StreamMapper, b: StreamMapper) -> None:
    """Everything that goes on is equal, bit for bit."""
    for x, y in zip(a.state.layers, b.state.layers, strict=True):
        assert all(torch.equal(v, w) for v, w in zip(x, y, strict=True))
    for key, value in a.voxel_map.state().items():
        np.testing.assert_array_equal(value, b.voxel_map.state()[key])
    np.testing.assert_array_equal(a.trajectory.poses, b.trajectory.poses)
    np.testing.assert_array_equal(a.trajectory.stamps_ns, b.trajectory.stamps_ns)
    assert a.trajectory.sources == b.trajectory.sources
    assert (a.scale.scale, a.scale.metric) == (b.scale.scale, b.scale.metric)
    assert a.scale.spread == b.scale.spread and a.keyframes.gap == b.keyframes.gap
    assert a.last_camera == b.last_camera
    for name in ("believed", "latest", "doubted", "good"):
        np.testing.assert_equal(getattr(a.tracker, name), getattr(b.tracker, name))
    np.testing.assert_equal(a.odometry.entries, b.odometry.entries)
    assert (a.tracks.frames, a.tracks.log) == (b.tracks.frames, b.tracks.log)


@pytest.mark.parametrize("scale_source", ["depth", "odom"])
@pytest.mark.parametrize("stop", [1, 9])
def test_saved_loaded_and_continued_is_as_if_never_stopped(model, tmp_path, scale_source, stop):
    whole = make(model, scale_source=scale_source, map_max_points=1500)
    feed(whole, range(stop))
    folder, size = save_session(whole, tmp_path, "house")
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    loaded = make(model, scale_source=scale_source, map_max_points=1500)
    feed(loaded, range(20, 23))  # something else was going on there
    gauge_id = loaded.gauge_id
    load_session(loaded, tmp_path, "house")
    assert loaded.gauge_id > gauge_id
    assert_same(whole, loaded)
    for one, other in zip(feed(whole, range(stop, 16)), feed(loaded, range(stop, 16)), strict=True):
        np.testing.assert_array_equal(one.map_T_camera, other.map_T_camera)
        np.testing.assert_array_equal(one.depth, other.depth)
        assert one.kept == other.kept
    assert_same(whole, loaded)
    assert whole.voxel_map.evicted > 0


def test_a_session_that_is_lost_is_lost_when_it_is_loaded(model, tmp_path):
    mapper, loaded = make(model), make(model)
    feed(mapper, range(4))
    latest = {"": pose(np.eye(3), [9, 9, 9])}
    mapper.tracker = Tracker(mapper.tracker.believed, latest, {"": 4}, {"": 2, "left": 1})
    save_session(mapper, tmp_path, "house")
    load_session(loaded, tmp_path, "house")
    assert loaded.status == "lost"
    assert_same(mapper, loaded)


@pytest.mark.parametrize("chunk_frames", [1, 2])
def test_recorded_graphs_change_no_bit_of_mapper_or_session(model, tmp_path, chunk_frames):
    """As on a GPU; on a CPU the work is repeated in the graphs' memory instead of replayed."""
    changes = {"keyframe_translation_m": 50.0, "keyframe_rotation_deg": 180.0}
    changes |= {"keyframe_max_gap": 12, "chunk_frames": chunk_frames}
    plain, graphed, loaded = (make(model, **changes) for _ in range(3))
    for mapper in (graphed, loaded):
        mapper._stream, mapper._query = StreamGraph(model, ("depth",)), QueryGraph(model)
    feed(plain, range(10))
    feed(graphed, range(10))
    assert graphed._stream._graphs and 0 < graphed.counts.gated == plain.counts.gated
    held = graphed.state
    views = [mapper.query(pose(np.eye(3), [0.1, 0, 0])) for mapper in [plain] + [graphed] * 3]
    assert all(np.array_equal(view.depth, views[0].depth) for view in views)
    save_session(graphed, tmp_path, "house")
    feed(loaded, range(20, 26))
    load_session(loaded, tmp_path, "house")
    assert_same(graphed, loaded)
    before = [w.clone() for layer in held.layers for w in layer]
    for mapper in (plain, graphed, loaded):
        feed(mapper, range(10, 22))
    assert_same(plain, graphed)
    assert_same(plain, loaded)
    assert all(map(torch.equal, before, [w for layer in held.layers for w in layer]))


def test_a_session_of_an_empty_mapper_loads(model, tmp_path):
    save_session(make(model), tmp_path, "empty")
    mapper = make(model)
    feed(mapper, range(2))
    load_session(mapper, tmp_path, "empty")
    assert mapper.status == "initialising" and len(mapper.voxel_map) == 0


def test_the_folder_holds_what_it_says(model, tmp_path):
    mapper = make(model)
    feed(mapper, range(3))
    folder, _ = save_session(mapper, tmp_path / "new" / "place", "house")
    assert sorted(p.name for p in folder.iterdir()) == [
        "manifest.json",
        "map.ply",
        "mapper.safetensors",
        "state.safetensors",
        "trajectory.tum",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["checkpoint_sha256"] == "abc" and manifest["parameters"]["map_voxel_m"] == 0.05
    assert len((folder / "trajectory.tum").read_text().splitlines()) == 3
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


@pytest.mark.parametrize(
    "name", ["", "..", ".", ".hidden", "a/b", "../a", "/tmp/a", "a\n", "é", "a" * 101]
)
def test_names_that_leave_the_folder_are_refused(model, tmp_path, name):
    with pytest.raises(MappingError, match="choose another"):
        save_session(make(model), tmp_path, name)
    with pytest.raises(MappingError, match="choose another"):
        load_session(make(model), tmp_path, name)


def test_a_folder_that_leads_nowhere_is_refused(model, tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    nobody = "~nobody-of-this-name/maps"
    for folder, reason in ((nobody, "leads nowhere"), (tmp_path / "circle", "circle")):
        for use in (save_session, load_session):
            with pytest.raises(MappingError, match=reason):
                use(make(model), folder, "house")


def test_a_link_out_of_the_folder_is_refused(model, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "maps" / "house").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MappingError, match="leads out of"):
        save_session(make(model), tmp_path / "maps", "house", overwrite=True)


def test_saving_waits_for_the_chunk_and_asks_before_overwriting(model, tmp_path):
    mapper = make(model, chunk_frames=2)
    feed(mapper, range(3))
    with pytest.raises(MappingError, match="1 frames wait"):
        save_session(mapper, tmp_path, "house")
    mapper.flush()
    save_session(mapper, tmp_path, "house")
    with pytest.raises(MappingError, match="set overwrite"):
        save_session(mapper, tmp_path, "house")
    save_session(mapper, tmp_path, "house", overwrite=True)


def test_what_waits_for_its_chunk_meets_no_loaded_map(model, tmp_path):
    mapper = make(model, chunk_frames=2)
    save_session(mapper, tmp_path, "house")
    feed(mapper, range(3))
    with pytest.raises(MappingError):
        load_session(mapper, tmp_path, "nowhere")
    assert mapper.pending == 1
    load_session(mapper, tmp_path, "house")
    assert mapper.pending == 0 and mapper.counts.dropped == {"load_map": 1}


def test_a_disk_that_refuses_is_an_error_with_a_reason(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MappingError, match="cannot save the session 'house'"):
        save_session(make(model), tmp_path / "file", "house")
    too_long = tmp_path / ("x" * 300)
    with pytest.raises(MappingError, match="cannot save the session 'house'"):
        save_session(make(model), too_long, "house")
    with pytest.raises(MappingError, match="house is no saved session"):
        load_session(make(model), too_long, "house")


def test_a_full_disk_is_an_error_that_names_the_session(model, tmp_path):
    import resource

    mapper = make(model)
    feed(mapper, range(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MappingError, match="cannot save the session 'house'"):
            save_session(mapper, tmp_path, "house")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "program's", "number", "list", "with notes"])
def test_what_is_no_session_is_never_overwritten(model, tmp_path, kind):
    mine = tmp_path / "office"
    if kind == "with notes":
        save_session(make(model), tmp_path, "office")
        mine = mine / "notes.txt"
    elif kind != "file":
        mine.mkdir()
        mine = mine / ("office.pgm" if kind == "folder" else "manifest.json")
    text = {"number": "5", "list": '["checkpoint_sha256"]'}.get(kind, "another program's map")
    mine.write_text(text)
    with pytest.raises(MappingError, match="no saved session, or holds more than one: take"):
        save_session(make(model), tmp_path, "office", overwrite=True)
    assert mine.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["office"]


def test_a_session_loads_with_another_source_of_scale(model, tmp_path):
    """A fixed scale is what it says; another source goes on from the saved one."""
    saved = make(model, scale_source="depth")
    feed(saved, range(9))
    assert saved.scale.metric
    save_session(saved, tmp_path, "house")
    fixed, none = make(model, scale_source="fixed", scale=2.5), make(model)
    for mapper in (fixed, none):
        load_session(mapper, tmp_path, "house")
    assert (fixed.scale.scale, fixed.scale.metric, fixed.gauge.scale) == (2.5, True, 2.5)
    np.testing.assert_allclose(
        fixed.trajectory.poses[-1][:3, 3],
        saved.trajectory.poses[-1][:3, 3] * 2.5 / saved.scale.scale,
        atol=1e-9,
    )
    assert (none.scale.scale, none.scale.spread) == (saved.scale.scale, 0.0)


def test_a_session_of_other_cameras_can_be_lost(model, tmp_path):
    saved = make(model)
    feed(saved, range(4))
    save_session(saved, tmp_path, "house")
    loaded = make(model)
    load_session(loaded, tmp_path, "house")
    for _ in range(3):
        loaded.tracker.judge(["front"], None, 1.0, 30.0, lost_after=3, found_after=5)
    assert loaded.status == "lost"


def sign(file):
    """Have the manifest say that the file is as it was written."""
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"][file.name] = file_sha256(file)
    (file.parent / "manifest.json").write_text(json.dumps(manifest))


def cut(folder):
    data = (folder / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(data[:-5])


def flip_a_bit(folder):
    data = bytearray((folder / "map.ply").read_bytes())
    data[-1] ^= 1
    (folder / "map.ply").write_bytes(data)


def damage_content(folder):
    data = bytearray((folder / "mapper.safetensors").read_bytes())
    data[:8] = b"\xff" * 8
    (folder / "mapper.safetensors").write_bytes(data)
    sign(folder / "mapper.safetensors")


def remove_manifest(folder):
    (folder / "manifest.json").unlink()


def break_manifest(folder):
    (folder / "manifest.json").write_text("[]")


def without_files(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": [1]}))


def with_another_file(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["more"] = ""
    (folder / "manifest.json").write_text(json.dumps(manifest))


def make_older(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))


def a_pipe_for_a_manifest(folder):
    remove_manifest(folder)
    os.mkfifo(folder / "manifest.json")


def a_link_for_a_state(folder):
    state = folder / "state.safetensors"
    state.symlink_to(state.rename(folder.parent / "elsewhere"))


def made_up(change_arrays=dict, **changes):
    """A change of values in mapper.safetensors, by path, and of its arrays, in a folder that looks
    whole; ``change_arrays`` gives some of the arrays anew."""

    def damage(folder):
        file = folder / "mapper.safetensors"
        with safe_open(file, "np") as opened:
            small = json.loads(opened.metadata()["mapper"])
            arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - no dictionary
        anew = change_arrays(arrays)
        assert anew.keys() <= arrays.keys()
        for place, value in changes.items():
            *way, last = (int(key) if key.isdigit() else key for key in place.split("__"))
            branch = small
            for step in way:
                branch = branch[step]
            branch[last] = value
        save_file({**arrays, **anew}, file, metadata={"mapper": json.dumps(small)})
        sign(file)

    return damage


def another_state(change):
    def damage(folder):
        tensors = load_file(folder / "state.safetensors")
        with safe_open(folder / "state.safetensors", "pt") as opened:
            metadata = opened.metadata()
        first = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
        tensors[first] = change(tensors[first])
        save_torch(tensors, folder / "state.safetensors", metadata)
        sign(folder / "state.safetensors")

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (a_pipe_for_a_manifest, "is no saved session: .* is no plain file"),
        (a_link_for_a_state, "is no saved session: .* is no plain file"),
        (made_up(scale__scale="abc"), "cannot load .* is no number"),
        (made_up(scale__scale=-1.0), "its scale is not above 0"),
        (made_up(gauge__scale=float("nan")), "is no number"),
        (made_up(gauge__anchor_map=[1.0]), "one of its poses is no finite"),
        (made_up(tracks__frames="many"), "is no number"),
        (made_up(keyframes__last={"": "there"}), "cannot load"),
        (made_up(tracks__cameras__left__step=[0.0]), "one of its steps"),
        (made_up(tracks__cameras__left__focal={"fx": None}), "is no number"),
        (made_up(tracks__cameras__left__reference__baseline=None), "cannot load"),
        (made_up(tracks__cameras__left__reference__camera__fx=0.0), "one of its cameras"),
        (made_up(lambda a: {"tracks.0.depth": -a["tracks.0.depth"]}), "not above 0"),
        (made_up(lambda a: {"tracks.0.grey": a["tracks.0.grey"] * np.nan}), "is not finite"),
        (made_up(lambda a: {"tracks.0.log": a["tracks.0.log"][:3].copy()}), "has .* nodes"),
        (
            made_up(lambda a: {"tracks.0.reference_log": np.full(48, np.nan)}),
            "correction is not finite",
        ),
        (made_up(lambda a: {"keyframes.views": np.zeros((0, 3))}), "no poses"),
        (made_up(lambda a: {"keyframes.views": a["keyframes.views"] * np.nan}), "no finite"),
        (another_state(lambda tensor: tensor * float("nan")), "its state is not finite"),
        (another_state(lambda tensor: tensor[..., :-1].contiguous()), "cannot load"),
        (make_older, "has format 1, this version reads 6"),
        (cut, "is damaged, changed is state.safetensors"),
        (flip_a_bit, "is damaged, changed is map.ply"),
        (damage_content, "cannot load"),
        (remove_manifest, "is no saved session: .* is not there"),
        (break_manifest, "is no saved session"),
        (without_files, "is no saved session"),
        (with_another_file, "is damaged, changed is more"),
    ],
)
def test_a_damaged_session_leaves_the_mapper_as_it_was(model, tmp_path, damage, reason):
    mapper = make(model)
    feed(mapper, range(3))
    folder, _ = save_session(mapper, tmp_path, "house")
    damage(folder)
    feed(mapper, range(3, 5))
    twin = make(model)
    feed(twin, range(5))
    with pytest.raises(MappingError, match=reason):
        load_session(mapper, tmp_path, "house")
    assert_same(mapper, twin)


def test_what_is_not_finite_or_no_pose_is_refused_wherever_it_is(model, tmp_path):
    mapper = make(model, scale_source="depth")
    feed(mapper, range(9))
    track = mapper.tracks.cameras["left"]
    mapper.tracks = replace(mapper.tracks, places=Places((track.reference,)))
    folder, _ = save_session(mapper, tmp_path, "house")
    whole = (folder / "mapper.safetensors").read_bytes()
    numbers = ["scale__scale", "gauge__scale", "keyframes__gap", "tracks__log", "tracks__frames"]
    poses = ["tracks__correction", "tracks__places__0__pose", "keyframes__last__left"]
    poses += ["gauge__anchor_network", "gauge__anchor_map", "extrinsics__other"]
    poses += ["tracker__believed__left", "tracker__latest__left"]
    numbers += [f"tracks__cameras__left__{name}" for name in ("step__0", "stamps__1", "focal__fx")]
    poses += [f"tracks__cameras__left__{name}" for name in ("pose", "offset", "reference__pose")]
    wrong = [made_up(**{place: np.inf}) for place in numbers]
    wrong += [made_up(**{place: np.eye(3).tolist()}) for place in poses]
    wrong += [made_up(**{place: [[np.nan] * 4] * 4}) for place in poses]
    wrong += [made_up(lambda a: {"trajectory.poses": a["trajectory.poses"] * np.nan})]
    for damage in [*wrong, made_up(scale__scale=0.0), made_up(gauge__scale=0.0)]:
        (folder / "mapper.safetensors").write_bytes(whole)
        damage(folder)
        with pytest.raises(MappingError, match=r"no finite|no number|not above 0"):
            load_session(mapper, tmp_path, "house")


def test_a_session_of_another_network_is_refused(model, tmp_path):
    save_session(make(model), tmp_path, "house")
    other = make(model)
    other.checkpoint = "def"
    with pytest.raises(MappingError, match="another checkpoint"):
        load_session(other, tmp_path, "house")
    wider = ZipMap(replace(ModelConfig.tiny(), fast_hidden=16)).eval()
    with pytest.raises(MappingError, match="another checkpoint"):
        load_session(make(wider), tmp_path, "house")


def test_a_session_loads_into_other_voxels(model, tmp_path):
    mapper = StreamMapper(KnownWorld(path(60)))
    for i in range(5):
        mapper.add_frame(frame(i, depth=room_depth(path(60)[i]).astype(np.float32)))
    save_session(mapper, tmp_path, "house")
    coarse = StreamMapper(KnownWorld(path(60)), Parameters().updated({"map_voxel_m": 0.5}))
    load_session(coarse, tmp_path, "house")
    assert 0 < len(coarse.voxel_map) < len(mapper.voxel_map) / 3
    assert isinstance(coarse.last_camera, Camera)


def test_robots_that_share_a_folder_save_one_after_the_other(model, tmp_path):
    """Two at once wrote the same files, and left what was no session and no save would replace."""
    mappers = [make(model), make(model)]
    for mapper in mappers:
        feed(mapper, range(4))
    with ThreadPoolExecutor(2) as pool:
        saves = [pool.submit(save_session, m, tmp_path, "house", True) for m in mappers * 10]
    assert [save.exception() for save in saves] == [None] * 20
    load_session(make(model), tmp_path, "house")


def test_a_folder_that_another_process_holds_is_named(model, monkeypatch, tmp_path):
    """As one that was stopped in the middle of a save: the node is not to wait with it."""
    monkeypatch.setattr(session, "PATIENCE_S", 0.1)
    save_session(make(model), tmp_path, "house")
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        for touch in (
            lambda: save_session(make(model), tmp_path, "other"),
            lambda: load_session(make(model), tmp_path, "house"),
        ):
            with pytest.raises(MappingError, match="another process has been saving to or loading"):
                touch()
    finally:
        os.close(held)
    load_session(make(model), tmp_path, "house")


def save_for_ever(mappers: list[StreamMapper], directory, started) -> None:
    for i in range(1_000_000):
        save_session(mappers[i % 2], directory, "house", overwrite=True)
        started.set()


def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_session(model, tmp_path):
    """Two sessions of different size replace each other until the process is killed, 50 times.

    More often where a busy machine saves so slowly that only one of them has been seen by then.
    """
    mappers = [make(model), make(model)]
    feed(mappers[0], range(2))
    feed(mappers[1], range(6))
    lengths = {len(m.trajectory) for m in mappers}
    context = multiprocessing.get_context("fork")
    chance = random.Random(0)
    seen = set()
    save_session(mappers[0], tmp_path, "house")
    for i in range(400):
        if i >= 50 and seen == lengths:
            break
        started = context.Event()
        process = context.Process(target=save_for_ever, args=(mappers, tmp_path, started))
        process.start()
        assert started.wait(120)
        time.sleep(chance.uniform(0, 0.05 * (1 + i // 50)))
        os.kill(process.pid, 9)
        process.join(120)
        loaded = make(model)
        load_session(loaded, tmp_path, "house")
        seen.add(len(loaded.trajectory))
        assert_same(loaded, mappers[0 if len(loaded.trajectory) == 2 else 1])
    assert seen == lengths
    assert {p.name for p in tmp_path.iterdir()} <= {"house", ".house.new", ".house.old"}


def test_a_kill_between_the_two_renames_is_recovered_from(model, tmp_path):
    mapper = make(model)
    feed(mapper, range(2))
    folder, _ = save_session(mapper, tmp_path, "house")
    folder.rename(tmp_path / ".house.old")
    loaded = make(model)
    load_session(loaded, tmp_path, "house")
    assert_same(loaded, mapper)
    with pytest.raises(MappingError, match="set overwrite"):
        save_session(mapper, tmp_path, "house")
    save_session(mapper, tmp_path, "house", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["house"]


def test_what_a_kill_left_beside_a_session_is_neither_loaded_nor_in_the_way(model, tmp_path):
    mapper = make(model)
    feed(mapper, range(2))
    folder, _ = save_session(mapper, tmp_path, "house")
    older = shutil.copytree(folder, tmp_path / "older")
    shutil.copytree(folder, tmp_path / ".house.old")
    shutil.copytree(folder, tmp_path / ".house.new")
    feed(mapper, range(2, 4))
    save_session(mapper, tmp_path, "house", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"house", "older"}
    older.rename(tmp_path / ".house.old")
    loaded = make(model)
    load_session(loaded, tmp_path, "house")
    assert_same(loaded, mapper)
