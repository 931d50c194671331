# SPDX-License-Identifier: Apache-2.0
"""Substitutions made of texts alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class TextSubstitution(Substitution):
    """A fixed text."""

    def __init__(self, *, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"TextSubstitution expects a str, got {text!r}")
        self.__text = text

    @property
    def text(self) -> str:
        """The text."""
        return self.__text

    def describe(self) -> str:
        return f"'{self.__text}'"

    def perform(self, context: LaunchContext) -> str:
        return self.__text


class StringJoinSubstitution(Substitution):
    """Components, each a text, a substitution or a sequence of them, joined by `delimiter`."""

    def __init__(
        self,
        substitutions: Iterable[SomeSubstitutionsType],
        delimiter: SomeSubstitutionsType = "",
    ) -> None:
        self.__substitutions = [normalize_to_list_of_substitutions(s) for s in substitutions]
        self.__delimiter = normalize_to_list_of_substitutions(delimiter)

    @property
    def substitutions(self) -> list[list[Substitution]]:
        """The components."""
        return self.__substitutions

    def describe(self) -> str:
        parts = ["".join(s.describe() for s in c) for c in self.__substitutions]
        return f"{type(self).__name__}({', '.join(parts)})"

    def perform(self, context: LaunchContext) -> str:
        components = [perform_substitutions(context, c) for c in self.__substitutions]
        return perform_substitutions(context, self.__delimiter).join(components)


class PathJoinSubstitution(Substitution):
    """Components of a path, joined by the operating system's separator."""

    def __init__(self, substitutions: Iterable[SomeSubstitutionsType]) -> None:
        self.__substitutions = [normalize_to_list_of_substitutions(s) for s in substitutions]

    @property
    def substitutions(self) -> list[list[Substitution]]:
        """The components."""
        return self.__substitutions

    def describe(self) -> str:
        parts = ["".join(s.describe() for s in c) for c in self.__substitutions]
        return f"PathJoin({', '.join(parts)})"

    def perform(self, context: LaunchContext) -> str:
        return os.path.join(*[perform_substitutions(context, c) for c in self.__substitutions])
