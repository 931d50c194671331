# SPDX-License-Identifier: Apache-2.0
"""launch: arguments, conditions, scopes, includes, events."""

import signal
import subprocess
import sys
import textwrap
import time

import launch
import pytest
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueCoroutine,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
)
from launch.conditions import (
    IfCondition,
    LaunchConfigurationEquals,
    LaunchConfigurationNotEquals,
    UnlessCondition,
)
from launch.event_handlers import (
    OnExecutionComplete,
    OnProcessExit,
    OnProcessIO,
    OnProcessStart,
    OnShutdown,
)
from launch.launch_description_sources import (
    AnyLaunchDescriptionSource,
    FrontendLaunchDescriptionSource,
    PythonLaunchDescriptionSource,
)
from launch.substitutions import LaunchConfiguration, ThisLaunchFile, ThisLaunchFileDir
from launching import python, run, seen

pytestmark = pytest.mark.usefixtures("log_dir")


# ---- arguments


@pytest.mark.parametrize(("given", "expected"), [({}, "slow"), ({"speed": "fast"}, "fast")])
def test_argument_has_its_default_unless_given(given, expected):
    values: list = []
    assert (
        run(DeclareLaunchArgument("speed", default_value="slow"), seen(values, "speed"), **given)
        == 0
    )
    assert values == [(expected,)]


def test_required_argument_that_is_missing_ends_the_launch_with_1(capsys):
    started: list = []
    assert run(DeclareLaunchArgument("path", description="a file"), seen(started)) == 1
    assert started == []
    assert "Required launch argument 'path' (description: 'a file')" in capsys.readouterr().out


def test_value_outside_choices_is_refused(capsys):
    declare = DeclareLaunchArgument("color", default_value="red", choices=["red", "blue"])
    assert run(declare, color="green") == 1
    assert "provided value 'green' is not valid" in capsys.readouterr().out
    declare = DeclareLaunchArgument("color", default_value="red", choices=["red", "blue"])
    assert run(declare, color="blue") == 0


def test_arguments_are_listed_through_groups_and_includes(tmp_path):
    inner = tmp_path / "inner.launch.py"
    inner.write_text(
        "from launch import LaunchDescription\n"
        "from launch.actions import DeclareLaunchArgument\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([DeclareLaunchArgument('inner', default_value='1')])\n"
    )
    description = LaunchDescription(
        [
            DeclareLaunchArgument("outer", description="the first"),
            GroupAction(
                [IncludeLaunchDescription(PythonLaunchDescriptionSource(str(inner)))],
                condition=IfCondition("false"),
            ),
            DeclareLaunchArgument("outer", default_value="not the first"),
        ]
    )
    arguments = description.get_launch_arguments()
    assert [a.name for a in arguments] == ["outer", "inner"]
    assert arguments[0].default_value is None
    assert arguments[0].description == "the first"
    assert [a._conditionally_included for a in arguments] == [False, True]


# ---- conditions, scopes, includes


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (IfCondition, "true", True),
        (IfCondition, " True ", True),
        (IfCondition, "0", False),
        (UnlessCondition, "false", True),
        (UnlessCondition, "1", False),
    ],
)
def test_conditions_on_truth(condition, value, expected):
    done = []
    action = OpaqueFunction(
        function=lambda _: done.append(1), condition=condition(LaunchConfiguration("flag"))
    )
    assert run(action, flag=value) == 0
    assert bool(done) == expected


def test_condition_that_says_neither_is_an_error(capsys):
    assert run(LogInfo(msg="x", condition=IfCondition("perhaps"))) == 1
    assert "but got 'perhaps'" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["a", "b"])
def test_conditions_on_configurations(value):
    done = []
    equal = LaunchConfigurationEquals("mode", "a")
    unequal = LaunchConfigurationNotEquals("mode", "a")
    unset = LaunchConfigurationEquals("other", None)
    run(
        OpaqueFunction(function=lambda _: done.append("equal"), condition=equal),
        OpaqueFunction(function=lambda _: done.append("unequal"), condition=unequal),
        OpaqueFunction(function=lambda _: done.append("unset"), condition=unset),
        mode=value,
    )
    assert done == ["equal" if value == "a" else "unequal", "unset"]


