# SPDX-License-Identifier: Apache-2.0
"""States and transitions of a lifecycle node, as REP-2002 and lifecycle_msgs number them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from lifecycle_msgs.msg import State as StateMessage
from lifecycle_msgs.msg import Transition as TransitionMessage


class LifecycleState(NamedTuple):
    """A state: its label and number."""

    label: str
    state_id: int


State = LifecycleState


class TransitionCallbackReturn(IntEnum):
    """Outcome of a callback."""

    SUCCESS = TransitionMessage.TRANSITION_CALLBACK_SUCCESS
    FAILURE = TransitionMessage.TRANSITION_CALLBACK_FAILURE
    ERROR = TransitionMessage.TRANSITION_CALLBACK_ERROR


class LifecycleTransition(NamedTuple):
    """A transition from one state to another."""

    transition_id: int
    label: str
    start: LifecycleState
    goal: LifecycleState


def _states(*names: str) -> dict[str, LifecycleState]:
    states = {}
    for name in names:
        for prefix in ("PRIMARY_STATE", "TRANSITION_STATE"):
            number = getattr(StateMessage, f"{prefix}_{name.upper()}", None)
            if number is not None:
                states[name] = LifecycleState(name, number)
    return states


STATES = _states(
    "unknown", "unconfigured", "inactive", "active", "finalized", "configuring", "cleaningup",
    "shuttingdown", "activating", "deactivating", "errorprocessing",
)  # fmt: skip
UNKNOWN = STATES["unknown"]


def _requested() -> list[LifecycleTransition]:
    """Transitions that can be asked for."""
    rows = [
        ("configure", "CONFIGURE", "unconfigured", "configuring"),
        ("cleanup", "CLEANUP", "inactive", "cleaningup"),
        ("activate", "ACTIVATE", "inactive", "activating"),
        ("deactivate", "DEACTIVATE", "active", "deactivating"),
        ("shutdown", "UNCONFIGURED_SHUTDOWN", "unconfigured", "shuttingdown"),
        ("shutdown", "INACTIVE_SHUTDOWN", "inactive", "shuttingdown"),
        ("shutdown", "ACTIVE_SHUTDOWN", "active", "shuttingdown"),
    ]
    return [_transition(label, name, start, goal) for label, name, start, goal in rows]


def _followed() -> list[LifecycleTransition]:
    """Transitions that follow from a callback's outcome."""
    goals = {
        # state: name of its transitions, goal after success, after failure
        "configuring": ("CONFIGURE", "inactive", "unconfigured"),
        "cleaningup": ("CLEANUP", "unconfigured", "inactive"),
        "shuttingdown": ("SHUTDOWN", "finalized", "finalized"),
        "activating": ("ACTIVATE", "active", "inactive"),
        "deactivating": ("DEACTIVATE", "inactive", "active"),
        "errorprocessing": ("ERROR", "unconfigured", "finalized"),
    }
    transitions = []
    for state, (name, success, failure) in goals.items():
        error = "finalized" if state == "errorprocessing" else "errorprocessing"
        for outcome, goal in (("success", success), ("failure", failure), ("error", error)):
            full = f"ON_{name}_{outcome.upper()}"
            transitions.append(_transition(f"transition_{outcome}", full, state, goal))
    return transitions


def _transition(label: str, name: str, start: str, goal: str) -> LifecycleTransition:
    number = getattr(TransitionMessage, f"TRANSITION_{name}")
    return LifecycleTransition(number, label, STATES[start], STATES[goal])


TRANSITIONS = _requested() + _followed()


class StateMachine:
    """Where a node is, and where it can go."""

    def __init__(self) -> None:
        self.current = STATES["unconfigured"]

    def available(self) -> list[LifecycleTransition]:
        """Transitions out of the current state."""
        return [t for t in TRANSITIONS if t.start == self.current]

    def find(self, *, number: int = 0, label: str = "") -> LifecycleTransition | None:
        """A transition out of the current state, by number or label."""
        for transition in self.available():
            if label and transition.label == label:
                return transition
            if not label and transition.transition_id == number:
                return transition
        return None

    def follow(self, outcome: TransitionCallbackReturn) -> LifecycleTransition:
        """Leave a transition state by a callback's outcome."""
        transition = self.find(label=f"transition_{outcome.name.lower()}")
        assert transition is not None, f"{self.current.label} is no transition state"
        self.current = transition.goal
        return transition
