# SPDX-License-Identifier: Apache-2.0
"""docs/features.md names tests that exist, for every feature that it does not say is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
DOCUMENT = (TESTS.parent / "docs" / "features.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ")][1:]


def names(file: str) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse((TESTS / file).read_text())
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", DOCUMENT)
    assert len(named) > 50
    there = {file: names(file) for file in {file for file, _ in named}}
    assert [f"{file}::{test}" for file, test in named if test not in there[file]] == []


def test_every_feature_has_a_test_or_a_reason() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        feature, proved, missing = (cell.strip() for cell in row.strip("|").split("|"))
        assert feature
        assert "::" in proved or missing, f"{feature}: neither a test nor why there is none"
        assert proved.count("::") == proved.count(", ") + bool(proved), f"{feature}: {proved}"
