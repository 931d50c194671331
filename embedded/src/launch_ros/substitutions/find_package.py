# SPDX-License-Identifier: Apache-2.0
"""Where a package is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class FindPackage(Substitution):
    """Base of the two below."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self.__package = normalize_to_list_of_substitutions(package)

    @property
    def package(self) -> list[Substitution]:
        """The package's name."""
        return self.__package

    def describe(self) -> str:
        return f"{type(self).__name__}({' + '.join(s.describe() for s in self.__package)})"

    def find(self, package_name: str) -> str:
        """The path looked for."""
        raise NotImplementedError(f"{type(self).__name__}.find() is not defined")

    def perform(self, context: LaunchContext) -> str:
        try:
            return self.find(perform_substitutions(context, self.__package))
        except PackageNotFoundError as error:
            raise SubstitutionFailure(str(error)) from error


class FindPackagePrefix(FindPackage):
    """The prefix in which a package is installed."""

    def find(self, package_name: str) -> str:
        return get_package_prefix(package_name)


class FindPackageShare(FindPackage):
    """The share directory of a package: launch and config files are below it."""

    def find(self, package_name: str) -> str:
        return get_package_share_directory(package_name)
