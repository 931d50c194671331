# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from rosbench import Bench

if not torch.cuda.is_available():  # whoever imports triton first decides how its kernels run
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of recorded tensors, real frames and videos that is not part of the repository."""
    folder = os.environ.get("ZIPMAP_TEST_DATA")
    if not folder:
        pytest.skip("ZIPMAP_TEST_DATA is not set: it names the folder of larger test data")
    return Path(folder)


@pytest.fixture(scope="module")
def ros(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A third process' eyes and hands, in the DOMAIN of the module."""
    from rosbench import bench  # which wants ROS, as not all tests do

    with bench(request.module.DOMAIN) as made:
        yield made