def test_group_keeps_its_configurations_and_environment_to_itself(monkeypatch):
    monkeypatch.delenv("LAUNCH_TEST", raising=False)
    values = []

    def environment(context):
        values.append(context.environment.get("LAUNCH_TEST"))

    inside = [
        SetLaunchConfiguration("speed", "fast"),
        SetEnvironmentVariable("LAUNCH_TEST", "1"),
        seen(values, "speed", "extra"),
        OpaqueFunction(function=environment),
    ]
    run(
        GroupAction(inside, launch_configurations={"extra": "yes"}),
        seen(values, "speed", "extra"),
        OpaqueFunction(function=environment),
        speed="slow",
    )
    assert values == [("fast", "yes"), "1", ("slow", None), None]


def test_group_may_hide_its_surroundings():
    values: list = []
    group = GroupAction(
        [seen(values, "speed", "kept")],
        forwarding=False,
        launch_configurations={"kept": LaunchConfiguration("speed")},
    )
    assert run(group, speed="slow") == 0
    assert values == [(None, "slow")]
    unscoped = GroupAction([SetLaunchConfiguration("speed", "fast")], scoped=False)
    assert run(unscoped, seen(values, "speed"), speed="slow") == 0
    assert values[1:] == [("fast",)]


@pytest.fixture
def included(tmp_path):
    """A launch file that writes its argument and its directory to the screen."""
    file = tmp_path / "sub" / "included.launch.py"
    file.parent.mkdir()
    file.write_text(
        textwrap.dedent(
            """
            from launch import LaunchDescription
            from launch.actions import DeclareLaunchArgument, LogInfo
            from launch.substitutions import LaunchConfiguration, ThisLaunchFile, ThisLaunchFileDir

            def generate_launch_description():
                return LaunchDescription([
                    DeclareLaunchArgument("who"),
                    DeclareLaunchArgument("greeting", default_value="hello"),
                    LogInfo(msg=[LaunchConfiguration("greeting"), " ", LaunchConfiguration("who"),
                                 " in ", ThisLaunchFileDir()]),
                ])
            """
        )
    )
    return file


def test_include_takes_arguments_that_may_be_substitutions(included, capsys):
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/included.launch.py"]),
        launch_arguments={"who": LaunchConfiguration("name")}.items(),
    )
    outer = included.parent / "outer.launch.py"
    outer.write_text("")
    after = LogInfo(msg=["back in ", ThisLaunchFile()])
    source = launch.LaunchDescriptionSource(LaunchDescription([include, after]), str(outer))
    assert run(IncludeLaunchDescription(source), name="world") == 0
    output = capsys.readouterr().out
    assert f"hello world in {included.parent}" in output
    assert f"back in {outer}" in output


def test_arguments_of_an_include_stay_set_unless_grouped(included):
    values: list = []

    def include():
        return IncludeLaunchDescription(str(included), launch_arguments=[("who", "you")])

    assert run(GroupAction([include()]), seen(values, "who", "greeting")) == 0
    assert run(include(), seen(values, "who", "greeting")) == 0
    assert values == [(None, None), ("you", "hello")]


def test_include_without_a_required_argument_names_it(included, capsys):
    assert run(IncludeLaunchDescription(str(included))) == 1
    assert "missing required argument 'who'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.launch.xml", "a.launch.yaml"])
def test_xml_and_yaml_launch_files_need_a_full_ros(name, capsys):
    assert run(IncludeLaunchDescription(AnyLaunchDescriptionSource(name))) == 1
    assert f"'{name}'" in (output := capsys.readouterr().out)
    assert "needs a full ROS 2" in output
    with pytest.raises(NotImplementedError, match="FrontendLaunchDescriptionSource needs a full"):
        FrontendLaunchDescriptionSource(name)
    with pytest.raises(NotImplementedError, match=r"launch\.actions\.ForLoop needs a full ROS 2"):
        from launch.actions import ForLoop  # noqa: F401
    with pytest.raises(NotImplementedError, match=r"launch\.frontend\.expose_action needs a full"):
        from launch.frontend import expose_action  # noqa: F401


