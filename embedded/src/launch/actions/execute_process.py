# SPDX-License-Identifier: Apache-2.0
"""ExecuteProcess: run a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..descriptions import Executable
from ..some_substitutions_type import SomeSubstitutionsType
from .execute_local import ExecuteLocal

if TYPE_CHECKING:
    from ..substitution import Substitution


class ExecuteProcess(ExecuteLocal):
    """Run a command; see `Executable` for what to run, `ExecuteLocal` for how."""

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        additional_env: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        executable = Executable(
            cmd=cmd, prefix=prefix, name=name, cwd=cwd, env=env, additional_env=additional_env
        )
        super().__init__(process_description=executable, **kwargs)

    @property
    def name(self) -> str | list[Substitution] | None:
        """The label: with its number once the process has been prepared, as given before."""
        return self.process_description.final_name or self.process_description.name

    @property
    def cmd(self) -> list[str] | list[list[Substitution]]:
        """The command: as run once it has been prepared, as given before."""
        return self.process_description.final_cmd or self.process_description.cmd

    @property
    def cwd(self) -> str | list[Substitution] | None:
        """The working directory."""
        return self.process_description.final_cwd or self.process_description.cwd

    @property
    def env(self) -> dict[str, str] | list[tuple[list[Substitution], list[Substitution]]] | None:
        """The environment."""
        return self.process_description.final_env or self.process_description.env

    @property
    def additional_env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        """Variables added to the environment."""
        return self.process_description.additional_env
