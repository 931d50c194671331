# SPDX-License-Identifier: Apache-2.0
"""launch: the text that each substitution stands for."""

import os
import sys

import launch
import pytest
from launch import LaunchContext
from launch.substitutions import (
    AllSubstitution,
    AndSubstitution,
    AnonName,
    AnySubstitution,
    BooleanSubstitution,
    Command,
    EnvironmentVariable,
    EqualsSubstitution,
    FileContent,
    FindExecutable,
    IfElseSubstitution,
    LaunchConfiguration,
    LaunchLogDir,
    LocalSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
    PythonExpression,
    StringJoinSubstitution,
    SubstitutionFailure,
    TextSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from launch.utilities import normalize_to_list_of_substitutions


@pytest.fixture
def context():
    context = LaunchContext()
    context.launch_configurations.update(name="front", flag="True", number="2")
    return context


NAME, FLAG, NUMBER = map(LaunchConfiguration, ("name", "flag", "number"))
# Substitution -> text.
CASES = [
    (TextSubstitution(text="a"), "a"),
    (NAME, "front"),
    (LaunchConfiguration(["na", "me"]), "front"),
    (LaunchConfiguration("unset", default=["x", NAME]), "xfront"),
    (LaunchConfiguration("unset", default=1.5), "1.5"),
    (PathJoinSubstitution(["/a", [NAME, ".yaml"]]), os.path.join("/a", "front.yaml")),
    (StringJoinSubstitution([["a", NAME], "b"], delimiter="-"), "afront-b"),
    (PythonExpression([NUMBER, " * 3 > 5 and '", NAME, "' != 'rear'"]), "True"),
    (PythonExpression("math.floor(pi)"), "3"),
    (PythonExpression("os.sep", python_modules=["os"]), os.sep),
    (Command([sys.executable, " -c 'print(", NUMBER, ")'"]), "2\n"),
    (EqualsSubstitution(FLAG, "true"), "true"),
    (EqualsSubstitution(NUMBER, 2.0), "true"),
    (EqualsSubstitution(NAME, "rear"), "false"),
    (NotEqualsSubstitution(NAME, "rear"), "true"),
    (NotEqualsSubstitution(NUMBER, "2"), "false"),
    (AndSubstitution(FLAG, "no"), "false"),
    (OrSubstitution("off", FLAG), "true"),
    (NotSubstitution(FLAG), "false"),
    (AllSubstitution("true", FLAG, "1"), "true"),
    (AnySubstitution("false", "0"), "false"),
    (AnySubstitution(FLAG, LaunchConfiguration("unset")), "true"),
    (BooleanSubstitution("Yes"), "true"),
    (IfElseSubstitution(FLAG, "a", NAME), "a"),
    (IfElseSubstitution(NotSubstitution(FLAG), else_value=NAME), "front"),
]


@pytest.mark.parametrize(
    ("substitution", "expected"), CASES, ids=[str(i) for i in range(len(CASES))]
)
def test_value(substitution, expected, context):
    assert substitution.perform(context) == expected


@pytest.mark.parametrize(
    ("substitution", "message"),
    [
        (LaunchConfiguration("unset"), "launch configuration 'unset' does not exist"),
        (EnvironmentVariable("NO_SUCH"), "environment variable 'NO_SUCH' does not exist"),
        (FindExecutable("no-such"), "executable 'no-such' not found on the PATH"),
        (FileContent("/no/such"), "cannot read '/no/such'"),
        (PythonExpression("1 +"), "Python expression '1 \\+' failed: SyntaxError"),
        (Command("false"), "command 'false' failed with exit code 1"),
        (Command("no-such"), "command 'no-such' cannot be run"),
        (Command("sh -c 'echo bad >&2'"), "wrote to stderr: bad"),
        (NotSubstitution("perhaps"), "needs true or false, got 'perhaps'"),
        (ThisLaunchFileDir(), "used outside of a launch file"),
        (LocalSubstitution("event.pid"), "'event.pid' cannot be evaluated"),
    ],
)
def test_failure_says_what_is_missing(substitution, message, context):
    with pytest.raises(SubstitutionFailure, match=message):
        substitution.perform(context)


def test_values_from_the_system(context, monkeypatch, tmp_path):
    monkeypatch.setenv("LAUNCH_TEST", "here")
    file = tmp_path / "a.txt"
    file.write_text("text")
    assert EnvironmentVariable("LAUNCH_TEST").perform(context) == "here"
    assert EnvironmentVariable("NO_SUCH", default_value=NAME).perform(context) == "front"
    assert FileContent(str(file)).perform(context) == "text"
    assert os.access(FindExecutable("sh").perform(context), os.X_OK)
    assert Command("sh -c 'echo bad >&2'", on_stderr="ignore").perform(context) == ""
    assert Command("sh -c 'echo bad >&2'", on_stderr="capture").perform(context) == "bad\n"


def test_values_from_the_context(context, log_dir):
    context.extend_locals({"event": os.stat("."), "current_launch_file_path": "/a/b.py"})
    assert LocalSubstitution("event.st_size").perform(context) == str(os.stat(".").st_size)
    assert ThisLaunchFile().perform(context) == "/a/b.py"
    assert LaunchLogDir().perform(context).startswith(str(log_dir))
    first, again = AnonName("cam").perform(context), AnonName("cam").perform(context)
    assert first == again
    assert first.startswith("cam_")
    assert AnonName("other").perform(context) != first


def test_locals_last_for_one_handler_and_globals_for_good(context):
    context.extend_globals({"a": 1})
    context._push_locals()
    context.extend_locals({"b": 2})
    assert (context.locals.a, context.locals.b) == (1, 2)
    context._pop_locals()
    with pytest.raises(AttributeError, match="no variable 'b'"):
        _ = context.locals.b
    assert context.locals.a == 1


@pytest.mark.parametrize("wrong", [3, ["a", 3]])
def test_what_is_no_text_is_refused(wrong):
    with pytest.raises(TypeError, match="3"):
        normalize_to_list_of_substitutions(wrong)


def test_names_of_the_package():
    for module in (launch, launch.actions, launch.substitutions):
        assert all(hasattr(module, name) for name in module.__all__)
