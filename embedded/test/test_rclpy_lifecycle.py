# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes as others see them: the five services and the transition events."""

import pytest
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import (
    ChangeState,
    GetAvailableStates,
    GetAvailableTransitions,
    GetState,
)
from rclpy.lifecycle import LifecycleNode
from waiting import PATIENCE_S


@pytest.fixture
def call(graph):
    """Calls a service of /managed, a lifecycle node."""
    graph.init()
    graph.node("managed", LifecycleNode)
    asking = graph.node("asking")

    def call(kind, name, request=None):
        client = asking.create_client(kind, f"/managed/{name}")
        assert client.wait_for_service(PATIENCE_S)
        return graph.result(client.call_async(request or kind.Request()))

    call.node = asking
    return call


def test_state_is_changed_and_announced(graph, call):
    """A transition that fits the state succeeds, another is refused; each step is an event."""
    events = []
    call.node.create_subscription(TransitionEvent, "/managed/transition_event", events.append, 10)
    graph.spin_until(lambda: call.node.count_publishers("/managed/transition_event"))
    assert call(GetState, "get_state").current_state.label == "unconfigured"
    configure = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert call(ChangeState, "change_state", configure).success
    assert not call(ChangeState, "change_state", configure).success
    assert call(GetState, "get_state").current_state.id == 2
    graph.spin_until(lambda: len(events) == 2)
    assert [(e.start_state.label, e.goal_state.label) for e in events] == [
        ("unconfigured", "configuring"), ("configuring", "inactive")
    ]  # fmt: skip
    activate = ChangeState.Request(transition=Transition(label="activate"))
    assert call(ChangeState, "change_state", activate).success
    assert call(GetState, "get_state").current_state.label == "active"


def test_states_and_transitions_are_listed(call):
    """What is possible now, and the whole graph."""
    states = call(GetAvailableStates, "get_available_states").available_states
    assert {"unconfigured", "inactive", "active", "finalized"} <= {s.label for s in states}
    possible = call(GetAvailableTransitions, "get_available_transitions").available_transitions
    assert [t.transition.label for t in possible] == ["configure", "shutdown"]
    everything = call(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert len(everything) > 20
    assert ("activate", "inactive") in {
        (t.transition.label, t.start_state.label) for t in everything
    }
