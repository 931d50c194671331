# SPDX-License-Identifier: Apache-2.0
"""Nodes with a lifecycle, and the services through which others drive it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import lifecycle_msgs.msg
import lifecycle_msgs.srv

import rclpy.node
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle.managed_entity import ManagedEntity
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.lifecycle.state_machine import (
    STATES,
    TRANSITIONS,
    LifecycleState,
    LifecycleTransition,
    StateMachine,
    TransitionCallbackReturn,
)
from rclpy.qos import QoSProfile

_CALLBACKS = {
    "configuring": "on_configure",
    "cleaningup": "on_cleanup",
    "shuttingdown": "on_shutdown",
    "activating": "on_activate",
    "deactivating": "on_deactivate",
    "errorprocessing": "on_error",
}


class LifecycleNodeMixin(ManagedEntity):
    """What makes a node managed: override `on_configure` and the like, calling super's."""

    def __init__(
        self,
        *,
        enable_communication_interface: bool = True,
        callback_group: Any = None,
    ) -> None:
        self._managed_entities: set[ManagedEntity] = set()
        self._state_machine = StateMachine()
        self._ros_transition_lock = threading.RLock()
        self._ros_callbacks: dict[str, Callable[[LifecycleState], TransitionCallbackReturn]] = {
            state: getattr(self, name) for state, name in _CALLBACKS.items()
        }
        self._ros_transition_event: Any = None
        if enable_communication_interface:
            self._ros_serve(callback_group)

    def _ros_serve(self, callback_group: Any) -> None:
        node: Any = self
        self._ros_transition_event = rclpy.node.Node.create_publisher(
            node, lifecycle_msgs.msg.TransitionEvent, "~/transition_event", 10
        )
        srv = lifecycle_msgs.srv
        for kind, name, answer in (
            (srv.ChangeState, "change_state", self._ros_on_change_state),
            (srv.GetState, "get_state", self._ros_on_get_state),
            (srv.GetAvailableStates, "get_available_states", self._ros_on_get_states),
            (
                srv.GetAvailableTransitions,
                "get_available_transitions",
                self._ros_on_get_transitions,
            ),
            (srv.GetAvailableTransitions, "get_transition_graph", self._ros_on_get_graph),
        ):
            node.create_service(kind, f"~/{name}", answer, callback_group=callback_group)

    # Transitions

    def trigger_configure(self) -> TransitionCallbackReturn:
        """Configure; raises RCLError where the state does not allow it."""
        return self._ros_trigger(label="configure")

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        """Clean up."""
        return self._ros_trigger(label="cleanup")

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """Shut down, from any primary state."""
        return self._ros_trigger(label="shutdown")

    def trigger_activate(self) -> TransitionCallbackReturn:
        """Activate."""
        return self._ros_trigger(label="activate")

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        """Deactivate."""
        return self._ros_trigger(label="deactivate")

    def _ros_trigger(self, *, number: int = 0, label: str = "") -> TransitionCallbackReturn:
        with self._ros_transition_lock:
            machine = self._state_machine
            transition = machine.find(number=number, label=label)
            if transition is None or transition.label not in _REQUESTS:
                raise RCLError(
                    f"transition '{label or number}' is not available from state "
                    f"'{machine.current.label}'"
                )
            before = machine.current
            machine.current = transition.goal
            self._ros_announce_transition(transition)
            outcome = self._ros_run_callback(before)
            self._ros_announce_transition(machine.follow(outcome))
            if machine.current.label == "errorprocessing":
                self._ros_announce_transition(machine.follow(self._ros_run_callback(before)))
            return outcome

    def _ros_run_callback(self, before: LifecycleState) -> TransitionCallbackReturn:
        callback = self._ros_callbacks[self._state_machine.current.label]
        node: Any = self
        try:
            outcome = callback(before)
        except Exception:
            node.get_logger().error(
                f"transition callback failed:\n{traceback.format_exc().rstrip()}"
            )
            return TransitionCallbackReturn.ERROR
        if not isinstance(outcome, TransitionCallbackReturn):
            node.get_logger().error(
                f"transition callback returned {outcome!r}, no TransitionCallbackReturn"
            )
            return TransitionCallbackReturn.ERROR
        return outcome

    def _ros_announce_transition(self, transition: LifecycleTransition) -> None:
        """Say where from and where to: rcl leaves the time and the transition unset."""
        if self._ros_transition_event is None:
            return
        event = lifecycle_msgs.msg.TransitionEvent(
            start_state=_state(transition.start), goal_state=_state(transition.goal)
        )
        with suppress(RCLError):  # a node may still be shut down once its context is
            self._ros_transition_event.publish(event)

    # Managed entities

    def add_managed_entity(self, entity: ManagedEntity) -> None:
        """Tell an entity of transitions, too."""
        if not isinstance(entity, ManagedEntity):
            raise TypeError(f"{entity!r} is no rclpy.lifecycle.ManagedEntity")
        self._managed_entities.add(entity)

    def _ros_tell(self, callback: str, state: LifecycleState) -> TransitionCallbackReturn:
        for entity in list(self._managed_entities):
            outcome = getattr(entity, callback)(state)
            if not isinstance(outcome, TransitionCallbackReturn):
                raise TypeError(
                    f"{callback} of {entity} returned {outcome!r}, no TransitionCallbackReturn"
                )
            if outcome is not TransitionCallbackReturn.SUCCESS:
                return outcome
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called at configure."""
        return self._ros_tell("on_configure", state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called at cleanup."""
        return self._ros_tell("on_cleanup", state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called at shutdown."""
        return self._ros_tell("on_shutdown", state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called at activate."""
        return self._ros_tell("on_activate", state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called at deactivate."""
        return self._ros_tell("on_deactivate", state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called after an error: SUCCESS leads to unconfigured, anything else to finalized."""
        return self._ros_tell("on_error", state)

    def create_lifecycle_publisher(
        self, msg_type: Any, topic: str, qos_profile: QoSProfile | int, **kwargs: Any
    ) -> LifecyclePublisher:
        """A publisher that is silent while the node is not active."""
        if "publisher_class" in kwargs:
            raise TypeError(
                "create_publisher() got an unexpected keyword argument 'publisher_class'"
            )
        node: Any = self
        publisher = rclpy.node.Node.create_publisher(
            node, msg_type, topic, qos_profile, publisher_class=LifecyclePublisher, **kwargs
        )
        assert isinstance(publisher, LifecyclePublisher)
        self._managed_entities.add(publisher)
        return publisher

    def destroy_lifecycle_publisher(self, publisher: LifecyclePublisher) -> bool:
        """Take such a publisher away."""
        self._managed_entities.discard(publisher)
        node: Any = self
        return rclpy.node.Node.destroy_publisher(node, publisher)

    # Services

    def _ros_on_change_state(self, request: Any, response: Any) -> Any:
        wanted = request.transition
        try:
            outcome = self._ros_trigger(number=wanted.id, label=wanted.label)
            response.success = outcome is TransitionCallbackReturn.SUCCESS
        except RCLError as error:
            node: Any = self
            node.get_logger().warning(str(error))
        return response

    def _ros_on_get_state(self, request: Any, response: Any) -> Any:
        response.current_state = _state(self._state_machine.current)
        return response

    def _ros_on_get_states(self, request: Any, response: Any) -> Any:
        response.available_states = [_state(state) for state in STATES.values()]
        return response

    def _ros_on_get_transitions(self, request: Any, response: Any) -> Any:
        response.available_transitions = _descriptions(self._state_machine.available())
        return response

    def _ros_on_get_graph(self, request: Any, response: Any) -> Any:
        response.available_transitions = _descriptions(TRANSITIONS)
        return response


_REQUESTS = ("configure", "cleanup", "activate", "deactivate", "shutdown")


def _state(state: LifecycleState) -> Any:
    return lifecycle_msgs.msg.State(id=state.state_id, label=state.label)


def _descriptions(transitions: list[LifecycleTransition]) -> list[Any]:
    return [
        lifecycle_msgs.msg.TransitionDescription(
            transition=lifecycle_msgs.msg.Transition(
                id=transition.transition_id, label=transition.label
            ),
            start_state=_state(transition.start),
            goal_state=_state(transition.goal),
        )
        for transition in transitions
    ]


class LifecycleNode(LifecycleNodeMixin, rclpy.node.Node):
    """A managed node."""

    def __init__(
        self,
        node_name: str,
        *,
        enable_communication_interface: bool = True,
        **kwargs: Any,
    ) -> None:
        rclpy.node.Node.__init__(self, node_name, **kwargs)
        LifecycleNodeMixin.__init__(
            self, enable_communication_interface=enable_communication_interface
        )

    def destroy_node(self) -> None:
        """Leave the graph."""
        self._ros_transition_event = None
        rclpy.node.Node.destroy_node(self)


Node = LifecycleNode
NodeMixin = LifecycleNodeMixin
