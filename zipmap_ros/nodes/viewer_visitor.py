# SPDX-License-Identifier: Apache-2.0
"""One browser: follows the camera if asked to, and shows what it queried, to itself alone."""

from __future__ import annotations

import html
import math
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import viser

from zipmap_ros.geometry import Array, matrix_from_quaternion, pose
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.viewer_cloud import Ball
from zipmap_ros.nodes.viewer_pictures import beside, depth_picture, fit, shrink
from zipmap_ros.nodes.viewer_scene import CAMERA_SIZE, QUERY_COLOR, THUMBNAIL, frustum
from zipmap_ros.nodes.viewer_server import ViewerError
from zipmap_ros.nodes.viewer_services import ZipmapServices
from zipmap_ros.srv import QueryView

PICTURE = 400  # px, width of what is shown
MAX_ANSWERS = 8  # the oldest go
BEHIND, ABOVE = 0.6, 0.25  # where a follower stands, shares of the usual depth
# Where who looks at the whole map stands: turned so far from behind the first camera, and so high.
SIDE_DEG, HEIGHT_DEG = 25.0, 30.0
GROWN = 1.25  # a map that is so much larger, or as much smaller, is looked at anew


class Answer(NamedTuple):
    """What one query left in the scene: its points and, where the lens is known, its camera.

    place   (3,) where it was asked from; reach  map units: so near to that it covers the scene
    is_outside  whether that is outside of the map, where its points are in the way too
    """

    place: Array
    reach: float
    is_outside: bool
    points: viser.PointCloudHandle
    camera: viser.CameraFrustumHandle | None

    def seen_from(self, place: Array) -> None:
        """Hide what would cover the scene from a page that is at ``place`` (3,)."""
        is_aside = float(np.linalg.norm(self.place - place)) > self.reach
        self.points.visible = is_aside or not self.is_outside
        if self.camera is not None:
            self.camera.visible = is_aside

    def remove(self) -> None:
        """Take both away."""
        self.points.remove()
        if self.camera is not None:
            self.camera.remove()


