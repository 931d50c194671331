# SPDX-License-Identifier: Apache-2.0
"""launch: output, environment, respawn, signals and shutdown of real processes."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest
from launch import LaunchDescription, LaunchService
from launch.actions import (
    AppendEnvironmentVariable,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
    UnsetEnvironmentVariable,
)
from launch.event_handlers import (
    OnProcessExit,
    OnProcessIO,
    OnProcessStart,
)
from launch.events import matches_action
from launch.events.process import ProcessStdin, ShutdownProcess, SignalProcess
from launch.substitutions import LaunchConfiguration
from launching import python, run
from waiting import PATIENCE_S, check_soon, soon

pytestmark = pytest.mark.usefixtures("log_dir")


# ---- processes and their output


def test_output_on_the_screen_has_the_process_name(capsys, log_dir):
    code = r"""
        import sys
        sys.stdout.buffer.write(b"caf\xc3"); sys.stdout.flush()
        sys.stdout.buffer.write(b"\xa9\ncut"); sys.stdout.flush()
        sys.stderr.write("problem\n")
    """
    process = python(code)
    assert run(process) == 0
    lines = capsys.readouterr().out.splitlines()
    name = process.process_details["name"]
    assert name.startswith("talker-")
    assert {f"[{name}] café", f"[{name}] cut", f"[{name}] problem"} <= set(lines)
    pid = process.process_details["pid"]
    assert f"[INFO] [{name}]: process started with pid [{pid}]" in lines
    assert f"[INFO] [{name}]: process has finished cleanly [pid {pid}]" in lines
    assert (process.get_stdout(), process.get_stderr()) == ("café\ncut", "problem\n")
    (log,) = log_dir.glob("*/launch.log")
    assert "process has finished cleanly" in log.read_text()
    assert "café" not in log.read_text()


@pytest.mark.parametrize(
    ("output", "screen", "log"),
    [
        ("log", {"err"}, {"out", "err"}),
        ("both", {"out", "err"}, {"out", "err"}),
        ({"stdout": "log", "stderr": "screen"}, {"err"}, {"out"}),
    ],
)
def test_output_goes_where_it_is_told(output, screen, log, capsys, log_dir):
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    assert run(python(code, output=output, output_format="<{line}>")) == 0
    shown = capsys.readouterr().out.splitlines()
    written = next(log_dir.glob("*/launch.log")).read_text().splitlines()
    assert {word for word in ("out", "err") if f"<{word}>" in shown} == screen
    assert {w for w in ("out", "err") if any(li.endswith(f" <{w}>") for li in written)} == log


def test_own_log_has_a_file_per_stream(log_dir):
    process = python("import sys; print('out'); print('err', file=sys.stderr)", output="own_log")
    assert run(process) == 0
    name = process.process_details["name"]
    (folder,) = log_dir.iterdir()
    assert (folder / f"{name}-stdout.log").read_text() == f"[{name}] out\n"
    assert (folder / f"{name}-stderr.log").read_text() == f"[{name}] err\n"
    assert len((folder / f"{name}.log").read_text().splitlines()) == 2


def test_output_of_an_unknown_kind_is_an_error(capsys):
    assert run(python("pass", output="paper")) == 1
    assert "'paper' is not a valid output" in capsys.readouterr().out


def test_a_terminal_is_emulated_on_request():
    code = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty())"
    plain, terminal = python(code), python(code, emulate_tty=True)
    assert run(plain, terminal) == 0
    assert plain.get_stdout().split() == ["False", "False"]
    assert terminal.get_stdout().split() == ["True", "True"]


def test_output_comes_before_the_exit_even_when_there_is_much_of_it():
    order: list = []
    process = python("print('x' * 1_000_000)")
    handlers = [
        OnProcessIO(target_action=process, on_stdout=lambda e: order.append(len(e.text))),
        OnProcessExit(target_action=process, on_exit=lambda *_: order.append("exit")),
    ]
    assert run(*map(RegisterEventHandler, handlers), process) == 0
    assert order[-1] == "exit"
    assert sum(order[:-1]) == 1_000_001


def test_what_a_child_writes_after_the_exit_still_comes():
    shell = ExecuteProcess(
        cmd=["(sleep 0.1; echo late) & echo soon"], shell=True, cached_output=True
    )
    at_exit = []
    note = OnProcessExit(target_action=shell, on_exit=lambda *_: at_exit.append(shell.get_stdout()))
    assert run(RegisterEventHandler(note), shell) == 0
    assert at_exit == ["soon\nlate\n"]


def test_standard_input_is_written_by_an_event():
    process = python("print(input()[::-1])")

    def write(event, _):
        return EmitEvent(event=ProcessStdin(text=b"abc\n", **process.process_details))

    assert run(RegisterEventHandler(OnProcessStart(on_start=write)), process) == 0
    assert process.get_stdout() == "cba\n"


def test_command_that_does_not_exist_is_said_and_leaves_the_others(capsys):
    other = python("print('here')")
    assert run(ExecuteProcess(cmd=["no-such-command"]), other) == 0
    assert "cannot start 'no-such-command'" in capsys.readouterr().out
    assert other.return_code == 0


def test_working_directory_prefix_and_shell(tmp_path, capfd):
    where = ExecuteProcess(cmd=["pwd"], cwd=str(tmp_path), cached_output=True)
    prefixed = ExecuteProcess(cmd=["three"], prefix="echo one 'two 2'", cached_output=True)
    shell = ExecuteProcess(cmd=["echo", "$((1 + 2))", "|", "cat"], shell=True, cached_output=True)
    assert run(where, prefixed, shell) == 0
    texts = [p.get_stdout().strip() for p in (where, prefixed, shell)]
    assert texts == [str(tmp_path), "one two 2 three", "3"]


def test_environment(monkeypatch):
    monkeypatch.setenv("LAUNCH_TEST_A", "a")
    monkeypatch.setenv("LAUNCH_TEST_B", "b")
    monkeypatch.delenv("LAUNCH_TEST_C", raising=False)
    code = """
        import os
        print([os.environ.get("LAUNCH_TEST_" + name) for name in "ABCD"])
    """
    first = python(code)
    second = python(code, additional_env={"LAUNCH_TEST_D": [LaunchConfiguration("word"), "!"]})
    alone = python(code, env={"LAUNCH_TEST_C": "only"})
    changes = [
        UnsetEnvironmentVariable("LAUNCH_TEST_A"),
        AppendEnvironmentVariable("LAUNCH_TEST_B", "after"),
        AppendEnvironmentVariable("LAUNCH_TEST_B", "before", prepend=True),
        SetEnvironmentVariable("LAUNCH_TEST_C", LaunchConfiguration("word")),
    ]
    assert run(first, GroupAction([*changes, second, alone]), word="hi") == 0
    assert first.get_stdout().strip() == "['a', 'b', None, None]"
    assert second.get_stdout().strip() == "[None, 'before:b:after', 'hi', 'hi!']"
    assert alone.get_stdout().strip() == "[None, None, 'only', None]"


# ---- respawn


def test_respawn_after_a_delay_until_the_retries_are_used_up():
    process = python(
        "import time; print(time.monotonic())",
        respawn=True,
        respawn_delay=0.2,
        respawn_max_retries=2,
    )
    assert run(process) == 0
    starts = [float(line) for line in process.get_stdout().split()]
    assert len(starts) == 3
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(starts))


def test_shutdown_ends_respawn_while_it_waits():
    process = python("pass", respawn=LaunchConfiguration("again"), respawn_delay=60.0)
    start = time.monotonic()
    on_exit = RegisterEventHandler(OnProcessExit(target_action=process, on_exit=[Shutdown()]))
    assert run(on_exit, process, again="true") == 0
    assert time.monotonic() - start < 50


# ---- signals and shutdown

STUBBORN = """
    import signal, sys, time
    for name in sys.argv[1:]:
        signal.signal(getattr(signal, name), lambda number, _: print(f"got {number}"))
    print("ready")
    while True:
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("ignored", "ended_by"),
    [([], signal.SIGINT), (["SIGINT"], signal.SIGTERM), (["SIGINT", "SIGTERM"], signal.SIGKILL)],
)
def test_stop_escalates_from_sigint_to_sigterm_to_sigkill(ignored, ended_by, capsys):
    sigterm, sigkill = ("0.2" if name in ignored else "60" for name in ("SIGINT", "SIGTERM"))
    process = python(STUBBORN, *ignored, sigterm_timeout=sigterm, sigkill_timeout=sigkill)
    stop = OnProcessIO(
        target_action=process,
        on_stdout=lambda _: EmitEvent(
            event=ShutdownProcess(process_matcher=matches_action(process))
        ),
        handle_once=True,
    )
    assert run(RegisterEventHandler(stop), process) == 0
    if ended_by == signal.SIGINT:  # Python's KeyboardInterrupt
        assert process.return_code in (-signal.SIGINT, 130)
    else:
        assert process.return_code == -ended_by
    escalations = capsys.readouterr().out.count("escalating to")
    assert escalations == len(ignored)


