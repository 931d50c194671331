# SPDX-License-Identifier: Apache-2.0
"""Every launch file loads, every parameter file is one that the node takes, docs name them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch.actions import DeclareLaunchArgument
from launch.launch_description_sources import get_launch_description_from_any_launch_file

from zipmap_ros.parameters import SPECS, Parameters

ROOT = Path(__file__).resolve().parent.parent
LAUNCHES = sorted((ROOT / "launch").glob("*.launch.py"))
FILES = sorted((ROOT / "config").glob("*.yaml"))
EXAMPLES = [path for path in LAUNCHES if path.name != "stream.launch.py"]


def arguments(path: Path) -> dict[str, DeclareLaunchArgument]:
    """What `ros2 launch PATH --show-args` lists: of the file and of what it includes."""
    description = get_launch_description_from_any_launch_file(str(path))
    return {argument.name: argument for argument in description.get_launch_arguments()}


def default(argument: DeclareLaunchArgument) -> str:
    assert argument.default_value is not None
    return "".join(part.text for part in argument.default_value)


@pytest.mark.parametrize("path", LAUNCHES, ids=lambda p: p.name.split(".")[0])
def test_a_launch_file_loads_and_its_parameter_file_is_there(path: Path) -> None:
    found = arguments(path)
    assert all(argument.description for argument in found.values())
    config = Path(default(found["params_file"]))
    assert config.is_file()
    assert config.name == path.name.replace(".launch.py", ".yaml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name.split(".")[0])
def test_an_example_takes_the_arguments_of_the_launch_file_that_it_includes(path: Path) -> None:
    if path.name == "robots.launch.py":
        pytest.skip("it includes once for each robot, which is known only when it runs")
    assert {"checkpoint", "device", "viewer", "namespace"} <= arguments(path).keys()


def test_every_argument_that_docs_and_messages_name_is_one_of_a_launch_file() -> None:
    """`ros2 launch` passes over others without a word."""
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *FILES]
    texts += [*LAUNCHES, *(ROOT / "zipmap_ros").rglob("*.py")]
    named = {
        word
        for path in texts
        for word in re.findall(r"(?<!/)(?<!-r )\b([a-z]\w*):=", path.read_text())
    }
    known = {"robots"}.union(*(arguments(path) for path in LAUNCHES))
    assert named <= known, named - known


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_parameter_file_is_one_that_the_node_takes(path: Path) -> None:
    sections = {
        node: content["ros__parameters"]
        for node, content in yaml.safe_load(path.read_text()).items()
    }
    common: dict[str, Any] = sections.pop("/**")
    Parameters().updated(common)
    for node, values in sections.items():
        assert node.endswith("/zipmap"), f"{path.name}: the node is named zipmap, not {node}"
        Parameters().updated(common | values)
    for values in (common, *sections.values()):
        for name, value in values.items():
            # ROS 2 tells 1 from 1.0.
            assert SPECS[name].type_name != "double" or isinstance(value, float), name


def test_a_map_to_be_located_in_outlives_a_clock_that_is_set_back() -> None:
    values = yaml.safe_load((ROOT / "config" / "localization.yaml").read_text())["/**"]
    given = Parameters().updated(values["ros__parameters"])
    assert given.mode == "localization" and not given.reset_on_time_jump


def test_robots_share_no_frame() -> None:
    sections = yaml.safe_load((ROOT / "config" / "robots.yaml").read_text())
    robots = arguments(ROOT / "launch" / "robots.launch.py")["robots"]
    assert [f"/{name}/zipmap" for name in default(robots).split()] == list(sections)[1:]
    names = ("map_frame", "odom_frame", "base_frame", "map_directory")
    values = [
        sections[node]["ros__parameters"][name] for node in list(sections)[1:] for name in names
    ]
    assert len(set(values)) == len(values)


def test_the_documentation_names_every_example() -> None:
    text = (ROOT / "docs" / "examples.md").read_text()
    for path in (*LAUNCHES, *FILES):
        assert f"`{path.name}`" in text, f"docs/examples.md does not name {path.name}"
