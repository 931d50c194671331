# SPDX-License-Identifier: Apache-2.0
"""One browser: follows the camera if asked to, and shows what it queried, to itself alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import viser

from zipmap_ros.geometry import Array, matrix_from_quaternion, pose
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.viewer_pictures import beside, depth_picture, fit, shrink
from zipmap_ros.nodes.viewer_scene import CAMERA_SIZE, QUERY_COLOR, THUMBNAIL, frustum
from zipmap_ros.nodes.viewer_server import ViewerError
from zipmap_ros.nodes.viewer_services import Robot
from zipmap_ros.srv import QueryView

PICTURE = 400  # px, width of what is shown
MAX_ANSWERS = 8  # the oldest go
BEHIND, ABOVE = 0.6, 0.25  # where a follower stands, shares of the usual depth


class Visitor:
    """A connected browser. Its callbacks run on viser's threads."""

    def __init__(self, client: viser.ClientHandle, robot: Robot, point_size: Callable) -> None:
        self.client = client
        self.placed = False
        self._robot, self._point_size = robot, point_size
        self._answers: list[viser.SceneNodeHandle] = []
        self._asked = 0
        gui = client.gui
        with gui.add_folder("My view", order=1):
            self.follow = gui.add_checkbox("Follow camera", False)
            self._query = gui.add_button(
                "Query this view",
                icon=viser.Icon.EYE,
                color="pink",
                hint="Ask the scene memory what a camera here would see, seen before or not",
            )
            self._pictures = gui.add_image(np.zeros((2, 4, 3), np.uint8), visible=False)
            self._said = gui.add_markdown("", visible=False)
            self._remove = gui.add_button("Remove answers", icon=viser.Icon.TRASH, visible=False)
        self._query.on_click(lambda _: self._ask())
        self._remove.on_click(lambda _: self._clear())

    def place(self, map_T_camera: Array, depth: float) -> None:
        """Stand behind the robot's camera and look where it looks; ``depth`` in map units."""
        offset = [0.0, -ABOVE * depth, -BEHIND * depth]
        ahead = map_T_camera[:3, :3] @ [0.0, 0.0, depth] + map_T_camera[:3, 3]
        with self.client.atomic():
            self.client.camera.up_direction = (0.0, 0.0, 1.0)
            self.client.camera.position = map_T_camera[:3, :3] @ offset + map_T_camera[:3, 3]
            self.client.camera.look_at = ahead
        self.placed = True

    def _ask(self) -> None:
        self._query.disabled = True
        try:
            map_T_view = view_pose(self.client.camera)
            response = self._robot.query(map_T_view)
            self._show(map_T_view, response)
        except (ViewerError, convert.ConvertError) as error:
            self.client.add_notification("Query", str(error), auto_close_seconds=6.0, color="red")
        finally:
            self._query.disabled = False

    def _show(self, map_T_view: Array, response: QueryView.Response) -> None:
        rgb = convert.image_to_rgb(response.rgb)
        depth = convert.image_to_depth(response.depth)
        camera = convert.camera_info_to_camera(response.depth_camera)
        points, colors, _ = convert.cloud_to_points(response.cloud)
        self._asked += 1
        name = f"/queries/{self._asked}"
        centre = map_T_view[:3, 3]
        if camera is not None and np.isfinite(depth).any():
            self._answers.append(
                frustum(
                    self.client.scene,
                    name,
                    map_T_view,
                    camera,
                    CAMERA_SIZE * float(np.nanmedian(depth)),
                    QUERY_COLOR,
                    shrink(rgb, 2 * THUMBNAIL),
                )
            )
        tinted = (colors.astype(np.uint16) + np.array(QUERY_COLOR, np.uint16)) // 2
        while len(self._answers) > 2 * MAX_ANSWERS:  # a camera and its points each
            self._answers.pop(0).remove()
        self._answers.append(
            self.client.scene.add_point_cloud(
                f"{name}_points",
                (points - centre).astype(np.float32),
                tinted.astype(np.uint8),
                point_size=self._point_size(),
                point_shape="rounded",
                point_shading="flat",
                position=centre,
            )
        )
        self._pictures.image = fit(beside(rgb, depth_picture(depth)), PICTURE)
        self._said.content = _words(response, len(points))
        self._pictures.visible = self._said.visible = self._remove.visible = True

    def _clear(self) -> None:
        for handle in self._answers:
            handle.remove()
        self._answers.clear()
        self._pictures.visible = self._said.visible = self._remove.visible = False


def view_pose(camera: viser.CameraHandle) -> Array:
    """(4, 4) map_T_camera of a browser's camera, optical axes."""
    w, x, y, z = camera.wxyz
    return pose(matrix_from_quaternion([x, y, z, w]), camera.position)


def _words(response: QueryView.Response, points: int) -> str:
    network = response.source == QueryView.Response.NETWORK
    source = "the network's state" if network else "the map, projected"
    words = f"From {source} in {response.duration * 1e3:.0f} ms, {points:,} points."
    return f"{words} {response.message}".strip()