def test_shutdown_timeouts_come_from_launch_configurations_by_default(capsys):
    process = python(STUBBORN, "SIGINT")
    stop = OnProcessIO(target_action=process, on_stdout=lambda _: Shutdown(), handle_once=True)
    assert run(RegisterEventHandler(stop), process, sigterm_timeout="0.1") == 0
    assert "'0.1' seconds" in next(
        li for li in capsys.readouterr().out.splitlines() if "escalating" in li
    )
    assert process.return_code == -signal.SIGTERM


def test_signal_event_reaches_the_processes_it_addresses():
    process, other = python(STUBBORN, "SIGUSR1"), python(STUBBORN)
    signal_one = EmitEvent(
        event=SignalProcess(signal_number="SIGUSR1", process_matcher=matches_action(process))
    )
    steps = {("ready", "ready"): signal_one, ("got 10", "ready", "ready"): Shutdown()}

    def on_output(_):
        lines = sorted((process.get_stdout() + other.get_stdout()).splitlines())
        return steps.pop(tuple(lines), None)

    assert run(RegisterEventHandler(OnProcessIO(on_stdout=on_output)), process, other) == 0
    assert process.return_code == other.return_code == -signal.SIGINT


def test_a_shell_takes_its_children_with_it(capsys):
    # The child ignores SIGINT, and the shell does not wait for it when it gets one.
    child = "sh -c 'trap \"\" INT; echo $$; exec sleep 60'"
    shell = ExecuteProcess(cmd=[f"{child} & wait"], shell=True, cached_output=True)
    stop = OnProcessIO(target_action=shell, on_stdout=lambda _: Shutdown())
    assert run(RegisterEventHandler(stop), shell) == 0
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(shell.get_stdout())).wait(timeout=PATIENCE_S)
    assert "escalating" not in capsys.readouterr().out


