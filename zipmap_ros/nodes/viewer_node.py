# SPDX-License-Identifier: Apache-2.0
"""The web view: a node that hears what the node zipmap publishes and calls its services.

Topics are kept as their last message and looked at by one timer; browsers are served by threads of
the web server. So neither a burst of messages nor a slow browser makes anybody wait. While no
browser is connected, only the status is subscribed to.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_ros import Buffer, TransformException, TransformListener

from zipmap_ros.geometry import Array, Camera
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.spin import run
from zipmap_ros.nodes.viewer_cloud import CloudSettings
from zipmap_ros.nodes.viewer_panel import Panel
from zipmap_ros.nodes.viewer_scene import Budget, Scene, Settings
from zipmap_ros.nodes.viewer_server import Server, ViewerError, is_local, open_server
from zipmap_ros.nodes.viewer_services import ZipmapServices
from zipmap_ros.nodes.viewer_visitor import Visitor

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LATEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TICK_S = 0.1
PICTURE_S = 0.2  # between two pictures of a kind
TRAJECTORY_S = 2.0  # between two requests for it
SILENT_S = 5.0  # a status this old is looked into
# Turning a whole map into blocks may take this share of the time.
MAP_SHARE = 0.2
IMAGE_BYTES, MOST_IMAGES = 64_000_000, 1000  # images that wait for their pose
_REAL, _WHOLE = FloatingPointRange, IntegerRange
# name -> default, range (or None) and description; docs/viewer.md has them too.
PARAMETERS: dict[str, tuple[Any, Any, str]] = {
    "viewer_host": (
        "127.0.0.1",
        None,
        "address to listen on; any but a loopback address is open to the network",
    ),
    "viewer_port": (8080, _WHOLE(from_value=1, to_value=65535, step=0), "port to listen on"),
    "viewer_mb_per_s": (
        4.0,
        _REAL(from_value=0.1, to_value=100.0, step=0.0),
        "10^6 bytes a second to each browser, at most on average",
    ),
    "viewer_max_points": (
        300_000,
        _WHOLE(from_value=1000, to_value=5_000_000, step=0),
        "points of the map shown at most; voxels are doubled until they fit",
    ),
    "viewer_camera": ("", None, "which of several cameras is shown, as in the node's cameras"),
    "image_transport": (
        "raw",
        None,
        "as the node's; compressed: pictures come from image/compressed",
    ),
    "map_voxel_m": (
        0.05,
        _REAL(from_value=0.001, to_value=1000.0, step=0.0),
        "voxel of the map, as the node's; the slider goes from there to ten times as much",
    ),
}


# Type and topic of the images, by image_transport.
IMAGES = {"raw": (Image, "image"), "compressed": (CompressedImage, "image/compressed")}


@dataclass
class Eye:
    """The camera as last heard of."""

    map_T_camera: Array
    stamp_ns: int


class ViewerNode(Node):
    """The node ``viewer``. Raises ViewerError for a bad parameter and where it cannot listen.

    threads  that it needs
    server   the web server
    eye      the camera as last heard of
    """

    threads = 3
    server: Server | None = None
    eye: Eye | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("viewer", **kwargs)
        values = {name: self._parameter(name) for name in PARAMETERS}
        camera = values["viewer_camera"]
        if values["image_transport"] not in IMAGES:
            raise ViewerError(
                f"image_transport is {values['image_transport']!r}: use one of {', '.join(IMAGES)}"
            )
        self._image_type, topic = IMAGES[values["image_transport"]]
        self._image_topic = f"{camera}/{topic}" if camera else topic
        depth = f"zipmap/{camera}/depth" if camera else "zipmap/depth"
        self._topics: dict[str, tuple[type, str, Any]] = {
            "depth": (Image, f"{depth}/image", LATEST),
            "confidence": (Image, f"{depth}/confidence", LATEST),
            "points": (PointCloud2, "zipmap/points", LATEST),
            "map": (PointCloud2, "zipmap/map", LATCHED),
        }
        self._info_topic = f"{depth}/camera_info"
        self._latest: dict[str, Any] = {}
        self._images: deque[Image | CompressedImage] = deque(maxlen=MOST_IMAGES)
        self._lens = ""
        self._watching: list[Any] = []
        self._visitors: dict[int, Visitor] = {}
        self._lock = threading.Lock()
        self._camera: Camera | None = None
        self._gauge_id: int | None = None
        self._path_is_old = True
        self._body = ""
        self._trajectory: Any = None
        self._map: tuple[Any, Any, Any] | None = None
        self._map_settings: Any = None
        self._next_map_s = self._next_picture_s = self._next_trajectory_s = 0.0
        self._robot = ZipmapServices(self)
        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        self._status: Status | None = None
        self._status_s = 0.0
        self._heard = self.create_subscription(Status, "zipmap/status", self._on_status, LATCHED)
        self._settings = Settings(CloudSettings(voxel=values["map_voxel_m"]))
        self._budget = Budget(1e6 * values["viewer_mb_per_s"])
        self.server = open_server(values["viewer_host"], values["viewer_port"])
        self._scene = Scene(self.server, self._settings, self._budget, values["viewer_max_points"])
        self._panel = Panel(self.server, self._settings, self._robot)
        self.server.on_client_connect(self._on_connect)
        self.server.on_client_disconnect(self._on_disconnect)
        # The page lives on where simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        group = MutuallyExclusiveCallbackGroup()
        self.create_timer(TICK_S, self._tick, callback_group=group, clock=steady)
        self._greet(values["viewer_host"], values["viewer_port"])

    def destroy_node(self) -> None:
        """Stop serving before the node goes."""
        if self.server is not None:
            self.server.stop()
            self._listener.unregister()
        super().destroy_node()

    def _parameter(self, name: str) -> Any:
        default, span, description = PARAMETERS[name]
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if isinstance(span, FloatingPointRange):
            descriptor.floating_point_range = [span]
        elif span is not None:
            descriptor.integer_range = [span]
        return self.declare_parameter(name, default, descriptor).value

    def _greet(self, host: str, port: int) -> None:
        name = f"[{host}]" if ":" in host else host
        self.get_logger().info(f"open http://{name}:{port} in a browser")
        if not is_local(host):
            self.get_logger().warning(
                f"viewer_host {host} is open to the network: whoever can reach it sees what the "
                "camera sees and can press every button"
            )

    # -- from ROS

    def _on_status(self, message: Status) -> None:
        if self._status is not None and message.frames_received < self._status.frames_received:
            self._gauge_id = None  # the node was started again
        self._status, self._status_s = message, time.monotonic()
        self._robot.map_frame = message.header.frame_id or self._robot.map_frame

    def _on_camera(self, message: CameraInfo) -> None:
        self._lens = message.header.frame_id  # as the node reads that of an image, which may lack
        with self._lock:
            self._latest["camera"] = message

    def _on_image(self, message: Image | CompressedImage) -> None:
        images = self._images
        images.append(message)
        while sum(len(m.data) for m in images) > IMAGE_BYTES and len(images) > 1:
            images.popleft()

    def _on_odometry(self, message: Odometry) -> None:
        with self._lock:
            self._latest.setdefault("odometry", []).append(message)

    def _watch(self) -> None:
        """Subscribe to everything; the map comes at once, it is latched."""
        watched = [
            (kind, topic, self._keeper(name), qos)
            for name, (kind, topic, qos) in self._topics.items()
        ]
        watched += [
            (self._image_type, self._image_topic, self._on_image, qos_profile_sensor_data),
            (CameraInfo, self._info_topic, self._on_camera, LATEST),
            (Odometry, "zipmap/odometry", self._on_odometry, 10),
        ]
        # A new one: in Humble a group is busy for ever of which one was destroyed as it was due.
        group = MutuallyExclusiveCallbackGroup()
        self._watching = [self.create_subscription(*w, callback_group=group) for w in watched]
        self._path_is_old = True

    def _unwatch(self) -> None:
        for subscription in self._watching:
            self.destroy_subscription(subscription)
        self._watching = []
        self._images = deque(maxlen=MOST_IMAGES)  # another thread may be reading the old one
        with self._lock:
            self._latest.clear()

    def _keeper(self, name: str) -> Any:
        def keep(message: Any) -> None:
            with self._lock:
                self._latest[name] = message

        return keep

    def _take(self, name: str) -> Any:
        with self._lock:
            return self._latest.pop(name, None)

    # -- from browsers

    def _on_connect(self, client: viser.ClientHandle) -> None:
        visitor = Visitor(client, self._robot, self._point_size)
        with self._lock:
            self._visitors[client.client_id] = visitor

    def _on_disconnect(self, client: viser.ClientHandle) -> None:
        with self._lock:
            self._visitors.pop(client.client_id, None)

    def _present(self) -> list[Visitor]:
        """The visitors. viser may tell of one that came after it told that it went."""
        here = self.server.get_clients() if self.server is not None else {}
        with self._lock:
            self._visitors = {n: v for n, v in self._visitors.items() if n in here}
            return list(self._visitors.values())

    def _point_size(self) -> float:
        return self._settings.point_size * self._scene.cloud.shown_voxel

    # -- to browsers

    def _tick(self) -> None:
        visitors = self._present()
        if bool(visitors) != bool(self._watching):
            self._watch() if visitors else self._unwatch()
        self._attempt(self._show_status)
        if not visitors:
            return
        self._budget.refill(time.monotonic())
        for step in (
            lambda: self._update_trajectory(visitors),
            lambda: self._update_eye(visitors),
            self._send_pictures,
            self._scene.send_path,
            self._update_map,
            self._scene.send_map,
        ):
            self._attempt(step)

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # a message that cannot be shown must not stop the rest
            said = f"{type(error).__name__}: {error}"[:300]
            self.get_logger().warning(said, throttle_duration_sec=5.0)

    def _show_status(self) -> None:
        """What the node said last, as long as there is one: a low rate is no sign of its end."""
        silent_s = time.monotonic() - self._status_s
        is_there = silent_s < SILENT_S or self.count_publishers(self._heard.topic_name) > 0
        old_s = silent_s if silent_s >= SILENT_S else 0.0
        self._panel.show_status(self._status if is_there else None, old_s)

    def _update_trajectory(self, visitors: list[Visitor]) -> None:
        """Ask for all poses when some were missed or moved; else the odometry makes it longer."""
        status, now_s = self._status, time.monotonic()
        is_stale = status is not None and (self._path_is_old or status.gauge_id != self._gauge_id)
        if status is not None and is_stale and now_s > self._next_trajectory_s:
            self._next_trajectory_s = now_s + TRAJECTORY_S
            self._trajectory = self._robot.ask_trajectory()
        if status is not None and self._trajectory is not None and self._trajectory.done():
            path = self._trajectory.result().path
            self._trajectory = None
            self._scene.forget_newest()
            if status.gauge_id != self._gauge_id:
                self._forget(visitors)
            self._gauge_id, self._path_is_old = status.gauge_id, False
            places = [(p.pose.position.x, p.pose.position.y, p.pose.position.z) for p in path.poses]
            self._scene.set_path(np.array(places).reshape(-1, 3))
            if path.poses and self._body:
                self._see(path.poses[-1])

    def _forget(self, visitors: list[Visitor]) -> None:
        """Take away what was placed in the map of before."""
        self._scene.forget()
        self.eye = None
        self._images = deque(maxlen=MOST_IMAGES)  # another thread may be reading the old one
        self._take("points")
        for visitor in visitors:
            visitor.forget()

    def _update_eye(self, visitors: list[Visitor]) -> None:
        for message in self._take("odometry") or ():
            self._body = message.child_frame_id
            self._see(PoseStamped(header=message.header, pose=message.pose.pose))
            self._scene.add_pose(convert.pose_to_matrix(message.pose.pose)[:3, 3])
        ball = self._scene.ball
        for visitor in visitors:
            visitor.ball = ball
            if not visitor.follow.value:
                if ball is not None:
                    visitor.overlook(ball)
            elif self.eye is not None and self._scene.depth:
                visitor.follow_camera(self.eye.map_T_camera, self._scene.depth)

    def _see(self, body: PoseStamped) -> None:
        """Place the camera on the body, unless TF does not say where it is mounted."""
        body_T_camera = self._mount()
        if body_T_camera is not None:
            map_T_camera = convert.pose_to_matrix(body.pose) @ body_T_camera
            self.eye = Eye(map_T_camera, convert.stamp_to_ns(body.header.stamp))

    def _mount(self) -> Array | None:
        """body_T_camera, as TF says now; None while it does not."""
        frame = self._lens or self._body
        if frame == self._body:
            return np.eye(4)
        try:
            found = self._buffer.lookup_transform(self._body, frame, Time())
        except TransformException:
            return None
        return convert.transform_to_matrix(found.transform)

    def _send_pictures(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_picture_s or not self._budget.open:
            return
        self._next_picture_s = now_s + PICTURE_S
        info = self._take("camera")
        if info is not None:
            self._camera = convert.camera_info_to_camera(info)
        depth, confidence = self._take("depth"), self._take("confidence")
        if depth is not None and confidence is not None:
            metres = convert.image_to_depth(depth)
            self._budget.spend(self._panel.show_depth(metres, convert.image_to_depth(confidence)))
            known = metres[np.isfinite(metres)]
            self._scene.see_depth(float(np.median(known)) if len(known) else None)
        images = list(self._images)
        if images:
            self._budget.spend(self._panel.show_image(_to_rgb(images[-1])))
        if self.eye is not None and self._camera is not None and self._scene.depth:
            of_eye = [m for m in images if convert.stamp_to_ns(m.header.stamp) == self.eye.stamp_ns]
            picture = _to_rgb(of_eye[0]) if of_eye else None
            self._scene.show_camera(self.eye.map_T_camera, self._camera, picture)
        newest = self._take("points")
        if newest is not None and newest.width:
            points, colors, _ = convert.cloud_to_points(newest)
            self._scene.show_newest(points, colors)

    def _update_map(self) -> None:
        """Take a new map, or the same with other settings, but not more often than is cheap."""
        now_s = time.monotonic()
        if now_s < self._next_map_s:
            return
        message = self._take("map")
        if message is not None:
            self._map = convert.cloud_to_points(message)
        settings = vars(self._settings.cloud).copy()
        if self._map is None or (message is None and settings == self._map_settings):
            return
        self._map_settings = settings
        self._scene.cloud.update(*self._map, now_s)
        self._next_map_s = now_s + (time.monotonic() - now_s) / MAP_SHARE


def _to_rgb(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """(H, W, 3)."""
    if isinstance(message, CompressedImage):
        return convert.compressed_to_rgb(message)
    return convert.image_to_rgb(message)


def main() -> None:
    """Run the node until SIGINT."""
    run(ViewerNode)
