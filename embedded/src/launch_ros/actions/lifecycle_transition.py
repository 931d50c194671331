# SPDX-License-Identifier: Apache-2.0
"""LifecycleTransition: lead lifecycle nodes through transitions, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event import Event
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..event_handlers import OnStateTransition
from ..events.lifecycle import ChangeState, StateTransition, matches_node_name

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from launch.launch_description_entity import LaunchDescriptionEntity

_GOALS = {
    1: "inactive",
    2: "unconfigured",
    3: "active",
    4: "inactive",
    5: "finalized",
    6: "finalized",
    7: "finalized",
}


class LifecycleTransition(Action):
    """For each node: ask for a transition, and for the next one when its goal is reached."""

    def __init__(
        self,
        *,
        lifecycle_node_names: Iterable[SomeSubstitutionsType],
        transition_ids: Iterable[int | SomeSubstitutionsType],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__names = [normalize_to_list_of_substitutions(n) for n in lifecycle_node_names]
        self.__ids = [
            normalize_to_list_of_substitutions(str(i) if isinstance(i, int) else i)
            for i in transition_ids
        ]
        if not self.__names or not self.__ids:
            raise ValueError("LifecycleTransition needs lifecycle_node_names and transition_ids")

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        ids = [int(perform_substitutions(context, parts)) for parts in self.__ids]
        names = [perform_substitutions(context, parts) for parts in self.__names]
        return [entity for name in names for entity in _steps(name, ids)]


def _steps(node_name: str, ids: list[int]) -> list[LaunchDescriptionEntity]:
    """The first request, which on success leads to all others."""
    is_node = matches_node_name(node_name)
    request: list[LaunchDescriptionEntity] = []
    for index, transition_id in reversed(list(enumerate(ids))):
        event = ChangeState(lifecycle_node_matcher=is_node, transition_id=transition_id)
        following, request = request, [EmitEvent(event=event)]
        if index + 1 < len(ids):
            goal = _GOALS[transition_id]

            def reached(event: Event, goal: str = goal) -> bool:
                return (
                    isinstance(event, StateTransition)
                    and is_node(event.action)
                    and event.goal_state == goal
                )

            handler = OnStateTransition(matcher=reached, entities=following, handle_once=True)
            request.insert(0, RegisterEventHandler(handler))
    return request
