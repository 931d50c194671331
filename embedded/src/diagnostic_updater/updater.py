# SPDX-License-Identifier: Apache-2.0
"""Runs a node's diagnostic tasks on a timer and publishes what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from diagnostic_updater.status import DiagnosticStatusWrapper
from diagnostic_updater.tasks import DiagnosticTask, FunctionDiagnosticTask


class DiagnosticTaskVector:
    """A list of tasks."""

    def __init__(self) -> None:
        self.tasks: list[DiagnosticTask] = []
        self.lock = threading.Lock()

    def addedTaskCallback(self, task: DiagnosticTask) -> None:
        """Be told of a new task; a subclass says what for."""

    def add(self, *args: Any) -> None:
        """Add a task: `add(task)`, or `add(name, function)`."""
        if len(args) == 2:
            name: str = args[0]
            function: Callable[..., Any] = args[1]
            task: DiagnosticTask = FunctionDiagnosticTask(name, function)
        else:
            (task,) = args
        with self.lock:
            self.tasks.append(task)
            self.addedTaskCallback(task)

    def removeByName(self, name: str) -> bool:
        """Remove the first task of that name; return whether there was one."""
        with self.lock:
            for task in self.tasks:
                if task.getName() == name:
                    self.tasks.remove(task)
                    return True
        return False


class Updater(DiagnosticTaskVector):
    """Publishes the status of all tasks every `diagnostic_updater.period` seconds (1.0).

    The parameter `diagnostic_updater.use_fqn` puts the namespace before the node's name.
    """

    def __init__(self, node: Node, period: float = 1.0) -> None:
        super().__init__()
        self.node = node
        self.publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self.clock = node.get_clock()
        self.verbose = False
        self.hwid = ""
        self.warn_nohwid_done = False
        self.period_parameter = "diagnostic_updater.period"
        self.use_fqn_parameter = "diagnostic_updater.use_fqn"
        self._period = float(self._parameter(self.period_parameter, float(period)))
        use_fqn = self._parameter(self.use_fqn_parameter, False)
        self.node_name = node.get_fully_qualified_name() if use_fqn else node.get_name()
        self.timer = node.create_timer(self._period, self.update)

    def _parameter(self, name: str, default: Any) -> Any:
        if self.node.has_parameter(name):
            return self.node.get_parameter(name).value
        return self.node.declare_parameter(name, default).value

    @property
    def period(self) -> float:
        """Seconds between two updates."""
        return self._period

    @period.setter
    def period(self, value: float) -> None:
        if value != self._period:
            self._period = float(value)
            self.node.destroy_timer(self.timer)
            self.timer = self.node.create_timer(self._period, self.update)

    def setHardwareID(self, hwid: str) -> None:
        """Name the device that the statuses are about; "none" for none."""
        self.hwid = hwid

    def update(self) -> None:
        """Follow the period parameter, then run and publish all tasks."""
        self.period = self.node.get_parameter(self.period_parameter).value
        self.force_update()

    def force_update(self) -> None:
        """Run and publish all tasks now."""
        with self.lock:
            statuses = [self._run(task) for task in self.tasks]
        bad = [status for status in statuses if status.level != DiagnosticStatus.OK]
        if self.verbose:
            for status in bad:
                self.node.get_logger().warning(
                    f"Non-zero diagnostic status. Name: {status.name}, "
                    f"status {status.level[0]}: {status.message}"
                )
        if not (self.hwid or bad or self.warn_nohwid_done):
            self.warn_nohwid_done = True
            self.node.get_logger().warning(
                "diagnostic_updater: no hardware ID was set: call setHardwareID, "
                "with 'none' where there is no device"
            )
        self.publish(statuses)

    def _run(self, task: DiagnosticTask) -> DiagnosticStatusWrapper:
        status = DiagnosticStatusWrapper()
        status.level = DiagnosticStatus.ERROR
        status.name = task.getName()
        status.message = "No message was set"
        status.hardware_id = self.hwid
        return task.run(status)

    def broadcast(self, lvl: bytes, msg: str) -> None:
        """Publish one level and message for all tasks, without running them."""
        statuses = []
        for task in self.tasks:
            status = DiagnosticStatusWrapper()
            status.name = task.getName()
            status.hardware_id = self.hwid
            status.summary(lvl, msg)
            statuses.append(status)
        self.publish(statuses)

    def publish(self, msg: DiagnosticStatus | list[DiagnosticStatus]) -> None:
        """Publish one status or several, with the node's name before theirs."""
        statuses = list(msg) if isinstance(msg, (list, tuple)) else [msg]
        for status in statuses:
            status.name = f"{self.node_name}: {status.name}"
        array = DiagnosticArray(status=statuses)
        array.header.stamp = self.clock.now().to_msg()
        self.publisher.publish(array)

    def addedTaskCallback(self, task: DiagnosticTask) -> None:
        """Say at once that the task is starting."""
        status = DiagnosticStatusWrapper()
        status.name = task.getName()
        status.summary(DiagnosticStatus.OK, "Node starting up")
        self.publish(status)
