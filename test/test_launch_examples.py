# SPDX-License-Identifier: Apache-2.0
"""Launched: a bag that plays in a loop, a session to be located in. What launch files start."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import launch_pytest
import pytest
import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import (
    PythonLaunchDescriptionSource,
    get_launch_description_from_any_launch_file,
)
from launch_pytest.actions import ReadyToTest
from make_bag import make_bag
from rosbench import (
    EVERY_FRAME,
    LATCHED,
    WILD,
    Bench,
    parameter_file,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import PointCloud2

from zipmap_ros.frame import Frame
from zipmap_ros.mapping import StreamMapper, load_network, save_session
from zipmap_ros.msg import Status
from zipmap_ros.parameters import Parameters
from zipmap_ros.sources.synthetic import SyntheticSource

DOMAIN = 66
ROOT = Path(__file__).resolve().parent.parent
BEGUN_S = 1000
SESSION = "2024_01_15"  # a number to YAML, unless in quotes
GIVEN = {**WILD, **EVERY_FRAME}


def seen() -> list[Frame]:
    """Two seconds of a small synthetic camera."""
    source = islice(SyntheticSource(3, width=56, height=42), 30)
    return [replace(f, stamp_ns=f.stamp_ns + BEGUN_S * 1_000_000_000) for f in source]


def example(name: str, folder: Path, changes: dict[str, Any], **arguments: str) -> GroupAction:
    """An example with its own parameter file, some values changed as the test needs them."""
    values = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())["/**"]
    place = folder / name
    place.mkdir()
    file = parameter_file(place, **{**values["ros__parameters"], **changes})
    path = str(ROOT / "launch" / f"{name}.launch.py")
    given = {"params_file": str(file), "device": "cpu", **arguments}
    source = PythonLaunchDescriptionSource(path)
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])


def save_place(checkpoint: str, directory: Path) -> int:
    """A session of what the bag shows; how many points its map has."""
    parameters = Parameters().updated({**GIVEN, "checkpoint": checkpoint, "device": "cpu"})
    model, sha256 = load_network(parameters)
    mapper = StreamMapper(model, parameters, sha256)
    for frame in seen()[:5]:
        mapper.add_frame(frame)
    save_session(mapper, directory, SESSION)
    return len(mapper.voxel_map)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@launch_pytest.fixture(scope="module")
def examples(folder: Path) -> Iterator[LaunchDescription]:
    tiny = str(tiny_checkpoint(folder))
    make_bag(folder / "recorded", seen())
    points = save_place(tiny, folder / "maps")
    (folder / "points").write_text(str(points))
    maps = {"map_directory": str(folder / "maps")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        patch.setenv(
            "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        bag = {"bag": str(folder / "recorded"), "loop": "true", "delay": "0.5"}
        yield LaunchDescription(
            [
                example("bag", folder, GIVEN, checkpoint=tiny, **bag),
                # With a file of one's own that says nothing of the mode.
                example(
                    "localization",
                    folder,
                    {**maps, "mode": "mapping"},
                    checkpoint=tiny,
                    namespace="home",
                    session=SESSION,
                ),
                ReadyToTest(),
            ]
        )


def loaded(name: str) -> ModuleType:
    """A launch file as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "launch" / f"{name}.launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(monkeypatch: pytest.MonkeyPatch, **given: str) -> dict[str, dict[str, Any]]:
    """What stream.launch.py gives to each node that it starts, by executable."""
    module = loaded("stream")
    monkeypatch.setattr(module, "Node", lambda **words: words)
    context = LaunchContext()
    context.launch_configurations.update(given)
    for argument in module.ARGUMENTS:
        argument.execute(context)
    return {node["executable"]: node for node in module.nodes(context)}


def test_compressed_images_are_where_the_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """`image:=` was without effect with `image_transport: compressed`."""
    nodes = started(monkeypatch, image="/lens/image_raw", viewer="true")
    for name in ("stream_node", "viewer_node"):
        rules = dict(nodes[name]["remappings"])
        assert rules["image"] == "/lens/image_raw"
        assert rules["image/compressed"] == "/lens/image_raw/compressed"
    assert started(monkeypatch)["stream_node"]["remappings"] == []


