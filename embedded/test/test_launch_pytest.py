# SPDX-License-Identifier: Apache-2.0
"""launch_pytest: tests of tests, each in a pytest of its own."""

import re
import textwrap

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import sys
import time

import launch_pytest
import pytest
from launch import LaunchDescription
from launch.actions import ExecuteProcess, OpaqueFunction, Shutdown, TimerAction
from launch_pytest.actions import ReadyToTest
from launch_pytest.tools import process as process_tools

ENDLESS = "import time; print('up', flush=True); time.sleep(60)"

def process(code=ENDLESS, **options):
    return ExecuteProcess(cmd=[sys.executable, "-c", code], cached_output=True, **options)

def has(text):
    return lambda output: text in output
"""


@pytest.fixture
def outcome(pytester, log_dir, monkeypatch):
    """Run a test file in a pytest of its own, in this process; its result."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(code):
        pytester.makepyfile(test_it=HEAD + textwrap.dedent(code))
        return pytester.runpytest_inprocess("-p", "launch_pytest.plugin", "-v")

    return run


def order_of_tests(result):
    return re.findall(r"^test_it.py::(\S+) PASSED", result.stdout.str(), re.MULTILINE)


FUNCTION_SCOPE = """
    @pytest.fixture
    def talker():
        return process()

    @launch_pytest.fixture
    def description(talker):
        return LaunchDescription([talker, ReadyToTest()])
"""


def test_functions_and_coroutines_run_beside_the_launch(outcome):
    result = outcome(
        FUNCTION_SCOPE
        + """
    @pytest.mark.launch(fixture=description)
    def test_sync(talker, launch_context):
        assert process_tools.wait_for_start_sync(launch_context, talker, timeout=60)
        assert process_tools.wait_for_output_sync(launch_context, talker, has("up"), timeout=60)
        assert talker.return_code is None
        never = lambda output: output == "never"
        assert not process_tools.wait_for_output_sync(
            launch_context, talker, never, timeout=0.05)

    @pytest.mark.launch(fixture=description)
    async def test_async(talker, launch_context, launch_service, event_loop):
        import asyncio
        assert asyncio.get_running_loop() is event_loop is launch_service.event_loop
        assert await process_tools.wait_for_start(launch_context, talker, timeout=60)
        assert await process_tools.wait_for_output(launch_context, talker, has("up"), timeout=60)
        assert not await process_tools.wait_for_exit(launch_context, talker, timeout=0.05)
        launch_service.shutdown(force_sync=True)
        assert await process_tools.wait_for_exit(launch_context, talker, timeout=60)
        assert talker.return_code == -2

    @pytest.mark.launch(fixture=description)
    def test_failure(talker, launch_context):
        assert False, "as it must"

    @pytest.mark.launch(fixture=description)
    async def test_skip():
        pytest.skip("no reason")

    class TestInClass:
        @pytest.mark.launch(fixture=description)
        def test_method(self, talker, launch_context):
            assert process_tools.wait_for_start_sync(launch_context, talker, timeout=60)
    """
    )
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    result.stdout.re_match_lines([".*AssertionError: as it must.*"])


def test_what_follows_the_yield_runs_after_the_end_of_the_launch(outcome):
    result = outcome(
        FUNCTION_SCOPE
        + """
    @pytest.mark.launch(fixture=description)
    def test_generator(talker, launch_context):
        process_tools.assert_output_sync(launch_context, talker, has("up"), timeout=60)
        assert talker.return_code is None
        yield
        assert talker.return_code == -2

    @pytest.mark.launch(fixture=description)
    async def test_async_generator(talker, launch_context):
        await process_tools.assert_output(launch_context, talker, has("up"), timeout=60)
        yield
        assert talker.return_code == -2

    @pytest.mark.launch(fixture=description, shutdown=True)
    def test_shutdown_function(talker):
        assert talker.return_code is not None

    @pytest.mark.launch(fixture=description)
    def test_second_half_fails(talker):
        yield
        assert talker.return_code == 77
    """
    )
    result.assert_outcomes(passed=3, failed=1)


MODULE_SCOPE = """
    STARTS = []

    @launch_pytest.fixture(scope="module")
    def description():
        STARTS.append(1)
        talker = process()
        return LaunchDescription([talker, ReadyToTest()]), talker
"""


def test_one_launch_serves_a_module_and_shutdown_tests_come_last(outcome):
    result = outcome(
        MODULE_SCOPE
        + """
    @pytest.mark.launch(fixture=description, shutdown=True)
    async def test_a_after(description):
        assert description[1].return_code == -2

    @pytest.mark.launch(fixture=description)
    def test_b_both(description, launch_context):
        talker = description[1]
        assert process_tools.wait_for_output_sync(launch_context, talker, has("up"), timeout=60)
        yield
        assert talker.return_code == -2

    @pytest.mark.launch(fixture=description)
    async def test_c_beside(description, launch_service):
        assert description[1].return_code is None
        assert launch_service.task is not None

    @pytest.mark.launch(fixture=description)
    async def test_d_async_both(description):
        yield
        assert description[1].return_code == -2

    def test_e_other():
        assert STARTS == [1]
    """
    )
    result.assert_outcomes(passed=7)
    assert order_of_tests(result) == [
        "test_b_both",
        "test_c_beside",
        "test_d_async_both",
        "test_a_after",
        "test_b_both[shutdown_test]",
        "test_d_async_both[shutdown_test]",
        "test_e_other",
    ]


