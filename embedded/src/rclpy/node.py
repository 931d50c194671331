# SPDX-License-Identifier: Apache-2.0
"""Nodes. The classes of what they are made of can be imported from here, too."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from rcl_interfaces.msg import Log, ParameterEvent
from rcl_interfaces.msg import SetParametersResult as SetParametersResult

from rclpy import logging
from rclpy._rclpy_pybind11 import NodeNameNonExistentError as NodeNameNonExistentError
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import CallbackGroup as CallbackGroup
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup as MutuallyExclusiveCallbackGroup
from rclpy.callback_groups import ReentrantCallbackGroup as ReentrantCallbackGroup
from rclpy.client import Client as Client
from rclpy.clock import Clock, ROSClock
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle, NotInitializedException
from rclpy.guard_condition import GuardCondition as GuardCondition
from rclpy.impl.arguments import Arguments, parse_own_arguments
from rclpy.impl.dds.graph import Graph
from rclpy.impl.dds.library import DdsError
from rclpy.impl.dds.participant import Participant
from rclpy.impl.node_entities import NodeEntities
from rclpy.impl.node_graph import NodeGraph
from rclpy.impl.node_parameters import NodeParameters
from rclpy.impl.parameter_checks import given_parameter
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import LoggingSeverity
from rclpy.logging_service import LoggingService
from rclpy.parameter import Parameter
from rclpy.parameter_service import ParameterService
from rclpy.publisher import Publisher as Publisher
from rclpy.qos import QoSProfile, qos_profile_parameter_events, qos_profile_rosout_default
from rclpy.service import Service as Service
from rclpy.subscription import Subscription as Subscription
from rclpy.time_source import TimeSource
from rclpy.timer import Rate as Rate
from rclpy.timer import Timer as Timer
from rclpy.type_description_service import TypeDescriptionService
from rclpy.utilities import get_default_context
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

if TYPE_CHECKING:
    from rclpy.executors import Executor

HIDDEN_NODE_PREFIX = "_"


class Node(NodeEntities, NodeParameters, NodeGraph):
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
        self._ros_executor_weakref: weakref.ref[Executor] | None = None
        self._context = get_default_context() if context is None else context
        if not self._context.ok():
            raise NotInitializedException("cannot create node")
        self._ros_init_entities()
        self._ros_destroyed = False
        self._ros_arguments = _merge(
            parse_own_arguments(cli_args),
            self._context._arguments if use_global_arguments else Arguments(),
        )
        self._ros_init_names(node_name, namespace)
        overrides = {
            name: given_parameter(name, value)
            for name, value in self._ros_arguments.parameters_of(
                self.get_fully_qualified_name()
            ).items()
        }
        overrides.update({parameter.name: parameter for parameter in parameter_overrides or []})
        self._ros_init_parameters(overrides, allow_undeclared_parameters)
        self._ros_participant: Participant = self._context._impl
        self._ros_graph: Graph = self._ros_participant.graph
        self._ros_announced = self._ros_graph.add_node((self._ros_namespace, self._ros_name))
        self._context._add_node(self)
        self._logger = logging.get_logger(self._ros_logger_name)
        with self._ros_graph.batch():
            self._clock = ROSClock()
            self._parameter_event_publisher = self.create_publisher(
                ParameterEvent, "/parameter_events", qos_profile_parameter_events
            )
            if enable_rosout and logging._rosout_enabled:
                self._ros_rosout = self.create_publisher(Log, "/rosout", rosout_qos_profile)
                logging._add_rosout(self._ros_logger_name, self._ros_send_to_rosout)
            if automatically_declare_parameters_from_overrides:
                given = [(name, parameter.value) for name, parameter in overrides.items()]
                self.declare_parameters("", given, ignore_override=True)
            self._time_source = TimeSource(node=self)
            self._time_source.attach_clock(self._clock)
            if start_parameter_services:
                self._parameter_service = ParameterService(self)
            self._type_description_service = TypeDescriptionService(self)
            if enable_logger_service:
                self._logger_service = LoggingService(self)

    def _ros_init_names(self, node_name: str, namespace: str | None) -> None:
        given = self._ros_arguments.namespace(node_name)
        name = self._ros_arguments.node_name(node_name) or node_name
        validate_node_name(name)
        namespace = given if given is not None else (namespace or "/")
        self._ros_namespace = namespace if namespace.startswith("/") else f"/{namespace}"
        validate_namespace(self._ros_namespace)
        self._ros_name = name
        full = f"{self._ros_namespace.rstrip('/')}/{name}"
        self._ros_logger_name = full.strip("/").replace("/", ".")

    # Identity

    def get_name(self) -> str:
        """The name, remapped."""
        self._ros_check_handle()
        return self._ros_name

    def get_namespace(self) -> str:
        """The namespace, remapped."""
        self._ros_check_handle()
        return self._ros_namespace

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        self._ros_check_handle()
        return f"{self._ros_namespace.rstrip('/')}/{self._ros_name}"

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
        return None if self._ros_executor_weakref is None else self._ros_executor_weakref()

    @executor.setter
    def executor(self, new_executor: Executor | None) -> None:
        current = self.executor
        if current is not None and current is not new_executor:
            current.remove_node(self)
        if new_executor is None:
            self._ros_executor_weakref = None
            return
        self._ros_executor_weakref = weakref.ref(new_executor)
        new_executor.add_node(self)

    def _ros_send_to_rosout(
        self,
        severity: LoggingSeverity,
        name: str,
        message: str,
        file: str,
        function: str,
        line: int,
    ) -> None:
        if self._ros_rosout is not None:
            stamp = self._clock.now().to_msg()
            log = Log(stamp=stamp, level=int(severity), name=name, msg=message, file=file,
                      function=function, line=line)  # fmt: skip
            # Who still logs once the context is shut down or the node destroyed logs on.
            with suppress(RCLError, InvalidHandle, DdsError):
                self._ros_rosout.publish(log)

    # Leaving

    def destroy_node(self) -> None:
        """Leave the graph with everything that belongs to this node. Later calls do nothing."""
        if self._ros_destroyed:
            return
        self._ros_destroyed = True
        executor = self.executor
        if executor is not None:
            executor.remove_node(self)
        logging._remove_rosout(self._ros_logger_name, self._ros_send_to_rosout)
        self._parameter_event_publisher = None
        with self._ros_graph.batch():
            self._ros_destroy_entities()
            self._ros_graph.remove_node(self._ros_announced)
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