SCRIPT = """
    import sys
    from launch import LaunchDescription, LaunchService
    from launch.actions import ExecuteProcess

    code = "import time; print('up', flush=True); time.sleep(60)"
    service = LaunchService()
    service.include_launch_description(LaunchDescription(
        [ExecuteProcess(cmd=[sys.executable, "-c", code], output="screen", name="child")]))
    sys.exit(service.run())
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGHUP, 1)]
)
@soon
def test_a_signal_to_the_launch_ends_its_processes_at_once(number, code):
    command = [sys.executable, "-u", "-c", textwrap.dedent(SCRIPT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        lines = []
        for line in p.stdout or ():
            lines.append(line)
            if "up" in line.split():
                break
        start = time.monotonic()
        p.send_signal(number)
        rest, errors = p.communicate(timeout=PATIENCE_S)
    check_soon(start)
    assert p.returncode == code
    pid = next(line.split("[")[-1].rstrip("]\n") for line in lines if "process started" in line)
    assert not os.path.exists(f"/proc/{pid}")
    assert f"user interrupted with {'ctrl-c (SIGINT)' if code == 0 else number.name}" in rest
    assert errors == ""


def test_shutdown_from_another_thread_ends_a_service_that_never_idles():
    service = LaunchService()
    codes = []
    thread = threading.Thread(target=lambda: codes.append(service.run(shutdown_when_idle=False)))
    thread.start()
    ready = threading.Event()
    service.include_launch_description(
        LaunchDescription([OpaqueFunction(function=lambda _: ready.set())])
    )
    assert ready.wait(PATIENCE_S)
    service.shutdown()
    thread.join(PATIENCE_S)
    assert codes == [0]


def test_a_cancelled_launch_stops_its_processes_first():
    import asyncio

    process = python("import time; print('up'); time.sleep(60)")
    service = LaunchService()

    async def main():
        up = asyncio.Event()
        handler = OnProcessIO(target_action=process, on_stdout=lambda _: up.set())
        service.include_launch_description(
            LaunchDescription([RegisterEventHandler(handler), process])
        )
        task = asyncio.get_running_loop().create_task(service.run_async())
        await up.wait()
        task.cancel()
        return await task

    assert asyncio.run(main()) == 1
    assert process.return_code == -signal.SIGINT
