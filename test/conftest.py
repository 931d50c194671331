# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():  # whoever imports triton first decides how its kernels run
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of recorded tensors, real frames and videos that is not part of the repository."""
    folder = os.environ.get("ZIPMAP_TEST_DATA")
    if not folder:
        pytest.skip("ZIPMAP_TEST_DATA is not set: it names the folder of larger test data")
    return Path(folder)
