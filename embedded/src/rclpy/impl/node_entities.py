# SPDX-License-Identifier: Apache-2.0
"""The part of a node that makes and destroys its endpoints, timers and guard conditions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.constants import S_TO_NS
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import NameValidationException, destroyed, needs_full_ros
from rclpy.guard_condition import GuardCondition
from rclpy.impl.dds.qos_policies import best_available
from rclpy.impl.names import expand
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_profile_services_default
from rclpy.qos_overriding_options import QoSOverridingOptions, _declare_qos_parameters
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Rate, Timer
from rclpy.type_support import check_is_valid_msg_type, check_is_valid_srv_type
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_topic_name import validate_topic_name

if TYPE_CHECKING:
    from rclpy.context import Context
    from rclpy.executors import Executor
    from rclpy.impl.arguments import Arguments
    from rclpy.impl.dds.graph import Graph, LocalNode
    from rclpy.impl.dds.participant import Participant
    from rclpy.impl.executable import Executable


class NodeEntities:
    """Everything of a node that an executor runs or that others can see."""

    _ros_arguments: Arguments
    _ros_announced: LocalNode
    _clock: Clock
    _context: Context
    _ros_destroyed: bool
    _ros_graph: Graph
    _ros_logger_name: str
    _ros_rosout: Publisher | None
    _ros_participant: Participant
    _ros_name: str
    _ros_namespace: str

    @property
    def executor(self) -> Executor | None:
        """The executor that spins this node."""
        raise NotImplementedError()

    def _ros_init_entities(self) -> None:
        self._publishers: list[Publisher] = []
        self._ros_rosout = None
        self._subscriptions: list[Subscription] = []
        self._clients: list[Client] = []
        self._services: list[Service] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []
        self._ros_waitables: list[Executable] = []
        self._ros_events: list[Executable] = []
        self._default_callback_group: CallbackGroup = MutuallyExclusiveCallbackGroup()
        # Topics and sides of services of which a malformed sample has been dropped.
        self._ros_warned_of: set[str] = set()

    @property
    def default_callback_group(self) -> CallbackGroup:
        """The group of entities that were given none: mutually exclusive."""
        return self._default_callback_group

    @property
    def publishers(self) -> Iterator[Publisher]:
        """Publishers of this node, without that of its log."""
        return (publisher for publisher in self._publishers if publisher is not self._ros_rosout)

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Subscriptions of this node."""
        yield from self._subscriptions

    @property
    def clients(self) -> Iterator[Client]:
        """Clients of this node."""
        yield from self._clients

    @property
    def services(self) -> Iterator[Service]:
        """Services of this node."""
        yield from self._services

    @property
    def timers(self) -> Iterator[Timer]:
        """Timers of this node."""
        yield from self._timers

    @property
    def guards(self) -> Iterator[GuardCondition]:
        """Guard conditions of this node."""
        yield from self._guards

    @property
    def waitables(self) -> Iterator[Executable]:
        """Other things an executor runs for this node."""
        yield from self._ros_waitables

    def _ros_executables(self) -> Iterator[Executable]:
        """Everything but timers that an executor may have to run, where it is not destroyed."""
        entities = itertools.chain(
            list(self._subscriptions), list(self._guards), list(self._clients),
            list(self._services), list(self._ros_events), list(self._ros_waitables),
        )  # fmt: skip
        return (entity for entity in entities if entity._handle)

    def _ros_wake_executor(self) -> None:
        executor = self.executor
        if executor is not None:
            executor.wake()

    # Names

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Full name of a topic, remapped unless `only_expand`."""
        return self._ros_resolve(topic, only_expand=only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """Full name of a service, remapped unless `only_expand`."""
        return self._ros_resolve(service, is_service=True, only_expand=only_expand)

    def _ros_resolve(self, name: str, **options: bool) -> str:
        self._ros_check_handle()
        try:
            return self._ros_full_topic_name(name, **options)
        except (NameValidationException, ValueError) as error:
            raise RCLError(f"failed to resolve name: {error}") from None

    def _ros_full_topic_name(
        self, name: str, *, is_service: bool = False, only_expand: bool = False
    ) -> str:
        validate_topic_name(name, is_service=is_service)
        full = expand(name, self._ros_name, self._ros_namespace)
        validate_full_topic_name(full, is_service=is_service)
        if only_expand:
            return full
        kind = "rosservice" if is_service else "rostopic"
        for rule in self._ros_arguments.remaps:
            if not rule.renames(kind, self._ros_name):
                continue
            if expand(rule.source, self._ros_name, self._ros_namespace) == full:
                full = expand(rule.target, self._ros_name, self._ros_namespace)
                validate_full_topic_name(full, is_service=is_service)
                return full
        return full

    # Making

    def _ros_check_handle(self) -> None:
        if self._ros_destroyed:
            raise destroyed()

    def _ros_check_running(self, what: str) -> None:
        self._ros_check_handle()
        if not self._context.ok():
            raise RCLError(f"Failed to create {what}: rcl node's context is invalid")

    def create_publisher(
        self,
        msg_type: Any,
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: PublisherEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        publisher_class: type[Publisher] = Publisher,
    ) -> Publisher:
        """Publish messages of a type; `qos_profile` may be a depth."""
        self._ros_check_running("publisher")
        full = self._ros_full_topic_name(topic)
        profile = _profile(qos_profile)
        check_is_valid_msg_type(msg_type)
        if qos_overriding_options is not None:
            _declare_qos_parameters(
                Publisher, cast(Any, self), full, profile, qos_overriding_options
            )
        resolved = best_available(profile, self._ros_graph, f"rt{full}", for_writer=True)
        writer = self._ros_participant.make_writer(f"rt{full}", msg_type._interface_name, resolved)
        group = callback_group or self.default_callback_group
        publisher = publisher_class(
            writer, msg_type, topic, profile, event_callbacks or PublisherEventCallbacks(), group
        )
        publisher._is_running, publisher._logger_name = self._context.ok, self._ros_logger_name
        self._publishers.append(publisher)
        self._ros_adopt_events(publisher)
        self._ros_graph.add_endpoints(self._ros_announced, writers=[writer.guid])
        return publisher

    def create_subscription(
        self,
        msg_type: Any,
        topic: str,
        callback: Callable[..., Any],
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
        content_filter_options: Any = None,
    ) -> Subscription:
        """Call back with messages of a topic; with their bytes where `raw`."""
        self._ros_check_running("subscription")
        if content_filter_options is not None:
            raise needs_full_ros("content filtering")
        full = self._ros_full_topic_name(topic)
        profile = _profile(qos_profile)
        check_is_valid_msg_type(msg_type)
        if qos_overriding_options is not None:
            _declare_qos_parameters(
                Subscription, cast(Any, self), full, profile, qos_overriding_options
            )
        resolved = best_available(profile, self._ros_graph, f"rt{full}", for_writer=False)
        reader = self._ros_participant.make_reader(f"rt{full}", msg_type._interface_name, resolved)
        group = callback_group or self.default_callback_group
        subscription: Subscription = Subscription(
            reader, msg_type, topic, callback, group, profile, raw,
            event_callbacks or SubscriptionEventCallbacks(),
        )  # fmt: skip
        self._ros_adopt(self._subscriptions, subscription)
        self._ros_adopt_events(subscription)
        self._ros_graph.add_endpoints(self._ros_announced, readers=[reader.guid])
        return subscription

    def create_client(
        self,
        srv_type: Any,
        srv_name: str,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Client:
        """Call a service."""
        self._ros_check_running("client")
        full = self._ros_full_topic_name(srv_name, is_service=True)
        request, response = _service_halves(srv_type)
        owner = f"clientid={self._ros_participant.new_id()};"
        reader = self._ros_participant.make_reader(f"rr{full}Reply", response, qos_profile, owner)
        writer = self._ros_participant.make_writer(f"rq{full}Request", request, qos_profile, owner)
        client: Client = Client(
            self._context, (writer, reader), srv_type, srv_name, full, qos_profile,
            callback_group or self.default_callback_group, self._ros_graph,
        )  # fmt: skip
        self._ros_adopt(self._clients, client)
        self._ros_graph.add_endpoints(
            self._ros_announced, readers=[reader.guid], writers=[writer.guid]
        )
        return client

    def create_service(
        self,
        srv_type: Any,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Service:
        """Serve: `callback(request, response)` returns the response."""
        self._ros_check_running("service")
        full = self._ros_full_topic_name(srv_name, is_service=True)
        request, response = _service_halves(srv_type)
        owner = f"serviceid={self._ros_participant.new_id()};"
        writer = self._ros_participant.make_writer(f"rr{full}Reply", response, qos_profile, owner)
        reader = self._ros_participant.make_reader(f"rq{full}Request", request, qos_profile, owner)
        service: Service = Service(
            (reader, writer), srv_type, srv_name, full, callback,
            callback_group or self.default_callback_group, qos_profile, self._ros_graph,
        )  # fmt: skip
        self._ros_adopt(self._services, service)
        service._watch_clients()
        self._ros_graph.add_endpoints(
            self._ros_announced, readers=[reader.guid], writers=[writer.guid]
        )
        return service

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable | None,
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        autostart: bool = True,
    ) -> Timer:
        """Call back every `timer_period_sec` seconds of the clock (the node's by default)."""
        if not self._context.ok():
            raise RCLError("failed to create timer: the given context is not valid")
        timer = Timer(
            callback, callback_group or self.default_callback_group,
            int(float(timer_period_sec) * S_TO_NS), clock or self._clock,
            context=self._context, autostart=autostart,
        )  # fmt: skip
        timer._on_reset = self._ros_wake_executor
        self._ros_adopt(self._timers, timer)
        return timer

    def create_guard_condition(
        self, callback: Callable, callback_group: CallbackGroup | None = None
    ) -> GuardCondition:
        """Call back when triggered."""
        group = callback_group or self.default_callback_group
        guard = GuardCondition(callback, group, context=self._context)
        self._ros_adopt(self._guards, guard)
        return guard

    def create_rate(self, frequency: float, clock: Clock | None = None) -> Rate:
        """Something that sleeps at a frequency (Hz), while another thread spins."""
        if frequency <= 0:
            raise ValueError("frequency must be > 0")
        timer = self.create_timer(
            1.0 / frequency, None, MutuallyExclusiveCallbackGroup(), clock or self._clock
        )
        return Rate(timer, context=self._context)

    def add_waitable(self, waitable: Executable) -> None:
        """Have an executor run something else."""
        self._ros_adopt(self._ros_waitables, waitable)

    def remove_waitable(self, waitable: Executable) -> None:
        """Take it back."""
        self._ros_waitables.remove(waitable)
        self._ros_wake_executor()

    def _ros_adopt(self, entities: list, entity: Any) -> None:
        entity._node, entity._logger_name = self, self._ros_logger_name
        if entity.callback_group is not None:
            entity.callback_group.add_entity(entity)
        entities.append(entity)
        self._ros_wake_executor()

    def _ros_adopt_events(self, endpoint: Publisher | Subscription) -> None:
        for handler in endpoint.event_handlers:
            self._ros_adopt(self._ros_events, handler)

    # Destroying

    def destroy_publisher(self, publisher: Publisher) -> bool:
        """Take a publisher away; False where it is not of this node."""
        return self._ros_discard(self._publishers, publisher, [publisher.handle.guid])

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Take a subscription away; False where it is not of this node."""
        return self._ros_discard(self._subscriptions, subscription, [subscription.handle.guid])

    def destroy_client(self, client: Client) -> bool:
        """Take a client away; False where it is not of this node."""
        return self._ros_discard(self._clients, client, [part.guid for part in client.handle])

    def destroy_service(self, service: Service) -> bool:
        """Take a service away; False where it is not of this node."""
        return self._ros_discard(self._services, service, [part.guid for part in service.handle])

    def destroy_timer(self, timer: Timer) -> bool:
        """Take a timer away; False where it is not of this node."""
        return self._ros_discard(self._timers, timer, [])

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        """Take a guard condition away; False where it is not of this node."""
        return self._ros_discard(self._guards, guard, [])

    def destroy_rate(self, rate: Rate) -> bool:
        """Take a rate away; False where it is not of this node."""
        found = self.destroy_timer(rate._timer)
        rate.destroy()
        return found

    def _ros_destroy_entities(self) -> None:
        destroyers: list[tuple[list, Callable[[Any], bool]]] = [
            (self._subscriptions, self.destroy_subscription),
            (self._services, self.destroy_service),
            (self._clients, self.destroy_client),
            (self._timers, self.destroy_timer),
            (self._guards, self.destroy_guard_condition),
            (self._publishers, self.destroy_publisher),
        ]
        for entities, destroy in destroyers:
            for entity in list(entities):
                destroy(entity)

    def _ros_discard(self, entities: list, entity: Any, guids: list[bytes]) -> bool:
        if entity not in entities:
            return False
        entities.remove(entity)
        for handler in getattr(entity, "event_handlers", []):
            if handler in self._ros_events:
                self._ros_events.remove(handler)
        if guids:
            self._ros_graph.remove_endpoints(self._ros_announced, guids)
        entity.destroy()
        self._ros_wake_executor()
        return True


def _profile(qos: QoSProfile | int) -> QoSProfile:
    if isinstance(qos, QoSProfile):
        return qos
    if isinstance(qos, int):
        if qos < 0:
            raise ValueError("history depth must be greater than or equal to zero")
        return QoSProfile(depth=qos)
    raise TypeError(f"Expected QoSProfile or int, but received {type(qos)!r}")


def _service_halves(srv_type: Any) -> tuple[str, str]:
    check_is_valid_srv_type(srv_type)
    return srv_type.Request._interface_name, srv_type.Response._interface_name