class Visitor:
    """A connected browser. Its callbacks run on viser's threads.

    moved  whether its user has chosen where to look from: then it stays there
    ball   where most of the map is; None while there is none
    """

    ball: Ball | None = None

    def __init__(
        self, client: viser.ClientHandle, robot: ZipmapServices, point_size: Callable
    ) -> None:
        self.client = client
        self.moved = False
        self._looked_at: Ball | None = None
        self._followed: Array | None = None
        # Where the page says it is after we said so: only another place is the user's.
        self._places = deque([client.camera.position], maxlen=20)
        self._robot, self._point_size = robot, point_size
        self._answers: list[Answer] = []
        self._asked = 0
        self._lock = threading.Lock()  # of the answers
        gui = client.gui
        with gui.add_folder("My view", order=1):
            self.follow = gui.add_checkbox("Follow camera", False)
            whole = gui.add_button("Whole map", icon=viser.Icon.MAXIMIZE)
            self._query = gui.add_button(
                "Query this view",
                icon=viser.Icon.EYE,
                color="pink",
                hint="Ask the scene memory what a camera here would see, seen before or not",
            )
            self._pictures = gui.add_image(np.zeros((2, 4, 3), np.uint8), visible=False)
            self._said = gui.add_markdown("", visible=False)
            self._remove = gui.add_button("Remove answers", icon=viser.Icon.TRASH, visible=False)
        self.follow.on_update(lambda _: self._on_follow())
        whole.on_click(lambda _: self._step_back())
        self._query.on_click(lambda _: self._ask())
        self._remove.on_click(lambda _: self.forget())
        client.camera.on_update(self._on_camera)

    def follow_camera(self, map_T_camera: Array, depth: float) -> None:
        """Stand behind the robot's camera and look where it looks; ``depth`` in map units.

        While it stands still, nothing keeps the user from looking around.
        """
        if map_T_camera is self._followed:
            return
        self._followed = map_T_camera
        self.moved = True  # where following ends, it stays; first, as a button may end it meanwhile
        offset = [0.0, -ABOVE * depth, -BEHIND * depth]
        ahead = map_T_camera[:3, :3] @ [0.0, 0.0, depth] + map_T_camera[:3, 3]
        self._stand(map_T_camera[:3, :3] @ offset + map_T_camera[:3, 3], ahead)

    def _on_follow(self) -> None:
        self._followed = None

    def _step_back(self) -> None:
        """Look at the whole map again."""
        self.follow.value = False  # type: ignore[misc]  # viser's types have no setter
        self.moved, self._looked_at = False, None

    def overlook(self, ball: Ball) -> None:
        """Stand back and look at the whole map, as it grows, until the user moves."""
        if self.moved or (self._looked_at is not None and ball.is_like(self._looked_at, GROWN)):
            return
        self._looked_at = ball
        centre, radius = ball
        camera = self.client.camera
        aspect = camera.image_width / max(camera.image_height, 1)
        narrower = math.atan(math.tan(camera.fov / 2) * min(max(aspect, 0.05), 1.0))
        away = radius / math.sin(narrower)
        side, height = math.radians(SIDE_DEG), math.radians(HEIGHT_DEG)
        level = [-math.cos(side) * math.cos(height), -math.sin(side) * math.cos(height)]
        self._stand(centre + away * np.array([*level, math.sin(height)]), centre)

    def _stand(self, position: Array, look_at: Array) -> None:
        self._places.append(position)
        with self.client.atomic():
            self.client.camera.up_direction = (0.0, 0.0, 1.0)
            self.client.camera.position = position
            self.client.camera.look_at = look_at

    def _on_camera(self, camera: viser.CameraHandle) -> None:
        """The page says where it is: where we put it, or where its user went."""
        here = camera.position
        known = min(float(np.linalg.norm(here - place)) for place in tuple(self._places))
        self.moved |= known > 1e-3 * max(float(np.linalg.norm(here)), 1.0)
        with self._lock:
            for answer in self._answers:
                answer.seen_from(here)

    def _ask(self) -> None:
        self._query.disabled = True
        self.moved |= self.ball is not None  # what is asked for is looked at
        try:
            map_T_view = view_pose(self.client.camera)
            response = self._robot.query(map_T_view)
            with self._lock, self.client.atomic():
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
        size = CAMERA_SIZE * float(np.nanmedian(depth)) if np.isfinite(depth).any() else 0.0
        drawn = None
        if camera is not None and size:
            picture = shrink(rgb, 2 * THUMBNAIL)
            drawn = frustum(self.client.scene, name, map_T_view, camera, size, QUERY_COLOR, picture)
        tinted = (2 * colors.astype(np.uint16) + np.array(QUERY_COLOR, np.uint16)) // 3
        cloud = self.client.scene.add_point_cloud(
            f"{name}_points",
            (points - centre).astype(np.float32),
            tinted.astype(np.uint8),
            point_size=self._point_size(),
            point_shape="rounded",
            point_shading="flat",
            position=centre,
        )
        follows = self.follow.value
        is_outside = not follows and self.ball is not None and not self.ball.holds(centre)
        answer = Answer(centre, 2 * size, is_outside, cloud, drawn)
        answer.seen_from(self.client.camera.position)
        self._answers.append(answer)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.pop(0).remove()
        self._pictures.image = fit(beside(rgb, depth_picture(depth)), PICTURE)
        self._said.content = words(response, len(points), is_outside)
        self._pictures.visible = self._said.visible = self._remove.visible = True

    def forget(self) -> None:
        """Take the answers away, if there are any."""
        with self._lock:
            if not self._answers:
                return
            for answer in self._answers:
                answer.remove()
            self._answers.clear()
            self._pictures.visible = self._said.visible = self._remove.visible = False


def view_pose(camera: viser.CameraHandle) -> Array:
    """(4, 4) map_T_camera of a browser's camera, optical axes."""
    w, x, y, z = camera.wxyz
    return pose(matrix_from_quaternion([x, y, z, w]), camera.position)


def words(response: QueryView.Response, points: int, is_outside: bool) -> str:
    """Where an answer comes from, and how little it is worth from outside of the map."""
    network = response.source == QueryView.Response.NETWORK
    source = "the memory of the scene" if network else "the map, projected"
    said = f"From {source} in {response.duration * 1e3:.0f} ms, {points:,} points."
    guess = "**From outside of what has been mapped, so hardly more than a guess: come closer.**"
    answer = html.escape(response.message)  # the page shows it as Markdown, HTML and all
    return " ".join(filter(None, [said, answer, guess if is_outside else ""]))
