# SPDX-License-Identifier: Apache-2.0
"""States and transitions of a lifecycle node, as REP-2002 and lifecycle_msgs number them."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from lifecycle_msgs.msg import State as StateMessage
from lifecycle_msgs.msg import Transition as TransitionMessage


class LifecycleState(NamedTuple):
    """A state: its label and number."""

    label: str
    state_id: int


State = LifecycleState


class TransitionCallbackReturn(Enum):
    """Outcome of a callback; equals no number."""

    SUCCESS = TransitionMessage.TRANSITION_CALLBACK_SUCCESS
    FAILURE = TransitionMessage.TRANSITION_CALLBACK_FAILURE
    ERROR = TransitionMessage.TRANSITION_CALLBACK_ERROR

    def __int__(self) -> int:
        return self.value

    def to_label(self) -> str:
        """Label of the transition that follows."""
        return f"transition_{self.name.lower()}"


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


def _transitions() -> list[LifecycleTransition]:
    """What can be asked for, each followed by what the outcomes of its callback lead to."""
    rows = [
        # label, names of transitions, where they start, goal, after success, after failure
        ("configure", "CONFIGURE", "unconfigured", "configuring", "inactive", "unconfigured"),
        ("cleanup", "CLEANUP", "inactive", "cleaningup", "unconfigured", "inactive"),
        ("activate", "ACTIVATE", "inactive", "activating", "active", "inactive"),
        ("deactivate", "DEACTIVATE", "active", "deactivating", "inactive", "active"),
        ("shutdown", "SHUTDOWN", "unconfigured inactive active", "shuttingdown",
         "finalized", "finalized"),
        ("", "ERROR", "", "errorprocessing", "unconfigured", "finalized"),
    ]  # fmt: skip
    transitions = []
    for label, name, starts, goal, success, failure in rows:
        for start in starts.split():
            full = f"{start.upper()}_{name}" if name == "SHUTDOWN" else name
            transitions.append(_transition(label, full, start, goal))
        error = "finalized" if name == "ERROR" else "errorprocessing"
        for outcome, after in (("success", success), ("failure", failure), ("error", error)):
            full = f"ON_{name}_{outcome.upper()}"
            transitions.append(_transition(f"transition_{outcome}", full, goal, after))
    return transitions


def _transition(label: str, name: str, start: str, goal: str) -> LifecycleTransition:
    number = getattr(TransitionMessage, f"TRANSITION_{name}")
    return LifecycleTransition(number, label, STATES[start], STATES[goal])


TRANSITIONS = _transitions()


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
        transition = self.find(label=outcome.to_label())
        assert transition is not None, f"{self.current.label} is no transition state"
        self.current = transition.goal
        return transition
