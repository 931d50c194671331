# SPDX-License-Identifier: Apache-2.0
"""What the node is doing, as one zipmap_ros/Status."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import KeyValue
from std_msgs.msg import Header

from zipmap_ros.msg import Status
from zipmap_ros.nodes.worker import Counts
from zipmap_ros.parameters import Parameters

if TYPE_CHECKING:
    from zipmap_ros.mapping import StreamMapper

STATE_NAMES = {
    getattr(Status, name): name
    for name in (
        "UNCONFIGURED",
        "WAITING_FOR_IMAGE",
        "WAITING_FOR_TF",
        "INITIALISING",
        "TRACKING",
        "LOST",
        "PAUSED",
    )
}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MapperFacts:
    """What the status says of the mapper, taken on the worker's thread after each of its jobs.

    map_version  differs whenever the map does
    astray       the cameras of which nobody knows where they are
    """

    status: str = "initialising"
    used: int = 0
    gated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    astray: tuple[str, ...] = ()
    variant: str = ""
    device: str = ""
    map_points: int = 0
    map_mb: float = 0.0
    map_evicted: int = 0
    map_version: tuple[int, ...] = ()
    metric: bool = False
    scale: float = 1.0
    scale_spread: float = 0.0
    gauge_id: int = 0
    state_update: float = 0.0
    gpu_mb: float = 0.0

    @classmethod
    def of(cls, mapper: StreamMapper) -> MapperFacts:
        """Read a mapper."""
        cloud = mapper.voxel_map
        return cls(
            status=mapper.status,
            used=mapper.counts.used,
            gated=mapper.counts.gated,
            dropped=Counter(mapper.counts.dropped),
            problem=mapper.problem,
            astray=_astray(mapper),
            variant=mapper.model.config.variant,
            device=str(next(mapper.model.parameters()).device),
            map_points=len(cloud),
            map_mb=cloud.megabytes,
            map_evicted=cloud.evicted,
            map_version=(mapper.gauge_id, id(cloud), cloud.insertions, len(cloud)),
            metric=mapper.scale.metric,
            scale=mapper.scale.scale,
            scale_spread=mapper.scale.spread,
            gauge_id=mapper.gauge_id,
            state_update=mapper.state_update,
            gpu_mb=_gpu_mb(),
        )


def make_status(
    header: Header,
    state: int,
    hint: str,
    parameters: Parameters,
    facts: MapperFacts,
    counts: Counts,
) -> Status:
    """The message; every number in it is one of the arguments'."""
    dropped = counts.dropped + facts.dropped
    return Status(
        header=header,
        state=state,
        mode=Status.LOCALIZATION if parameters.mode == "localization" else Status.MAPPING,
        hint=hint,
        checkpoint=parameters.checkpoint or "shipped",
        variant=facts.variant,
        device=facts.device,
        frames_received=counts.received,
        frames_used=facts.used,
        frames_gated=facts.gated,
        frames_dropped=[KeyValue(key=k, value=str(n)) for k, n in sorted(dropped.items())],
        input_rate=counts.input_rate_hz,
        output_rate=counts.output_rate_hz,
        latency_p50=counts.latency_p50_s,
        latency_p95=counts.latency_p95_s,
        latency_max=counts.latency_max_s,
        queue_length=counts.queue_length,
        map_points=facts.map_points,
        map_mb=facts.map_mb,
        map_evicted=facts.map_evicted,
        process_mb=_process_mb(),
        gpu_mb=facts.gpu_mb,
        metric=facts.metric,
        scale=facts.scale,
        scale_source=parameters.scale_source,
        gauge_id=facts.gauge_id,
        state_update=facts.state_update,
    )


def _astray(mapper: StreamMapper) -> tuple[str, ...]:
    """The cameras that are lost or covered, or aligned to nothing where others are."""
    from zipmap_ros.mapping.tracks import aligns

    lost = mapper.tracker.good.keys() | mapper.tracker.covered
    if aligns(mapper.parameters.align_poses, mapper.model.config):
        lost |= {name for name, track in mapper.tracks.cameras.items() if not track.is_known}
    return tuple(sorted(lost & set(mapper.parameters.cameras or ("",))))  # no others of a session


def is_located(mapper: StreamMapper, source: str) -> bool:
    """Whether it is known where in the map a camera is; of a session's cameras it is not."""
    return source in mapper.tracker.steady and source not in _astray(mapper)


def unlocated(*names: str) -> str:
    """What to do about cameras whose poses are none in the map."""
    return (
        f"nobody knows where in the map {', '.join(name or 'the camera' for name in names)} is: "
        "let it see what was seen before, or call ~/reset"
    )


def _process_mb() -> float:
    """Resident memory of this process, 10^6 bytes."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * _PAGE_BYTES / 1e6


def _gpu_mb() -> float:
    """Memory that torch holds on the GPU, 10^6 bytes."""
    import torch

    return torch.cuda.memory_reserved() / 1e6 if torch.cuda.is_initialized() else 0.0
