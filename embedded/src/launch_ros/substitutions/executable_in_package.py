# SPDX-License-Identifier: Apache-2.0
"""Where a package's executable is, and how to run it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


def find_executable(package: str, executable: str) -> str:
    """The path of `<prefix>/lib/<package>/<executable>`, or `<project root>/scripts/<executable>`.

    Raises PackageNotFoundError, SubstitutionFailure.
    """
    prefix = get_package_prefix(package)
    folders = [os.path.join(prefix, "lib", package)]
    if os.path.isfile(os.path.join(prefix, "package.xml")):
        folders.append(os.path.join(prefix, "scripts"))
    for folder in folders:
        path = os.path.join(folder, executable)
        if os.path.isfile(path) and (os.access(path, os.X_OK) or _is_python_script(path)):
            return path
    raise SubstitutionFailure(
        f"executable '{executable}' not found on the libexec directory {' or '.join(folders)}"
    )


def command_for(path: str) -> list[str]:
    """The words that run an executable: a Python script runs in this very Python.

    Its `#!/usr/bin/env python3` would miss the virtual environment unless that is activated.
    """
    return [sys.executable, path] if _is_python_script(path) else [path]


def _is_python_script(path: str) -> bool:
    with open(path, "rb") as file:
        first_line = file.readline(200)
    return first_line.startswith(b"#!") and b"python" in first_line


class ExecutableInPackage(Substitution):
    """The path of a package's executable."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        self.__executable = normalize_to_list_of_substitutions(executable)
        self.__package = normalize_to_list_of_substitutions(package)

    @property
    def executable(self) -> list[Substitution]:
        """The executable's name."""
        return self.__executable

    @property
    def package(self) -> list[Substitution]:
        """The package's name."""
        return self.__package

    def describe(self) -> str:
        package = " + ".join(s.describe() for s in self.__package)
        executable = " + ".join(s.describe() for s in self.__executable)
        return f"ExecInPkg(pkg={package}, exec={executable})"

    def perform(self, context: LaunchContext) -> str:
        package = perform_substitutions(context, self.__package)
        try:
            return find_executable(package, perform_substitutions(context, self.__executable))
        except PackageNotFoundError as error:
            raise SubstitutionFailure(str(error)) from error
