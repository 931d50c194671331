# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files use."""

import os

import launch
import pytest

# A domain of this test run's own, for all its processes: others on this machine are not met.
# Below 102, where Linux hands out no ports of its own to others.
os.environ.setdefault("ROS_DOMAIN_ID", str(30 + os.getpid() % 70))


@pytest.fixture
def log_dir(tmp_path, monkeypatch):
    """The directory below which launches of this test write their log files."""
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    yield tmp_path / "log"
    launch.logging.reset()
