# SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second: input, tracking, scale and memory, from the last Status."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater
from rclpy.node import Node

from zipmap_ros.msg import Status
from zipmap_ros.nodes.status import STATE_NAMES, MapperFacts

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
# Below this share of the input the network does not keep up.
KEEPS_UP = 0.8
# In other states images are left out for a reason that is said elsewhere.
RUNNING = (Status.TRACKING, Status.INITIALISING)


class Diagnostics:
    """Four tasks that read what `status` and `facts` return."""

    def __init__(
        self, node: Node, status: Callable[[], Status], facts: Callable[[], MapperFacts]
    ) -> None:
        self._status, self._facts = status, facts
        self._dropped: dict[str, int] = {}  # when it was looked at last
        if node.get_namespace() != "/":  # all robots speak on one topic: who does must be said
            node.declare_parameter("diagnostic_updater.use_fqn", True)
        updater = Updater(node, period=1.0)
        updater.setHardwareID("none")
        for task in (self._input, self._tracking, self._scale, self._memory):
            updater.add(task.__name__.lstrip("_"), task)

    def _input(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status = self._status()
        if status.state == Status.WAITING_FOR_IMAGE:
            stat.summary(WARN, status.hint or "no images yet")
        elif status.state in RUNNING and status.output_rate < KEEPS_UP * status.input_rate:
            stat.summary(WARN, self._why_dropped(status))
        else:
            stat.summary(OK, f"{status.input_rate:.1f} Hz")
        stat.add("input rate (Hz)", f"{status.input_rate:.2f}")
        stat.add("output rate (Hz)", f"{status.output_rate:.2f}")
        stat.add(
            "latency p50, p95, max (s)",
            " ".join(
                f"{v:.3f}" for v in (status.latency_p50, status.latency_p95, status.latency_max)
            ),
        )
        stat.add("frames received", str(status.frames_received))
        stat.add("queue length", str(status.queue_length))
        for drop in status.frames_dropped:
            stat.add(f"dropped: {drop.key}", drop.value)
        return stat

    def _why_dropped(self, status: Status) -> str:
        """By the reason for which most images were dropped since it was asked last."""
        before = self._dropped
        self._dropped = {drop.key: int(drop.value) for drop in status.frames_dropped}
        new = {reason: n - before.get(reason, 0) for reason, n in self._dropped.items()}
        reason = max(new, key=lambda reason: new[reason], default="queue_full")
        if reason == "queue_full":
            return "images come faster than the network: the oldest are dropped"
        return f"images are dropped as {reason}"

    def _tracking(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status = self._status()
        good = status.state == Status.PAUSED or (status.state in RUNNING and not status.hint)
        level = OK if good else ERROR if status.state == Status.LOST else WARN
        name = STATE_NAMES[status.state]
        stat.summary(level, f"{name}: {status.hint}" if status.hint else name)
        stat.add("frames used", str(status.frames_used))
        stat.add("frames gated", str(status.frames_gated))
        stat.add("state update", f"{status.state_update:.3g}")
        stat.add("gauge id", str(status.gauge_id))
        return stat

    def _scale(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status = self._status()
        if status.metric:
            source = status.scale_source
            stat.summary(OK, f"metres, from {'the session' if source == 'none' else source}")
        elif status.scale_source == "none":
            stat.summary(OK, "map units are the network's: set scale_source for metres")
        else:
            stat.summary(WARN, f"not metric yet: waiting for {status.scale_source}")
        stat.add("scale", f"{status.scale:.6g}")
        stat.add("spread (relative)", f"{self._facts().scale_spread:.3f}")
        return stat

    def _memory(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status = self._status()
        stat.summary(OK, f"{status.process_mb:.0f} MB")
        stat.add("process (MB)", f"{status.process_mb:.0f}")
        stat.add("GPU (MB)", f"{status.gpu_mb:.0f}")
        stat.add("map points", str(status.map_points))
        stat.add("map (MB)", f"{status.map_mb:.1f}")
        stat.add("map points evicted", str(status.map_evicted))
        return stat