# ---- events


def test_exit_of_one_process_starts_the_next_and_a_required_one_ends_all(capsys):
    first = python("import sys; sys.exit(3)", name="first")
    required = python("print('at work')", name="required", on_exit=Shutdown())
    bystander = python("import time; print('up'); time.sleep(60)", name="bystander")
    codes = []

    def after_first(event, context):
        codes.append((event.process_name, event.returncode))
        return [required]

    start = time.monotonic()
    # Python that gets SIGINT before it is up ends with a traceback and 1, not by the signal.
    # Once: a line may come in two pieces.
    when_up = OnProcessIO(target_action=bystander, on_stdout=lambda _: [first], handle_once=True)
    when_over = OnProcessExit(target_action=first, on_exit=after_first)
    assert run(RegisterEventHandler(when_up), RegisterEventHandler(when_over), bystander) == 0
    assert time.monotonic() - start < 50
    assert codes == [(first.process_details["name"], 3)]
    assert bystander.return_code == -signal.SIGINT
    name = required.process_details["name"]
    assert f"process[{name}] was required: shutting down" in capsys.readouterr().out


def test_handlers_of_start_completion_and_shutdown_run_in_order():
    order = []

    def note(word):
        return OpaqueFunction(function=lambda _: order.append(word))

    process = python("print('x')")
    timer = TimerAction(period=0.01, actions=[note("timer")])
    handlers = [
        OnProcessStart(target_action=process, on_start=[note("start")]),
        OnProcessExit(target_action=process, on_exit=[note("exit"), timer]),
        OnExecutionComplete(target_action=timer, on_completion=[note("complete")]),
        OnShutdown(on_shutdown=lambda event, _: order.append(event.reason)),
    ]
    assert run(*map(RegisterEventHandler, handlers), process) == 0
    assert order[:2] == ["start", "exit"]
    assert set(order[2:4]) == {"timer", "complete"}
    assert order[4:] == ["idle"]


def test_handler_for_one_action_refuses_another_kind():
    with pytest.raises(TypeError, match="needs an action of type ExecuteLocal"):
        OnProcessExit(target_action=LogInfo(msg="x"), on_exit=[])


def test_handler_that_handles_once():
    count = []
    processes = [python("pass"), python("pass")]
    handler = OnProcessExit(on_exit=lambda *_: count.append(1), handle_once=True)
    assert run(RegisterEventHandler(handler), *processes) == 0
    assert count == [1]


def test_shutdown_cancels_timers_and_coroutines():
    done: list = []

    async def wait_long(context):
        import asyncio

        await asyncio.sleep(60)
        done.append("coroutine")

    start = time.monotonic()
    assert (
        run(
            TimerAction(period=60.0, actions=[OpaqueFunction(function=lambda _: done.append(1))]),
            OpaqueCoroutine(coroutine=wait_long),
            TimerAction(period=LaunchConfiguration("soon"), actions=[Shutdown(reason="enough")]),
            soon="0.05",
        )
        == 0
    )
    assert done == []
    assert time.monotonic() - start < 50


def test_error_in_a_handler_stops_the_processes_and_gives_1(capsys):
    process, other = python("pass"), python("import time; time.sleep(60)")
    fail = OnProcessExit(target_action=process, on_exit=lambda *_: [][1])
    assert run(RegisterEventHandler(fail), process, other) == 1
    assert "Caught exception in launch (see debug for traceback)" in capsys.readouterr().out
    assert other.return_code not in (None, 0)


def test_process_cannot_be_executed_twice(capsys):
    process = python("pass")
    assert run(process, process) == 1
    assert "executed more than once" in capsys.readouterr().out


# ---- the module itself


def test_import_is_light():
    heavy = ("asyncio", "yaml", "numpy", "rclpy", "torch")
    code = f"import launch, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
