# SPDX-License-Identifier: Apache-2.0
"""launch_ros: what a node is given on its command line, and where its executable is found."""

import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
    get_packages_with_prefixes,
)
from launch import LaunchContext
from launch.actions import GroupAction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, SubstitutionFailure
from launch_ros.actions import (
    Node,
    PushRosNamespace,
    SetParameter,
    SetParametersFromFile,
    SetRemap,
    SetROSLogDir,
    SetUseSimTime,
)
from launch_ros.descriptions import Parameter, ParameterFile, ParameterValue
from launch_ros.substitutions import (
    ExecutableInPackage,
    FindPackagePrefix,
    FindPackageShare,
)
from launch_ros.substitutions import Parameter as ParameterSubstitution
from launch_ros.utilities import to_yaml
from launching import run, seen

pytestmark = pytest.mark.usefixtures("log_dir")

# Prints its own command line and the content of the parameter files on it, as one JSON line.
REPORT = """\
#!/usr/bin/env python3
import json, os, sys
files = [a for flag, a in zip(sys.argv, sys.argv[1:]) if flag == "--params-file"]
print(json.dumps({
    "python": sys.executable, "argv": sys.argv, "files": [open(f).read() for f in files],
    "log_dir": os.environ.get("ROS_LOG_DIR"),
}))
"""


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install prefix with the package `robot` and its executable `report`."""
    share = tmp_path / "share" / "robot"
    share.mkdir(parents=True)
    (share / "package.xml").write_text("<package><name>robot</name></package>")
    executable = tmp_path / "lib" / "robot" / "report"
    executable.parent.mkdir(parents=True)
    executable.write_text(REPORT)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    return tmp_path


def node(**arguments):
    arguments = {"executable": "report", "package": "robot", "cached_output": True, **arguments}
    return Node(**arguments)


def report(action):
    """What the executable `report` printed."""
    return json.loads(action.get_stdout())


def words(action):
    """The words that the executable was given, temporary files replaced."""
    given = report(action)["argv"][1:]
    return ["TEMPORARY" if "launch_params_" in word else word for word in given]


def parameters(action, index=0):
    """The content of a parameter file that the executable was given."""
    return yaml.safe_load(report(action)["files"][index])


# ---- the command line


def test_command_line_has_the_form_of_a_full_ros(prefix, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("/**:\n  ros__parameters: {a: 1}\n")
    action = node(
        name="cam",
        namespace="robot1",
        parameters=[{"rate": 10}, str(file)],
        remappings=[("image", ["/", LaunchConfiguration("camera"), "/image_raw"])],
        arguments=["--fast", LaunchConfiguration("camera")],
        ros_arguments=["--log-level", "debug"],
    )
    assert run(action, camera="camera") == 0
    expected = (
        "--fast camera --ros-args --log-level debug --ros-args -r __node:=cam -r __ns:=/robot1 "
        f"--params-file TEMPORARY --params-file {file} -r image:=/camera/image_raw"
    )
    assert words(action) == expected.split()
    assert parameters(action) == {"/robot1/cam": {"ros__parameters": {"rate": 10}}}
    assert action.node_name == "/robot1/cam"
    assert action.process_details["name"].startswith("report-")
    assert report(action)["python"] == sys.executable
    temporary = next(w for w in report(action)["argv"] if "launch_params_" in w)
    assert not os.path.exists(temporary)


def test_bare_node_gets_no_names_and_a_wildcard_file(prefix):
    action = node(parameters=[{"rate": 10}], exec_name="label")
    assert run(action) == 0
    assert words(action) == ["--ros-args", "--params-file", "TEMPORARY"]
    assert parameters(action) == {"/**": {"ros__parameters": {"rate": 10}}}
    assert action.process_details["name"].startswith("label-")
    assert not action.is_node_name_fully_specified()


@pytest.mark.parametrize(
    ("pushed", "own", "expected"),
    [
        ([], "", "/"),
        (["fleet"], None, "/fleet"),
        (["fleet", "robot1"], "arm", "/fleet/robot1/arm"),
        (["fleet"], "/arm", "/arm"),
        (["fleet", "/other"], None, "/other"),
    ],
)
def test_namespaces_nest(pushed, own, expected, prefix):
    action = node(name="cam", namespace=own)
    assert run(GroupAction([*map(PushRosNamespace, pushed), action])) == 0
    assert f"__ns:={expected}" in words(action)
    assert action.node_name == f"{expected.rstrip('/')}/cam"


def test_scope_gives_parameters_and_remappings_to_its_nodes_only(prefix, tmp_path):
    file = tmp_path / "all.yaml"
    file.write_text("/**: {ros__parameters: {}}\n")
    inside = node(name="a", parameters=[{"own": 1}], remappings=[("x", "y")])
    outside = node(name="b")
    values: list = []
    scope = [
        SetParameter("number", "1"),
        SetUseSimTime(LaunchConfiguration("sim")),
        SetParametersFromFile(str(file)),
        SetRemap("image", "left/image"),
        SetROSLogDir("/somewhere"),
        inside,
    ]
    assert run(GroupAction(scope), seen(values, "global_params"), outside, sim="true") == 0
    assert " ".join(words(inside)) == (
        f'--ros-args -r __node:=a -p number:="1" -p use_sim_time:=true --params-file {file} '
        "--params-file TEMPORARY -r image:=left/image -r x:=y"
    )
    assert report(inside)["log_dir"] == "/somewhere"
    assert words(outside) == ["--ros-args", "-r", "__node:=b"]
    assert report(outside)["log_dir"] != "/somewhere"
    assert values == [(None,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "2fast"}, "invalid node name '2fast'"),
        ({"name": "a", "namespace": "/b//c"}, "invalid namespace '/b//c'"),
        ({"executable": "missing"}, "executable 'missing' not found on the libexec directory"),
        ({"package": "nowhere"}, "package 'nowhere' not found"),
        ({"parameters": [{"a": LaunchConfiguration("text")}]}, "parameter 'a': cannot convert"),
    ],
)
def test_what_cannot_be_launched_is_said(options, message, prefix, capsys):
    assert run(node(**options), text="{x: 1}") == 1
    assert message in capsys.readouterr().out


def test_node_without_a_package_is_a_program(prefix):
    action = Node(executable="echo", arguments=["hi"], cached_output=True)
    assert run(action) == 0
    assert action.get_stdout() == "hi --ros-args\n"


# ---- parameters keep their types


def test_values_arrive_with_their_types(prefix):
    given = {
        "int": 1,
        "float": 1.0,
        "small": 1e-5,
        "inf": float("inf"),
        "bool": True,
        "text": "true",
        "number_text": "1",
        "exponent_text": "1e3",
        "empty": "",
        "quotes": 'it\'s "ä"\nnew',
        "ints": [1, 2],
        "mixed_numbers": [1, 2.5],
        "bools": [True, False],
        "texts": ["1", "b"],
        "nested": {"deep": {"er": 1}, LaunchConfiguration("key"): 2},
        "from_launch": LaunchConfiguration("number"),
        "joined": ["n", LaunchConfiguration("number")],
        "list_from_launch": LaunchConfiguration("list"),
        "list_of_launch": [[LaunchConfiguration("number")], [LaunchConfiguration("number"), "0"]],
        "typed_text": ParameterValue(LaunchConfiguration("number"), value_type=str),
        "typed_float": ParameterValue(LaunchConfiguration("number"), value_type=float),
        "typed_bool": ParameterValue(LaunchConfiguration("flag"), value_type=bool),
        "typed_list": ParameterValue(LaunchConfiguration("list"), value_type=list[float]),
        "nothing": LaunchConfiguration("nothing"),
        # What YAML 1.1 takes for text, but rcl for a number, and the other way round.
        "small_from_launch": LaunchConfiguration("small"),
        "small_list": [[LaunchConfiguration("small")], ["-.", LaunchConfiguration("number")]],
        "small_text": ParameterValue(LaunchConfiguration("small"), value_type=str),
        "date": LaunchConfiguration("date"),
    }
    action = node(parameters=[given])
    texts = {"number": "7", "list": "[1, 2]", "flag": "false", "key": "k", "nothing": ""}
    assert run(action, **texts, small="1e-3", date="2026-01-01") == 0
    arrived = parameters(action)["/**"]["ros__parameters"]
    expected = {
        **{name: value for name, value in given.items() if isinstance(value, int | float | str)},
        "ints": [1, 2],
        "mixed_numbers": [1.0, 2.5],
        "bools": [True, False],
        "texts": ["1", "b"],
        "nested.deep.er": 1,
        "nested.k": 2,
        "from_launch": 7,
        "joined": "n7",
        "list_from_launch": [1, 2],
        "list_of_launch": [7, 70],
        "typed_text": "7",
        "typed_float": 7.0,
        "typed_bool": False,
        "typed_list": [1.0, 2.0],
        "nothing": "",
        "small_from_launch": 1e-3,
        "small_list": [1e-3, -0.7],
        "small_text": "1e-3",
        "date": "2026-01-01",
    }
    assert arrived == expected
    assert {k: type(v) for k, v in arrived.items()} == {k: type(v) for k, v in expected.items()}
    # A reader of YAML 1.2 must see a string too.
    assert '"exponent_text": "1e3"' in report(action)["files"][0]


def test_files_are_passed_on_as_they_are_and_missing_ones_are_said(prefix, tmp_path, capsys):
    file = tmp_path / "wild.yaml"
    file.write_text("/**/cam*:\n  ros__parameters: {a: 1}\n")
    action = node(
        parameters=[
            PathJoinSubstitution([FindPackagePrefix("robot"), "wild.yaml"]),
            ParameterFile(tmp_path / "missing.yaml"),
            Path(file),
            Parameter("single", LaunchConfiguration("number")),
        ]
    )
    assert run(action, number="3") == 0
    assert words(action)[1:] == ["--params-file", str(file)] * 2 + ["-p", "single:=3"]
    assert f"Parameter file path is not a file: {tmp_path}/missing.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    "parameters",
    ["file.yaml", [{"a": None}], [{"a": []}], [{"a": b"x"}], [3]],
)
def test_parameters_of_a_wrong_kind_are_refused_at_once(parameters):
    with pytest.raises(TypeError):
        node(parameters=parameters)


def test_list_of_several_types_is_refused(prefix, capsys):
    assert run(node(parameters=[{"a": [1, "b"]}])) == 1
    assert "must be a non-empty list of items of one type" in capsys.readouterr().out


def test_parameter_substitution_reads_what_the_scope_has_set():
    context = LaunchContext()
    SetParameter("speed", 2.5).execute(context)
    assert ParameterSubstitution("speed").perform(context) == "2.5"
    assert ParameterSubstitution("other", default="x").perform(context) == "x"
    with pytest.raises(SubstitutionFailure, match="parameter 'other' not found"):
        ParameterSubstitution("other").perform(context)


@pytest.mark.parametrize(
    "value",
    [0, -3, 0.1, 1e300, -1e-300, float("-inf"), True, "a: b", "#", "\t", "🙂", (1, 2), ("",),
     "a\x7f", "a\x80", "a\x85b", "a\x9f", "a\u2028b", "\ufeffa", "\uffff"],
)  # fmt: skip
def test_yaml_of_a_value_reads_back(value):
    expected = list(value) if isinstance(value, tuple) else value
    assert yaml.safe_load(to_yaml(value)) == expected


@pytest.mark.parametrize("name", ["ComposableNodeContainer", "LoadComposableNodes"])
def test_composable_nodes_need_a_full_ros(name):
    import launch_ros.actions

    with pytest.raises(NotImplementedError, match=f"{name} needs a full ROS 2"):
        getattr(launch_ros.actions, name)
    with pytest.raises(NotImplementedError, match="allow_substs=True"):
        ParameterFile("a", allow_substs=True)


# ---- the package index


def test_package_in_a_prefix(prefix):
    assert get_package_prefix("robot") == str(prefix)
    assert get_package_share_directory("robot") == str(prefix / "share" / "robot")
    assert get_packages_with_prefixes()["robot"] == str(prefix)
    context = LaunchContext()
    assert FindPackageShare("robot").perform(context) == str(prefix / "share" / "robot")
    found = ExecutableInPackage(package="robot", executable="report").perform(context)
    assert found == str(prefix / "lib" / "robot" / "report")


def checkout(folder, name):
    """A source tree as of a Python ROS package: package.xml, module and scripts."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    (folder / "package.xml").write_text(f"<package><name>{name}</name></package>")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "run_it").write_text("#!/usr/bin/env python3\nprint('ran')\n")
    return folder


