# SPDX-License-Identifier: Apache-2.0
"""The services of the node. A handler converts, asks the worker, answers; none ever raises."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import SetBool, Trigger

from zipmap_ros.geometry import Camera, along_the_ground, invert, transform_points
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.convert import ConvertError
from zipmap_ros.nodes.status import is_located, unlocated
from zipmap_ros.srv import GetTrajectory, LoadMap, QueryView, SaveMap, SetMode, SetPose

if TYPE_CHECKING:
    from zipmap_ros.mapping import QueriedView, StreamMapper
    from zipmap_ros.nodes.stream_node import StreamNode

# Saving and loading a large map takes its time; the network waits meanwhile.
FILE_TIMEOUT_S = 60.0
# Longest side of an image that query_view answers with.
MAX_QUERY_PIXELS = 4096
MODES = {SetMode.Request.MAPPING: "mapping", SetMode.Request.LOCALIZATION: "localization"}
# Depth, confidence and camera of an answer are in the camera that was asked for.
QUERY_FRAME = "query_view"


def _answered(handler: Callable) -> Callable:
    """Turn whatever a handler raises into ``success: false`` and a message."""

    @functools.wraps(handler)
    def safe(self: Services, request: Any, response: Any) -> Any:
        try:
            self.check_configured()
            response.success = True
            handler(self, request, response)
        except Exception as error:  # a service must not end the node
            response.success = False
            response.message = str(error) or type(error).__name__
            if not self._node.configured:  # or no longer
                response.message = self._unconfigured()
            self._node.get_logger().warning(f"{handler.__name__.lstrip('_')}: {response.message}")
        return response

    return safe


class Services:
    """Services and the topic ``initialpose``.

    Once there they answer in every state of the node: one that was taken away while its handler
    runs could not send the answer.
    """

    def __init__(self, node: StreamNode) -> None:
        self._node = node
        query_group, group = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        self._services = [
            node.create_service(kind, f"~/{name}", handler, callback_group=chosen)
            for kind, name, handler, chosen in (
                (QueryView, "query_view", self._query_view, query_group),
                (Trigger, "reset", self._reset, group),
                (SetBool, "pause", self._pause, group),
                (SetMode, "set_mode", self._set_mode, group),
                (SaveMap, "save_map", self._save_map, group),
                (LoadMap, "load_map", self._load_map, group),
                (SetPose, "set_pose", self._set_pose, group),
                (GetTrajectory, "get_trajectory", self._get_trajectory, group),
            )
        ]
        self._initial_pose = node.create_subscription(
            PoseWithCovarianceStamped,
            "initialpose",
            self._on_initial_pose,
            10,
            callback_group=group,
        )

    def close(self) -> None:
        """Take the services away."""
        for service in self._services:
            self._node.destroy_service(service)
        self._node.destroy_subscription(self._initial_pose)

    def check_configured(self) -> None:
        """Raises RuntimeError where there is nothing to ask."""
        if not self._node.configured:
            raise RuntimeError(self._unconfigured())

    def _unconfigured(self) -> str:
        return f"the node is not configured: {self._node.hint}"

    @_answered
    def _query_view(self, request: QueryView.Request, response: QueryView.Response) -> None:
        began = time.perf_counter()
        map_T_camera = self._node.transforms.to_map(request.pose, self._node.values.query_timeout_s)
        camera = requested_camera(request.camera)
        left_s = self._node.values.query_timeout_s - (time.perf_counter() - began)
        view: QueriedView = self._node.worker.request(
            lambda mapper: mapper.query(map_T_camera, camera), max(left_s, 0.0)
        )
        response.message = view.warning
        network = view.source == "network"
        response.source = QueryView.Response.NETWORK if network else QueryView.Response.MAP
        header = convert.make_header(self._node.now_ns(), QUERY_FRAME)
        response.depth = convert.depth_to_image(view.depth, header)
        response.confidence = convert.depth_to_image(view.confidence, header)
        response.depth_camera = convert.camera_to_camera_info(view.camera, header)
        if request.want_rgb:
            response.rgb = convert.rgb_to_image(view.rgb, header)
        if request.want_cloud:
            known = np.isfinite(view.depth)
            points = transform_points(map_T_camera, view.camera.unproject(view.depth)[known])
            header = convert.make_header(self._node.now_ns(), self._node.values.map_frame)
            response.cloud = convert.points_to_cloud(
                points.astype(np.float32), view.rgb[known], view.confidence[known], header
            )
        response.duration = time.perf_counter() - began
        self._node.outputs.publish_query(map_T_camera, response)

    @_answered
    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._node.forget_queued("reset")
        self._node.worker.request(lambda mapper: mapper.reset(), FILE_TIMEOUT_S)
        response.message = "state, map and trajectory are forgotten"

    @_answered
    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> None:
        self._node.set_paused(request.data)
        response.message = "paused" if request.data else "running"

    @_answered
    def _set_mode(self, request: SetMode.Request, response: SetMode.Response) -> None:
        self._apply_mode(request.mode)
        response.message = MODES[request.mode]

    @_answered
    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> None:
        from zipmap_ros.mapping import save_session

        def save(mapper: StreamMapper) -> tuple[Any, int]:
            self._node.deliver(mapper.flush())
            if mapper.gauge is None:  # with overwrite an older session would be lost by it
                raise RuntimeError("there is nothing to save yet: wait for the first image")
            return save_session(
                mapper, self._node.values.map_directory, request.name, request.overwrite
            )

        path, size = self._node.worker.request(save, FILE_TIMEOUT_S)
        response.path, response.bytes = str(path), size
        response.message = f"saved {size / 1e6:.1f} MB"

    @_answered
    def _load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        from zipmap_ros.mapping import load_session

        if request.mode not in MODES:
            raise ValueError(f"mode {request.mode} is none of {MODES}")
        directory, name = self._node.values.map_directory, request.name

        def load(mapper: StreamMapper) -> None:
            load_session(mapper, directory, name)
            # In one piece with it: no image from before meets the loaded map, none is mapped
            # into it that should only be located.
            self._node.forget_queued("load_map")
            mapper.parameters = mapper.parameters.updated({"mode": MODES[request.mode]})

        self._node.worker.request(load, FILE_TIMEOUT_S)
        self._apply_mode(request.mode)
        response.message = f"loaded {name}, {MODES[request.mode]}"

    @_answered
    def _set_pose(self, request: SetPose.Request, response: SetPose.Response) -> None:
        self._anchor(request.pose)
        response.message = f"gauge_id {self._node.facts.gauge_id}"

    @_answered
    def _get_trajectory(
        self, request: GetTrajectory.Request, response: GetTrajectory.Response
    ) -> None:
        response.path = self._node.outputs.path(convert.stamp_to_ns(request.since))
        response.message = f"{len(response.path.poses)} poses"

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        """As `_set_pose`; one on the ground, as of RViz, says nothing of height and tilt."""
        p, q = message.pose.pose.position, message.pose.pose.orientation
        flat = p.z == q.x == q.y == 0.0
        try:
            self._anchor(PoseStamped(header=message.header, pose=message.pose.pose), flat)
        except Exception as error:  # a topic must not end the node
            self._node.get_logger().warning(f"initialpose: {error}")

    def _anchor(self, pose: PoseStamped, flat: bool = False) -> None:
        self.check_configured()
        map_T_base = self._node.transforms.to_map(pose)

        def move(mapper: StreamMapper) -> None:
            there, trajectory = map_T_base, mapper.trajectory
            moved = self._node.transforms.moved_since()  # what is set is the last estimate's pose
            if len(trajectory):
                source = trajectory.sources[-1]
                if mapper.parameters.mode == "localization" and not is_located(mapper, source):
                    raise RuntimeError(unlocated(source))  # the map would move by what is not known
                if flat:
                    then = trajectory.poses[-1] @ invert(mapper.base_T_camera(source))
                    there = along_the_ground(then @ moved, there)
            mapper.set_pose(there @ invert(moved))

        self._node.worker.request(move, FILE_TIMEOUT_S)

    def _apply_mode(self, mode: int) -> None:
        if mode not in MODES:
            raise ValueError(f"mode {mode} is none of {MODES}")
        (result,) = self._node.set_parameters([Parameter("mode", value=MODES[mode])])
        if not result.successful:
            raise ValueError(result.reason)


def requested_camera(info: CameraInfo) -> Camera | None:
    """The camera of a request; None, for the stream's, when all of it is zero.

    Raises ConvertError for a camera that is half given or too large.
    """
    k = np.asarray(info.k, dtype=np.float64)
    if not info.width and not info.height and not k.any():
        return None
    camera = convert.camera_info_to_camera(info)
    if camera is None:
        raise ConvertError("camera_info", "the camera has a size but k[0] is 0: give k as well")
    if max(camera.width, camera.height) > MAX_QUERY_PIXELS:
        size = f"{camera.width}x{camera.height}"
        raise ConvertError(
            "camera_info", f"a view of {size} is too large: at most {MAX_QUERY_PIXELS} a side"
        )
    return camera
