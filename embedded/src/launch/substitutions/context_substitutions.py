# SPDX-License-Identifier: Apache-2.0
"""Substitutions whose value comes from the launch context."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LaunchConfiguration(Substitution):
    """The value of a launch argument or configuration."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Any = None) -> None:
        self.__variable_name = normalize_to_list_of_substitutions(variable_name)
        self.__default: list[Substitution] | None = None
        if default is not None:
            is_text = isinstance(default, str | Substitution | Iterable)
            self.__default = normalize_to_list_of_substitutions(
                default if is_text else str(default)
            )

    @property
    def variable_name(self) -> list[Substitution]:
        """The name of the configuration."""
        return self.__variable_name

    def describe(self) -> str:
        return f"LaunchConfig({' + '.join(s.describe() for s in self.__variable_name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self.__variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.__default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.__default)


class LocalSubstitution(Substitution):
    """An expression over the local variables of the context: `event.pid` for instance."""

    def __init__(self, expression: str, description: str | None = None) -> None:
        self.__expression = expression
        self.__description = description

    @property
    def expression(self) -> str:
        """The expression, as written."""
        return self.__expression

    def describe(self) -> str:
        return f"LocalVar('{self.__description or self.__expression}')"

    def perform(self, context: LaunchContext) -> str:
        variables = context.get_locals_as_dict()
        try:
            return str(eval(self.__expression, {"__builtins__": {}}, variables))
        except Exception as error:
            raise SubstitutionFailure(
                f"local variable '{self.__expression}' cannot be evaluated: {error}"
            ) from error


class ThisLaunchFile(Substitution):
    """The path of the launch file being launched."""

    def describe(self) -> str:
        return "ThisLaunchFile()"

    def perform(self, context: LaunchContext) -> str:
        return _launch_file_location(context, "current_launch_file_path", self)


class ThisLaunchFileDir(Substitution):
    """The directory of the launch file being launched."""

    def describe(self) -> str:
        return "ThisLaunchFileDir()"

    def perform(self, context: LaunchContext) -> str:
        return _launch_file_location(context, "current_launch_file_directory", self)


def _launch_file_location(context: LaunchContext, key: str, asked_by: Substitution) -> str:
    location = context.get_locals_as_dict().get(key)
    if location is None:
        raise SubstitutionFailure(f"{asked_by.describe()} used outside of a launch file")
    return location


class LaunchLogDir(Substitution):
    """The directory of this launch's log files."""

    def describe(self) -> str:
        return "LaunchLogDir()"

    def perform(self, context: LaunchContext) -> str:
        from ..logging import launch_config

        return launch_config.log_dir


class AnonName(Substitution):
    """`<name>_<host>_<pid>_<ns>`: unique, and the same for the same name within a launch."""

    def __init__(self, name: SomeSubstitutionsType) -> None:
        self.__name = normalize_to_list_of_substitutions(name)

    @property
    def name(self) -> list[Substitution]:
        """The name that is made unique."""
        return self.__name

    def describe(self) -> str:
        return f"AnonName({' + '.join(s.describe() for s in self.__name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self.__name)
        key = "anon" + name
        if key not in context.launch_configurations:
            host = re.sub("[^A-Za-z0-9]", "_", os.uname().nodename)
            context.launch_configurations[key] = f"{name}_{host}_{os.getpid()}_{time.time_ns()}"
        return context.launch_configurations[key]
