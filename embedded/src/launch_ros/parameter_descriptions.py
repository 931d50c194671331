# SPDX-License-Identifier: Apache-2.0
"""Parameters whose type or source a launch file states."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from launch.substitution import Substitution


class ParameterValue:
    """A value with its type: bool, int, float, str or a `List` of one; None for YAML's rules."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        self.__value = normalize_typed_substitution(value, value_type)
        self.__value_type = value_type

    @property
    def value(self) -> Any:
        """The value, or the substitutions that give it."""
        return self.__value

    @property
    def value_type(self) -> Any:
        """The type."""
        return self.__value_type

    def evaluate(self, context: LaunchContext) -> Any:
        """The value. ValueError where the text does not fit the type."""
        value = perform_typed_substitution(context, self.__value, self.__value_type)
        return float(value) if self.__value_type is float else value


class Parameter:
    """One parameter, given to the node as `-p name:=value`."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, value_type: Any = None) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = ParameterValue(value, value_type=value_type)

    @property
    def name(self) -> list[Substitution]:
        """The name."""
        return self.__name

    @property
    def value(self) -> Any:
        """The value."""
        return self.__value.value

    @property
    def value_type(self) -> Any:
        """The type."""
        return self.__value.value_type

    def evaluate(self, context: LaunchContext) -> tuple[str, Any]:
        """(name, value)."""
        return perform_substitutions(context, self.__name), self.__value.evaluate(context)


class ParameterFile:
    """A YAML file of parameters, given to the node as it is."""

    def __init__(
        self,
        param_file: str | os.PathLike[str] | SomeSubstitutionsType,
        *,
        allow_substs: bool = False,
    ) -> None:
        if allow_substs:
            raise NotImplementedError("ParameterFile(allow_substs=True) needs a full ROS 2")
        if isinstance(param_file, os.PathLike):
            param_file = os.fspath(param_file)
        self.__param_file = normalize_to_list_of_substitutions(param_file)

    @property
    def param_file(self) -> list[Substitution]:
        """The path."""
        return self.__param_file

    @property
    def allow_substs(self) -> bool:
        """Always False here."""
        return False

    def evaluate(self, context: LaunchContext) -> pathlib.Path:
        """The path."""
        return pathlib.Path(perform_substitutions(context, self.__param_file))
