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
from rclpy.lifecycle import (
    LifecycleNode,
    ManagedEntity,
    SimpleManagedEntity,
    TransitionCallbackReturn,
)
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


class Part(ManagedEntity):
    """Notes what it is told."""

    def __init__(self, told):
        self.told = told

    def on_configure(self, state):
        self.told.append("configure")
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state):
        self.told.append("cleanup")
        return TransitionCallbackReturn.FAILURE


def test_managed_entities_and_registered_callbacks(graph):
    """Entities hear of transitions and have a say; a registered callback takes a method's place."""
    node = graph.init().node("managed", LifecycleNode)
    told, called = [], []
    node.add_managed_entity(Part(told))
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() is TransitionCallbackReturn.FAILURE
    assert told == ["configure", "cleanup"] and node._state_machine.current.label == "inactive"

    def note(state):
        called.append(state.label)
        return TransitionCallbackReturn.SUCCESS

    assert node.register_on_activate(note) and node.register_on_deactivate(note)
    assert node.register_on_shutdown(note)
    assert not node.register_callback(99, note)
    node.trigger_activate()
    node.trigger_deactivate()
    node.trigger_shutdown()
    assert called == ["inactive", "active", "inactive"]


def test_an_error_can_be_handled(graph):
    """SUCCESS of the error callback leads back to unconfigured, anything else ends the node."""

    def fail(state):
        raise RuntimeError("broken")

    for outcome, state in (("SUCCESS", "unconfigured"), ("FAILURE", "finalized")):
        node = (graph if graph.executor else graph.init()).node(outcome.lower(), LifecycleNode)
        node.register_on_configure(fail)
        node.register_on_error(lambda _, outcome=outcome: TransitionCallbackReturn[outcome])
        node.trigger_configure()
        assert node._state_machine.current.label == state


def test_simple_entities_work_while_the_node_is_active():
    """A decorated method does nothing, or something else, until then."""

    class Lamp(SimpleManagedEntity):
        @SimpleManagedEntity.when_enabled
        def shine(self):
            return "light"

        @SimpleManagedEntity.when_enabled(when_not_enabled=lambda: "dark")
        def show(self):
            return "light"

    lamp = Lamp()
    assert (lamp.is_activated, lamp.shine(), lamp.show()) == (False, None, "dark")
    lamp.on_activate(None)
    assert (lamp.is_activated, lamp.shine(), lamp.show()) == (True, "light", "light")
    lamp.on_deactivate(None)
    assert not lamp.is_activated
