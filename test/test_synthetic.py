# SPDX-License-Identifier: Apache-2.0
"""The synthetic world: depth against a slow oracle, paths that keep clear, same seed same bytes."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from zipmap_ros.geometry import Camera, invert, look_at, rotation_angle_deg, se3_exp
from zipmap_ros.synthetic import (
    CLEARANCE,
    LAYOUTS,
    MOTIONS,
    Motion,
    SyntheticError,
    Textures,
    World,
    render,
    trajectories,
)
from zipmap_ros.synthetic.furniture import bin
from zipmap_ros.synthetic.layouts import Piece, Plan
from zipmap_ros.synthetic.look import Look
from zipmap_ros.synthetic.render import render_scenes
from zipmap_ros.synthetic.scene import (
    BOX,
    CYLINDER,
    ELLIPSOID,
    SHELL,
    Material,
    Placement,
    Scene,
    SceneBuilder,
)
from zipmap_ros.synthetic.space import FAN, Space
from zipmap_ros.synthetic.textures import TEXELS_PER_TEXTURE
from zipmap_ros.synthetic.trajectory import trajectories as scene_trajectories

CAMERA = Camera.from_fov(64, 48, 70)


def _render(builder: SceneBuilder, world_T_camera, camera: Camera):
    scene = builder.build()
    poses = torch.as_tensor(np.asarray(world_T_camera))[None, None]
    rgb, depth = render_scenes(scene, Textures.procedural().texels, poses, camera)
    return rgb[0, 0].numpy(), depth[0, 0].numpy()


def _oracle(scene: Scene, world_T_camera, camera: Camera):
    """Depth along z in float64, every ray against every primitive, one primitive at a time."""
    best = np.full((camera.height, camera.width), np.inf)
    rays = camera.rays() @ world_T_camera[:3, :3].T
    for k in range(len(scene.kind)):
        axes, half = scene.axes[k].numpy(), scene.half[k].numpy()
        d = rays @ axes / half
        o = (world_T_camera[:3, 3] - scene.centre[k].numpy()) @ axes / half
        low, high = np.sort([(-1 - o) / d, (1 - o) / d], axis=0)
        kind = int(scene.kind[k])
        if k == 0:
            best = np.minimum(best, high.min(-1))
            continue
        near, far = low.max(-1), high.min(-1)
        if kind in (CYLINDER, ELLIPSOID):
            n = 2 if kind == CYLINDER else 3
            a, b = (d[..., :n] ** 2).sum(-1), (d[..., :n] * o[:n]).sum(-1)
            root = np.sqrt((b * b - a * ((o[:n] ** 2).sum() - 1)).astype(complex))
            root = np.where(root.imag == 0, root.real, np.nan)
            z = (low[..., 2], high[..., 2]) if kind == CYLINDER else (-np.inf, np.inf)
            near, far = np.maximum((-b - root) / a, z[0]), np.minimum((-b + root) / a, z[1])
        best = np.where((near <= far) & (near > 0.02), np.minimum(best, near), best)
    return best


def test_things_stand_where_they_are_placed():
    builder = SceneBuilder((6.0, 5.0, 3.0), Material(0))
    table = Placement(builder, 3.0, 2.0, yaw=np.arctan2(0.8, 0.6))
    lamp = table.at(1.0, 0.5, 0.75, yaw=0.5)
    np.testing.assert_allclose(lamp.point(0.0, 0.0, 0.25), (3.2, 3.1, 1.0))
    lamp.box((0.2, 0.1, 0.1), (0.4, 0.2, 0.6), Material(0), yaw=0.25)
    builder.add(CYLINDER, (1.0, 2.0, 3.0), (0.1, 0.2, 0.3), Material(0), rotation=(0.3, 0.4, 0.5))
    scene = builder.build()
    assert scene.kind.tolist() == [SHELL, BOX, CYLINDER]
    np.testing.assert_allclose(scene.centre[1], lamp.point(0.2, 0.1, 0.4))
    np.testing.assert_allclose(scene.half[1], (0.2, 0.1, 0.3))
    level = se3_exp([0, 0, 0, 0, 0, np.arctan2(0.8, 0.6) + 0.75])
    np.testing.assert_allclose(scene.axes[1], level[:3, :3], atol=1e-12)
    yaw, pitch, roll = (
        se3_exp(angle * np.eye(6)[k]) for k, angle in ((5, 0.3), (4, 0.4), (3, 0.5))
    )
    np.testing.assert_allclose(scene.axes[2], (yaw @ pitch @ roll)[:3, :3], atol=1e-12)


def test_round_things_stand_on_their_base() -> None:
    builder = SceneBuilder((6.0, 5.0, 3.0), Material(0))
    place = Placement(builder, 3.0, 2.0, 0.5)
    place.cylinder((0.1, 0.2, 0.0), 0.3, 0.8, Material(0))
    place.ellipsoid((0.1, 0.2, 0.0), (0.6, 0.4, 0.2), Material(0))
    scene = builder.build()
    assert scene.kind.tolist() == [SHELL, CYLINDER, ELLIPSOID]
    np.testing.assert_allclose(scene.centre[1:], [(3.1, 2.2, 0.9), (3.1, 2.2, 0.6)])
    np.testing.assert_allclose(scene.half[1:], [(0.3, 0.3, 0.4), (0.3, 0.2, 0.1)])


def test_depth_of_an_empty_room_is_exact():
    camera = Camera(50, 37, 40.0, 42.0, 23.0, 20.5)  # not a multiple of the tile, off centre
    world_T_camera = look_at((1.0, 1.2, 1.5), (3.5, 0.9, 0.7))
    _, depth = _render(SceneBuilder((4.0, 3.0, 2.5), Material(0)), world_T_camera, camera)
    direction = camera.rays() @ world_T_camera[:3, :3].T
    walls = np.where(direction > 0, np.array([4.0, 3.0, 2.5]), 0.0)
    expected = ((walls - world_T_camera[:3, 3]) / direction).min(-1)
    np.testing.assert_allclose(depth, expected, rtol=3e-6)


@pytest.mark.parametrize("radius", [0.6, 0.02])
def test_depth_of_a_sphere_is_exact(radius):
    """The small, distant one loses its depth in a textbook float32 discriminant."""
    builder = SceneBuilder((12.0, 4.0, 3.0), Material(0))
    builder.add(ELLIPSOID, (9.0, 2.0, 1.5), (radius,) * 3, Material(0))
    camera = Camera(65, 49, 2000.0, 2000.0, 32.5, 24.5)
    _, depth = _render(builder, look_at((1.0, 2.0, 1.5), (9.0, 2.0, 1.5)), camera)
    ray = camera.rays()
    a, b = (ray**2).sum(-1), 8.0
    discriminant = b * b - a * (8.0**2 - radius**2)
    hit = discriminant > 1e-4 * radius
    expected = (b - np.sqrt(np.where(hit, discriminant, 0))) / a
    assert hit.sum() > 50
    np.testing.assert_allclose(depth[hit], expected[hit], rtol=2e-6)
    assert depth[24, 32] == pytest.approx(8.0 - radius, rel=2e-6)


@pytest.mark.parametrize("seed", range(4))
def test_depth_of_turned_primitives_equals_the_slow_oracle(seed):
    """Boxes, cylinders and ellipsoids at all angles, also such as reach behind the camera."""
    rng = np.random.default_rng(seed)
    builder = SceneBuilder((6.0, 5.0, 3.0), Material(0))
    for _ in range(40):
        kind = int(rng.choice([BOX, CYLINDER, ELLIPSOID]))
        centre = rng.uniform((0, 0, 0), (6, 5, 3))
        half = rng.uniform(0.01, 0.5, 3)
        builder.add(kind, tuple(centre), tuple(half), Material(0), tuple(rng.uniform(-3, 3, 3)))
    pose = look_at(rng.uniform((1, 1, 0.5), (5, 4, 2.5)), rng.uniform((0, 0, 0), (6, 5, 3)))
    camera = Camera(160, 121, 90.0, 100.0, 70.0, 66.0)  # large enough for the larger tiles
    _, depth = _render(builder, pose, camera)
    expected = _oracle(builder.build(), pose, camera)
    # A ray that grazes an edge may fall to either side.
    wrong = ~np.isclose(depth, expected, rtol=1e-5)
    assert wrong.mean() < 5e-4


def test_a_pixel_seen_from_two_places_has_one_depth_and_one_colour():
    world = World(3, layout="kitchen")
    poses = world.trajectory(9, replace(MOTIONS["hand"], speed_m=(0.02, 0.03)))
    camera = Camera.from_fov(160, 120, 70)
    rgb, depth = (a.numpy() for a in world.render(poses, camera))
    first, last = poses[0].numpy(), poses[-1].numpy()
    last_T_first = invert(last) @ first
    points = camera.unproject(depth[0]) @ last_T_first[:3, :3].T + last_T_first[:3, 3]
    pixel, z = camera.project(points)
    u, v = np.floor(pixel[..., 0]), np.floor(pixel[..., 1])
    inside = (u >= 0) & (u < 160) & (v >= 0) & (v < 120)
    u, v = u[inside].astype(int), v[inside].astype(int)
    ratio = depth[-1, v, u] / z[inside]
    seen = ratio > 0.97  # the others are hidden by something nearer
    assert inside.mean() > 0.5
    assert seen.mean() > 0.85
    assert np.quantile(np.abs(ratio[seen] - 1), 0.9) < 0.03
    difference = np.abs(rgb[0][inside].astype(int) - rgb[-1, v, u]).mean(-1)[seen]
    assert np.median(difference) < 8
    moved = np.abs(rgb[0].astype(int) - rgb[-1]).mean(-1)
    assert np.median(difference) < 0.7 * np.median(moved) or np.median(moved) < 2


def test_same_seed_same_bytes_whatever_the_batch():
    alone = World(5)
    poses = alone.trajectory(3, seed=2)
    rgb, depth = alone.render(poses, CAMERA)
    worlds = [World(4), World(5), World(6)]
    paths = trajectories(worlds, 3, seed=2)
    all_rgb, all_depth = render(worlds, paths, CAMERA)
    assert torch.equal(paths[1], poses)
    assert torch.equal(all_rgb[1], rgb)
    assert torch.equal(all_depth[1], depth)
    assert not torch.equal(all_rgb[0], all_rgb[1])
    assert not torch.equal(alone.trajectory(3, seed=3), poses)


def test_one_camera_per_world():
    worlds = [World(4), World(5)]
    cameras = [CAMERA, Camera.from_fov(64, 48, 90)]
    poses = trajectories(worlds, 2)
    rgb, depth = render(worlds, poses, cameras)
    for k, world in enumerate(worlds):
        single_rgb, single_depth = world.render(poses[k], cameras[k])
        assert torch.equal(single_rgb, rgb[k])
        assert torch.equal(single_depth, depth[k])


def test_antialiasing_changes_colour_and_not_depth():
    world = World(8)
    poses = world.trajectory(2)
    rgb, depth = world.render(poses, CAMERA)
    smooth, same_depth = world.render(poses, CAMERA, antialias=3)
    assert torch.equal(depth, same_depth)
    difference = (rgb.float() - smooth.float()).abs().mean()
    assert 0.1 < difference < 20


def test_room_is_measured_to_the_nearest_surface_and_away_from_it():
    builder = SceneBuilder((6.0, 5.0, 3.0), Material(0))
    builder.add(BOX, (3.0, 2.5, 1.5), (0.5, 0.5, 0.5), Material(0))
    space = Space(builder.build())
    found = {
        (0.2, 1.0, 1.5): (0.2, (1, 0, 0)),  # a wall
        (3.0, 2.5, 2.2): (0.2, (0, 0, 1)),  # above the box
        (3.8, 3.4, 1.5): (0.5, (0.6, 0.8, 0)),  # beside its edge
        (3.4, 2.5, 1.5): (-0.1, (1, 0, 0)),  # in it
        (-0.1, 1.0, 1.5): (-0.1, (1, 0, 0)),  # outside of the room
    }
    distance, away = space.clearance(np.array([list(found)]))
    np.testing.assert_allclose(distance[0], [each for each, _ in found.values()])
    np.testing.assert_allclose(away[0], [each for _, each in found.values()], atol=1e-9)
    free = space.fan(np.array([[[1.0, 2.5, 1.5]]]))[0, 0]
    np.testing.assert_allclose(free[:: FAN // 4], [1.5, 2.5, 1.0, 2.5], rtol=1e-6)


def _distance_to_surfaces(world: World, positions: torch.Tensor) -> float:
    """The least distance that any ray in any direction finds."""
    camera = Camera.from_fov(48, 48, 90)
    rays = np.linalg.norm(camera.rays(), axis=-1)
    nearest = np.inf
    for target in np.concatenate([np.eye(3), -np.eye(3)]):
        up = (1.0, 0.0, 0.0) if target[2] else (0.0, 0.0, 1.0)
        poses = torch.from_numpy(look_at((0, 0, 0), target, up)).repeat(len(positions), 1, 1)
        poses[:, :3, 3] = positions
        depth = world.render(poses, camera)[1].numpy()
        nearest = min(nearest, float((depth * rays).min()))
    return nearest


@pytest.mark.parametrize("kind", MOTIONS)
@pytest.mark.parametrize("loop", [False, True])
def test_paths_keep_clear_and_move_as_asked(kind, loop):
    worlds = [World(seed) for seed in range(20, 26)]
    paths = trajectories(worlds, 60, kind, loop=loop)
    for world, path in zip(worlds, paths, strict=True):
        assert _distance_to_surfaces(world, path[::4, :3, 3]) > CLEARANCE - 1e-4
    paths = paths.numpy()
    R = paths[..., :3, :3]
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape),
                               atol=1e-12)  # fmt: skip
    assert np.linalg.det(R).min() > 0.99
    steps = np.linalg.norm(np.diff(paths[..., :3, 3], axis=1), axis=-1)
    assert steps.max() < 1.3 * MOTIONS[kind].speed_m[1]
    assert steps.mean() > 0.5 * MOTIONS[kind].speed_m[0]
    if not loop:
        turns = rotation_angle_deg(np.swapaxes(R[:, :-1], -1, -2) @ R[:, 1:])
        assert turns.max() < 1.5 * MOTIONS[kind].turn_deg[1]
    if kind == "robot":
        height = paths[..., 2, 3]
        assert np.ptp(height, axis=1).max() < 0.02
        ahead = np.diff(paths[..., :3, 3], axis=1) * R[:, :-1, :, 2]
        assert (ahead.sum((1, 2)) > 0.8 * steps.sum(1)).all()  # it looks where it goes
    if loop:
        back = np.linalg.norm(paths[:, 0, :3, 3] - paths[:, -1, :3, 3], axis=-1)
        assert (back < 2 * steps.max(1) + 1e-9).all()
        closing = rotation_angle_deg(np.swapaxes(R[:, -1], -1, -2) @ R[:, 0])
        assert closing.max() < 20


def test_paths_look_into_the_room():
    worlds = [World(seed) for seed in range(40, 56)]
    for kind in MOTIONS:
        _, depth = render(worlds, trajectories(worlds, 40, kind), CAMERA)
        median = depth.flatten(2).median(-1).values
        assert (median < 0.6).float().mean() < 0.1
        assert median.mean() > 1.5


def test_a_camera_is_held_as_its_motion_says() -> None:
    """Of a motion that leaves nothing to chance: at its height, pitched, level, downside down."""
    none, pitch = (0.0, 0.0), np.deg2rad(-20)
    motion = Motion((0.03, 0.03), (3.0, 3.0), (1.2, 1.2), none, (-20.0, -20.0), none, none, none)
    worlds = [World(seed, layout="hall") for seed in range(4)]
    paths = trajectories(worlds, 120, motion).numpy()
    np.testing.assert_allclose(paths[..., 2, 2], np.sin(pitch), atol=1e-9)
    np.testing.assert_allclose(paths[..., 2, 0], 0.0, atol=1e-9)
    np.testing.assert_allclose(paths[..., 2, 1], -np.cos(pitch), atol=1e-9)
    assert np.median(np.abs(paths[:, -40:, 2, 3] - 1.2)) < 0.1
    robots = trajectories(worlds, 20, replace(motion, steered=True)).numpy()
    np.testing.assert_allclose(robots[..., 2, 3], 1.2, atol=1e-9)
    around = trajectories(worlds, 120, replace(motion, pan_deg=(30.0, 30.0))).numpy()
    turns = rotation_angle_deg(np.swapaxes(paths[..., :3, :3], -1, -2) @ around[..., :3, :3])
    assert 10 < turns.max() < 90


def test_a_world_without_room_is_refused() -> None:
    builder = SceneBuilder((4.0, 4.0, 2.5), Material(0))
    builder.add(BOX, (2.0, 2.0, 1.25), (1.9, 1.9, 1.2), Material(0))
    with pytest.raises(SyntheticError, match=r"no place 0.4 m from all things: use another seed"):
        scene_trajectories(builder.build(), [0], 2)


def test_each_world_has_its_own_path() -> None:
    """Also where the worlds are alike."""
    paths = []
    for seed in (1, 2):
        world = World(5)
        world.seed = seed
        paths.append(world.trajectory(2, "hand"))
    assert not torch.allclose(paths[0], paths[1], atol=1e-3)


def test_speed_can_be_chosen():
    world = World(9, layout="hall")
    motion = replace(MOTIONS["hand"], speed_m=(0.03, 0.03), turn_deg=(0.5, 0.5))
    path = world.trajectory(30, motion).numpy()
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=-1)
    assert 0.015 < steps.mean() < 0.035


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_rooms_with_light_and_things(layout):
    worlds = [World(seed, layout=layout) for seed in range(6)]
    rgb, depth = render(worlds, trajectories(worlds, 2), CAMERA)
    assert depth.isfinite().all()
    assert depth.min() > 0.1
    assert depth.max() < 25
    brightness = rgb.float().mean((1, 2, 3, 4))
    assert (brightness > 12).all()
    assert (brightness < 245).all()
    assert min(len(world.scene.kind) for world in worlds) > 15
    for world in worlds:
        size = torch.tensor(world.size)
        lamps = world.scene.lights[0, world.scene.lights[0, :, 3] > 0, :3]
        assert len(lamps) and ((lamps > 0) & (lamps < size)).all()
        centre = world.scene.centre[:, :2]
        assert ((centre > -0.1) & (centre < size[:2] + 0.1)).all()
    assert rgb.float().std((2, 3)).mean() > 10


def test_a_doorway_is_open_and_things_stand_beside_each_other() -> None:
    rng = Random(0)
    plan = Plan(rng, Look(rng, Textures.procedural().roles), (6.0, 5.0, 2.6))
    plan.wall((3.0, 0.0), (3.0, 5.0))
    ((x, y, radius),) = plan.taken
    assert x == pytest.approx(3.0) and 1.0 < y < 4.0
    places = np.array([[[x, y, 1.0], [x, y, 2.3], [x, y - 0.8, 2.3], [x, y + 0.8, 2.3]]])
    clear = Space(plan.builder.build()).clearance(places)[0][0]
    assert clear[0] > 0.4 and (clear[1:] < 0).all()
    assert not plan.is_free(x - radius - 0.2, y, 0.3) and plan.is_free(x - radius - 0.4, y, 0.3)
    piece = Piece(bin, (0.4, 0.4), (0.4, 0.4))
    assert not plan.place(piece, x, y, 0.0, 0.4, 0.4)
    assert plan.place(piece, 0.5, 0.5, 0.0, 0.4, 0.4)
    assert not plan.place(piece, 0.8, 0.5, 0.0, 0.4, 0.4)
    assert plan.place(piece, 1.0, 0.5, 0.0, 0.4, 0.4)


def test_two_hundred_seeds_have_room_for_a_path():
    worlds = [World(seed) for seed in range(200)]
    assert trajectories(worlds, 1).isfinite().all()
    assert {world.layout for world in worlds} == set(LAYOUTS)


def test_textures_from_a_folder(tmp_path):
    Image.new("RGB", (40, 30), (250, 10, 10)).save(tmp_path / "red.png")
    textures = Textures.load(tmp_path)
    (index,) = textures.roles["photo"]
    builder = SceneBuilder((4.0, 3.0, 2.5), Material(index))
    builder.ambient = (0.5, 0.5, 0.5)
    poses = torch.from_numpy(look_at((1, 1, 1), (3, 2, 1)))[None, None]
    rgb, _ = render_scenes(builder.build(), textures.texels, poses, CAMERA)
    expected = np.array([250, 10, 10]) * np.sqrt(0.5)
    assert np.abs(rgb.numpy() - expected).max() < 3
    with pytest.raises(SyntheticError, match="empty"):
        Textures.load(tmp_path / "empty")


def test_a_world_wears_the_textures_that_it_is_given(tmp_path):
    Image.new("RGB", (40, 30), (250, 10, 10)).save(tmp_path / "red.png")
    textures = Textures.load(tmp_path)
    plain, red = World(1), World(1, textures=textures)
    assert torch.equal(red.textures.texels, textures.texels)
    (photo,) = textures.roles["photo"]
    assert (red.scene.material[:, 0] == photo).any()
    with pytest.raises(SyntheticError, match="share one Textures"):
        render([plain, red], trajectories([plain, red], 1), CAMERA)


def test_materials_are_of_the_part_the_style_and_the_photographs() -> None:
    roles = Textures.procedural().roles
    look = Look(Random(1), roles)
    assert look.kept("floor") is look.kept("floor") and look.kept("floor") != look.material("floor")
    lamp = look.material("metal", (1.1, 1.0, 0.9), emission=1.3)
    assert lamp.tint == (1.1, 1.0, 0.9) and lamp.emission == 1.3 and 0.5 <= lamp.size <= 1.0
    white = (1 + look.warmth, 1.0, 1 - look.warmth)
    poster = look.material("poster")
    assert poster.texture in roles["poster"] and poster.size == 0.0 and poster.tint == white
    assert look.material("floor").tint != white
    look = Look(Random(1), {**roles, "photo": [999]})
    posters = [look.material("poster") for _ in range(300)]
    assert 0.5 < np.mean([poster.texture == 999 for poster in posters]) < 0.7
    assert all(poster.size == 0.0 for poster in posters)
    floors = [look.material("floor") for _ in range(300)]
    assert all(0.8 <= floor.size <= 3.0 for floor in floors)
    assert all(floor.tint[1] == 1.0 for floor in floors if floor.texture == 999)


def test_a_texture_that_is_no_picture_is_named(tmp_path):
    Image.new("RGB", (40, 30), (250, 10, 10)).save(tmp_path / "red.jpg")
    whole = (tmp_path / "red.jpg").read_bytes()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "._red.jpg").write_bytes(b"of a Mac")
    assert len(Textures.load(tmp_path).roles["photo"]) == 1
    for content in (whole[:-60], b"none", b""):
        (tmp_path / "cut.jpg").write_bytes(content)
        with pytest.raises(SyntheticError, match=r"cut.jpg cannot be read .*: take it out"):
            Textures.load(tmp_path)


def test_every_picture_of_a_folder_is_taken_in_the_order_of_names(tmp_path, monkeypatch) -> None:
    for i, name in enumerate(("d.JPG", "b.jpeg", "c.png", "a.png")):
        Image.new("RGB", (8, 8), (60 * i, 0, 0)).save(tmp_path / name)
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *a: sorted(listed(*a), reverse=True))
    textures = Textures.load(tmp_path)
    starts = [index * TEXELS_PER_TEXTURE for index in textures.roles["photo"]]
    red = np.array([int(textures.texels[start]) & 255 for start in starts])
    np.testing.assert_allclose(red, [180, 60, 120, 0], atol=4)  # a JPEG is not exact


def test_a_picture_hangs_upright(tmp_path) -> None:
    """Stretched once over a board, as someone sees it who stands before it."""
    corners = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 0]]], np.uint8)
    Image.fromarray(corners.repeat(32, 0).repeat(32, 1)).save(tmp_path / "corners.png")
    textures = Textures.load(tmp_path)
    (picture,) = textures.roles["photo"]
    builder = SceneBuilder((4.0, 4.0, 4.0), Material(0))
    builder.add(BOX, (2.0, 3.0, 2.0), (0.8, 0.05, 0.5), Material(picture, size=0.0))
    builder.ambient = (1.0, 1.0, 1.0)
    pose = torch.from_numpy(look_at((2.0, 1.0, 2.0), (2.0, 3.0, 2.0)))[None, None]
    rgb = render_scenes(builder.build(), textures.texels, pose, CAMERA)[0][0, 0].numpy()
    u, v = round(0.4 * CAMERA.fx / 1.95), round(0.25 * CAMERA.fy / 1.95)  # the corners' middles
    found = rgb[24 - v : 24 + v + 1 : 2 * v, 32 - u : 32 + u + 1 : 2 * u].astype(int)
    np.testing.assert_allclose(found, corners, atol=3)


def test_a_stretched_picture_does_not_flicker_far_away(tmp_path) -> None:
    checker = np.kron([[0, 255], [255, 0]], np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(np.tile(checker, (8, 8))).convert("RGB").save(tmp_path / "checker.png")
    textures = Textures.load(tmp_path)
    builder = SceneBuilder((4.0, 4.0, 4.0), Material(0))
    picture = Material(textures.roles["photo"][0], size=0.0)
    builder.add(BOX, (3.5, 2.0, 2.0), (0.01, 0.3, 0.3), picture)
    builder.ambient = (1.0, 1.0, 1.0)
    pose = torch.from_numpy(look_at((0.5, 2.0, 2.0), (4.0, 2.0, 2.0)))[None, None]
    rgb = render_scenes(builder.build(), textures.texels, pose, CAMERA)[0][0, 0, ..., 0]
    assert np.ptp(rgb[21:27, 29:35].numpy().astype(int)) < 40


def test_light_is_that_of_the_lamps_and_what_comes_from_above_beside_and_below(tmp_path) -> None:
    """A slow oracle: normals from where the hit points are, three lamps, the fourth gives none."""
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    textures, size = Textures.load(tmp_path), np.array([6.0, 5.0, 3.0])
    white = Material(textures.roles["photo"][0], tint=(0.9, 0.6, 0.3))
    builder = SceneBuilder((6.0, 5.0, 3.0), white)
    ball, half = np.array([3.0, 2.5, 1.2]), np.array([0.5, 0.7, 0.4])
    builder.add(ELLIPSOID, (3.0, 2.5, 1.2), (0.5, 0.7, 0.4), white)
    builder.add(CYLINDER, (1.5, 1.5, 0.5), (0.4, 0.4, 0.5), white)
    builder.add(BOX, (3.0, 4.9, 1.5), (0.6, 0.05, 0.5), replace(white, emission=0.25))
    builder.ambient = above, beside, below = 0.1, 0.06, 0.03
    builder.lights = [(1.0, 1, 2.5, 3), (5.0, 4, 2.8, 0.8), (3.0, 0.5, 0.4, 0.6), (4.0, 2, 2, 9)]
    eyes = ((5.0, 1.0, 2.5), (0.4, 0.4, 2.7), (3.0, 1.0, 0.1), (1.0, 4.0, 1.0))
    poses = np.array([look_at(eye, (2.7, 2.5, 1.0)) for eye in eyes])
    scene = builder.build()
    rgb, depth = render_scenes(scene, textures.texels, torch.from_numpy(poses)[None], CAMERA)
    local = np.stack([CAMERA.unproject(image) for image in depth[0].numpy()])
    points = np.einsum("nij,nhwj->nhwi", poses[:, :3, :3], local) + poses[:, None, None, :3, 3]

    walls = np.concatenate([points, size - points], -1).argmin(-1)
    normal = np.concatenate([np.eye(3), -np.eye(3)])[walls]
    out = (points - ball) / half
    on_ball = np.abs((out**2).sum(-1) - 1) < 1e-3
    normal[on_ball] = (out / half)[on_ball]
    aside = (points - (1.5, 1.5, 0.5)) * (1, 1, 0)
    on_side = (np.abs(np.linalg.norm(aside, axis=-1) - 0.4) < 1e-4) & (points[..., 2] < 0.9999)
    normal[on_side] = aside[on_side]
    on_top = (np.linalg.norm(aside, axis=-1) < 0.4) & (np.abs(points[..., 2] - 1) < 1e-4)
    normal[on_top] = 0, 0, 1
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)

    rise = normal[..., 2]
    light = beside + np.where(rise > 0, (above - beside) * rise, (beside - below) * rise)
    for *place, strength in builder.lights[:3]:
        to_lamp = np.array(place) - points
        distance = np.linalg.norm(to_lamp, axis=-1)
        cosine = (normal * to_lamp).sum(-1) / distance
        light += strength * np.maximum(cosine, 0) / (1 + distance**2 / 4)
    screen = (np.abs(points - (3.0, 4.9, 1.5)) < (0.601, 0.051, 0.501)).all(-1)
    light[screen] = 0.25
    assert min(part.sum() for part in (on_ball, on_side, on_top, screen)) > 30
    expected = np.minimum(255 * np.sqrt(light)[..., None] * white.tint, 255)
    assert (expected == 255).any()
    wrong = np.abs(rgb[0].numpy() - expected).max(-1) > 2
    assert wrong.mean() < 2e-3  # a ray that grazes an edge may fall to either side


def test_what_is_flat_is_seen_and_what_touches_the_lens_is_not() -> None:
    builder = SceneBuilder((4.0, 4.0, 4.0), Material(0))
    builder.add(BOX, (2.0, 3.0, 2.0), (1.0, 0.0, 1.0), Material(0))
    builder.add(BOX, (2.0, 1.03, 2.0), (0.1, 0.02, 0.1), Material(0))
    _, depth = _render(builder, look_at((2.0, 1.0, 2.0), (2.0, 3.0, 2.0)), CAMERA)
    assert depth[24, 32] == pytest.approx(2.0, abs=2e-3)


def test_texture_has_real_scale_and_does_not_flicker_far_away(tmp_path):
    """A checker of 0.5 m squares: 0.5 m apart in the world, and grey where pixels are larger."""
    checker = np.kron([[0, 255], [255, 0]], np.ones((16, 16))).astype(np.uint8)
    Image.fromarray(checker).convert("RGB").save(tmp_path / "checker.png")
    textures = Textures.load(tmp_path)
    builder = SceneBuilder((4.0, 4.0, 4.0), Material(textures.roles["photo"][0], size=1.0))
    builder.ambient = (1.0, 1.0, 1.0)
    scene, camera = builder.build(), Camera(64, 64, 32.0, 32.0, 32.0, 32.0)

    def look(camera: Camera) -> np.ndarray:
        pose = torch.from_numpy(look_at((1.0, 2.0, 2.0), (4.0, 2.0, 2.0)))[None, None]
        return render_scenes(scene, textures.texels, pose, camera)[0][0, 0, ..., 0].numpy()

    row = look(Camera(640, 64, 320.0, 320.0, 320.0, 12.0))[0].astype(int)
    # The wall ahead is 3 m away; the first and the last square lie round the corner.
    edges = np.flatnonzero(np.diff((row > 128).astype(int)))
    np.testing.assert_allclose(np.diff(edges[1:-1]), 320 / 3 * 0.5, atol=3)
    tiny = look(Camera(16, 16, 2.0, 2.0, 8.0, 8.0))  # each pixel covers more than a metre
    assert np.ptp(tiny[7:9, 7:9].astype(int)) < 90
    assert look(camera).std() > 80


def test_wrong_requests_say_what_is_wrong():
    world = World(1)
    with pytest.raises(SyntheticError, match="castle"):
        World(1, layout="castle")
    with pytest.raises(SyntheticError, match="fish"):
        world.trajectory(4, "fish")
    with pytest.raises(SyntheticError, match="at least one"):
        world.trajectory(0)
    with pytest.raises(SyntheticError, match="poses must be"):
        render([world], torch.eye(4), CAMERA)
    path = world.trajectory(1)
    with pytest.raises(SyntheticError, match=r"poses must be .* got \(1, 1, 3, 4\)"):
        world.render(path[:, :3], CAMERA)
    for cameras in ([CAMERA, CAMERA], []):
        with pytest.raises(SyntheticError, match="give one camera"):
            render([world], path[None], cameras)
    with pytest.raises(SyntheticError, match="of the same image size"):
        render([world, world], torch.stack([path, path]), [CAMERA, replace(CAMERA, height=47)])
    with pytest.raises(SyntheticError, match="antialias is 0"):
        world.render(path, CAMERA, 0)
    beyond = path.clone()
    beyond[0, 0, 3] = world.size[0] + 0.01
    for wrong in (beyond, path * torch.nan):
        with pytest.raises(SyntheticError, match="outside of its world"):
            world.render(wrong, CAMERA)
    distorted = Camera(64, 48, 50, 50, 32, 24, "plumb_bob", (0.1, 0, 0, 0))
    with pytest.raises(SyntheticError, match="pinhole"):
        world.render(world.trajectory(1), distorted)
    with pytest.raises(SyntheticError, match="pinhole"):
        render([world, world], torch.stack([path, path]), [CAMERA, distorted])


def test_rendering_needs_torch_and_numpy_only():
    code = (
        "import sys\n"
        "for name in ('transforms3d', 'cv2', 'PIL', 'matplotlib'): sys.modules[name] = None\n"
        "from zipmap_ros.geometry import Camera\n"
        "from zipmap_ros.synthetic import World\n"
        "w = World(0); w.render(w.trajectory(2), Camera.from_fov(32, 24, 70))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_throughput():
    """Generous on purpose: about 700 frames per CPU second are usual, 200 must be reached.

    CPU time of one thread counts, and the best of several rounds, so that a busy machine does not
    fail the test.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        build, draw = [], []
        for _ in range(3):
            started = time.thread_time()
            worlds = [World(seed) for seed in range(16)]
            build.append((time.thread_time() - started) / 16)
            poses = trajectories(worlds, 8)
            for _ in range(2):
                started = time.thread_time()
                render(worlds, poses, CAMERA)
                draw.append((time.thread_time() - started) / 128)
    finally:
        torch.set_num_threads(threads)
    assert 1 / min(draw) > 200
    assert min(build) < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    poses = World(5).trajectory(4)
    rgb, depth = World(5).render(poses, CAMERA)
    gpu_rgb, gpu_depth = World(5, device="cuda").render(poses, CAMERA)
    assert torch.isclose(gpu_depth.cpu(), depth, rtol=1e-5).float().mean() > 0.999
    assert (gpu_rgb.cpu().int() - rgb.int()).abs().float().mean() < 0.5