def test_second_half_is_skipped_where_the_first_failed(outcome):
    result = outcome(
        MODULE_SCOPE
        + """
    @pytest.mark.launch(fixture=description)
    def test_both():
        assert False
        yield
    """
    )
    result.assert_outcomes(failed=1, skipped=1)


def test_parameterized_launch_fixture_launches_once_for_each(outcome):
    result = outcome(
        """
    @launch_pytest.fixture(scope="module", params=["one", "two"], auto_shutdown=False)
    def description(request):
        return LaunchDescription([process(f"print('{request.param}')")]), request.param

    @pytest.mark.launch(fixture=description)
    def test_beside(description):
        pass

    @pytest.mark.launch(fixture=description, shutdown=True)
    def test_after(description):
        talker = description[0].entities[0]
        assert talker.get_stdout().strip() == description[1]

    class TestBoth:
        @pytest.mark.launch(fixture=description)
        def test_both(self, description):
            self.number = 1
            yield
            assert self.number == 1
            assert description[0].entities[0].return_code == 0
    """
    )
    result.assert_outcomes(passed=8)
    names = (
        "test_beside[{}]",
        "TestBoth::test_both[{}]",
        "test_after[{}]",
        "TestBoth::test_both[shutdown_test][{}]",
    )
    tests = [name.format(which) for which in ("one", "two") for name in names]
    assert order_of_tests(result) == tests


def test_tests_start_when_the_description_says_so(outcome):
    result = outcome(
        """
    BEFORE = []

    @launch_pytest.fixture(auto_shutdown=False)
    def description():
        note = OpaqueFunction(function=lambda _: BEFORE.append(1))
        return LaunchDescription([TimerAction(period=0.1, actions=[note, ReadyToTest()])])

    @pytest.mark.launch(fixture=description)
    def test_ready():
        assert BEFORE == [1]

    @launch_pytest.fixture
    def ends_early():
        return LaunchDescription(
            [Shutdown(), TimerAction(period=60.0, actions=[ReadyToTest()])])

    @pytest.mark.launch(fixture=ends_early)
    def test_never_ready():
        pass
    """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines([".*'ends_early': the launch ended before it was ready to test.*"])


def test_fixture_that_fails_fails_every_test_of_its_module(outcome):
    result = outcome(
        """
    @launch_pytest.fixture(scope="module")
    def description():
        return LaunchDescription([OpaqueFunction(function=lambda _: 1 / 0), process()])

    @pytest.mark.launch(fixture=description)
    def test_one():
        pass

    @pytest.mark.launch(fixture=description)
    def test_two():
        pass
    """
    )
    result.assert_outcomes(errors=2)
    result.stdout.re_match_lines([".*before it was ready to test, return code '1'.*"])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("object()", "return value must be either a launch description"),
        ("[object, 1]", "return value must be either a launch description"),
        ("LaunchDescription([ReadyToTest(), ReadyToTest()])", "containing only one ReadyToTest"),
    ],
)
def test_fixture_that_returns_something_else(returned, message, outcome):
    result = outcome(
        f"""
    @launch_pytest.fixture
    def description():
        return {returned}

    @pytest.mark.launch(fixture=description)
    def test_it():
        pass
    """
    )
    result.assert_outcomes(errors=1)
    result.stdout.re_match_lines([f".*{message}.*"])


def test_generators_that_break_the_rules(outcome):
    result = outcome(
        FUNCTION_SCOPE
        + """
    @pytest.mark.launch(fixture=description)
    def test_twice():
        yield
        yield

    @pytest.mark.launch(fixture=description)
    async def test_twice_async():
        yield
        yield

    @pytest.mark.launch(fixture=description, shutdown=True)
    def test_both_ways():
        yield

    @pytest.mark.launch
    def test_without_fixture():
        pass
    """
    )
    result.assert_outcomes(failed=3, skipped=1, warnings=1)
    output = result.stdout.str()
    assert output.count("must stop iteration after yielding once") >= 2
    assert "cannot be marked with shutdown=True" in output
    assert '"fixture" keyword argument is required' in output


def test_assert_output_shows_the_failing_assertion(outcome):
    result = outcome(
        FUNCTION_SCOPE
        + """
    def expect(output):
        assert output.splitlines() == ["down"]

    @pytest.mark.launch(fixture=description)
    def test_sync(talker, launch_context):
        process_tools.assert_output_sync(launch_context, talker, expect, timeout=0.2)

    @pytest.mark.launch(fixture=description)
    async def test_stderr(talker, launch_context):
        await process_tools.assert_stderr(launch_context, talker, has("bad"), timeout=0.05)
    """
    )
    result.assert_outcomes(failed=2)
    result.stdout.re_match_lines([r".*AssertionError: assert \[.*\] == \['down'\].*"])
    result.stdout.re_match_lines([".*the output did not become valid: ''.*"])
