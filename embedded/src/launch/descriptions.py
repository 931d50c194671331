# SPDX-License-Identifier: Apache-2.0
"""Executable: a command with its name, directory and environment, before and after substitution."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .some_substitutions_type import SomeSubstitutionsType
from .substitutions import LaunchConfiguration
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .action import Action
    from .launch_context import LaunchContext
    from .substitution import Substitution

_counter = itertools.count(1)


class Executable:
    """What to run.

    cmd: the words of the command. prefix: words put before it, by default the launch
    configuration `launch-prefix`. name: the label, by default the command's base name; a number
    is added. env replaces the environment; additional_env is added to it.
    """

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        additional_env: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
    ) -> None:
        self.__cmd = [normalize_to_list_of_substitutions(word) for word in cmd]
        self.__prefix = normalize_to_list_of_substitutions(
            LaunchConfiguration("launch-prefix", default="") if prefix is None else prefix
        )
        self.__name = None if name is None else normalize_to_list_of_substitutions(name)
        self.__cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self.__env = None if env is None else _normalized(env)
        self.__additional_env = None if additional_env is None else _normalized(additional_env)
        self.__final_name: str | None = None
        self.__final_cmd: list[str] | None = None
        self.__final_cwd: str | None = None
        self.__final_env: dict[str, str] | None = None

    @property
    def name(self) -> list[Substitution] | None:
        """The label, as given."""
        return self.__name

    @property
    def prefix(self) -> list[Substitution]:
        """Words put before the command."""
        return self.__prefix

    @property
    def cmd(self) -> list[list[Substitution]]:
        """The words of the command."""
        return self.__cmd

    @property
    def cwd(self) -> list[Substitution] | None:
        """The working directory."""
        return self.__cwd

    @property
    def env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        """The whole environment, where given."""
        return self.__env

    @property
    def additional_env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        """Variables added to the environment."""
        return self.__additional_env

    @property
    def final_name(self) -> str | None:
        """The label with its number, once prepared."""
        return self.__final_name

    @property
    def final_cmd(self) -> list[str] | None:
        """The command, once prepared."""
        return self.__final_cmd

    @property
    def final_cwd(self) -> str | None:
        """The working directory, once prepared."""
        return self.__final_cwd

    @property
    def final_env(self) -> dict[str, str] | None:
        """The environment, once prepared."""
        return self.__final_env

    def prepare(self, context: LaunchContext, action: Action) -> None:
        """Perform all substitutions."""
        import shlex

        cmd = [perform_substitutions(context, word) for word in self.__cmd]
        if not cmd:
            raise ValueError("the command of a process is empty")
        label = (
            os.path.basename(cmd[0])
            if self.__name is None
            else perform_substitutions(context, self.__name)
        )
        self.__final_name = f"{label}-{next(_counter)}"
        self.__final_cmd = shlex.split(perform_substitutions(context, self.__prefix)) + cmd
        if self.__cwd is not None:
            self.__final_cwd = perform_substitutions(context, self.__cwd)
        env = dict(context.environment) if self.__env is None else {}
        for name, value in (self.__env or []) + (self.__additional_env or []):
            env[perform_substitutions(context, name)] = perform_substitutions(context, value)
        self.__final_env = env


def _normalized(
    env: Mapping[SomeSubstitutionsType, SomeSubstitutionsType],
) -> list[tuple[list[Substitution], list[Substitution]]]:
    return [
        (normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(value))
        for name, value in env.items()
    ]
