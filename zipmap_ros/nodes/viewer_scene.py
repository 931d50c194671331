# SPDX-License-Identifier: Apache-2.0
"""What every browser sees in 3D: map, newest points, trajectory, cameras. Sends changes only."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera, quaternion_from_matrix
from zipmap_ros.nodes.viewer_cloud import POINT_BYTES, Ball, CloudSettings, MapCloud
from zipmap_ros.nodes.viewer_pictures import shrink

BACKGROUND = (18, 20, 26)
ACCENT = (255, 140, 40)  # the camera and the newest points
PATH_COLOR = (90, 200, 255)
FRUSTUM_COLOR = (120, 130, 150)
QUERY_COLOR = (255, 60, 200)
PATH_CHUNK = 64  # poses in one line
MAX_POSES = 256 * PATH_CHUNK  # in the path; a longer one is drawn with every other pose
SPACING = 0.25  # of depth: how far the camera moves between two frusta at first
MAX_FRUSTA = 32
MAX_NEWEST = 6000
CAMERA_SIZE, KEYFRAME_SIZE = 0.12, 0.06  # shares of the usual depth
THUMBNAIL = 96  # px, longest side
BURST_S = 0.5  # unused bytes are kept this long


class Budget:
    """Bytes that may be sent: ``rate`` a second on average. May be overdrawn by one thing."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = 0.0
        self._last_s = time.monotonic()
        self.spent = 0

    def refill(self, now_s: float) -> None:
        """Let the time that has passed count."""
        earned = self._rate * (now_s - self._last_s)
        self._left = min(self._left + earned, self._rate * BURST_S)
        self._last_s = now_s

    @property
    def open(self) -> bool:
        """Whether anything more may be sent now."""
        return self._left > 0

    def spend(self, nbytes: int) -> None:
        """Count what was sent."""
        self._left -= nbytes
        self.spent += nbytes


@dataclass
class Settings:
    """What the panel's controls say of the scene."""

    cloud: CloudSettings
    point_size: float = 0.6  # voxels
    show_newest: bool = True
    show_frusta: bool = True
    show_path: bool = True


