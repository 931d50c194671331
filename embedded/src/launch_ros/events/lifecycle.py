# SPDX-License-Identifier: Apache-2.0
"""Events of lifecycle nodes: a change that is asked for, and one that has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from launch.event import Event

from .matchers import matches_node_name

if TYPE_CHECKING:
    from ..actions import LifecycleNode

__all__ = ["ChangeState", "StateTransition", "matches_node_name"]


class ChangeState(Event):
    """Ask the nodes that `lifecycle_node_matcher` accepts for a transition.

    `transition_id` is one of lifecycle_msgs/msg/Transition. ValueError for another number.
    """

    name = "launch_ros.events.lifecycle.ChangeState"

    # As in lifecycle_msgs/msg/Transition and State, which need not be loaded for this.
    valid_transitions = {  # noqa: RUF012
        0: "TRANSITION_CREATE",
        1: "TRANSITION_CONFIGURE",
        2: "TRANSITION_CLEANUP",
        3: "TRANSITION_ACTIVATE",
        4: "TRANSITION_DEACTIVATE",
        5: "TRANSITION_UNCONFIGURED_SHUTDOWN",
        6: "TRANSITION_INACTIVE_SHUTDOWN",
        7: "TRANSITION_ACTIVE_SHUTDOWN",
        8: "TRANSITION_DESTROY",
    }
    valid_states = {  # noqa: RUF012
        0: "unknown",
        1: "unconfigured",
        2: "inactive",
        3: "active",
        4: "finalized",
        10: "configuring",
        11: "cleaningup",
        12: "shuttingdown",
        13: "activating",
        14: "deactivating",
        15: "errorprocessing",
    }

    def __init__(
        self,
        *,
        lifecycle_node_matcher: Callable[[LifecycleNode], bool],
        transition_id: int,
    ) -> None:
        if transition_id not in self.valid_transitions:
            raise ValueError(
                f"invalid transition_id '{transition_id}': "
                f"use a constant of lifecycle_msgs.msg.Transition, {self.valid_transitions}"
            )
        self.lifecycle_node_matcher = lifecycle_node_matcher
        self.transition_id = transition_id


class StateTransition(Event):
    """A lifecycle node has changed its state; `msg` is its lifecycle_msgs/msg/TransitionEvent."""

    name = "launch_ros.events.lifecycle.StateTransition"

    def __init__(self, *, action: LifecycleNode, msg: Any) -> None:
        self.action = action
        self.msg = msg

    @property
    def timestamp(self) -> int:
        """When, in nanoseconds."""
        return self.msg.timestamp

    @property
    def transition(self) -> str:
        """Label of the transition."""
        return self.msg.transition.label

    @property
    def start_state(self) -> str:
        """Label of the state before."""
        return self.msg.start_state.label

    @property
    def goal_state(self) -> str:
        """Label of the state after."""
        return self.msg.goal_state.label
