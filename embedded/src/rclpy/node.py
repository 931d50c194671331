# SPDX-License-Identifier: Apache-2.0
"""Nodes."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import Log, ParameterDescriptor, ParameterEvent

from rclpy import logging
from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock, ROSClock
from rclpy.constants import S_TO_NS
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import (
    InvalidTypeSupport,
    NotInitializedException,
    needs_full_ros,
)
from rclpy.expand_topic_name import expand_topic_name
from rclpy.guard_condition import GuardCondition
from rclpy.impl.arguments import Arguments, parse_arguments
from rclpy.impl.dds.graph import Graph
from rclpy.impl.dds.participant import Participant
from rclpy.impl.executable import Executable
from rclpy.impl.node_graph import NodeGraph
from rclpy.impl.node_parameters import NodeParameters
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import LoggingSeverity
from rclpy.logging_service import LoggingService
from rclpy.parameter import Parameter
from rclpy.parameter_service import ParameterService
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_parameter_events,
    qos_profile_rosout_default,
    qos_profile_services_default,
)
from rclpy.qos_overriding_options import QoSOverridingOptions, _declare_qos_parameters
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.time_source import TimeSource
from rclpy.timer import Rate, Timer
from rclpy.type_description_service import TypeDescriptionService
from rclpy.utilities import get_default_context
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name
from rclpy.validate_topic_name import validate_topic_name

if TYPE_CHECKING:
    from rclpy.executors import Executor


class Node(NodeParameters, NodeGraph):
    """A participant of the graph: publishers, subscriptions, services, timers, parameters."""

    PARAM_REL_TOL = 1e-6

    def __init__(
        self,
        node_name: str,
        *,
        context: Context | None = None,
        cli_args: list[str] | None = None,
        namespace: str | None = None,
        use_global_arguments: bool = True,
        enable_rosout: bool = True,
        rosout_qos_profile: QoSProfile | int = qos_profile_rosout_default,
        start_parameter_services: bool = True,
        parameter_overrides: list[Parameter] | None = None,
        allow_undeclared_parameters: bool = False,
        automatically_declare_parameters_from_overrides: bool = False,
        enable_logger_service: bool = False,
    ) -> None:
        self._executor_weakref: weakref.ref[Executor] | None = None
        self._context = get_default_context() if context is None else context
        if not self._context.ok():
            raise NotInitializedException("cannot create node")
        self._init_collections()
        self._arguments = _merge(
            parse_arguments(cli_args) if cli_args else Arguments(),
            self._context._arguments if use_global_arguments else Arguments(),
        )
        self._init_names(node_name, namespace)
        overrides = {
            name: Parameter(name, value=value)
            for name, value in self._arguments.parameters_of(
                self.get_fully_qualified_name()
            ).items()
        }
        overrides.update({parameter.name: parameter for parameter in parameter_overrides or []})
        self._init_parameters(overrides, allow_undeclared_parameters)
        self._impl: Participant = self._context._impl
        self._graph: Graph = self._impl.graph
        self._announced = self._graph.add_node((self._namespace, self._name))
        self._context._add_node(self)
        self._logger = logging.get_logger(self._logger_name)
        with self._graph.batch():
            self._clock = ROSClock()
            self._parameter_event_publisher = self.create_publisher(
                ParameterEvent, "/parameter_events", qos_profile_parameter_events
            )
            self._rosout: Publisher | None = None
            if enable_rosout and logging._rosout_enabled:
                self._rosout = self.create_publisher(Log, "/rosout", rosout_qos_profile)
                logging._add_rosout(self._logger_name, self._send_to_rosout)
            if automatically_declare_parameters_from_overrides:
                free = ParameterDescriptor(dynamic_typing=True)
                self.declare_parameters(
                    "", [(name, p.value, free) for name, p in overrides.items()], True
                )
            self._time_source = TimeSource(node=self)
            self._time_source.attach_clock(self._clock)
            self._type_description_service = TypeDescriptionService(self)
            if start_parameter_services:
                self._parameter_service = ParameterService(self)
            if enable_logger_service:
                self._logger_service = LoggingService(self)

    def _init_collections(self) -> None:
        self._publishers: list[Publisher] = []
        self._subscriptions: list[Subscription] = []
        self._clients: list[Client] = []
        self._services: list[Service] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []
        self._waitables: list[Executable] = []
        self._events: list[Executable] = []
        self._default_callback_group: CallbackGroup = MutuallyExclusiveCallbackGroup()
        self._destroyed = False

    def _init_names(self, node_name: str, namespace: str | None) -> None:
        given = self._arguments.namespace(node_name)
        name = self._arguments.node_name(node_name) or node_name
        validate_node_name(name)
        namespace = given if given is not None else (namespace or "/")
        self._namespace = namespace if namespace.startswith("/") else f"/{namespace}"
        validate_namespace(self._namespace)
        self._name = name
        full = f"{self._namespace.rstrip('/')}/{name}"
        self._logger_name = full.strip("/").replace("/", ".")

    # Identity

    def get_name(self) -> str:
        """The name, remapped."""
        return self._name

    def get_namespace(self) -> str:
        """The namespace, remapped."""
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        return f"{self._namespace.rstrip('/')}/{self._name}"

    def get_clock(self) -> Clock:
        """The node's clock: simulated where the parameter use_sim_time is true."""
        return self._clock

    def get_logger(self) -> RcutilsLogger:
        """The node's logger."""
        return self._logger

    @property
    def context(self) -> Context:
        """The context."""
        return self._context

    @property
    def handle(self) -> Node:
        """The node itself: this runtime has no other form of it."""
        return self

    @property
    def executor(self) -> Executor | None:
        """The executor that spins this node."""
        return None if self._executor_weakref is None else self._executor_weakref()

    @executor.setter
    def executor(self, new_executor: Executor | None) -> None:
        current = self.executor
        if current is not None and current is not new_executor:
            current.remove_node(self)
        if new_executor is None:
            self._executor_weakref = None
            return
        self._executor_weakref = weakref.ref(new_executor)
        new_executor.add_node(self)

    @property
    def default_callback_group(self) -> CallbackGroup:
        """The group of entities that were given none: mutually exclusive."""
        return self._default_callback_group

    @property
    def publishers(self) -> Iterator[Publisher]:
        """Publishers of this node."""
        yield from self._publishers

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
        yield from self._waitables

    def _executables(self) -> Iterator[Executable]:
        """Everything an executor may have to run, in the order in which it looks."""
        return itertools.chain(
            list(self._timers), list(self._subscriptions), list(self._guards),
            list(self._clients), list(self._services), list(self._events), list(self._waitables),
        )  # fmt: skip

    def _wake_executor(self) -> None:
        executor = self.executor
        if executor is not None:
            executor.wake()

    # Names

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Full name of a topic, remapped unless `only_expand`."""
        return self._full_topic_name(topic, only_expand=only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """Full name of a service, remapped unless `only_expand`."""
        return self._full_topic_name(service, is_service=True, only_expand=only_expand)

    def _full_topic_name(
        self, name: str, *, is_service: bool = False, only_expand: bool = False
    ) -> str:
        validate_topic_name(name, is_service=is_service)
        full = expand_topic_name(name, self._name, self._namespace)
        validate_full_topic_name(full, is_service=is_service)
        if only_expand:
            return full
        for rule in self._arguments.remaps:
            if rule.node not in ("", self._name) or rule.source.startswith("__"):
                continue
            if expand_topic_name(rule.source, self._name, self._namespace) == full:
                full = expand_topic_name(rule.target, self._name, self._namespace)
                validate_full_topic_name(full, is_service=is_service)
                return full
        return full

    # Making

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
        full = self._full_topic_name(topic)
        profile = _profile(qos_profile)
        interface = _interface_name(msg_type)
        if qos_overriding_options is not None:
            _declare_qos_parameters(Publisher, self, full, profile, qos_overriding_options)
        profile = self._resolve_best_available(profile, full, for_writer=True)
        writer = self._impl.make_writer(f"rt{full}", interface, profile)
        group = callback_group or self.default_callback_group
        publisher = publisher_class(
            writer, msg_type, full, profile, event_callbacks or PublisherEventCallbacks(), group
        )
        self._publishers.append(publisher)
        self._adopt_events(publisher)
        self._graph.add_endpoints(self._announced, writers=[writer.guid])
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
        if content_filter_options is not None:
            raise needs_full_ros("content filtering")
        full = self._full_topic_name(topic)
        profile = _profile(qos_profile)
        interface = _interface_name(msg_type)
        if qos_overriding_options is not None:
            _declare_qos_parameters(Subscription, self, full, profile, qos_overriding_options)
        profile = self._resolve_best_available(profile, full, for_writer=False)
        reader = self._impl.make_reader(f"rt{full}", interface, profile)
        group = callback_group or self.default_callback_group
        subscription: Subscription = Subscription(
            reader, msg_type, full, callback, group, profile, raw,
            event_callbacks or SubscriptionEventCallbacks(),
        )  # fmt: skip
        self._adopt(self._subscriptions, subscription)
        self._adopt_events(subscription)
        self._graph.add_endpoints(self._announced, readers=[reader.guid])
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
        full = self._full_topic_name(srv_name, is_service=True)
        request, response = _service_halves(srv_type)
        owner = f"clientid={self._impl.new_id()};"
        reader = self._impl.make_reader(f"rr{full}Reply", response, qos_profile, owner)
        writer = self._impl.make_writer(f"rq{full}Request", request, qos_profile, owner)
        client: Client = Client(
            self._context, (writer, reader), srv_type, full, qos_profile,
            callback_group or self.default_callback_group, self._graph,
        )  # fmt: skip
        self._adopt(self._clients, client)
        self._graph.add_endpoints(self._announced, readers=[reader.guid], writers=[writer.guid])
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
        full = self._full_topic_name(srv_name, is_service=True)
        request, response = _service_halves(srv_type)
        owner = f"serviceid={self._impl.new_id()};"
        writer = self._impl.make_writer(f"rr{full}Reply", response, qos_profile, owner)
        reader = self._impl.make_reader(f"rq{full}Request", request, qos_profile, owner)
        service: Service = Service(
            (reader, writer), srv_type, full, callback,
            callback_group or self.default_callback_group, qos_profile, self._graph,
        )  # fmt: skip
        self._adopt(self._services, service)
        self._graph.add_endpoints(self._announced, readers=[reader.guid], writers=[writer.guid])
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
        timer = Timer(
            callback, callback_group or self.default_callback_group,
            int(float(timer_period_sec) * S_TO_NS), clock or self._clock,
            context=self._context, autostart=autostart,
        )  # fmt: skip
        timer._on_reset = self._wake_executor
        self._adopt(self._timers, timer)
        return timer

    def create_guard_condition(
        self, callback: Callable, callback_group: CallbackGroup | None = None
    ) -> GuardCondition:
        """Call back when triggered."""
        group = callback_group or self.default_callback_group
        guard = GuardCondition(callback, group, context=self._context)
        self._adopt(self._guards, guard)
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
        self._adopt(self._waitables, waitable)

    def remove_waitable(self, waitable: Executable) -> None:
        """Take it back."""
        self._waitables.remove(waitable)
        self._wake_executor()

    def _adopt(self, entities: list, entity: Any) -> None:
        entity._node = self
        if entity.callback_group is not None:
            entity.callback_group.add_entity(entity)
        entities.append(entity)
        self._wake_executor()

    def _adopt_events(self, endpoint: Publisher | Subscription) -> None:
        for handler in endpoint.event_handlers:
            self._adopt(self._events, handler)

    def _resolve_best_available(
        self, profile: QoSProfile, full: str, *, for_writer: bool
    ) -> QoSProfile:
        """Replace BEST_AVAILABLE by what matches the endpoints that are there now."""
        best = (
            profile.reliability == ReliabilityPolicy.BEST_AVAILABLE,
            profile.durability == DurabilityPolicy.BEST_AVAILABLE,
            profile.liveliness == LivelinessPolicy.BEST_AVAILABLE,
        )
        if not any(best):
            return profile
        peers = [e for e in self._graph.endpoints(f"rt{full}") if e.is_writer != for_writer]
        resolved = QoSProfile(**{slot[1:]: getattr(profile, slot) for slot in QoSProfile.__slots__})
        if best[0]:
            reliable = for_writer or all(
                e.qos.reliability == ReliabilityPolicy.RELIABLE for e in peers
            )
            resolved.reliability = (
                ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            )
        if best[1]:
            latched = for_writer or all(
                e.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for e in peers
            )
            resolved.durability = (
                DurabilityPolicy.TRANSIENT_LOCAL if latched and peers else DurabilityPolicy.VOLATILE
            )
        if best[2]:
            resolved.liveliness = LivelinessPolicy.AUTOMATIC
        return resolved

    def _send_to_rosout(
        self,
        severity: LoggingSeverity,
        name: str,
        message: str,
        file: str,
        function: str,
        line: int,
    ) -> None:
        if self._rosout is not None:
            stamp = self._clock.now().to_msg()
            self._rosout.publish(
                Log(stamp=stamp, level=int(severity), name=name, msg=message, file=file,
                    function=function, line=line)
            )  # fmt: skip

    # Destroying

    def destroy_publisher(self, publisher: Publisher) -> bool:
        """Take a publisher away; False where it is not of this node."""
        return self._discard(self._publishers, publisher, [publisher.handle.guid])

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Take a subscription away; False where it is not of this node."""
        return self._discard(self._subscriptions, subscription, [subscription.handle.guid])

    def destroy_client(self, client: Client) -> bool:
        """Take a client away; False where it is not of this node."""
        return self._discard(self._clients, client, [part.guid for part in client.handle])

    def destroy_service(self, service: Service) -> bool:
        """Take a service away; False where it is not of this node."""
        return self._discard(self._services, service, [part.guid for part in service.handle])

    def destroy_timer(self, timer: Timer) -> bool:
        """Take a timer away; False where it is not of this node."""
        return self._discard(self._timers, timer, [])

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        """Take a guard condition away; False where it is not of this node."""
        return self._discard(self._guards, guard, [])

    def destroy_rate(self, rate: Rate) -> bool:
        """Take a rate away; False where it is not of this node."""
        found = self.destroy_timer(rate._timer)
        rate.destroy()
        return found

    def _discard(self, entities: list, entity: Any, guids: list[bytes]) -> bool:
        if entity not in entities:
            return False
        entities.remove(entity)
        for handler in getattr(entity, "event_handlers", []):
            if handler in self._events:
                self._events.remove(handler)
        if guids:
            self._graph.remove_endpoints(self._announced, guids)
        entity.destroy()
        self._wake_executor()
        return True

    def destroy_node(self) -> None:
        """Leave the graph with everything that belongs to this node. Later calls do nothing."""
        if self._destroyed:
            return
        self._destroyed = True
        executor = self.executor
        if executor is not None:
            executor.remove_node(self)
        logging._remove_rosout(self._logger_name, self._send_to_rosout)
        self._parameter_event_publisher = None
        with self._graph.batch():
            for entities, destroy in (
                (self._subscriptions, self.destroy_subscription),
                (self._services, self.destroy_service),
                (self._clients, self.destroy_client),
                (self._timers, self.destroy_timer),
                (self._guards, self.destroy_guard_condition),
                (self._publishers, self.destroy_publisher),
            ):
                for entity in list(entities):  # type: ignore[call-overload]
                    destroy(entity)
            self._graph.remove_node(self._announced)
        self._context._remove_node(self)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy_node()


def _merge(own: Arguments, common: Arguments) -> Arguments:
    """A node's own arguments win over those of the process."""
    return Arguments(
        remaps=own.remaps + common.remaps, parameters=common.parameters + own.parameters
    )


def _profile(qos: QoSProfile | int) -> QoSProfile:
    if isinstance(qos, QoSProfile):
        return qos
    if isinstance(qos, int):
        if qos < 0:
            raise ValueError("history depth must be greater than or equal to zero")
        return QoSProfile(depth=qos)
    raise TypeError(f"Expected QoSProfile or int, but received {type(qos)!r}")


def _interface_name(msg_type: Any) -> str:
    name = getattr(msg_type, "_interface_name", "")
    if not name or hasattr(msg_type, "Request"):
        raise InvalidTypeSupport(f"{msg_type} is not a message class")
    return name


def _service_halves(srv_type: Any) -> tuple[str, str]:
    if not hasattr(srv_type, "_interface_name") or not hasattr(srv_type, "Request"):
        raise InvalidTypeSupport(f"{srv_type} is not a service class")
    return srv_type.Request._interface_name, srv_type.Response._interface_name
