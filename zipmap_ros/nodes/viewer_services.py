# SPDX-License-Identifier: Apache-2.0
"""The services of the node zipmap, as the buttons of the viewer call them."""

from __future__ import annotations

import threading
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from zipmap_ros.geometry import Array
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.viewer_server import ViewerError
from zipmap_ros.srv import GetTrajectory, QueryView, SaveMap, SetMode

# name -> type, patience in seconds
SERVICES: dict[str, tuple[Any, float]] = {
    "query_view": (QueryView, 10.0),
    "pause": (SetBool, 5.0),
    "reset": (Trigger, 60.0),
    "save_map": (SaveMap, 60.0),
    "set_mode": (SetMode, 5.0),
    "get_trajectory": (GetTrajectory, 5.0),
}


class ZipmapServices:
    """The services of the node zipmap, called from the browsers' threads.

    What the buttons do raises ViewerError, and returns what was answered.
    """

    def __init__(self, node: Node) -> None:
        group = MutuallyExclusiveCallbackGroup()
        self._clients: dict[str, Any] = {
            name: node.create_client(kind, f"zipmap/{name}", callback_group=group)
            for name, (kind, _) in SERVICES.items()
        }
        self._busy = {name: threading.Lock() for name in SERVICES}
        self._context = node.context
        self.map_frame = "map"

    def query(self, map_T_view: Array) -> QueryView.Response:
        """What a camera at this (4, 4) pose would see."""
        return self._call("query_view", pose_request(map_T_view, self.map_frame))

    def pause(self, paused: bool) -> str:
        """Stop or go on taking images."""
        return self._call("pause", SetBool.Request(data=paused)).message

    def reset(self) -> str:
        """Forget the scene."""
        return self._call("reset", Trigger.Request()).message

    def save(self, name: str) -> str:
        """Save the map under a new name."""
        answer = self._call("save_map", SaveMap.Request(name=name))
        return f"{answer.message}: {answer.path}"

    def set_mapping(self, mapping: bool) -> str:
        """Mapping, or localisation only."""
        mode = SetMode.Request.MAPPING if mapping else SetMode.Request.LOCALIZATION
        return self._call("set_mode", SetMode.Request(mode=mode)).message

    def ask_trajectory(self) -> Any:
        """The future of all poses; None while the service is not there."""
        client = self._clients["get_trajectory"]
        return client.call_async(GetTrajectory.Request()) if self._is_there(client) else None

    def _is_there(self, client: Client) -> bool:
        """False while leaving too, when asking would raise."""
        return self._context.ok() and client.service_is_ready()

    def _call(self, name: str, request: Any) -> Any:
        """The response. Raises ViewerError where there is none, or none that succeeded."""
        client, timeout_s = self._clients[name], SERVICES[name][1]
        if not self._is_there(client):
            raise ViewerError(f"there is no service {client.srv_name}: is the node active?")
        if not self._busy[name].acquire(blocking=False):
            raise ViewerError(f"{name} is busy with another request: try again")
        try:
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _: done.set())
            if not done.wait(timeout_s):
                client.remove_pending_request(future)
                raise ViewerError(f"{client.srv_name} did not answer within {timeout_s:g} s")
        finally:
            self._busy[name].release()
        response: Any = future.result()
        if not response.success:
            raise ViewerError(response.message)
        return response


def pose_request(map_T_view: Array, map_frame: str) -> QueryView.Request:
    """The request for a view in ``map_frame`` with the stream's own camera."""
    stamped = PoseStamped(pose=convert.matrix_to_pose(map_T_view))
    stamped.header.frame_id = map_frame
    return QueryView.Request(pose=stamped, want_rgb=True, want_cloud=True)