class Scene:
    """Everything in the server's scene. Not thread-safe: one thread calls.

    depth  the usual distance of what the camera sees, map units; sizes the frusta
    """

    def __init__(
        self, server: viser.ViserServer, settings: Settings, budget: Budget, max_points: int
    ) -> None:
        self._server, self.settings, self._budget = server, settings, budget
        self.cloud = MapCloud(max_points)
        self.cloud.settings = settings.cloud
        self.depth = 0.0
        self._blocks: dict[str, viser.PointCloudHandle] = {}
        self._point_size = 0.0
        self._newest: viser.PointCloudHandle | None = None
        self._camera: viser.CameraFrustumHandle | None = None
        self._frusta: deque[viser.CameraFrustumHandle] = deque()
        self._frusta_made = 0
        self._spacing = SPACING
        self._last_frustum: Array | None = None
        self._path: list[NDArray[np.float32]] = []
        self._lines: dict[int, viser.LineSegmentsHandle] = {}
        self._path_sent = 0
        self._poses = 0
        self._stride = 1  # poses for each of the path
        self._random = np.random.default_rng(0)
        server.scene.set_up_direction("+z")
        server.scene.set_background_image(np.full((2, 2, 3), BACKGROUND, np.uint8), format="png")
        server.scene.world_axes.visible = False
        server.scene.add_grid(
            "/grid",
            infinite_grid=True,
            cell_color=(48, 52, 62),
            section_color=(66, 72, 86),
            shadow_opacity=0.0,
        )
        self._root = server.scene.add_frame("/path", show_axes=False)
        self._keyframes = server.scene.add_frame("/keyframes", show_axes=False)

    @property
    def ball(self) -> Ball | None:
        """Around the map and both ends of the way; None while there is no map."""
        ball = self.cloud.ball
        if ball is not None and self._path:
            ball = ball.reaching(self._path[0]).reaching(self._path[-1])
        return ball

    def see_depth(self, median: float | None) -> None:
        """Follow the median depth of a frame slowly; None where no depth is known."""
        if median is None:
            self.depth = self.depth or 1.0
        else:
            self.depth = 0.9 * self.depth + 0.1 * median if self.depth else median

    def apply_settings(self) -> None:
        """Show and hide what the panel says, and size the points."""
        settings = self.settings
        if self._root.visible != settings.show_path:
            self._root.visible = settings.show_path
        if self._keyframes.visible != settings.show_frusta:
            self._keyframes.visible = settings.show_frusta
        if self._newest is not None and self._newest.visible != settings.show_newest:
            self._newest.visible = settings.show_newest
        point_size = settings.point_size * self.cloud.shown_voxel
        if point_size != self._point_size:
            self._point_size = point_size
            for handle in self._blocks.values():
                handle.point_size = point_size

    def send_map(self) -> None:
        """Send the blocks that changed, as far as the budget goes."""
        self.apply_settings()
        while self._budget.open and (block := self.cloud.next_block()) is not None:
            if not len(block.points):
                handle = self._blocks.pop(block.name, None)
                if handle is not None:
                    handle.remove()
                continue
            self._blocks[block.name] = self._server.scene.add_point_cloud(
                f"/map/{block.name}",
                block.points,
                block.colors,
                point_size=self._point_size,
                point_shape="rounded",
                point_shading="flat",
                position=block.origin,
            )
            self._budget.spend(block.nbytes)

    def show_newest(self, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
        """Show the points of the last chunk, tinted: (N, 3) map, (N, 3) uint8."""
        if len(points) > MAX_NEWEST:  # at random: every n-th would make stripes
            chosen = self._random.choice(len(points), MAX_NEWEST, replace=False)
            points, colors = points[chosen], colors[chosen]
        centre = points.mean(axis=0).astype(np.float64)
        tinted = (colors.astype(np.uint16) + np.array(ACCENT, np.uint16)) // 2
        self._newest = self._server.scene.add_point_cloud(
            "/newest",
            (points - centre).astype(np.float32),
            tinted.astype(np.uint8),
            point_size=1.3 * self._point_size,  # stand out of the map
            point_shape="rounded",
            point_shading="flat",
            position=centre,
            visible=self.settings.show_newest,
        )
        self._budget.spend(POINT_BYTES * len(points))

    def show_camera(
        self, map_T_camera: Array, camera: Camera, image: NDArray[np.uint8] | None
    ) -> None:
        """Show where the camera is now, with what it sees; leave frusta behind as it moves."""
        if self._camera is None or image is not None:
            self._camera = frustum(
                self._server.scene,
                "/camera",
                map_T_camera,
                camera,
                CAMERA_SIZE * self.depth,
                ACCENT,
                None if image is None else shrink(image, 2 * THUMBNAIL),
            )
            self._budget.spend(6000)
        else:
            self._camera.wxyz = np.roll(quaternion_from_matrix(map_T_camera), 1)
            self._camera.position = map_T_camera[:3, 3]
        if image is not None and self._has_moved(map_T_camera):
            self._leave_frustum(map_T_camera, camera, image)

    def add_pose(self, position: NDArray[np.floating]) -> None:
        """Make the trajectory longer by a point (3,)."""
        place = np.asarray(position, np.float32)
        if self._path and self._poses % self._stride:
            self._path[-1] = place  # the path always ends where the robot is
            self._path_sent = min(self._path_sent, max(len(self._path) - 2, 0))
        else:
            self._path.append(place)
        self._poses += 1
        if len(self._path) > MAX_POSES:
            self._stride *= 2
            self._draw_anew([*self._path[:-1:2], self._path[-1]])

    def set_path(self, positions: NDArray[np.floating]) -> None:
        """Put (N, 3) positions in place of the trajectory; what was drawn elsewhere goes."""
        places = list(np.asarray(positions, np.float32).reshape(-1, 3))
        self._poses = len(places)
        self._stride = max(math.ceil((self._poses - 1) / (MAX_POSES - 1)), 1)
        self._draw_anew([*places[: -1 : self._stride], *places[-1:]])

    def _draw_anew(self, path: list[NDArray[np.float32]]) -> None:
        self._path, self._path_sent = path, 0
        for chunk in [c for c in self._lines if c * PATH_CHUNK >= len(self._path) - 1]:
            self._lines.pop(chunk).remove()

    def forget(self) -> None:
        """The map began anew or was moved: cameras and points of before are in the wrong place."""
        self.cloud.forget_ages()
        self.forget_newest()
        self._spacing = SPACING
        for handle in self._frusta:
            handle.remove()
        self._frusta.clear()
        self._last_frustum = None

    def forget_newest(self) -> None:
        """Nobody looked for a while: the camera and the newest points may be others by now."""
        if self._newest is not None:
            self._newest.remove()
        if self._camera is not None:
            self._camera.remove()
        self._newest = self._camera = None

    def send_path(self) -> None:
        """Send the lines that grew."""
        last = len(self._path) - 1
        while self._path_sent < last and self._budget.open:
            chunk = self._path_sent // PATH_CHUNK
            start = chunk * PATH_CHUNK
            points = np.array(self._path[start : start + PATH_CHUNK + 1])
            self._lines[chunk] = self._server.scene.add_line_segments(
                f"/path/{chunk}",
                np.stack([points[:-1], points[1:]], axis=1),
                PATH_COLOR,
                thickness=3.0,
                thickness_units="screen",
            )
            self._path_sent = start + len(points) - 1
            self._budget.spend(24 * len(points))

    def _has_moved(self, map_T_camera: Array) -> bool:
        if self._last_frustum is None:
            return True
        moved = np.linalg.norm(map_T_camera[:3, 3] - self._last_frustum[:3, 3])
        return bool(moved > self._spacing * self.depth)

    def _leave_frustum(self, map_T_camera: Array, camera: Camera, image: NDArray[np.uint8]) -> None:
        self._last_frustum = map_T_camera
        self._frusta_made += 1
        self._frusta.append(
            frustum(
                self._server.scene,
                f"/keyframes/{self._frusta_made}",
                map_T_camera,
                camera,
                KEYFRAME_SIZE * self.depth,
                FRUSTUM_COLOR,
                shrink(image, THUMBNAIL),
            )
        )
        self._budget.spend(2500)
        if len(self._frusta) > MAX_FRUSTA:  # keep every other one, and leave fewer from now on
            kept = deque(h for i, h in enumerate(self._frusta) if i % 2)
            for handle in [h for i, h in enumerate(self._frusta) if not i % 2]:
                handle.remove()
            self._frusta = kept
            self._spacing *= 2


def frustum(
    scene: viser.SceneApi,
    name: str,
    map_T_camera: Array,
    camera: Camera,
    size: float,
    color: tuple[int, int, int],
    image: NDArray[np.uint8] | None,
) -> viser.CameraFrustumHandle:
    """A camera in 3D, of ``size`` map units, with what it sees (H, W, 3)."""
    return scene.add_camera_frustum(
        name,
        fov=2 * math.atan(camera.height / 2 / camera.fy),
        aspect=camera.width / camera.fx * camera.fy / camera.height,
        scale=size,
        color=color,
        thickness=2.0,
        thickness_units="screen",
        image=image,
        jpeg_quality=60,
        wxyz=np.roll(quaternion_from_matrix(map_T_camera), 1),
        position=map_T_camera[:3, 3],
    )
