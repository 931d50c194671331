# SPDX-License-Identifier: Apache-2.0
"""The value of a parameter that `SetParameter` has set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class Parameter(Substitution):
    """The text of a parameter set in this scope, or a default."""

    def __init__(
        self, name: SomeSubstitutionsType, *, default: SomeSubstitutionsType | None = None
    ) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__default = None if default is None else normalize_to_list_of_substitutions(default)

    @property
    def name(self) -> list[Substitution]:
        """The parameter's name."""
        return self.__name

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self.__name)
        entries = context.launch_configurations.get("global_params", [])
        values = [e[1] for e in entries if isinstance(e, tuple) and e[0] == name]
        if values:
            return str(values[-1])
        if self.__default is None:
            raise SubstitutionFailure(f"parameter '{name}' not found")
        return perform_substitutions(context, self.__default)
