# SPDX-License-Identifier: Apache-2.0
"""The real launch file, in processes of its own, heard and asked by a third: one hand-held camera.

One launch for the module; each test leaves the node as it found it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import launch_pytest
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosbench import (
    CAMERA,
    EVERY_FRAME,
    FRAME,
    LATCHED,
    WILD,
    Bench,
    Pictures,
    Still,
    image,
    launch_file,
    parameter_file,
    scene,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import SetBool, Trigger
from tf2_ros import Buffer, TransformListener

from zipmap_ros.geometry import BODY_T_OPTICAL, pose
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.parameters import SPECS
from zipmap_ros.srv import GetTrajectory, LoadMap, QueryView, SaveMap, SetMode, SetPose

DOMAIN = 42
GIVEN = {
    **WILD,
    **EVERY_FRAME,
    "tf_mode": "camera",
    "no_data_warn_s": 1.0,
    "query_timeout_s": 60.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stream")


@launch_pytest.fixture(scope="module")
def stream(folder: Path) -> Iterator[LaunchDescription]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        parameters = parameter_file(folder, map_directory=str(folder / "maps"), **GIVEN)
        yield LaunchDescription(
            [
                launch_file(
                    checkpoint=str(tiny_checkpoint(folder)),
                    device="cpu",
                    params_file=str(parameters),
                ),
                ReadyToTest(),
            ]
        )


@pytest.fixture(scope="module")
def status(ros: Bench) -> list[Status]:
    return ros.listen(Status, "zipmap/status", LATCHED)


@pytest.fixture(scope="module")
def pictures(ros: Bench) -> Pictures:
    return Pictures(ros)


@pytest.fixture
def tracking(pictures: Pictures, status: list[Status]) -> Status:
    """The status once the node tracks."""
    until(lambda: status and status[-1].state == Status.TRACKING, f"no tracking: {status[-1:]}")
    return status[-1]


def dropped(status: Status) -> dict[str, int]:
    return {pair.key: int(pair.value) for pair in status.frames_dropped}


def by_stamp(messages: list[Any]) -> dict[int, Any]:
    return {convert.stamp_to_ns(m.header.stamp): m for m in messages}


@pytest.mark.launch(fixture=stream)
def test_poses_have_the_images_stamps_and_are_on_tf(
    ros: Bench, pictures: Pictures, tracking: Status
) -> None:
    buffer = Buffer()
    listener = TransformListener(buffer, ros.node)
    until(lambda: buffer.can_transform("map", FRAME, Time()))
    poses = ros.listen(PoseStamped, "zipmap/pose")
    until(lambda: len(poses) >= 5)
    for message in poses[1:5]:
        assert convert.stamp_to_ns(message.header.stamp) in pictures.stamps
        assert message.header.frame_id == "map"
        stamp = Time.from_msg(message.header.stamp)
        until(lambda s=stamp: buffer.can_transform("map", FRAME, s))
        transform = buffer.lookup_transform("map", FRAME, stamp).transform
        np.testing.assert_allclose(
            convert.transform_to_matrix(transform), convert.pose_to_matrix(message.pose), atol=1e-9
        )
    listener.unregister()


@pytest.mark.launch(fixture=stream)
def test_depth_confidence_and_camera_info_belong_together(
    ros: Bench, pictures: Pictures, tracking: Status
) -> None:
    depths = ros.listen(Image, "zipmap/depth/image", 5)
    confidences = ros.listen(Image, "zipmap/depth/confidence", 5)
    infos = ros.listen(CameraInfo, "zipmap/depth/camera_info", 5)

    def together() -> set[int]:
        return by_stamp(depths).keys() & by_stamp(confidences).keys() & by_stamp(infos).keys()

    stamps = until(lambda: len(together()) >= 3 and together())
    for stamp_ns in stamps:
        depth, info = by_stamp(depths)[stamp_ns], by_stamp(infos)[stamp_ns]
        assert stamp_ns in pictures.stamps
        assert (depth.encoding, depth.header.frame_id) == ("32FC1", FRAME)
        assert (depth.width, depth.height) == (info.width, info.height) == (56, 42)
        metres = convert.image_to_depth(depth)
        assert (metres[np.isfinite(metres)] > 0).all()
        assert np.isfinite(metres).any()
        confidence = convert.image_to_depth(by_stamp(confidences)[stamp_ns])
        assert confidence.min() >= 1
        camera = convert.camera_info_to_camera(info)
        assert camera is not None
        assert camera.fx == pytest.approx(CAMERA.fx)


@pytest.mark.launch(fixture=stream)
def test_new_points_and_a_latched_map(ros: Bench, tracking: Status) -> None:
    clouds = ros.listen(PointCloud2, "zipmap/points", 5)
    first = ros.listen(PointCloud2, "zipmap/map", LATCHED)
    until(lambda: clouds and first)
    points, colors, confidence = convert.cloud_to_points(clouds[0])
    assert len(points) == len(colors) == len(confidence) > 0
    assert np.isfinite(points).all()
    assert clouds[0].header.frame_id == first[0].header.frame_id == "map"
    late = ros.listen(PointCloud2, "zipmap/map", LATCHED)
    until(lambda: late)
    assert late[0].width > 0


@pytest.mark.launch(fixture=stream)
def test_odometry_and_path(ros: Bench, tracking: Status) -> None:
    odometry = ros.listen(Odometry, "zipmap/odometry")
    paths = ros.listen(PathMessage, "zipmap/path", LATCHED)
    until(lambda: len(odometry) > 2 and paths and len(paths[-1].poses) >= 2)
    message = odometry[-1]
    assert (message.header.frame_id, message.child_frame_id) == ("map", FRAME)
    assert message.pose.covariance[0] == -1.0
    covariance = np.reshape(message.twist.covariance, (6, 6))
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-9 * covariance.max())
    stamps = [convert.stamp_to_ns(p.header.stamp) for p in paths[-1].poses]
    assert stamps == sorted(set(stamps))


@pytest.mark.launch(fixture=stream)
def test_the_status_counts(ros: Bench, status: list[Status], tracking: Status) -> None:
    before = status[-1]
    until(lambda: status[-1].frames_received > before.frames_received + 10)
    until(lambda: status[-1].frames_used > before.frames_used)
    # Of a camera of 10 Hz; a busy machine makes it jerk.
    until(lambda: 2 < status[-1].input_rate < 20, f"{status[-1].input_rate} Hz")
    now = status[-1]
    assert (now.variant, now.device, now.mode) == ("tiny", "cpu", Status.MAPPING)
    assert now.checkpoint.endswith("tiny.safetensors")
    assert 0 < now.latency_p50 <= now.latency_p95 <= now.latency_max < 60
    assert now.map_points > 0
    assert now.process_mb > 50
    assert (now.metric, now.scale, now.scale_source) == (False, 1.0, "none")
    assert now.state_update > 0


@pytest.mark.launch(fixture=stream)
def test_query_view_answers_from_the_state(ros: Bench, tracking: Status) -> None:
    request = QueryView.Request(want_rgb=True, want_cloud=True)
    request.pose.header.frame_id = "map"
    request.pose.pose = convert.matrix_to_pose(BODY_T_OPTICAL)
    answer = ros.call(QueryView, "zipmap/query_view", request)
    assert answer.success, answer.message
    assert answer.source == QueryView.Response.NETWORK
    assert (answer.depth.width, answer.depth.height) == (56, 42)
    assert (answer.rgb.encoding, answer.rgb.width) == ("rgb8", 56)
    assert answer.cloud.width == 56 * 42
    assert answer.cloud.header.frame_id == "map"
    assert answer.duration > 0
    # What is asked from the camera's own frame, with a camera of one's own and nothing more.
    request = QueryView.Request()
    request.pose.header.frame_id = FRAME
    header = convert.make_header(0, "")
    request.camera = convert.camera_to_camera_info(CAMERA.resized(28, 28), header)
    answer = ros.call(QueryView, "zipmap/query_view", request)
    assert answer.success, answer.message
    assert (answer.depth_camera.width, answer.depth_camera.height) == (28, 28)
    assert answer.rgb.width == answer.cloud.width == 0


@pytest.mark.launch(fixture=stream)
def test_query_view_refuses_with_a_reason(ros: Bench, tracking: Status) -> None:
    request = QueryView.Request()
    request.pose.header.frame_id = "nowhere"
    answer = ros.call(QueryView, "zipmap/query_view", request)
    assert not answer.success
    assert "nowhere" in answer.message
    request = QueryView.Request()
    request.camera.width = 640
    answer = ros.call(QueryView, "zipmap/query_view", request)
    assert not answer.success
    assert "k[0]" in answer.message
    request = QueryView.Request()
    request.pose.pose.position.x = 1e6
    answer = ros.call(QueryView, "zipmap/query_view", request)
    assert answer.success
    assert "outside" in answer.message


@pytest.mark.launch(fixture=stream)
def test_pause_is_explicit(ros: Bench, status: list[Status], tracking: Status) -> None:
    assert ros.call(SetBool, "zipmap/pause", SetBool.Request(data=True)).success
    assert ros.call(SetBool, "zipmap/pause", SetBool.Request(data=True)).success
    until(lambda: status[-1].state == Status.PAUSED)

    def look() -> tuple[int, int]:
        now = status[-1]
        return dropped(now).get("paused", 0), now.frames_used + now.frames_gated

    until(Still(look, 5), "images are used while the node is paused")
    assert ros.call(SetBool, "zipmap/pause", SetBool.Request(data=False)).success
    until(lambda: status[-1].state == Status.TRACKING)


@pytest.mark.launch(fixture=stream)
def test_localization_does_not_grow_the_map(
    ros: Bench, status: list[Status], tracking: Status
) -> None:
    request = SetMode.Request(mode=SetMode.Request.LOCALIZATION)
    assert ros.call(SetMode, "zipmap/set_mode", request).success
    until(lambda: status[-1].mode == Status.LOCALIZATION)

    def look() -> tuple[int, int, int]:
        now = status[-1]
        return now.frames_gated, now.frames_used, now.map_points

    until(Still(look, 6), "the map grows in localisation")
    used = status[-1].frames_used
    assert not ros.call(SetMode, "zipmap/set_mode", SetMode.Request(mode=7)).success
    assert ros.call(SetMode, "zipmap/set_mode", SetMode.Request(mode=0)).success
    until(lambda: status[-1].frames_used > used)


@pytest.mark.launch(fixture=stream)
def test_a_map_is_saved_and_loaded(
    ros: Bench, status: list[Status], folder: Path, tracking: Status
) -> None:
    saved = ros.call(SaveMap, "zipmap/save_map", SaveMap.Request(name="office"))
    assert saved.success, saved.message
    assert Path(saved.path) == folder / "maps" / "office"
    names = {"state.safetensors", "mapper.safetensors", "map.ply", "trajectory.tum"}
    assert names | {"manifest.json"} == {p.name for p in Path(saved.path).iterdir()}
    assert saved.bytes == sum(p.stat().st_size for p in Path(saved.path).iterdir())
    again = ros.call(SaveMap, "zipmap/save_map", SaveMap.Request(name="office"))
    assert not again.success
    assert "overwrite" in again.message
    for name in ("../office", "/tmp/office", ""):
        assert not ros.call(SaveMap, "zipmap/save_map", SaveMap.Request(name=name)).success
    gauge_id = status[-1].gauge_id
    loaded = ros.call(LoadMap, "zipmap/load_map", LoadMap.Request(name="office", mode=0))
    assert loaded.success, loaded.message
    until(lambda: status[-1].gauge_id != gauge_id)
    missing = ros.call(LoadMap, "zipmap/load_map", LoadMap.Request(name="attic"))
    assert not missing.success
    until(lambda: status[-1].state == Status.TRACKING)


@pytest.mark.launch(fixture=stream)
def test_the_trajectory_since_a_stamp(ros: Bench, tracking: Status) -> None:
    def all_poses() -> list[PoseStamped]:
        return ros.call(GetTrajectory, "zipmap/get_trajectory").path.poses

    everything = until(lambda: len(found := all_poses()) > 3 and found)
    since = everything[2].header.stamp
    later = ros.call(GetTrajectory, "zipmap/get_trajectory", GetTrajectory.Request(since=since))
    assert later.success
    first = [convert.stamp_to_ns(p.header.stamp) for p in later.path.poses][:2]
    assert first == [convert.stamp_to_ns(p.header.stamp) for p in everything[2:4]]


@pytest.mark.launch(fixture=stream)
def test_set_pose_and_initialpose_move_the_map(
    ros: Bench, status: list[Status], tracking: Status
) -> None:
    poses = ros.listen(PoseStamped, "zipmap/pose")
    gauge_id = status[-1].gauge_id
    request = SetPose.Request()
    request.pose.pose.position.x = 1000.0
    request.pose.pose.orientation.w = 1.0
    assert ros.call(SetPose, "zipmap/set_pose", request).success
    until(lambda: status[-1].gauge_id != gauge_id)
    until(lambda: poses and poses[-1].pose.position.x > 500)
    initial = PoseWithCovarianceStamped()
    initial.header.frame_id = "map"
    initial.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [0.0, -1000.0, 0.0]))
    publisher = ros.node.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)
    timer = ros.node.create_timer(0.5, lambda: publisher.publish(initial))
    until(lambda: poses[-1].pose.position.y < -500)
    ros.node.destroy_timer(timer)
    ros.node.destroy_publisher(publisher)


@pytest.mark.launch(fixture=stream)
def test_reset_forgets_the_scene(ros: Bench, status: list[Status], tracking: Status) -> None:
    def stamps() -> list[int]:
        found = ros.call(GetTrajectory, "zipmap/get_trajectory").path.poses
        return [convert.stamp_to_ns(p.header.stamp) for p in found]

    gauge_id, before = status[-1].gauge_id, until(stamps)
    assert ros.call(Trigger, "zipmap/reset").success
    until(lambda: status[-1].gauge_id > gauge_id)
    assert until(stamps)[0] > before[-1]
    until(lambda: status[-1].state == Status.TRACKING)


@pytest.mark.launch(fixture=stream)
def test_images_that_cannot_be_used_are_counted_and_tracking_goes_on(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    before = dropped(status[-1])
    now = ros.node.get_clock().now().nanoseconds
    strange = image(now, scene(0))
    strange.encoding = "32FC7"
    short = image(now, scene(0))
    short.step = 3
    empty = image(now, scene(0))
    empty.height = empty.width = 0
    other = image(now, scene(0, 28, 28))

    def publish() -> None:
        for message in (strange, short, empty, other):
            pictures.publish(message)

    timer = ros.node.create_timer(0.5, publish)
    reasons = ("encoding", "step", "empty", "resolution")
    until(lambda: all(dropped(status[-1]).get(r, 0) > before.get(r, 0) for r in reasons))
    ros.node.destroy_timer(timer)
    used = status[-1].frames_used
    until(lambda: status[-1].frames_used > used and status[-1].state == Status.TRACKING)


def put(ros: Bench, name: str, value: Any) -> Any:
    """Set one parameter of the node; its SetParametersResult."""
    parameter = Parameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    (result,) = ros.call(SetParameters, "zipmap/set_parameters", request).results
    return result


@pytest.mark.launch(fixture=stream)
def test_a_camera_that_jumps_is_lost_and_found_again(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    buffer = Buffer()
    listener = TransformListener(buffer, ros.node)
    assert put(ros, "max_jump_m", 0.001).successful
    assert put(ros, "max_turn_deg", 0.1).successful
    pictures.wild = True
    until(lambda: status[-1].state == Status.LOST)
    assert "reset" in status[-1].hint
    assert dropped(status[-1])["jump"] >= 3
    poses = ros.listen(PoseStamped, "zipmap/pose")

    def look() -> tuple[int, int, int]:
        reasons = dropped(status[-1])
        doubted = reasons["jump"] + reasons.get("lost", 0)
        return doubted, status[-1].frames_used, len(poses)

    # Nothing of it is believed; the last transform is held.
    until(Still(look, 10), "poses are believed while the camera jumps")
    now = ros.node.get_clock().now
    until(lambda: buffer.can_transform("map", FRAME, now()))
    pictures.wild = False
    assert put(ros, "max_jump_m", GIVEN["max_jump_m"]).successful
    assert put(ros, "max_turn_deg", GIVEN["max_turn_deg"]).successful
    until(lambda: status[-1].state == Status.TRACKING)
    listener.unregister()


@pytest.mark.launch(fixture=stream)
def test_too_many_images_cost_the_oldest_and_no_time(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    before = dropped(status[-1]).get("queue_full", 0)

    def overrun() -> bool:
        pictures.burst(20)
        return dropped(status[-1]).get("queue_full", 0) > before

    until(overrun)
    poses = ros.listen(PoseStamped, "zipmap/pose")

    def age_ns() -> int:
        now_ns = ros.node.get_clock().now().nanoseconds
        return now_ns - convert.stamp_to_ns(poses[-1].header.stamp)

    # What comes out is as new as ever, for nothing has piled up.
    until(lambda: len(poses) > 3 and age_ns() < 2 * convert.NS)
    assert max(heard.queue_length for heard in status) <= 4


@pytest.mark.launch(fixture=stream)
def test_the_documentation_names_every_topic_and_service(ros: Bench, tracking: Status) -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "node.md").read_text()
    documented = {name.replace("~", "/zipmap") for name in re.findall(r"`(~?/?[a-z_/]+)`", text)}
    documented = {name if name.startswith("/") else f"/{name}" for name in documented}
    node = ros.node
    # What every node, or every lifecycle node, has.
    common = (
        r"/rosout|/parameter_events|/clock|/tf2_frames|/zipmap/(transition_event|.*parameter.*)"
    )
    common += r"|/zipmap/(get_type_description|(change|get)_.*state.*|get_.*transition.*)"

    def ours() -> set[str]:
        offered = {
            name
            for find in (
                node.get_publisher_names_and_types_by_node,
                node.get_subscriber_names_and_types_by_node,
                node.get_service_names_and_types_by_node,
            )
            for name, _ in find("zipmap", "/")
        }
        return {name for name in offered if not re.fullmatch(common, name)}

    until(lambda: len(ours()) > 20)
    assert ours() - documented == set()


@pytest.mark.launch(fixture=stream)
def test_parameters_are_live_and_refuse_with_a_reason(ros: Bench, tracking: Status) -> None:
    assert put(ros, "queue_frames", 2).successful
    for name, value, word in (
        ("queue_frames", 0, "range"),
        ("undistort", "always", "auto"),
        ("tf_mode", "off", "read"),
    ):
        refused = put(ros, name, value)
        assert not refused.successful
        assert word in refused.reason
    assert put(ros, "queue_frames", 4).successful


@pytest.mark.launch(fixture=stream)
def test_a_standing_camera_grows_nothing(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    """Neither state, map nor what is published of them; with the motion that a robot asks for.

    The other tests keep every frame: then the state goes on learning what it sees, its poses
    tremble, and points on the edge of a voxel fall into the next one.
    """
    asked = ("keyframe_translation_m", "keyframe_rotation_deg")
    for name in asked:
        assert put(ros, name, SPECS[name].default).successful
    points = ros.listen(PointCloud2, "zipmap/points", 5)
    maps = ros.listen(PointCloud2, "zipmap/map", LATCHED)
    pictures.moving = False

    def look() -> tuple[int, ...]:
        now = status[-1]
        return now.frames_gated, now.frames_used, now.map_points, len(points), len(maps)

    until(Still(look, 20), "something grows while the camera stands")
    before = status[-1]
    until(lambda: status[-1].frames_gated > before.frames_gated + 20)
    assert status[-1].process_mb < before.process_mb + 20
    pictures.moving = True
    for name in asked:
        assert put(ros, name, GIVEN[name]).successful


@pytest.mark.launch(fixture=stream)
def test_time_that_jumps_back_starts_a_new_gauge(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    gauge_id = status[-1].gauge_id
    pictures.offset_ns = -5_000_000_000
    until(lambda: status[-1].gauge_id > gauge_id)
    until(lambda: status[-1].state == Status.TRACKING)
    pictures.offset_ns = 0
    used = status[-1].frames_used
    until(lambda: status[-1].frames_used > used)


@pytest.mark.launch(fixture=stream)
def test_silence_is_named_with_its_topics(
    ros: Bench, pictures: Pictures, status: list[Status], tracking: Status
) -> None:
    pictures.stop()
    until(lambda: status[-1].state == Status.WAITING_FOR_IMAGE)
    assert "/image has 1 publisher(s) with fitting QoS" in status[-1].hint
    assert "/camera_info" in status[-1].hint
