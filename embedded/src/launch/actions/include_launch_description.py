# SPDX-License-Identifier: Apache-2.0
"""IncludeLaunchDescription: another launch file, with arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..launch_description_source import LaunchDescriptionSource
from ..launch_description_sources import AnyLaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .configuration import SetLaunchConfiguration
from .opaque import OpaqueFunction

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..launch_description import LaunchDescription
    from ..launch_description_entity import LaunchDescriptionEntity

_LOCATION_KEYS = ("current_launch_file_path", "current_launch_file_directory")


class IncludeLaunchDescription(Action):
    """Visit the description of another file.

    `launch_arguments` are pairs of name and value. As in ROS 2 they are set in the including
    scope and stay set there: put the include into a GroupAction to keep them inside.
    """

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]]
        | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self.__source = launch_description_source
        self.__launch_arguments = tuple(launch_arguments or ())

    @property
    def launch_description_source(self) -> LaunchDescriptionSource:
        """Where the description comes from."""
        return self.__source

    @property
    def launch_arguments(self) -> tuple[tuple[Any, Any], ...]:
        """The arguments given."""
        return self.__launch_arguments

    def describe(self) -> str:
        return f"IncludeLaunchDescription({self.__source.location})"

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        description = self.__source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        description = self.__source.get_launch_description(context)
        before = {key: context.get_locals_as_dict().get(key) for key in _LOCATION_KEYS}
        location = os.path.abspath(self.__source.location)
        context.extend_locals(
            dict(zip(_LOCATION_KEYS, (location, os.path.dirname(location)), strict=True))
        )
        self._refuse_missing_arguments(context, description)
        return [
            *(SetLaunchConfiguration(name, value) for name, value in self.__launch_arguments),
            description,
            OpaqueFunction(function=lambda ctx: ctx.extend_locals(before)),
        ]

    def _refuse_missing_arguments(
        self, context: LaunchContext, description: LaunchDescription
    ) -> None:
        given = {
            perform_substitutions(context, normalize_to_list_of_substitutions(name))
            for name, _ in self.__launch_arguments
        }
        declared = description.get_launch_arguments_with_include_launch_description_actions()
        for argument, includes in declared:
            if argument._conditionally_included or argument.default_value is not None:
                continue
            names = given.union(context.launch_configurations)
            for include in includes:
                names.update(str(name) for name, _ in include.launch_arguments)
            if argument.name not in names:
                raise RuntimeError(
                    "Included launch description missing required argument "
                    f"'{argument.name}' (description: '{argument.description}'), "
                    f"given: [{', '.join(sorted(given))}]"
                )
