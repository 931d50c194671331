# SPDX-License-Identifier: Apache-2.0
"""Everything the node publishes but TF and status; nothing is converted that nobody listens to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, Vector3
from nav_msgs.msg import Odometry, Path
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, Array, adjoint, invert, rotation_angle_deg
from zipmap_ros.nodes import convert
from zipmap_ros.parameters import Parameters
from zipmap_ros.srv import QueryView

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Variances that are not known: the first says so, as in sensor_msgs. Filters that do not look, such
# as robot_localization, take the others' amount; of zeros they would be sure.
UNKNOWN = -1.0
# A place that is seen again is worth a word where it moves the pose by more (map units, degrees).
TOLD_M, TOLD_DEG = 0.3, 5.0


class Outputs:
    """The publishers of one configured node. `publish` runs on the worker's thread."""

    def __init__(self, node: LifecycleNode, parameters: Parameters) -> None:
        self._node = node
        self._map_frame = parameters.map_frame
        self._publishers: dict[str, LifecyclePublisher] = {}
        self._add(PoseStamped, "pose", 10)
        self._add(Odometry, "odometry", 10)
        self._add(Path, "path", LATCHED)
        self._add(PointCloud2, "points", 5)
        self._add(PointCloud2, "map", LATCHED)
        self._add(PoseStamped, "query/pose", LATCHED)
        self._add(Image, "query/image", LATCHED)
        self._add(Image, "query/depth", LATCHED)
        self._add(PointCloud2, "query/points", LATCHED)
        for camera in parameters.cameras or ("",):
            self._add(Image, _depth(camera, "image"), 5)
            self._add(Image, _depth(camera, "confidence"), 5)
            self._add(CameraInfo, _depth(camera, "camera_info"), 5)
        self._lock = threading.Lock()
        self._path: deque[PoseStamped] = deque(maxlen=parameters.path_max_poses)
        self._path_changed = False
        self._last: dict[str, tuple[int, Array]] = {}  # stamp and pose, by camera

    def close(self) -> None:
        """Take all topics away."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def wanted(self, topic: str) -> bool:
        """Whether anybody listens to ``~/topic``."""
        return self._publishers[topic].get_subscription_count() > 0

    def publish(self, estimate: Estimate, map_T_body: Array, body_frame: str, low: float) -> None:
        """Publish one estimate; depth whose confidence is below ``low`` becomes NaN."""
        pose = PoseStamped(
            header=convert.make_header(estimate.stamp_ns, self._map_frame),
            pose=convert.matrix_to_pose(map_T_body),
        )
        self._publishers["pose"].publish(pose)
        with self._lock:
            _add_in_time(self._path, pose)
            self._path_changed = True
        if (jump := estimate.jump) is not None:  # of all cameras: they are of one body
            self._last = {name: (ns, jump @ T) for name, (ns, T) in self._last.items()}
            self._tell_of_place(jump, map_T_body)
        if self.wanted("odometry"):
            self._publishers["odometry"].publish(
                self._odometry(pose, map_T_body, body_frame, estimate)
            )
        self._last[estimate.source] = (estimate.stamp_ns, map_T_body)
        self._publish_depth(estimate, low)

    def _tell_of_place(self, jump: Array, map_T_body: Array) -> None:
        """Say that the pose jumped to a place by a (4, 4) ``jump``, if it is worth a word."""
        distance = float(np.linalg.norm(map_T_body[:3, 3] - (invert(jump) @ map_T_body)[:3, 3]))
        angle = float(rotation_angle_deg(jump[:3, :3]))
        if distance > TOLD_M or angle > TOLD_DEG:
            self._node.get_logger().info(
                f"a place was seen again: the pose moved by {distance:.2f} map units and "
                f"{angle:.1f} degrees"
            )

    def publish_points(self, estimates: Sequence[Estimate]) -> None:
        """Publish the new points of a chunk, stamped as its last frame."""
        if not self.wanted("points") or not sum(len(e.points) for e in estimates):
            return
        self._publishers["points"].publish(
            convert.points_to_cloud(
                np.concatenate([e.points for e in estimates]),
                np.concatenate([e.colors for e in estimates]),
                np.concatenate([e.point_confidence for e in estimates]),
                convert.make_header(estimates[-1].stamp_ns, self._map_frame),
            )
        )

    def publish_map(self, cloud: Any, stamp_ns: int) -> None:
        """Publish a whole `mapping.Cloud`."""
        header = convert.make_header(stamp_ns, self._map_frame)
        self._publishers["map"].publish(
            convert.points_to_cloud(cloud.points, cloud.colors, cloud.confidence, header)
        )

    def publish_query(self, map_T_camera: Array, response: QueryView.Response) -> None:
        """Publish what ``query_view`` answered, as far as it was asked for, for all to see."""
        pose = PoseStamped(
            header=Header(stamp=response.depth.header.stamp, frame_id=self._map_frame),
            pose=convert.matrix_to_pose(map_T_camera @ invert(BODY_T_OPTICAL)),
        )
        self._publishers["query/pose"].publish(pose)
        self._publishers["query/depth"].publish(response.depth)
        if response.rgb.width:
            self._publishers["query/image"].publish(response.rgb)
        if response.cloud.width:
            self._publishers["query/points"].publish(response.cloud)

    def publish_path(self) -> None:
        """Publish the path, if it changed and somebody listens."""
        if self._path_changed and self.wanted("path"):
            self._path_changed = False
            self._publishers["path"].publish(self.path())

    def path(self, since_ns: int = 0) -> Path:
        """All poses from a stamp on, in map_frame."""
        with self._lock:
            poses = list(self._path)
        if since_ns:
            poses = [p for p in poses if convert.stamp_to_ns(p.header.stamp) >= since_ns]
        header = poses[-1].header if poses else Header(frame_id=self._map_frame)
        return Path(header=header, poses=poses)

    def set_path(
        self,
        stamps_ns: NDArray[np.int64],
        sources: Sequence[str],
        map_T_bodies: Array,
        limit: int,
    ) -> None:
        """Put (N,) stamps, cameras and (N, 4, 4) poses in place of all: the map was re-anchored.

        A camera whose last pose moved along goes on as fast as it was.
        """
        path: deque[PoseStamped] = deque(maxlen=limit)
        moved: dict[str, tuple[int, Array]] = {}
        for stamp_ns, source, map_T_body in zip(stamps_ns, sources, map_T_bodies, strict=True):
            header = convert.make_header(stamp_ns, self._map_frame)
            _add_in_time(path, PoseStamped(header=header, pose=convert.matrix_to_pose(map_T_body)))
            moved[source] = (int(stamp_ns), map_T_body)
        with self._lock:
            self._path, self._path_changed = path, True
        last = self._last.items()
        self._last = {k: moved[k] for k, (ns, _) in last if k in moved and moved[k][0] == ns}

    def _add(self, kind: type, topic: str, qos: QoSProfile | int) -> None:
        self._publishers[topic] = self._node.create_lifecycle_publisher(kind, f"~/{topic}", qos)

    def _publish_depth(self, estimate: Estimate, low: float) -> None:
        header = convert.make_header(estimate.stamp_ns, estimate.frame_id)
        image, confidence, info = (
            _depth(estimate.source, topic) for topic in ("image", "confidence", "camera_info")
        )
        if self.wanted(image):
            depth = np.where(estimate.confidence >= low, estimate.depth, np.float32(np.nan))
            self._publishers[image].publish(convert.depth_to_image(depth, header))
        if self.wanted(confidence):
            self._publishers[confidence].publish(
                convert.depth_to_image(estimate.confidence, header)
            )
        if self.wanted(info):
            self._publishers[info].publish(convert.camera_to_camera_info(estimate.camera, header))

    def _odometry(
        self, pose: PoseStamped, map_T_body: Array, body_frame: str, estimate: Estimate
    ) -> Odometry:
        """The velocity is that from one image of a camera to the next, without jumps.

        How sure it is only the camera says that leads: filters take each message for news.
        """
        message = Odometry(header=pose.header, child_frame_id=body_frame)
        message.pose.pose = pose.pose
        message.pose.covariance[::7] = message.twist.covariance[::7] = UNKNOWN
        stamp_ns = convert.stamp_to_ns(pose.header.stamp)
        before_ns, map_T_before = self._last.get(estimate.source, (stamp_ns, map_T_body))
        if stamp_ns > before_ns:
            seconds = (stamp_ns - before_ns) * 1e-9
            linear, angular = twist(map_T_before, map_T_body, seconds)
            message.twist.twist.linear, message.twist.twist.angular = linear, angular
            if estimate.motion_covariance is not None and not estimate.carried:
                across = adjoint(invert(map_T_body) @ estimate.map_T_camera) / seconds
                covariance = across @ estimate.motion_covariance @ across.T
                message.twist.covariance = covariance.ravel()
        return message


def twist(map_T_before: Array, map_T_after: Array, seconds: float) -> tuple[Vector3, Vector3]:
    """Linear (m/s) and angular (rad/s) velocity between two (4, 4) poses, in the later one."""
    from transforms3d.axangles import mat2axangle

    after_T_before = invert(map_T_after) @ map_T_before
    axis, angle = mat2axangle(after_T_before[:3, :3].T)
    x, y, z = (-after_T_before[:3, 3] / seconds).tolist()
    wx, wy, wz = (np.asarray(axis) * angle / seconds).tolist()
    return Vector3(x=x, y=y, z=z), Vector3(x=wx, y=wy, z=wz)


def _add_in_time(path: deque[PoseStamped], pose: PoseStamped) -> None:
    """Add a pose where its stamp is: cameras of one body differ in how late their images come.

    One that is much older is of another time, which has jumped back: it comes last.
    """
    later: list[PoseStamped] = []
    stamp_ns = convert.stamp_to_ns(pose.header.stamp)
    while path and 0 < convert.stamp_to_ns(path[-1].header.stamp) - stamp_ns < convert.NS:
        later.append(path.pop())
    path.extend([pose, *reversed(later)])


def _depth(camera: str, topic: str) -> str:
    return f"{camera}/depth/{topic}" if camera else f"depth/{topic}"