def test_every_topic_of_the_node_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {name: f"/robot/{name}" for name in ("image", "camera_info", "depth", "odom")}
    rules = dict(started(monkeypatch, **given)["stream_node"]["remappings"])
    assert rules == {**given, "image/compressed": "/robot/image/compressed"}


def test_a_source_hears_which_of_its_frames_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    source = started(monkeypatch, source="synthetic", image="/lens/image")["camera_node"]
    rules = dict(source["remappings"])
    assert (rules["consumed"], rules["image"]) == ("zipmap/pose", "/lens/image")
    assert source["parameters"][0]["waits_for"] == "zipmap"


def test_the_web_view_shows_the_camera_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    page = started(monkeypatch, viewer="true", viewer_camera="left")["viewer_node"]
    assert page["parameters"][1]["viewer_camera"] == "left"


def test_what_is_not_given_is_left_to_the_parameter_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").touch()
    nodes = started(monkeypatch, viewer="true", params_file="~/mine.yaml")
    for name in ("stream_node", "viewer_node"):
        assert nodes[name]["parameters"] == [str(tmp_path / "mine.yaml")]
    given = {"use_sim_time": "false", "viewer_port": "8081", "device": "cpu"}
    nodes = started(monkeypatch, viewer="true", **given)
    assert nodes["stream_node"]["parameters"][1] == {"use_sim_time": False, "device": "cpu"}
    assert nodes["viewer_node"]["parameters"][1] == {"use_sim_time": False, "viewer_port": 8081}


def test_a_session_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = started(monkeypatch, session=SESSION)["stream_node"]["parameters"][1]
    assert overrides["session"].evaluate(LaunchContext()) == SESSION


@pytest.mark.parametrize("respawn", ["true", "false"])
def test_nodes_start_again_if_they_are_to(monkeypatch: pytest.MonkeyPatch, respawn: str) -> None:
    nodes = started(monkeypatch, source="synthetic", viewer="true", respawn=respawn)
    for name in ("stream_node", "viewer_node"):
        assert nodes[name]["respawn"] == (respawn == "true")
    assert "respawn" not in nodes["camera_node"]  # a film that has ended would start again


@pytest.mark.parametrize(
    "given",
    [
        {"viewer": "yes"},
        {"viewer_port": "abc", "viewer": "true"},
        {"params_file": "/nowhere.yaml"},  # launch would go on with every default
    ],
)
def test_an_argument_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    with pytest.raises(Exception, match=r"yes|viewer_port:=abc is no number|nowhere\.yaml is no"):
        started(monkeypatch, **given)


def test_true_may_be_written_as_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict.fromkeys(("rviz", "viewer", "loop", "use_sim_time"), "True")
    nodes = started(monkeypatch, source="synthetic", **given)
    assert nodes["camera_node"]["parameters"][0]["loop"] is True
    for name in ("stream_node", "viewer_node", "rviz2"):
        assert nodes[name]["parameters"][-1]["use_sim_time"] is True


def played(monkeypatch: pytest.MonkeyPatch, **given: str) -> tuple[float, list[str]]:
    """When bag.launch.py plays, and with which command."""
    module, context = loaded("bag"), LaunchContext()
    monkeypatch.setattr(module, "ExecuteProcess", lambda cmd, output: cmd)
    given = {"bag": "/path/run", "rate": "0.5", "delay": "1", "loop": "false", **given}
    context.launch_configurations.update(given)
    monkeypatch.setattr(module, "TimerAction", lambda period, actions: (period, *actions))
    (played,) = module.play(context)
    return played


@pytest.mark.parametrize(("loop", "again"), [("true", True), ("True", True), ("false", False)])
def test_a_bag_starts_again_if_it_is_to(
    monkeypatch: pytest.MonkeyPatch, loop: str, again: bool
) -> None:
    _, command = played(monkeypatch, loop=loop)
    assert ("--loop" in command) is again