def test_a_package_that_pip_installed_for_one_user_is_found(prefix, tmp_path, monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    monkeypatch.setattr("site.ENABLE_USER_SITE", True)
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path))
    assert get_package_prefix("robot") == str(tmp_path)
    monkeypatch.setattr("site.ENABLE_USER_SITE", None)
    with pytest.raises(PackageNotFoundError):
        get_package_prefix("robot")


def test_source_checkout_counts_as_prefix_and_share(tmp_path, monkeypatch):
    root = checkout(tmp_path / "src", "checked_out")
    monkeypatch.syspath_prepend(str(root))
    assert get_package_prefix("checked_out") == str(root)
    assert get_package_share_directory("checked_out") == str(root)
    action = Node(package="checked_out", executable="run_it", cached_output=True)
    assert run(action) == 0
    assert action.get_stdout() == "ran\n"


def test_editable_install_counts_as_prefix_and_share(tmp_path, monkeypatch):
    root = checkout(tmp_path / "with space", "edited")
    record = tmp_path / "site" / "edited-1.0.dist-info" / "direct_url.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"url": root.as_uri(), "dir_info": {"editable": True}}))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert get_package_share_directory("edited") == str(root)
    assert get_packages_with_prefixes()["edited"] == str(root)


def test_program_that_is_no_python_script_runs_by_itself(prefix):
    program = prefix / "lib" / "robot" / "program"
    program.write_text('#!/bin/sh\necho "$0" "$1"\n')
    context = LaunchContext()
    with pytest.raises(SubstitutionFailure, match="not found on the libexec directory"):
        ExecutableInPackage(package="robot", executable="program").perform(context)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    action = node(executable="program")
    assert run(action) == 0
    assert action.get_stdout() == f"{program} --ros-args\n"


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere", PackageNotFoundError), ("a/b", ValueError)]
)
def test_unknown_package(name, error, prefix):
    with pytest.raises(error, match=name):
        get_package_prefix(name)


def test_import_is_light():
    import subprocess

    code = """
        import launch_ros.actions, sys
        print([m for m in ("asyncio", "yaml", "numpy", "rclpy", "cyclonedds") if m in sys.modules])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.check_output(command, text=True).strip() == "[]"
