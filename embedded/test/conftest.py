# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files use."""

import launch
import pytest


@pytest.fixture
def log_dir(tmp_path, monkeypatch):
    """The directory below which launches of this test write their log files."""
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    yield tmp_path / "log"
    launch.logging.reset()
