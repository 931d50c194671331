# SPDX-License-Identifier: Apache-2.0
"""Remapping rules: pairs of names, each a text or made of substitutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions

if TYPE_CHECKING:
    from launch.substitution import Substitution

RemapRule = tuple[list["Substitution"], list["Substitution"]]
SomeRemapRule = tuple[SomeSubstitutionsType, SomeSubstitutionsType]


def normalize_remap_rule(remap_rule: SomeRemapRule) -> RemapRule:
    """(from, to) as lists of substitutions. TypeError where it is not a pair."""
    if not isinstance(remap_rule, tuple | list) or len(remap_rule) != 2:
        raise TypeError(f"a remapping must be a pair (from, to), got {remap_rule!r}")
    source, target = remap_rule
    return normalize_to_list_of_substitutions(source), normalize_to_list_of_substitutions(target)


def normalize_remap_rules(remap_rules: Iterable[SomeRemapRule]) -> list[RemapRule]:
    """All rules, in order."""
    return [normalize_remap_rule(rule) for rule in remap_rules]
