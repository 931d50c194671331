# SPDX-License-Identifier: Apache-2.0
"""On a robot: mounts and odometry on TF, several cameras, metric scale, packed images, a bag.

One launch, five robots in their own namespaces and frames.
"""

from __future__ import annotations

import array
from collections.abc import Iterator

import cv2
import launch_pytest
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TransformStamped
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from rclpy.time import Time
from rosbench import (
    CAMERA,
    EVERY_FRAME,
    LATCHED,
    WILD,
    Bench,
    image,
    launch_file,
    parameter_file,
    scene,
    tiny_checkpoint,
    until,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

from zipmap_ros.geometry import BODY_T_OPTICAL, Array, invert, pose
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.srv import GetTrajectory

DOMAIN = 46
GIVEN = {**WILD, **EVERY_FRAME, "tf_timeout_s": 0.5}
GATED = {"keyframe_translation_m": 0.02, "keyframe_rotation_deg": 1.0}
FRONT = pose(BODY_T_OPTICAL[:3, :3], [0.4, 0.0, 0.3])
LEFT = pose([[1, 0, 0], [0, 0, 1], [0, -1, 0]], [0.0, 0.2, 0.3])


@launch_pytest.fixture(scope="module")
def robots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchDescription]:
    folder = tmp_path_factory.mktemp("robots")
    tiny = str(tiny_checkpoint(folder))

    def robot(name: str, sim_time: str = "false", **parameters: object) -> object:
        place = folder / name
        place.mkdir()
        frames = {f"{f}_frame": f"{name}_{f}" for f in ("map", "odom", "base")}
        file = str(parameter_file(place, **{**GIVEN, **frames, **parameters}))
        arguments = {"checkpoint": tiny, "device": "cpu", "params_file": file}
        return launch_file(namespace=name, use_sim_time=sim_time, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        yield LaunchDescription(
            [
                robot("two", cameras=["front", "left"]),
                robot("wheels", tf_mode="map_to_odom", scale_source="tf"),
                # It stands: with the usual thresholds its state does as well.
                robot("deep", scale_source="depth", **GATED),
                robot("packed", tf_mode="camera", image_transport="compressed"),
                robot("bag", sim_time="true", tf_mode="camera"),
                ReadyToTest(),
            ]
        )


class Robot:
    """Publishes mounts, images and odometry of one robot, and hears its TF."""

    def __init__(self, ros: Bench, name: str) -> None:
        self.ros, self.name = ros, name
        self.status = ros.listen(Status, f"{name}/zipmap/status", LATCHED)
        self.poses = ros.listen(PoseStamped, f"{name}/zipmap/pose")
        self.buffer = Buffer()
        self.listener = TransformListener(self.buffer, ros.node)
        self.static = StaticTransformBroadcaster(ros.node)
        self.moving = TransformBroadcaster(ros.node)
        self.step = 0

    def mount(self, **cameras: Array) -> None:
        """Publish base_T_camera of all cameras: of several messages only the last is latched."""
        base = f"{self.name}_base"
        self.static.sendTransform(
            [self.transform(base, f"{self.name}_{c}", T, 0) for c, T in cameras.items()]
        )

    def transform(
        self, parent: str, child: str, parent_T_child: Array, stamp_ns: int
    ) -> TransformStamped:
        return TransformStamped(
            header=convert.make_header(stamp_ns, parent),
            child_frame_id=child,
            transform=convert.matrix_to_transform(parent_T_child),
        )

    def now_ns(self) -> int:
        return self.ros.node.get_clock().now().nanoseconds

    def find(self, target: str, source: str, stamp_ns: int) -> Array:
        stamp = Time(nanoseconds=stamp_ns)
        until(lambda: self.buffer.can_transform(target, source, stamp), f"{target} {source}")
        found = self.buffer.lookup_transform(target, source, stamp)
        return convert.transform_to_matrix(found.transform)

    def tracks(self) -> bool:
        return bool(self.status) and self.status[-1].state == Status.TRACKING

    def close(self) -> None:
        self.listener.unregister()


@pytest.mark.launch(fixture=robots)
def test_two_cameras_feed_one_scene_each_with_its_own_frames(ros: Bench) -> None:
    robot = Robot(ros, "two")
    robot.mount(front=FRONT, left=LEFT)
    depths = {
        camera: ros.listen(Image, f"two/zipmap/{camera}/depth/image", 5)
        for camera in ("front", "left")
    }
    publishers = [
        (camera, ros.node.create_publisher(Image, f"two/{camera}/image", 5)) for camera in depths
    ]

    def publish() -> None:
        robot.step += 1
        for i, (camera, publisher) in enumerate(publishers):
            stamp_ns = robot.now_ns() + i * 1000
            publisher.publish(image(stamp_ns, scene(robot.step + 50 * i), f"two_{camera}"))

    timer = ros.node.create_timer(0.15, publish)
    until(robot.tracks)
    until(lambda: robot.poses and all(len(heard) > 2 for heard in depths.values()))
    timer.cancel()
    for camera, heard in depths.items():
        assert heard[-1].header.frame_id == f"two_{camera}"
    # Poses are those of the base, whichever camera they came from, and on TF at their stamps.
    message = robot.poses[-1]
    stamp_ns = convert.stamp_to_ns(message.header.stamp)
    map_T_base = convert.pose_to_matrix(message.pose)
    np.testing.assert_allclose(robot.find("two_map", "two_base", stamp_ns), map_T_base, atol=1e-6)
    np.testing.assert_allclose(
        robot.find("two_map", "two_left", stamp_ns), map_T_base @ LEFT, atol=1e-6
    )
    robot.close()


@pytest.mark.launch(fixture=robots)
def test_the_first_pose_of_the_base_is_the_origin_of_the_map(ros: Bench) -> None:
    """Optical axes taken for body axes tilt every map by 90 degrees."""
    robot = Robot(ros, "deep")
    robot.mount(lens=FRONT)
    publisher = ros.node.create_publisher(Image, "deep/image", 5)
    measured = ros.node.create_publisher(Image, "deep/depth", 5)
    until(lambda: publisher.get_subscription_count() and measured.get_subscription_count())
    depths = ros.listen(Image, "deep/zipmap/depth/image", 5)

    def publish() -> None:
        stamp_ns = robot.now_ns()
        # The scene stands still, so that the (random) network's depth does as well.
        publisher.publish(image(stamp_ns, scene(0), "deep_lens"))
        depth = np.full((CAMERA.height, CAMERA.width), 5.0, np.float32)
        measured.publish(convert.depth_to_image(depth, convert.make_header(stamp_ns, "deep_lens")))

    timer = ros.node.create_timer(0.1, publish)

    def trajectory() -> list[PoseStamped]:
        return ros.call(GetTrajectory, "deep/zipmap/get_trajectory").path.poses

    first = until(trajectory)[0].pose
    np.testing.assert_allclose(convert.pose_to_matrix(first), np.eye(4), atol=1e-6)
    # Depth images of 5 m everywhere: once the scale has locked the median depth is 5 m.
    until(lambda: robot.status and robot.status[-1].metric, f"not metric: {robot.status[-1:]}")
    assert robot.status[-1].scale_source == "depth"
    depths.clear()
    until(lambda: len(depths) > 2)
    timer.cancel()
    median = np.nanmedian(convert.image_to_depth(depths[-1]))
    assert median == pytest.approx(5.0, rel=0.25)
    robot.close()


@pytest.mark.launch(fixture=robots)
def test_beside_odometry_of_others_only_map_to_odom_is_ours(ros: Bench) -> None:
    robot = Robot(ros, "wheels")
    robot.mount(lens=FRONT)
    heard = ros.listen(TFMessage, "/tf", 100)
    publisher = ros.node.create_publisher(Image, "wheels/image", 5)

    odometry_comes = False

    def publish() -> None:
        robot.step += 1
        stamp_ns = robot.now_ns()
        odom_T_base = pose(np.eye(3), [0.1 * robot.step, 0.0, 0.0])
        if odometry_comes:
            robot.moving.sendTransform(
                robot.transform("wheels_odom", "wheels_base", odom_T_base, stamp_ns)
            )
        publisher.publish(image(stamp_ns, scene(robot.step), "wheels_lens"))

    timer = ros.node.create_timer(0.15, publish)

    # Without it no image can be placed: each is dropped and counted, both frames are named.
    def waits() -> bool:
        if not robot.status or robot.status[-1].state != Status.WAITING_FOR_TF:
            return False
        now = robot.status[-1]
        dropped = {pair.key: int(pair.value) for pair in now.frames_dropped}
        named = "'wheels_base' to 'wheels_odom'" in now.hint
        return named and dropped.get("no_odometry", 0) >= 3

    until(waits, f"{robot.status[-1:]}")
    odometry_comes = True
    until(robot.tracks)
    until(lambda: len(robot.poses) > 3)

    # The whole chain is the pose, once TF of its stamp has come; its odometry part is the robot's.
    def on_tf() -> bool:
        message = robot.poses[-1]
        stamp_ns = convert.stamp_to_ns(message.header.stamp)
        map_T_base = robot.find("wheels_map", "wheels_base", stamp_ns)
        return np.allclose(map_T_base, convert.pose_to_matrix(message.pose), rtol=0, atol=1e-6)

    until(on_tf, "no pose is that of TF at its stamp")
    timer.cancel()
    sent = {
        (t.header.frame_id, t.child_frame_id): convert.transform_to_matrix(t.transform)
        for m in heard
        for t in m.transforms
        if t.child_frame_id.startswith("wheels_")
    }
    assert sent.keys() == {("wheels_map", "wheels_odom"), ("wheels_odom", "wheels_base")}
    assert np.isfinite(invert(sent["wheels_map", "wheels_odom"])).all()
    robot.close()


@pytest.mark.launch(fixture=robots)
def test_compressed_images_are_decoded_here(ros: Bench) -> None:
    robot = Robot(ros, "packed")
    publisher = ros.node.create_publisher(CompressedImage, "packed/image/compressed", 5)
    depths = ros.listen(Image, "packed/zipmap/depth/image", 5)

    def publish() -> None:
        robot.step += 1
        jpeg = cv2.imencode(".jpg", scene(robot.step)[..., ::-1])[1]
        header = convert.make_header(robot.now_ns(), "packed_lens")
        data = array.array("B", jpeg.tobytes())
        publisher.publish(CompressedImage(header=header, format="jpeg", data=data))

    timer = ros.node.create_timer(0.1, publish)
    until(lambda: robot.tracks() and depths)
    timer.cancel()
    assert (depths[-1].width, depths[-1].header.frame_id) == (56, "packed_lens")
    robot.close()


@pytest.mark.launch(fixture=robots)
def test_a_bag_that_starts_again_on_sim_time(ros: Bench) -> None:
    robot = Robot(ros, "bag")
    clock = ros.node.create_publisher(Clock, "/clock", 10)
    publisher = ros.node.create_publisher(Image, "bag/image", 5)
    time_ns = 1000 * convert.NS

    def publish() -> None:
        nonlocal time_ns
        robot.step += 1
        time_ns += convert.NS // 10
        clock.publish(Clock(clock=convert.ns_to_stamp(time_ns)))
        publisher.publish(image(time_ns, scene(robot.step), "bag_lens"))

    timer = ros.node.create_timer(0.1, publish)
    until(robot.tracks)

    def is_in_the_bag() -> bool:
        return 1000 <= robot.status[-1].header.stamp.sec < 2000

    # The node lives in the bag's time, and finds nothing strange in its stamps.
    until(lambda: robot.tracks() and is_in_the_bag() and robot.status[-1].hint == "")
    gauge_id = robot.status[-1].gauge_id
    until(lambda: time_ns > 1003 * convert.NS)  # or there is no way back
    time_ns = 1000 * convert.NS
    until(lambda: robot.status[-1].gauge_id > gauge_id)
    until(lambda: robot.tracks() and is_in_the_bag())
    timer.cancel()
    robot.close()
