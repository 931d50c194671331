# SPDX-License-Identifier: Apache-2.0
"""GroupAction: several actions under one condition, in a scope of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from .configuration import (
    PopLaunchConfigurations,
    PushLaunchConfigurations,
    ResetLaunchConfigurations,
    SetLaunchConfiguration,
)
from .environment import PopEnvironment, PushEnvironment, ResetEnvironment

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..launch_description_entity import LaunchDescriptionEntity


class GroupAction(Action):
    """Actions together.

    scoped: launch configurations and environment are as before after the group.
    forwarding: the group sees the configurations and environment of its surroundings; without
    it only `launch_configurations`.
    """

    def __init__(
        self,
        actions: Iterable[LaunchDescriptionEntity],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: Mapping[Any, SomeSubstitutionsType] | None = None,
        **left_over_kwargs: Any,
    ) -> None:
        super().__init__(**left_over_kwargs)
        if not scoped and not forwarding:
            raise RuntimeError("GroupAction: forwarding=False needs scoped=True")
        self.__actions = list(actions)
        self.__scoped = scoped
        self.__forwarding = forwarding
        self.__launch_configurations = dict(launch_configurations or {})

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        configurations = self.__launch_configurations
        before: list[LaunchDescriptionEntity] = []
        if self.__scoped:
            before += [PushLaunchConfigurations(), PushEnvironment()]
        if self.__forwarding:
            before += [SetLaunchConfiguration(k, v) for k, v in configurations.items()]
        else:
            before += [ResetEnvironment(), ResetLaunchConfigurations(configurations)]
        after = [PopEnvironment(), PopLaunchConfigurations()] if self.__scoped else []
        return [*before, *self.__actions, *after]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return self.get_sub_entities()
