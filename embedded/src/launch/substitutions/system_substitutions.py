# SPDX-License-Identifier: Apache-2.0
"""Substitutions whose value comes from the system: environment, files, programs, Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class EnvironmentVariable(Substitution):
    """The value of an environment variable while launching."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        *,
        default_value: SomeSubstitutionsType | None = None,
    ) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__default_value = (
            None if default_value is None else normalize_to_list_of_substitutions(default_value)
        )

    @property
    def name(self) -> list[Substitution]:
        """The name of the variable."""
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        """The value where it is not set."""
        return self.__default_value

    def describe(self) -> str:
        return f"EnvVar({' + '.join(s.describe() for s in self.__name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self.__name)
        value = context.environment.get(name)
        if value is not None:
            return value
        if self.__default_value is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.__default_value)


class FindExecutable(Substitution):
    """The full path of a program on the PATH."""

    def __init__(self, name: SomeSubstitutionsType) -> None:
        self.__name = normalize_to_list_of_substitutions(name)

    @property
    def name(self) -> list[Substitution]:
        """The name of the program."""
        return self.__name

    def describe(self) -> str:
        return f"FindExec({' + '.join(s.describe() for s in self.__name)})"

    def perform(self, context: LaunchContext) -> str:
        import shutil

        name = perform_substitutions(context, self.__name)
        path = shutil.which(name)
        if path is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return path


class FileContent(Substitution):
    """The text of a file."""

    def __init__(self, path: SomeSubstitutionsType) -> None:
        self.__path = normalize_to_list_of_substitutions(path)

    @property
    def path(self) -> list[Substitution]:
        """The path of the file."""
        return self.__path

    def describe(self) -> str:
        return f"FileContent({' + '.join(s.describe() for s in self.__path)})"

    def perform(self, context: LaunchContext) -> str:
        path = perform_substitutions(context, self.__path)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            raise SubstitutionFailure(f"cannot read '{path}': {error.strerror}") from error


class PythonExpression(Substitution):
    """The value of a Python expression as text; names of `math` need no prefix."""

    def __init__(
        self,
        expression: SomeSubstitutionsType,
        python_modules: SomeSubstitutionsType | Iterable[SomeSubstitutionsType] = ("math",),
    ) -> None:
        self.__expression = normalize_to_list_of_substitutions(expression)
        modules = [python_modules] if isinstance(python_modules, str) else python_modules
        self.__modules = [normalize_to_list_of_substitutions(m) for m in modules]  # type: ignore[union-attr]

    @property
    def expression(self) -> list[Substitution]:
        """The expression."""
        return self.__expression

    @property
    def python_modules(self) -> list[list[Substitution]]:
        """Modules the expression may name."""
        return self.__modules

    def describe(self) -> str:
        return f"PythonExpr({' + '.join(s.describe() for s in self.__expression)})"

    def perform(self, context: LaunchContext) -> str:
        import importlib

        names: dict[str, object] = {}
        for parts in self.__modules:
            module = importlib.import_module(perform_substitutions(context, parts))
            if module.__name__ == "math":
                names.update(vars(module))
            names[module.__name__] = module
        expression = perform_substitutions(context, self.__expression)
        try:
            return str(eval(expression, {}, names))
        except Exception as error:
            raise SubstitutionFailure(
                f"Python expression '{expression}' failed: {type(error).__name__}: {error}"
            ) from error


class Command(Substitution):
    """What a command prints. A failing one is an error.

    `on_stderr`: `fail`, `ignore`, `warn` or `capture` (add it to the value).
    """

    def __init__(
        self, command: SomeSubstitutionsType, *, on_stderr: SomeSubstitutionsType = "fail"
    ) -> None:
        self.__command = normalize_to_list_of_substitutions(command)
        self.__on_stderr = normalize_to_list_of_substitutions(on_stderr)

    @property
    def command(self) -> list[Substitution]:
        """The command line, split as a shell would, but run without one."""
        return self.__command

    @property
    def on_stderr(self) -> list[Substitution]:
        """What to do with output on standard error."""
        return self.__on_stderr

    def describe(self) -> str:
        return f"Command({' + '.join(s.describe() for s in self.__command)})"

    def perform(self, context: LaunchContext) -> str:
        import shlex
        import subprocess

        command = perform_substitutions(context, self.__command)
        on_stderr = perform_substitutions(context, self.__on_stderr)
        if on_stderr not in ("fail", "ignore", "warn", "capture"):
            raise SubstitutionFailure(
                f"on_stderr must be fail, ignore, warn or capture, got '{on_stderr}'"
            )
        try:
            done = subprocess.run(
                shlex.split(command),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if on_stderr == "capture" else subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise SubstitutionFailure(f"command '{command}' cannot be run: {error}") from error
        if done.returncode != 0:
            raise SubstitutionFailure(
                f"command '{command}' failed with exit code {done.returncode}: {done.stderr}"
            )
        if done.stderr and on_stderr == "fail":
            raise SubstitutionFailure(f"command '{command}' wrote to stderr: {done.stderr}")
        if done.stderr and on_stderr == "warn":
            from ..logging import get_logger

            get_logger("launch").warning(f"command '{command}' wrote to stderr: {done.stderr}")
        return done.stdout