def test_a_bag_may_be_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    _, command = played(monkeypatch, bag="~/run")
    assert command[3] == "/home/robot/run"


@pytest.mark.parametrize("delay", ["0", "12.5"])
def test_a_clock_does_not_run_before_its_bag(monkeypatch: pytest.MonkeyPatch, delay: str) -> None:
    """Humble's `ros2 bag play` has it run for its own --delay, and jump back; it refuses 0."""
    after, command = played(monkeypatch, delay=delay)
    assert after == float(delay) and "--delay" not in command


def test_rviz_has_the_topics_and_the_time_of_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"rviz": "true", "namespace": "alpha", "use_sim_time": "true"}
    shown = started(monkeypatch, **given)["rviz2"]
    assert shown["parameters"] == [{"use_sim_time": True}]
    rules = dict(shown["remappings"])
    assert rules["/image"] == "/alpha/image"
    assert rules["/zipmap/depth/image"] == "/alpha/zipmap/depth/image"
    assert rules["/initialpose"] == "/alpha/initialpose"
    text = (ROOT / "config" / "zipmap.rviz").read_text()
    assert all(f"Value: {topic}\n" in text for topic in rules)
    rules = dict(started(monkeypatch, rviz="true", image="/lens/image_raw")["rviz2"]["remappings"])
    assert rules == {"/image": "/lens/image_raw"}
    rules = dict(started(monkeypatch, rviz="true", viewer_camera="left")["rviz2"]["remappings"])
    assert rules == {
        "/image": "/left/image",
        "/zipmap/depth/image": "/zipmap/left/depth/image",
        "/zipmap/depth/confidence": "/zipmap/left/depth/confidence",
    }
    assert started(monkeypatch, rviz="true")["rviz2"]["remappings"] == []


def test_two_cameras_have_their_images_where_the_node_looks_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = loaded("two_cameras")
    monkeypatch.setattr(module, "Node", lambda **words: words)
    driver, _ = module.camera("front")
    rules = dict(driver["remappings"])
    assert rules == {"image_raw": "image", "image_raw/compressed": "image/compressed"}


def test_of_two_cameras_the_one_ahead_is_shown() -> None:
    path = str(ROOT / "launch" / "two_cameras.launch.py")
    arguments = get_launch_description_from_any_launch_file(path).get_launch_arguments()
    first = next(a for a in arguments if a.name == "viewer_camera")
    assert "".join(part.text for part in first.default_value) == "front"


def test_each_robot_has_a_node_in_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    module, context = loaded("robots"), LaunchContext()
    monkeypatch.setattr(module, "GroupAction", lambda actions: actions)
    context.launch_configurations["robots"] = "alpha  beta"
    given = [dict(include.launch_arguments) for (include,) in module.robots(context)]
    assert given == [{"namespace": "alpha"}, {"namespace": "beta"}]


@pytest.mark.launch(fixture=examples)
def test_a_bag_plays_in_its_own_time_and_starts_again(ros: Bench) -> None:
    status = ros.listen(Status, "zipmap/status", LATCHED)
    until(lambda: status and status[-1].state == Status.TRACKING, f"{status[-1:]}")
    assert BEGUN_S <= status[-1].header.stamp.sec < BEGUN_S + 10
    gauge_id = status[-1].gauge_id
    until(lambda: status[-1].gauge_id > gauge_id, "the bag did not start again")
    until(lambda: status[-1].state == Status.TRACKING)


@pytest.mark.launch(fixture=examples)
def test_a_session_is_loaded_to_be_located_in(ros: Bench, folder: Path) -> None:
    status = ros.listen(Status, "home/zipmap/status", LATCHED)
    until(lambda: status and status[-1].map_points, f"nothing loaded: {status[-1:]}")
    until(lambda: status[-1].mode == Status.LOCALIZATION)
    points = int((folder / "points").read_text())
    assert status[-1].map_points == points
    maps = ros.listen(PointCloud2, "home/zipmap/map", LATCHED)
    until(lambda: maps and maps[-1].width == points, "the map that was loaded is not there")
