# SPDX-License-Identifier: Apache-2.0
"""Tests with pytest against a running launch. Names are those of ROS 2's `launch_pytest`.

    @launch_pytest.fixture
    def launch_description():
        return LaunchDescription([Node(...), launch_pytest.actions.ReadyToTest()])

    @pytest.mark.launch(fixture=launch_description)
    def test_it(launch_context): ...

A function runs in a thread beside the launch, a coroutine in the launch's own loop; with
`shutdown=True` they run after the launch has ended. A generator does both: what follows its
`yield` runs after the end.
"""

from . import actions, tools
from .fixture import fixture

__all__ = ["actions", "fixture", "tools"]
