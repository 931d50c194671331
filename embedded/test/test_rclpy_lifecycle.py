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


class Caller:
    """Calls the services of /managed, a lifecycle node."""

    def __init__(self, graph, kind=LifecycleNode):
        self._graph = graph.init()
        self.managed, self.node = graph.node("managed", kind), graph.node("asking")

    def __call__(self, kind, name, request=None):
        client = self.node.create_client(kind, f"/managed/{name}")
        assert client.wait_for_service(PATIENCE_S)
        return self._graph.result(client.call_async(request or kind.Request()))

    def state(self):
        return self(GetState, "get_state").current_state.label


@pytest.fixture
def call(graph):
    """Calls the services of a plain one."""
    return Caller(graph)


def test_state_is_changed_and_announced(graph, call):
    """A transition that fits the state succeeds, another is refused; each step is an event.

    Which says where from and where to, and nothing else.
    """
    events = []
    call.node.create_subscription(TransitionEvent, "/managed/transition_event", events.append, 10)
    graph.spin_until(lambda: call.node.count_publishers("/managed/transition_event"))
    assert call(GetState, "get_state").current_state.label == "unconfigured"
    configure = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert call(ChangeState, "change_state", configure).success
    assert call(GetState, "get_state").current_state.id == 2
    graph.spin_until(lambda: len(events) == 2)
    assert [(e.start_state.label, e.goal_state.label) for e in events] == [
        ("unconfigured", "configuring"), ("configuring", "inactive")
    ]  # fmt: skip
    assert not any(e.transition.id or e.transition.label or e.timestamp for e in events)
    activate = ChangeState.Request(transition=Transition(label="activate"))
    assert call(ChangeState, "change_state", activate).success
    assert call.state() == "active"
    assert not call(ChangeState, "change_state", activate).success


@pytest.mark.embedded
def test_a_number_of_no_transition_is_refused(call):
    """In Jazzy it ends the program: what it raises comes out of the executor."""
    deactivate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert not call(ChangeState, "change_state", deactivate).success
    assert call.state() == "unconfigured"


@pytest.mark.embedded
def test_a_callback_that_returns_nothing_has_failed(graph):
    """In rclpy the node stays between two states for good."""

    class Silent(LifecycleNode):
        def on_configure(self, state):
            pass

    call = Caller(graph, Silent)
    assert call.managed.trigger_configure() == TransitionCallbackReturn.ERROR
    assert call.state() == "unconfigured"


def test_states_and_transitions_are_listed(call):
    """What is possible now, and the whole graph."""
    states = call(GetAvailableStates, "get_available_states").available_states
    assert {"unconfigured", "inactive", "active", "finalized"} <= {s.label for s in states}
    possible = call(GetAvailableTransitions, "get_available_transitions").available_transitions
    assert [t.transition.label for t in possible] == ["configure", "shutdown"]
    everything = call(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert [t.transition.id for t in everything] == [
        1, 10, 11, 12, 2, 20, 21, 22, 3, 30, 31, 32, 4, 40, 41, 42, 5, 6, 7, 50, 51, 52, 60, 61, 62
    ]  # fmt: skip
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


def test_managed_entities(call):
    """They hear of transitions and have a say; what they say is checked."""
    told = []
    part = Part(told)
    call.managed.add_managed_entity(part)
    with pytest.raises(TypeError, match="ManagedEntity"):
        call.managed.add_managed_entity("part")
    assert call.managed.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert call.managed.trigger_cleanup() == TransitionCallbackReturn.FAILURE
    assert told == ["configure", "cleanup"] and call.state() == "inactive"
    part.on_activate = lambda state: None
    with pytest.raises(TypeError, match="TransitionCallbackReturn"):
        call.managed.on_activate(None)
    assert call.managed.trigger_activate() == TransitionCallbackReturn.ERROR
    assert call.state() == "unconfigured"


class Told(LifecycleNode):
    """Notes the states that its callbacks are given."""

    def __init__(self, name, **options):
        self.told = []
        super().__init__(name, **options)

    def on_any(self, state):
        self.told.append(state.label)
        return TransitionCallbackReturn.SUCCESS

    on_configure = on_activate = on_deactivate = on_shutdown = on_any


def test_callbacks_are_given_the_state_before(graph):
    """In which the transition began."""
    call = Caller(graph, Told)
    for name in ("configure", "activate", "deactivate", "shutdown"):
        getattr(call.managed, f"trigger_{name}")()
    assert call.managed.told == ["unconfigured", "inactive", "active", "inactive"]
    assert call.state() == "finalized"
    with pytest.raises(RuntimeError):
        call.managed.trigger_shutdown()


def test_a_transition_that_does_not_fit_changes_nothing(graph):
    """It raises a RuntimeError; in Kilted it returns ERROR."""
    call = Caller(graph, Told)
    try:
        assert call.managed.trigger_activate() == TransitionCallbackReturn.ERROR
    except RuntimeError as error:
        assert "transition" in str(error)
    assert call.state() == "unconfigured" and call.managed.told == []


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILURE"])
def test_an_error_can_be_handled(graph, outcome):
    """SUCCESS of the error callback leads back to unconfigured, anything else ends the node."""

    class Broken(LifecycleNode):
        def on_configure(self, state):
            raise RuntimeError("broken")

        def on_error(self, state):
            return getattr(TransitionCallbackReturn, outcome)

    call = Caller(graph, Broken)
    assert call.managed.trigger_configure() == TransitionCallbackReturn.ERROR
    assert call.state() == ("unconfigured" if outcome == "SUCCESS" else "finalized")


def test_outcomes_are_no_numbers():
    """They have one, and the label of the transition that follows."""
    success = TransitionCallbackReturn.SUCCESS
    assert success != 97 and not isinstance(success, int)
    assert int(success) == success.value == 97 and success.name == "SUCCESS"
    assert TransitionCallbackReturn(99).to_label() == "transition_error"


def test_simple_entities_work_while_the_node_is_active():
    """A decorated method does nothing, or something else, until then; what it returns is lost."""
    seen = []

    class Lamp(SimpleManagedEntity):
        @SimpleManagedEntity.when_enabled
        def shine(self):
            seen.append("light")
            return "light"

        @SimpleManagedEntity.when_enabled(when_not_enabled=lambda: seen.append("dark"))
        def show(self):
            seen.append("light")

    lamp = Lamp()
    assert (lamp.is_activated, lamp.shine(), lamp.show()) == (False, None, None)
    lamp.on_activate(None)
    assert (lamp.is_activated, lamp.shine(), lamp.show()) == (True, None, None)
    lamp.on_deactivate(None)
    assert not lamp.is_activated and seen == ["dark", "light", "light"]
