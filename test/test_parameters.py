# SPDX-License-Identifier: Apache-2.0
"""Parameters: checked one by one and together; documents printed from them stay equal."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from zipmap_ros.parameters import SPECS, ParameterError, Parameters, to_markdown, to_yaml, validate

ROOT = Path(__file__).parent.parent


def test_every_default_is_good():
    for spec in SPECS.values():
        assert validate(spec.name, spec.default) is None
        assert spec.description.endswith(".")
    assert Parameters().conflict() is None
    assert list(SPECS) == [f.name for f in fields(Parameters)]


def test_numbers_have_a_range():
    for spec in SPECS.values():
        if spec.type_name in ("int", "double"):
            assert spec.low is not None and spec.high is not None, spec.name
            assert validate(spec.name, type(spec.default)(spec.low)) is None
            assert "must be in" in (validate(spec.name, spec.high + 1) or "")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("map_voxel", 0.1, "there is no parameter"),
        ("chunk_frames", 2.0, "must be of type int"),
        ("chunk_frames", True, "must be of type int"),
        ("autostart", 1, "must be of type bool"),
        ("compiled", False, "got False: YAML reads on and off as booleans, quote them"),
        ("compiled", 3, "must be of type string"),
        ("map_voxel_m", float("nan"), "must be of type double"),
        ("map_voxel_m", float("inf"), "must be of type double"),
        ("map_voxel_m", "0.05", "must be of type double"),
        ("mode", "slam", "must be one of mapping, localization"),
        ("device", "gpu", "must match"),
        ("cameras", ["front", "left camera"], "must match"),
        ("cameras", "front", "must be of type string_array"),
        ("checkpoint_sha256", "abc", "must match"),
        ("base_frame", "", "must match"),
        ("base_frame", "/base", "must match"),
    ],
)
def test_bad_values_are_refused_with_the_reason(name, value, reason):
    found = validate(name, value) or ""
    assert reason in found
    assert ("quote them" in found) == ("quote them" in reason)


def test_updated_coerces_and_leaves_the_old_one():
    old = Parameters()
    new = old.updated({"map_voxel_m": 1, "cameras": ["front", "left"], "device": "cuda:1"})
    assert isinstance(new.map_voxel_m, float) and new.map_voxel_m == 1.0
    assert new.cameras == ("front", "left")
    assert old == Parameters()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"map_frame": "odom"}, "must differ"),
        ({"cameras": ["front", "front"]}, "must differ"),
        ({"scale_source": "tf"}, "tf_mode odom_and_map does not leave"),
        ({"lost_after": 0}, "must be in 1 .. 10000"),
    ],
)
def test_values_that_cannot_stand_together_are_refused(changes, reason):
    with pytest.raises(ParameterError, match=reason):
        Parameters().updated(changes)
    with pytest.raises(ParameterError, match=reason):
        Parameters(**changes)


def test_printed_documents_are_up_to_date():
    """The files were printed from this parameters.py."""
    assert (ROOT / "docs/parameters.md").read_text() == to_markdown()
    assert (ROOT / "config/stream.yaml").read_text() == to_yaml()


def test_the_yaml_reads_back_as_the_defaults():
    values = yaml.safe_load(to_yaml())["/**"]["ros__parameters"]
    assert Parameters().updated(values) == Parameters()
    assert set(values) == set(SPECS) - {"cameras"}
