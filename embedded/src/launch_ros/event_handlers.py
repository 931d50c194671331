# SPDX-License-Identifier: Apache-2.0
"""Event handlers for lifecycle nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from launch.event import Event
from launch.event_handler import EventHandler
from launch.some_entities_type import SomeEntitiesType

from .events.lifecycle import StateTransition

if TYPE_CHECKING:
    from .actions import LifecycleNode

__all__ = ["OnStateTransition"]


class OnStateTransition(EventHandler):
    """When a lifecycle node has changed its state; what is not given matches any.

    `transition`, `start_state` and `goal_state` are labels (`inactive`). With `matcher` only that
    decides.
    """

    def __init__(
        self,
        *,
        entities: SomeEntitiesType,
        target_lifecycle_node: LifecycleNode | None = None,
        transition: str | None = None,
        start_state: str | None = None,
        goal_state: str | None = None,
        matcher: Callable[[Event], bool] | None = None,
        **kwargs: Any,
    ) -> None:
        from .actions import LifecycleNode

        if target_lifecycle_node is not None and not isinstance(
            target_lifecycle_node, LifecycleNode
        ):
            raise RuntimeError(
                "OnStateTransition requires a 'LifecycleNode' action as target, "
                f"got {target_lifecycle_node!r}"
            )

        def matches(event: Event) -> bool:
            return (
                isinstance(event, StateTransition)
                and target_lifecycle_node in (None, event.action)
                and transition in (None, event.transition)
                and start_state in (None, event.start_state)
                and goal_state in (None, event.goal_state)
            )

        super().__init__(matcher=matcher or matches, entities=entities, **kwargs)
