# SPDX-License-Identifier: Apache-2.0
"""LaunchDescriptionSource: where a launch description comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .some_substitutions_type import SomeSubstitutionsType
from .substitution import Substitution
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .launch_context import LaunchContext
    from .launch_description import LaunchDescription


class LaunchDescriptionSource:
    """A description that is there already, or in a file that is loaded once when asked for."""

    def __init__(
        self,
        launch_description: LaunchDescription | None = None,
        location: SomeSubstitutionsType = "",
        method: str = "unspecified mechanism from a script",
    ) -> None:
        self.__launch_description = launch_description
        self.__location = normalize_to_list_of_substitutions(location)
        self.__expanded_location: str | None = None
        self.__method = method

    @property
    def location(self) -> str:
        """The file's path, or what it is made of while that is not known yet."""
        if self.__expanded_location is not None:
            return self.__expanded_location
        return " + ".join(part.describe() for part in self.__location)

    @property
    def location_parts(self) -> list[Substitution]:
        """The substitutions that give the path."""
        return self.__location

    @property
    def method(self) -> str:
        """How the description is obtained."""
        return self.__method

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        """The description, loaded at the first call."""
        if self.__expanded_location is None:
            self.__expanded_location = perform_substitutions(context, self.__location)
        if self.__launch_description is None:
            self.__launch_description = self._get_launch_description(self.__expanded_location)
        return self.__launch_description

    def try_get_launch_description_without_context(self) -> LaunchDescription | None:
        """The description where its path does not depend on a running launch, else None."""
        from .launch_context import LaunchContext
        from .substitutions import SubstitutionFailure

        if self.__launch_description is None:
            try:
                return self.get_launch_description(LaunchContext())
            except SubstitutionFailure:
                return None
        return self.__launch_description

    def _get_launch_description(self, location: str) -> LaunchDescription:
        raise NotImplementedError(f"{type(self).__name__} cannot load '{location}'")
