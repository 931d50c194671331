# SPDX-License-Identifier: Apache-2.0
"""What is known of one frame of a chunk, in map units."""

from __future__ import annotations

from dataclasses import replace

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import Array, Camera
from zipmap_ros.mapping.chunk import dense
from zipmap_ros.mapping.gauge import Gauge
from zipmap_ros.mapping.points import frame_points
from zipmap_ros.mapping.prepare import View
from zipmap_ros.mapping.track import Motion
from zipmap_ros.model import Prediction
from zipmap_ros.parameters import Parameters


def estimate_of(
    view: View,
    prediction: Prediction,
    i: int,
    network_T_camera: Array,
    motion: Motion,
    gauge: Gauge,
    kept: bool,
    p: Parameters,
) -> Estimate:
    """Of the chunk's frame ``i``, (4, 4) ``network_T_camera``, with points if it is kept."""
    map_T_camera, scale = gauge.to_map(network_T_camera), gauge.scale
    depth, confidence = (x[0, i] for x in dense(prediction))
    depth = depth * scale
    K = prediction.intrinsics[0, i].double().cpu().numpy()
    estimate = Estimate(
        stamp_ns=view.frame.stamp_ns,
        frame_id=view.frame.frame_id,
        map_T_camera=map_T_camera,
        depth=depth.cpu().numpy(),
        confidence=confidence.cpu().numpy(),
        camera=view.camera or Camera.from_matrix(K, *depth.shape[::-1]),
        rgb=view.rgb,
        scale=scale,
        kept=kept,
        jump=None if motion.jump is None else gauge.in_map(motion.jump),
        motion_covariance=gauge.covariance_in_map(motion.covariance),
        carried=motion.carried,
        source=view.frame.source,
    )
    if not kept:
        return estimate
    cloud = frame_points(
        depth,
        confidence,
        view.pixels,
        estimate.camera,
        map_T_camera,
        p.map_min_confidence,
        p.map_range_m,
        p.points_per_frame,
    )
    return replace(
        estimate,
        points=cloud.points,
        colors=cloud.colors,
        point_confidence=cloud.confidence,
    )
