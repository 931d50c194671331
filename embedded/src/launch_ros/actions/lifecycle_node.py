# SPDX-License-Identifier: Apache-2.0
"""LifecycleNode: run a node whose states a launch file follows and changes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from launch.event import Event
from launch.event_handler import BaseEventHandler
from launch.logging import get_logger
from launch.some_substitutions_type import SomeSubstitutionsType

from ..events.lifecycle import ChangeState, StateTransition
from .node import Node

if TYPE_CHECKING:
    import asyncio

    from launch.launch_context import LaunchContext
    from launch.launch_description_entity import LaunchDescriptionEntity

_POLL_S = 0.1


class LifecycleNode(Node):
    """As `Node`; name and namespace are required.

    Emits `StateTransition` for what the node says on `~/transition_event`, and asks its
    `~/change_state` for a transition on `ChangeState` events that address it.
    """

    def __init__(
        self, *, name: SomeSubstitutionsType, namespace: SomeSubstitutionsType, **kwargs: Any
    ) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)
        self.__change_state: Any = None
        self.__subscription: Any = None

    @property
    def is_lifecycle_node(self) -> bool:
        """True."""
        return True

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        entities = super().execute(context)
        if self.get_asyncio_future() is None:
            return entities
        from lifecycle_msgs.msg import TransitionEvent
        from lifecycle_msgs.srv import ChangeState as ChangeStateService

        from ..ros_adapters import get_ros_node

        node = get_ros_node(context)

        def on_transition(msg: Any) -> None:
            context.emit_event_sync(StateTransition(action=self, msg=msg))

        self.__subscription = node.create_subscription(
            TransitionEvent, f"{self.node_name}/transition_event", on_transition, 10
        )
        self.__change_state = node.create_client(
            ChangeStateService, f"{self.node_name}/change_state"
        )
        context.register_event_handler(_OnChangeState(self))
        return entities

    def request_transition(
        self, context: LaunchContext, transition_id: int
    ) -> asyncio.Future[None]:
        """Ask for a transition, as soon as the node offers the service; done with the answer.

        It is given up when the launch shuts down or the process has ended for good.
        """
        future = context.asyncio_loop.run_in_executor(None, self._call, context, transition_id)
        context.add_completion_future(future)
        return future

    def _call(self, context: LaunchContext, transition_id: int) -> None:
        client = self.__change_state
        logger = get_logger("launch_ros.actions.lifecycle_node")
        while not client.wait_for_service(timeout_sec=_POLL_S):
            if self._given_up(context):
                logger.warning(f"Abandoning wait for the '{client.srv_name}' service")
                return
        request = client.srv_type.Request()
        request.transition.id = transition_id
        answered = threading.Event()
        response = client.call_async(request)
        response.add_done_callback(lambda _: answered.set())
        while not answered.wait(_POLL_S):
            if self._given_up(context):
                logger.warning(f"Abandoning wait for the '{client.srv_name}' service response")
                return
        if not response.result().success:
            logger.error(
                f"Failed to make transition '{ChangeState.valid_transitions[transition_id]}' "
                f"for LifecycleNode '{self.node_name}'"
            )

    def _given_up(self, context: LaunchContext) -> bool:
        future = self.get_asyncio_future()
        return context.is_shutdown or future is None or future.done()


class _OnChangeState(BaseEventHandler):
    """Passes ChangeState events that address a node on to it."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__(
            matcher=lambda event: (
                isinstance(event, ChangeState) and event.lifecycle_node_matcher(node)
            )
        )
        self.__node = node

    def handle(self, event: Event, context: LaunchContext) -> None:
        assert isinstance(event, ChangeState)
        self.__node.request_transition(context, event.transition_id)
