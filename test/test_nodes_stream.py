# SPDX-License-Identifier: Apache-2.0
"""The node zipmap inside this process: clock, odometry of others, lazy topics, status, cleanup."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from diagnostic_updater import DiagnosticStatusWrapper
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rclpy.clock import ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosbench import (
    CAMERA,
    EVERY_FRAME,
    FRAME,
    LATCHED,
    PATIENCE_S,
    WILD,
    Bench,
    bench,
    scene,
    stream_nodes,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from zipmap_ros import mapping
from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import BODY_T_OPTICAL, invert, look_at, pose, se3_exp
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes import intake as intake_module
from zipmap_ros.nodes import stream_node as stream_node_module
from zipmap_ros.nodes import transforms as transforms_module
from zipmap_ros.nodes.intake import Intake
from zipmap_ros.nodes.services import requested_camera
from zipmap_ros.nodes.stream_node import StreamNode
from zipmap_ros.nodes.transforms import TransformError
from zipmap_ros.nodes.transitions import logged
from zipmap_ros.srv import LoadMap, QueryView, SaveMap, SetPose

DOMAIN = 67
BEGUN_NS = 1_000_000_000_000
# A busy machine may take long to its first estimate: that is no silence.
PATIENT = {**WILD, "no_data_warn_s": 600.0}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def make(checkpoint: str) -> Iterator[Any]:
    with stream_nodes(DOMAIN, checkpoint, **PATIENT) as made:
        yield made


@pytest.fixture
def ros() -> Iterator[Bench]:
    with bench(DOMAIN) as made:
        yield made


def frame(stamp_ns: int, step: int = 0) -> Frame:
    return Frame(stamp_ns, scene(step), frame_id=FRAME, camera=CAMERA)


def intake(node: StreamNode) -> Intake:
    assert node._intake is not None
    return node._intake


def dropped(node: StreamNode) -> dict[str, int]:
    return dict(node.worker.counts().dropped)


def heard_states(node: StreamNode) -> list[int]:
    """The states of the messages that the node publishes from now on."""
    states: list[int] = []
    publish = node._status_publisher.publish

    def listen(status: Status) -> None:
        states.append(status.state)
        publish(status)

    node._status_publisher.publish = listen
    return states


@pytest.mark.parametrize("sim_time", [True, False])
def test_a_clock_that_has_not_begun_is_no_foreign_clock(make: Any, sim_time: bool) -> None:
    """Before the first /clock simulated time is 0, and every image far ahead of it."""
    node = make(use_sim_time=sim_time)
    intake(node)._check_clock(frame(BEGUN_NS))
    assert bool(intake(node).clock_hint) is not sim_time


def test_a_clock_that_never_begins_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node, clock_ns, now_s = make(use_sim_time=True), [0], [100.0]
    monkeypatch.setattr(node, "now_ns", lambda: clock_ns[0])
    monkeypatch.setattr(intake_module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def complains(clock: int, later_s: float) -> bool:
        clock_ns[0], now_s[0] = clock, now_s[0] + later_s
        intake(node)._check_clock(frame(BEGUN_NS))
        return "nothing comes on /clock" in intake(node).clock_hint

    assert [complains(0, 100.0), complains(0, 1.0), complains(0, 1.5)] == [False, False, True]
    assert not complains(BEGUN_NS, 10.0)
    assert not complains(0, 10.0)  # a bag whose time begins at 0 starts again


def test_a_clock_that_is_right_again_is_no_longer_complained_of(make: Any) -> None:
    node = make(cameras=["front", "left"])
    front, left = (Frame(BEGUN_NS, scene(0), source=name) for name in ("front", "left"))
    intake(node)._check_clock(front)
    now = Frame(node.now_ns(), scene(0), source="left")
    intake(node)._check_clock(now)
    assert "set the camera's clock" in intake(node).clock_hint  # of the other camera
    intake(node)._check_clock(Frame(node.now_ns(), scene(0), source="front"))
    assert intake(node).clock_hint == ""
    intake(node)._check_clock(left)
    assert "behind this node's clock" in intake(node).clock_hint


def test_images_without_odometry_of_others_are_dropped_counted_and_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(tf_mode="map_to_odom", tf_timeout_s=0.0)
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    states = heard_states(node)
    begun_ns = node.now_ns()
    for i in range(3):
        intake(node)._on_frame(frame(begun_ns + i))
    assert dropped(node) == {"no_odometry": 3}
    assert node.worker.counts().received == 3
    # Said at once, not at the next tick of a timer, and not for a single gap.
    assert states == [Status.INITIALISING, Status.WAITING_FOR_TF]
    hint = node._status.hint
    assert "'base_link' to 'odom'" in hint
    assert "tf_mode to odom_and_map" in hint
    odometry = Odometry(header=convert.make_header(begun_ns, "odom"), child_frame_id="base_link")
    odometry.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [1.0, 0.0, 0.0]))
    intake(node)._on_odometry(odometry)
    odometry.header.stamp = convert.ns_to_stamp(begun_ns + 1000)
    intake(node)._on_odometry(odometry)
    intake(node)._on_frame(frame(begun_ns + 500))
    assert dropped(node) == {"no_odometry": 3}
    until(lambda: states[-1] == Status.TRACKING)


def test_the_first_image_without_a_mount_is_a_state_to_be_in(make: Any) -> None:
    """A mount is static: it will not be there for the next image either."""
    node = make(tf_timeout_s=0.0)
    intake(node)._on_frame(frame(node.now_ns()))
    assert dropped(node) == {"no_transform": 1}
    assert node._status.state == Status.WAITING_FOR_TF


def test_odometry_between_other_frames_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(tf_mode="map_to_odom", scale_source="odom")
    odometry = Odometry(header=convert.make_header(BEGUN_NS, "world"), child_frame_id="rover")
    node.transforms.add_odometry(odometry)  # TF may have what is needed
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", -1.0)
    with pytest.raises(TransformError, match="odom is of 'rover' in 'world', not of base_frame"):
        node.transforms.add_odometry(odometry)
    odometry.pose.pose.orientation.w = 1.0
    intake(node)._on_odometry(odometry)  # for the scale it is good enough
    entries = node.worker.request(lambda mapper: mapper.odometry.entries, PATIENCE_S)
    assert [stamp_ns for stamp_ns, _ in entries] == [BEGUN_NS]


def test_unusable_images_are_named_while_there_are_no_others(make: Any) -> None:
    node = make(tf_mode="camera")
    camera = intake(node)._cameras[0]
    camera._on_image(Image(encoding="32FC7", width=4, height=3))
    assert dropped(node) == {"encoding": 1}
    state, hint = node._state()
    assert (state, "'32FC7' cannot be used" in hint) == (Status.WAITING_FOR_IMAGE, True)


def test_one_silent_camera_of_two_is_named(make: Any) -> None:
    node = make(tf_mode="camera", cameras=["front", "left"])
    assert intake(node)._in_order(Frame(node.now_ns(), scene(0), source="left"))
    assert intake(node).trouble() is None
    front = intake(node)._cameras[0]
    front.problem, front.last_image_s = "its last image was strange", -1e9
    state, hint = intake(node).trouble()
    assert state == Status.WAITING_FOR_IMAGE and "/left" not in hint
    assert hint.startswith("/front/image has no publisher")


def test_a_camera_that_is_silent_waits_for_no_mount_and_is_named_beside_one_that_does(
    make: Any,
) -> None:
    node = make(cameras=["front", "left"], tf_timeout_s=0.0)
    for name in ("front", "left"):
        intake(node)._on_frame(Frame(node.now_ns(), scene(0), frame_id=name, source=name))
    intake(node)._cameras[1].last_image_s = -1e9
    state, hint = intake(node).trouble()
    assert state == Status.WAITING_FOR_TF and "from 'front' to 'base_link'" in hint
    assert "/left/image has no publisher" in hint and "'left'" not in hint
    intake(node)._cameras[0].last_image_s = -1e9
    state, hint = intake(node).trouble()
    assert state == Status.WAITING_FOR_IMAGE and "no transform" not in hint


def test_cameras_of_one_robot_with_two_clocks_are_named(make: Any) -> None:
    """Neither would carry the other, and the base go to and fro."""
    node = make(cameras=["front", "left"])

    def hint(seconds: float, count: int = 11) -> str:
        for _ in range(count):
            for name, late_s in (("front", 0.1), ("left", seconds)):
                stamp_ns = node.now_ns() - int(late_s * convert.NS)
                intake(node)._check_clock(Frame(stamp_ns, scene(0), source=name))
        return intake(node).clock_hint

    assert hint(5.1, count=9) == "", "a delay at the start is no other clock"
    assert hint(5.1).startswith("stamps of left/image are 5.0 s behind those of front/image")
    assert hint(-4.9).startswith("stamps of front/image are 5.0 s behind those of left/image")
    assert hint(0.9) == ""
    assert hint(60.1).startswith("stamps of left/image are 60 s behind this node's clock")


def test_cameras_with_one_frame_between_them_are_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers fill in the same frame_id by default; then both have one mount."""
    node = make(cameras=["front", "left"])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    said: list[str] = []
    monkeypatch.setattr(node, "warn", lambda kind, text, **_: said.append(text))
    for i, (source, name) in enumerate([("front", "a"), ("left", "b"), ("left", "a")]):
        assert not said
        for step in range(2):
            stamp_ns = node.now_ns() + 2 * i + step
            intake(node)._on_frame(Frame(stamp_ns, scene(i), name, CAMERA, source=source))
    (text,) = said
    assert text.startswith("left/image has the frame_id of front/image, 'a', and so its mount")


def test_a_camera_frame_that_is_no_optical_frame_is_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """camera_link has x forward: taken for optical axes, the camera looks up."""
    node = make()
    body = pose(np.eye(3), [0.2, 0.0, 0.5])
    mounts = {"lens": BODY_T_OPTICAL, "camera_link": body}
    monkeypatch.setattr(node.transforms, "base_T_camera", mounts.get)
    said: list[str] = []
    monkeypatch.setattr(node, "warn", lambda kind, text, **_: said.append(text))
    for i, name in enumerate(["lens", "camera_link", "camera_link"]):
        intake(node)._on_frame(Frame(node.now_ns() + i, scene(i), name, CAMERA))
        assert len(said) == min(i, 1)
    assert said[0].startswith("'camera_link' looks up on TF")


@pytest.mark.parametrize("seconds", [-1, 2**31 - 1])
def test_a_stamp_that_no_clock_gives_costs_its_image(make: Any, seconds: int) -> None:
    """Stamped ahead of the last, TF would leave the range of a message, in a timer."""
    node = make(tf_mode="camera")
    header = convert.make_header(seconds * convert.NS, FRAME)
    intake(node)._cameras[0]._on_image(convert.rgb_to_image(scene(0), header))
    assert dropped(node) == {"stamp": 1}
    assert f"its stamp is {seconds} s" in node._state()[1]


def test_a_camera_info_that_cannot_be_used_costs_the_calibration_alone(make: Any) -> None:
    node = make(tf_mode="camera")
    camera = intake(node)._cameras[0]
    info = convert.camera_to_camera_info(CAMERA, convert.make_header(0, FRAME))
    info.binning_x = info.binning_y = 10_000
    camera._on_info(info)
    camera._on_image(convert.rgb_to_image(scene(0), convert.make_header(node.now_ns(), FRAME)))
    until(lambda: node._status.state == Status.TRACKING)


def test_what_no_check_foresees_costs_its_image(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(tf_mode="camera")

    def fail(message: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(convert, "image_to_rgb", fail)
    header = convert.make_header(node.now_ns(), FRAME)
    intake(node)._cameras[0]._on_image(convert.rgb_to_image(scene(0), header))
    assert dropped(node) == {"error": 1}
    assert "ZeroDivisionError: division by zero" in node._state()[1]


def test_a_lone_old_stamp_is_no_jump_of_time(make: Any) -> None:
    node = make(tf_mode="camera")
    gauge_id, now_ns = node.facts.gauge_id, node.now_ns()
    in_order = intake(node)._in_order
    assert in_order(frame(now_ns))
    for i in range(1, 4):  # two publishers, two seconds apart
        assert not in_order(frame(now_ns - 2 * convert.NS + i))
        assert in_order(frame(now_ns + i))
    assert not in_order(frame(now_ns + 3))  # the last once more
    began_ns = now_ns - 60 * convert.NS
    assert [in_order(frame(began_ns + i)) for i in range(4)] == [False, False, True, True]
    until(lambda: node.facts.gauge_id > gauge_id)


def test_a_lone_stamp_from_ahead_of_time_is_neither_mapped_nor_a_jump(make: Any) -> None:
    """Mapped, it was on TF for an hour, and the three images after it forgot the scene."""
    node = make(tf_mode="camera")
    gauge_id, now_ns = node.facts.gauge_id, node.now_ns()
    in_order, ahead_ns = intake(node)._in_order, now_ns + 3600 * convert.NS
    assert not in_order(frame(ahead_ns)), "nor is a driver's first"
    assert in_order(frame(now_ns))
    for i in range(1, 5):  # two publishers, an hour apart
        assert not in_order(frame(ahead_ns + i))
        assert in_order(frame(now_ns + i))
    assert dropped(node) == {"out_of_order": 5}
    assert node.facts.gauge_id == gauge_id
    assert [in_order(frame(ahead_ns + i)) for i in range(3)] == [False, True, True], "a clock set"


def test_old_stamps_that_fall_are_no_jump_of_time(make: Any) -> None:
    node = make(tf_mode="camera")
    in_order, now_ns = intake(node)._in_order, node.now_ns()
    assert in_order(frame(now_ns))
    assert not any(in_order(frame(now_ns - i * convert.NS // 10)) for i in (9, 6, 3))  # nor those
    assert not any(in_order(frame(now_ns - (60 + i) * convert.NS)) for i in range(5))


def test_time_may_jump_back_while_the_node_is_inactive(make: Any) -> None:
    """A bag that starts again while nobody takes images is another world all the same."""
    node = make(tf_mode="camera")
    gauge_id, now_ns = node.facts.gauge_id, node.now_ns()
    intake(node)._on_frame(frame(now_ns))
    node.trigger_deactivate()
    node.trigger_activate()
    assert node._state()[0] == Status.WAITING_FOR_IMAGE
    began_ns = now_ns - 60 * convert.NS
    in_order = intake(node)._in_order
    assert [in_order(frame(began_ns + i)) for i in range(4)] == [False, False, True, True]
    until(lambda: node.facts.gauge_id > gauge_id)
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        getattr(node, f"trigger_{transition}")()
    assert intake(node)._in_order(frame(began_ns - convert.NS))  # a new scene: any time is good


@pytest.mark.parametrize("stop", ["pause", "reset", "deactivate"])
def test_what_came_before_a_stop_is_not_mapped_after_it(make: Any, stop: str) -> None:
    """Neither an image that waits for TF, nor those of a chunk that is not full."""
    node = make(tf_mode="camera", chunk_frames=8, chunk_timeout_s=60.0)
    taken = intake(node)
    for i in range(3):
        taken._on_frame(frame(node.now_ns(), i))
    until(lambda: node.worker.request(lambda mapper: mapper.pending, 10.0) == 3)
    place, stops = taken._place, {"deactivate": ("inactive", node.trigger_deactivate)}
    stops["pause"] = ("paused", lambda: node.set_paused(True))
    stops["reset"] = ("reset", lambda: node.forget_queued("reset"))
    reason, do_stop = stops[stop]

    def slow(frame: Frame) -> bool:
        do_stop()
        return place(frame)

    taken._place = slow
    taken._on_frame(frame(node.now_ns(), 3))
    until(lambda: node.facts.dropped[reason] == 3)
    assert dropped(node) == {reason: 1}
    assert node.worker.request(lambda mapper: mapper.flush(), 10.0) == []
    assert node.facts.used == node.facts.gated == 0 == node.facts.map_points


@pytest.mark.parametrize(("images", "step_s"), [(12, 0.1), (3, 1.0), (4, 2.0)])
def test_a_short_or_slow_bag_that_starts_again_is_noticed(
    make: Any, images: int, step_s: float
) -> None:
    node = make(tf_mode="camera")
    jumps: list[str] = []
    node.time_jumped = jumps.append
    began_ns = node.now_ns() - 60 * convert.NS
    for _ in range(3):
        for i in range(images):
            intake(node)._in_order(frame(began_ns + int(i * step_s * convert.NS)))
    assert len(jumps) == 2


def test_odometry_of_a_stamp_that_no_clock_gives_is_left_out(make: Any) -> None:
    node = make(tf_mode="map_to_odom")
    odometry = Odometry(header=convert.make_header(0, "odom"), child_frame_id="base_link")
    odometry.pose.pose.orientation.w = 1.0
    odometry.header.stamp.sec, odometry.header.stamp.nanosec = 2**31 - 1, 2**32 - 1
    intake(node)._on_odometry(odometry)


def test_an_image_that_waits_for_its_depth_is_counted_when_it_is_dropped(make: Any) -> None:
    node = make(tf_mode="camera", scale_source="depth")
    intake(node)._cameras[0]._waiting.append(frame(BEGUN_NS))
    intake(node)._cameras[0]._pair()
    node.forget_queued("reset")
    node.forget_queued("reset")
    assert dropped(node) == {"reset": 1}


@pytest.mark.parametrize("stamp_ns", [BEGUN_NS, 2 * BEGUN_NS])
def test_time_may_jump_while_the_depth_of_an_image_is_looked_for(
    make: Any, monkeypatch: pytest.MonkeyPatch, stamp_ns: int
) -> None:
    """A reset comes on another thread."""
    node = make(tf_mode="camera", scale_source="depth")
    camera = intake(node)._cameras[0]
    metres = np.ones((CAMERA.height, CAMERA.width), np.float32)
    camera._on_depth(convert.depth_to_image(metres, convert.make_header(BEGUN_NS, FRAME)))
    to_ns = convert.stamp_to_ns

    def jump(stamp: Any) -> int:
        camera.forget("reset")
        return to_ns(stamp)

    monkeypatch.setattr(convert, "stamp_to_ns", jump)
    camera._waiting.append(frame(stamp_ns))
    camera._pair()
    assert not camera._waiting and dropped(node) == {"reset": 1}


def test_localization_without_a_map_says_what_to_do(make: Any) -> None:
    node = make(tf_mode="camera", mode="localization")
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.dropped["no_map"])
    state, hint = node._state()
    assert (state, "~/load_map" in hint) == (Status.INITIALISING, True)


def test_a_covered_lens_is_told_also_before_the_first_image(make: Any) -> None:
    node = make(tf_mode="camera")
    intake(node)._on_frame(replace(frame(node.now_ns()), rgb=np.zeros((42, 56, 3), np.uint8)))
    until(lambda: node.facts.dropped["blank"])
    state, hint = node._state()
    assert (state, "uncover the lens" in hint) == (Status.INITIALISING, True)
    node.worker.request(lambda mapper: mapper.reset(), PATIENCE_S)
    assert node._state() == (Status.INITIALISING, "")


def test_a_change_of_mode_is_published_at_once(make: Any) -> None:
    node = make(tf_mode="camera", status_rate_hz=0.01)
    states = heard_states(node)
    (result,) = node.set_parameters([Parameter("mode", value="localization")])
    assert result.successful
    assert (len(states), node._status.mode) == (1, Status.LOCALIZATION)


def test_a_parameter_that_cannot_be_used_is_reported(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(tf_mode="camera")
    said: list[str] = []
    node.worker._report = said.append
    node.worker.tell(lambda mapper: 1 / 0)
    until(lambda: said)
    assert "a request was not carried out: ZeroDivisionError" in said[0]


CONVERSIONS = ("depth_to_image", "points_to_cloud", "camera_to_camera_info")


def test_nothing_is_converted_that_nobody_listens_to(
    make: Any, ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    for name in CONVERSIONS:
        original = getattr(convert, name)

        def counted(*args: Any, original: Any = original, name: str = name) -> Any:
            calls[name] += 1
            return original(*args)

        monkeypatch.setattr(convert, name, counted)
    node = make(tf_mode="camera", **EVERY_FRAME)
    built: Counter[str] = Counter()
    for part in ("path", "_odometry"):
        original = getattr(node.outputs, part)
        monkeypatch.setattr(
            node.outputs,
            part,
            lambda *args, part=part, original=original: built.update([part]) or original(*args),
        )

    def map_frames(count: int) -> None:
        before = node.facts.used
        for i in range(count):
            intake(node)._on_frame(frame(node.now_ns(), i))
            until(lambda wanted=before + i + 1: node.facts.used >= wanted)
        node.worker.request(lambda mapper: None, PATIENCE_S)  # the last is delivered as a whole
        node._publish_map()
        node._publish_path()

    map_frames(3)
    assert len(node._mapper.voxel_map) > 0  # the map grows all the same
    assert (calls, built) == ({}, {})
    heard = {
        topic: ros.listen(kind, f"zipmap/{topic}", qos)
        for topic, kind, qos in (
            ("depth/image", Image, 5),
            ("depth/confidence", Image, 5),
            ("depth/camera_info", CameraInfo, 5),
            ("points", PointCloud2, 5),
            ("map", PointCloud2, LATCHED),
            ("odometry", Odometry, 10),
            ("path", PathMessage, LATCHED),
        )
    }
    until(lambda: all(node.outputs.wanted(topic) for topic in heard))
    map_frames(1)
    until(lambda: all(heard.values()))
    assert calls == {"depth_to_image": 2, "camera_to_camera_info": 1, "points_to_cloud": 2}
    assert built == {"path": 1, "_odometry": 1}


def test_twist_is_of_the_last_two_poses(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(tf_mode="camera")
    published: dict[str, list[Any]] = {"odometry": [], "pose": []}
    monkeypatch.setattr(node.outputs, "wanted", lambda topic: topic == "odometry")
    for topic, messages in published.items():
        monkeypatch.setattr(node.outputs._publishers[topic], "publish", messages.append)
    for i in range(2):
        intake(node)._on_frame(frame(node.now_ns(), i))
        until(lambda wanted=i + 1: len(published["odometry"]) == wanted)
    heard, poses = published["odometry"], published["pose"]
    before, after = (convert.pose_to_matrix(message.pose) for message in poses)
    seconds = 1e-9 * (
        convert.stamp_to_ns(poses[1].header.stamp) - convert.stamp_to_ns(poses[0].header.stamp)
    )
    v = heard[1].twist.twist.linear
    in_map = after[:3, :3] @ [v.x, v.y, v.z]
    np.testing.assert_allclose(in_map * seconds, after[:3, 3] - before[:3, 3], atol=1e-9)
    assert heard[0].twist.twist.linear.x == 0.0
    assert heard[1].pose.covariance[0] == heard[0].twist.covariance[0] == -1.0
    assert heard[1].twist.covariance[0] > 0


@pytest.mark.parametrize(
    ("scale_source", "known"), [("none", True), ("fixed", True), ("odom", False)]
)
def test_nobody_knows_how_fast_it_is_until_the_scale_has_locked(
    make: Any, monkeypatch: pytest.MonkeyPatch, scale_source: str, known: bool
) -> None:
    """A filter that was told so would believe a velocity that is ten times off."""
    node, published = make(tf_mode="camera", scale_source=scale_source), []
    monkeypatch.setattr(node.outputs, "publish", lambda estimate, *_: published.append(estimate))
    flat = np.ones((3, 4), np.float32)
    seen = Estimate(1, FRAME, np.eye(4), flat, flat, CAMERA, np.zeros((3, 4, 3), np.uint8))
    node.deliver([replace(seen, motion_covariance=np.eye(6))])
    assert (published[0].motion_covariance is not None) is known


def test_a_status_that_is_made_later_is_published_later(make: Any) -> None:
    """The topic is latched: of two threads that tell the state the newer one must have it."""
    node = make(tf_mode="camera")
    published: list[int] = []
    publish = node._status_publisher.publish

    def slow(status: Status) -> None:
        if status.state != Status.PAUSED:
            time.sleep(0.1)
        published.append(status.state)
        publish(status)

    node._status_publisher.publish = slow
    other = threading.Thread(target=node._publish_status)
    other.start()
    time.sleep(0.02)
    node.set_paused(True)
    other.join()
    assert published[-1] == Status.PAUSED


def test_after_a_transition_that_throws_the_node_can_be_configured_anew(
    make: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And the log has what it threw, once."""
    node = make(tf_mode="camera")
    node.trigger_deactivate()
    with monkeypatch.context() as patch:
        patch.setattr(stream_node_module, "Intake", None)
        node.trigger_activate()
    assert "configure the node anew" in node._status.hint
    assert capfd.readouterr().err.count("TypeError: 'NoneType' object is not callable") == 1
    node.trigger_configure()
    node.trigger_activate()
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node._status.state == Status.TRACKING)


@pytest.mark.parametrize("running", [True, False])
def test_a_transition_that_a_signal_cuts_off_leaves_no_traceback(running: bool) -> None:
    """Ctrl-C while the weights are loaded: what is made then is refused."""
    said: list[str] = []
    node = SimpleNamespace(
        context=SimpleNamespace(ok=lambda: running),
        get_logger=lambda: SimpleNamespace(error=said.append),
    )

    @logged
    def on_configure(node: Any, state: Any) -> TransitionCallbackReturn:
        raise InvalidHandle("cannot use Destroyable because destruction was requested")

    assert on_configure(node, None) == TransitionCallbackReturn.ERROR
    assert bool(said) is running


def test_cleanup_leaves_no_network_behind(make: Any) -> None:
    node = make()
    network = weakref.ref(node._mapper.model)
    assert network() is not None
    node.trigger_deactivate()
    node.trigger_cleanup()
    gc.collect()
    assert network() is None, gc.get_referrers(network())


def test_what_is_not_active_is_not_on_tf_and_a_new_scene_is_another_gauge(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(tf_mode="camera")
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node._status.state == Status.TRACKING)
    sent: list[Any] = []
    monkeypatch.setattr(node.transforms._broadcaster, "sendTransform", sent.append)
    node._hold()
    assert sent == []  # while it is tracked, only estimates say where the camera is
    assert node.transforms.silent_s < node.values.no_data_warn_s
    node.set_paused(True)
    node._hold()
    assert len(sent) == 1
    node.trigger_deactivate()
    node._hold()
    assert len(sent) == 1
    gauge_id = node.facts.gauge_id
    node.trigger_cleanup()
    node.trigger_configure()
    node.trigger_activate()
    node._hold()
    assert len(sent) == 1 and node.facts.gauge_id > gauge_id


@pytest.mark.parametrize("tf_mode", ["camera", "odom_and_map"])
def test_what_moves_is_held_only_while_nothing_new_comes(
    make: Any, monkeypatch: pytest.MonkeyPatch, tf_mode: str
) -> None:
    """And the base of a robot, by which others drive, only on a pause."""
    node, held = make(tf_mode=tf_mode), []
    monkeypatch.setattr(node.transforms, "hold", lambda moving: held.append(moving))
    now_s = time.monotonic()
    for status, last_s, paused in (
        ("tracking", now_s, False),
        ("tracking", now_s, True),
        ("tracking", -1e9, False),
        ("lost", now_s, False),
    ):
        node.facts, node.paused = replace(node.facts, status=status), paused
        node.transforms._last_s = last_s
        node._hold()
    assert held == [False, True, *[tf_mode == "camera"] * 2]


def test_services_answer_in_every_state(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken away while its handler runs, one could not send its answer, which ended the node."""
    node = make(tf_mode="camera")
    served = {node.resolve_service_name(s.srv_name): s for s in node.services}
    assert "/zipmap/query_view" in served

    def clean_up(pose: Any, *_: Any) -> Any:
        node.trigger_deactivate()
        node.trigger_cleanup()
        return np.eye(4)

    monkeypatch.setattr(node.transforms, "to_map", clean_up)
    for _ in range(2):  # cleaned up meanwhile, and before
        answer = served["/zipmap/query_view"].callback(QueryView.Request(), QueryView.Response())
        assert not answer.success
        assert answer.message == "the node is not configured: configure the node"
    assert {node.resolve_service_name(s.srv_name): s for s in node.services} == served
    node.trigger_shutdown()
    answer = served["/zipmap/query_view"].callback(QueryView.Request(), QueryView.Response())
    assert answer.message.endswith("start the node anew")


def test_a_loaded_map_meets_no_image_from_before(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To be located in, it stays as it was saved, whatever was queued while it was read."""
    node = make(tf_mode="camera", map_directory=str(tmp_path))
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node._status.state == Status.TRACKING)
    saved = node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response())
    assert saved.success, saved.message
    seen, read = node._mapper.state.frames_seen, mapping.load_session

    def slowly(*arguments: Any) -> None:
        read(*arguments)
        intake(node)._on_frame(frame(node.now_ns(), 3))

    monkeypatch.setattr(mapping, "load_session", slowly)
    request = LoadMap.Request(name="office", mode=1)
    assert node._served._load_map(request, LoadMap.Response()).success
    assert dropped(node) == {"load_map": 1} and node.values.mode == "localization"
    intake(node)._on_frame(frame(node.now_ns(), 6))
    until(lambda: node.facts.gated == 1)
    assert node._mapper.state.frames_seen == seen


def test_a_loaded_path_is_that_of_the_base_before_any_image(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The session knows where its camera sat; who has no base asks for no mount."""
    node, mount = make(map_directory=str(tmp_path)), pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.1, 0.2])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: mount)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    loaded = make(map_directory=str(tmp_path))
    assert loaded._served._load_map(LoadMap.Request(name="office"), LoadMap.Response()).success
    assert loaded.outputs.path().poses == node.outputs.path().poses
    request = SetPose.Request()
    request.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [5, 0, 0]))
    assert loaded._served._set_pose(request, SetPose.Response()).success
    expected = pose(np.eye(3), [5, 0, 0]) @ mount
    np.testing.assert_allclose(loaded._mapper.trajectory.poses[-1], expected, atol=1e-9)
    handheld = make(map_directory=str(tmp_path), tf_mode="camera")
    assert handheld._served._load_map(LoadMap.Request(name="office"), LoadMap.Response()).success
    assert handheld._mapper.extrinsics == {}


def test_a_node_that_is_given_a_session_begins_with_it(make: Any, tmp_path: Path) -> None:
    """One that ends and is started again, as by respawn, or is configured anew."""
    maps = {"tf_mode": "camera", "map_directory": str(tmp_path)}
    node = make(**maps)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    again, published = make(**maps, session="office", mode="localization"), []
    for _ in range(2):
        assert again.facts.map_points == node.facts.map_points > 0
        assert again._mapper.state.frames_seen == 1
        assert again.outputs.path().poses == node.outputs.path().poses
        again.outputs.wanted = lambda topic: True
        again.outputs.publish_map = lambda cloud, stamp_ns: published.append(len(cloud))
        again._publish_map()
        again._publish_map()
        intake(again)._on_frame(frame(again.now_ns(), 3))
        until(lambda: again.facts.gated == 1)
        for transition in ("deactivate", "cleanup", "configure", "activate"):
            getattr(again, f"trigger_{transition}")()
    assert published == [node.facts.map_points] * 2


def test_a_session_that_cannot_be_loaded_is_why_a_node_is_not_configured(
    make: Any, tmp_path: Path
) -> None:
    maps = {"tf_mode": "camera", "map_directory": str(tmp_path)}
    node = make(**maps)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    again = make(**maps, session="office")
    again.trigger_deactivate()
    again.trigger_cleanup()
    (tmp_path / "office").rename(tmp_path / "hall")
    again.trigger_configure()
    assert not again.configured
    assert "cannot configure: " in again._status.hint
    assert "office is no saved session" in again._status.hint
    (tmp_path / "hall").rename(tmp_path / "office")
    again.trigger_configure()
    assert again.configured
    assert again.facts.map_points == node.facts.map_points > 0


def test_no_image_is_mapped_into_a_map_that_is_loaded_to_be_located_in(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even one that comes before the parameter is set."""
    node, modes = make(tf_mode="camera", map_directory=str(tmp_path)), []
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    monkeypatch.setattr(
        node._served, "_apply_mode", lambda mode: modes.append(node._mapper.parameters.mode)
    )
    request = LoadMap.Request(name="office", mode=1)
    assert node._served._load_map(request, LoadMap.Response()).success
    assert modes == ["localization"]


def test_what_is_empty_replaces_no_session(make: Any, tmp_path: Path) -> None:
    """A robot that starts with a camera that is off, and saves over yesterday's map."""
    node = make(tf_mode="camera", map_directory=str(tmp_path))
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    request = SaveMap.Request(name="office", overwrite=True)
    assert node._served._save_map(request, SaveMap.Response()).success
    assert node._served._reset(Trigger.Request(), Trigger.Response()).success
    answer = node._served._save_map(request, SaveMap.Response())
    assert not answer.success and "nothing to save" in answer.message
    assert node._served._load_map(LoadMap.Request(name="office"), LoadMap.Response()).success
    assert len(node._mapper.trajectory) == 1


def test_set_pose_is_on_tf_before_the_next_image(make: Any) -> None:
    """LOST is when an operator says where the robot is."""
    node = make(tf_mode="camera")
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node._status.state == Status.TRACKING)
    request = SetPose.Request()
    request.pose.pose.position.x = 5.0
    request.pose.pose.orientation.w = 1.0
    assert node._served._set_pose(request, SetPose.Response()).success
    (held,) = node.transforms._held.values()
    np.testing.assert_allclose(held, node._mapper.trajectory.poses[-1], atol=1e-9)
    assert held[0, 3] == pytest.approx(5.0)
    assert node._served._reset(Trigger.Request(), Trigger.Response()).success
    assert node.transforms._held == {}


def test_a_base_is_on_tf_where_set_pose_put_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node, mount = make(), pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.1, 0.2])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: mount)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    request = SetPose.Request()
    for x in (5, 7):  # the second time without an image between
        there = pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [x, 0, 0])
        request.pose.pose = convert.matrix_to_pose(there)
        assert node._served._set_pose(request, SetPose.Response()).success
        held = node.transforms._held
        map_T_base = held["map", "odom"] @ held["odom", "base_link"]
        np.testing.assert_allclose(map_T_base, there, atol=1e-9)


@pytest.mark.parametrize("topic", [False, True])
def test_a_pose_is_set_where_odometry_has_gone_since_the_last_image(
    make: Any, monkeypatch: pytest.MonkeyPatch, topic: bool
) -> None:
    """A robot that is LOST drives on by its wheels: on TF it was beside where it was said to be."""
    node, own = make(tf_mode="map_to_odom"), pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.1, 0.2])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: own)
    at_ns, left = node.now_ns(), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])

    def drive(stamp_ns: int, x: float) -> None:
        odometry = Odometry(header=convert.make_header(stamp_ns, "odom"))
        odometry.child_frame_id = "base_link"
        odometry.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [x, 0, 0]))
        node.transforms.add_odometry(odometry)

    drive(at_ns, 1.0)
    intake(node)._on_frame(frame(at_ns))
    until(lambda: node.facts.used == 1)
    drive(at_ns + 1_000_000_000, 3.0)
    there = pose(left, [5, 6, 0])
    if topic:
        message = PoseWithCovarianceStamped()
        message.pose.pose = convert.matrix_to_pose(there)
        node._served._on_initial_pose(message)
    else:
        request = SetPose.Request(pose=PoseStamped(pose=convert.matrix_to_pose(there)))
        assert node._served._set_pose(request, SetPose.Response()).success
    map_T_base = node.transforms._held["map", "odom"] @ pose(np.eye(3), [3, 0, 0])
    np.testing.assert_allclose(map_T_base, there, atol=1e-9)
    (last,) = node.outputs.path().poses
    expected = there @ pose(np.eye(3), [-2, 0, 0])
    np.testing.assert_allclose(convert.pose_to_matrix(last.pose), expected, atol=1e-9)


def test_a_pose_that_is_set_may_be_in_any_frame(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node, there = make(tf_mode="off"), pose(np.eye(3), [1, 2, 3])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    monkeypatch.setattr(node.transforms, "to_map", lambda pose: there)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    for set_pose in (
        lambda: node._served._set_pose(SetPose.Request(), SetPose.Response()),
        lambda: node._served._on_initial_pose(PoseWithCovarianceStamped()),
    ):
        there = there @ pose(np.eye(3), [1, 0, 0])
        set_pose()
        (last,) = node.outputs.path().poses
        np.testing.assert_allclose(convert.pose_to_matrix(last.pose), there, atol=1e-9)


def test_a_pose_on_the_ground_leaves_height_and_tilt(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RViz' 2D Pose Estimate laid the map on its side by the tilt of the camera, and under it."""
    node = make(tf_mode="off")
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    pitch = se3_exp([0, 0, 0, 0, 0.3, 0])[:3, :3]
    request = SetPose.Request()
    request.pose.pose = convert.matrix_to_pose(pose(pitch, [5, 6, 1]))
    assert node._served._set_pose(request, SetPose.Response()).success

    def told(*where: Any) -> np.ndarray:
        message = PoseWithCovarianceStamped()
        message.pose.pose = convert.matrix_to_pose(pose(*where))
        node._served._on_initial_pose(message)
        (last,) = node.outputs.path().poses
        return convert.pose_to_matrix(last.pose)

    left = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(told(left, [1, 2, 0]), pose(left @ pitch, [1, 2, 1]), atol=1e-9)
    for where in ((left, [1, 2, 0.5]), (pitch, [1, 2, 0])):  # which no click in a plane gives
        np.testing.assert_allclose(told(*where), pose(*where), atol=1e-9)


def test_a_map_to_be_located_in_stays_until_it_is_known_where_the_robot_is(
    make: Any, tmp_path: Path
) -> None:
    """A click in RViz at the start moved it by the way from where its session had ended."""
    values = {"tf_mode": "camera", "map_directory": str(tmp_path), "align_poses": "off"}
    node = make(**values)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    loaded = make(**values)
    request, click = LoadMap.Request(name="office", mode=1), PoseWithCovarianceStamped()
    assert loaded._served._load_map(request, LoadMap.Response()).success
    click.pose.pose.position.x = 5.0
    loaded._served._on_initial_pose(click)
    there = SetPose.Request(pose=PoseStamped(pose=click.pose.pose))
    answer = loaded._served._set_pose(there, SetPose.Response())
    assert not answer.success and answer.message.startswith("nobody knows where in the map")
    assert loaded.outputs.path().poses == node.outputs.path().poses
    intake(loaded)._on_frame(frame(loaded.now_ns()))
    until(lambda: loaded.facts.gated == 1)
    assert loaded._served._set_pose(there, SetPose.Response()).success
    loaded.worker.request(lambda mapper: mapper.tracker.steady.clear(), PATIENCE_S)  # LOST
    assert not loaded._served._set_pose(there, SetPose.Response()).success


def test_others_on_tf_are_told(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(tf_mode="camera")
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node._status.state == Status.TRACKING)
    node._check_silence()
    monkeypatch.setattr(node.transforms, "rival", lambda: "others place it")
    warnings: list[str] = []
    monkeypatch.setattr(node, "warn", lambda kind, text, every_s: warnings.append(text))
    node._check_silence()
    assert warnings == ["others place it"] and node._state() == (Status.TRACKING, warnings[0])


def test_each_camera_has_a_thread_to_wait_for_tf_in(make: Any) -> None:
    one, six = make(), make(cameras=list("abcdef"))
    assert six.threads - len("abcdef") >= one.threads - 1 >= 4


def test_a_status_that_nobody_hears_any_more_ends_nothing(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make()

    def refuse(status: Status) -> None:
        raise RuntimeError("the context is shut down")

    monkeypatch.setattr(node._status_publisher, "publish", refuse)
    with pytest.raises(RuntimeError):
        node._publish_status()
    monkeypatch.setattr(node.context, "ok", lambda: False)
    node._publish_status()
    monkeypatch.undo()


def test_images_in_disorder_are_dropped_and_counted(make: Any) -> None:
    """Less than a second is what a network shuffles: however many, no jump of time."""
    node = make(tf_mode="camera")
    in_order, now_ns = intake(node)._in_order, node.now_ns()
    assert in_order(frame(now_ns))
    assert not any(in_order(frame(now_ns - convert.NS // 2 + i)) for i in range(5))
    assert dropped(node) == {"out_of_order": 5}
    assert intake(node).trouble() is None
    assert in_order(frame(now_ns + 1))


def test_stamps_that_never_rise_are_no_tracking(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that sets no stamp: one image was mapped, and the state stayed TRACKING."""
    node, said = make(tf_mode="camera"), []
    monkeypatch.setattr(node, "warn", lambda kind, text, every_s=0.0: said.append(text))
    in_order = intake(node)._in_order
    assert in_order(frame(0)) and not any(in_order(frame(0)) for _ in range(9))
    assert intake(node).trouble() is None and said == []
    assert not in_order(frame(0))
    text = "stamps of images do not rise: 10 in a row are not after 0.000 s"
    state, why = intake(node).trouble()
    assert state == Status.WAITING_FOR_IMAGE and why.startswith(text) and said == [why]
    assert in_order(frame(1)) and intake(node).trouble() is None


def test_a_clock_that_is_ahead_is_complained_of_too(make: Any) -> None:
    node = make()
    intake(node)._check_clock(frame(node.now_ns() + 60 * convert.NS))
    assert "set the camera's clock" in intake(node).clock_hint


def test_the_mount_of_a_camera_whose_frame_is_another_now_is_told_anew(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make()
    mounts = {name: pose(BODY_T_OPTICAL[:3, :3], [x, 0, 0]) for x, name in enumerate("ab", 1)}
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: mounts[frame_id])
    for i, name in enumerate(mounts):
        intake(node)._on_frame(Frame(node.now_ns(), scene(i), frame_id=name, camera=CAMERA))
        told = node.worker.request(lambda mapper: mapper.base_T_camera(""), PATIENCE_S)
        np.testing.assert_array_equal(told, mounts[name])


def test_without_a_base_no_camera_has_a_mount(make: Any) -> None:
    """All would be at the same place of one body."""
    node = make(cameras=["front", "left"], tf_mode="camera")
    for name in ("front", "left"):
        intake(node)._on_frame(Frame(node.now_ns(), scene(0), frame_id=name, source=name))
    told = node.worker.request(lambda mapper: mapper.extrinsics, PATIENCE_S)
    assert not told


@pytest.mark.parametrize("source", ["odom", "tf"])
def test_odometry_for_the_scale_reaches_the_mapper_at_its_stamp(
    make: Any, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    node, there = make(tf_mode="off", scale_source=source), pose(np.eye(3), [1, 2, 3])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    monkeypatch.setattr(node.transforms, "odom_T_base", lambda *_: there)
    stamp_ns = node.now_ns()
    odometry = Odometry(header=convert.make_header(stamp_ns, "odom"), child_frame_id="base_link")
    if source == "odom":
        odometry.pose.pose = convert.matrix_to_pose(there)
        intake(node)._on_odometry(odometry)
        odometry.pose.pose.position.x = float("nan")
    intake(node)._on_odometry(odometry)  # none, or not asked for
    intake(node)._on_frame(frame(stamp_ns))
    entries = node.worker.request(lambda mapper: list(mapper.odometry.entries), PATIENCE_S)
    ((told_ns, told),) = entries
    assert told_ns == stamp_ns
    np.testing.assert_allclose(told, there)


@pytest.mark.parametrize(
    ("tf_mode", "scale_source", "by"),
    [
        ("map_to_odom", "none", ["tf"]),
        ("map_to_odom", "fixed", ["tf"]),
        ("map_to_odom", "odom", ["topic"]),
        ("odom_and_map", "none", ["topic"]),
        ("off", "tf", ["tf"]),
        ("off", "none", ["topic"]),
        ("camera", "none", []),
    ],
)
def test_odometry_that_leads_is_of_one_kind(
    make: Any, monkeypatch: pytest.MonkeyPatch, tf_mode: str, scale_source: str, by: list[str]
) -> None:
    """A hand-held camera has no base: odometry on the network is another's."""
    node = make(tf_mode=tf_mode, scale_source=scale_source)
    tf, topic = pose(np.eye(3), [1, 0, 0]), pose(np.eye(3), [2, 0, 0])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    monkeypatch.setattr(node.transforms, "odom_T_base", lambda *_: tf)
    stamp_ns = node.now_ns()
    odometry = Odometry(header=convert.make_header(stamp_ns, "odom"), child_frame_id="base_link")
    odometry.pose.pose = convert.matrix_to_pose(topic)
    intake(node)._on_odometry(odometry)
    intake(node)._on_frame(frame(stamp_ns + 1))
    entries = node.worker.request(lambda mapper: list(mapper.odometry.entries), PATIENCE_S)
    assert [{1.0: "tf", 2.0: "topic"}[T[0, 3]] for _, T in entries] == by


@pytest.mark.parametrize("fixed", [True, False])
def test_odometry_of_another_part_of_the_robot_is_brought_to_its_base(
    make: Any, monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    """As of a flight controller, whose z is down. A part that moves on TF says nothing: it may be
    placed by another odometry, even by ours."""
    node, warned = make(tf_mode="odom_and_map"), []
    monkeypatch.setattr(node, "warn", lambda key, text: warned.append(text))
    base_T_frd = pose(np.diag([1.0, -1.0, -1.0]), [0.2, 0.0, 0.1])
    stamp_ns = node.now_ns()
    mount = TransformStamped(
        header=convert.make_header(stamp_ns, "base_link"),
        child_frame_id="frd",
        transform=convert.matrix_to_transform(base_T_frd),
    )
    buffer = node.transforms._buffer
    (buffer.set_transform_static if fixed else buffer.set_transform)(mount, "test")
    odom_T_frd = pose(np.eye(3), [1.0, 2.0, 3.0])
    odometry = Odometry(header=convert.make_header(stamp_ns, "odom_ned"), child_frame_id="/frd")
    odometry.pose.pose = convert.matrix_to_pose(odom_T_frd)
    intake(node)._on_odometry(odometry)
    ((_, told),) = node.worker.request(lambda mapper: list(mapper.odometry.entries), PATIENCE_S)
    np.testing.assert_allclose(told, odom_T_frd @ (invert(base_T_frd) if fixed else np.eye(4)))
    assert ["odom is of 'frd', taken for 'base_link'" in text for text in warned] == (
        [] if fixed else [True]
    )


def test_images_are_mapped_while_odometry_for_the_scale_is_missing(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waited for by each of them, others would be lost meanwhile."""
    node, waited = make(tf_mode="off", scale_source="tf", tf_timeout_s=0.0, **EVERY_FRAME), []
    find = node.transforms.odom_T_base
    monkeypatch.setattr(
        node.transforms, "odom_T_base", lambda ns, s: waited.append(s > 0) or find(ns, s)
    )
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: BODY_T_OPTICAL)
    for i in range(3):
        intake(node)._on_frame(frame(node.now_ns(), i))
        until(lambda wanted=i + 1: node.facts.used == wanted)
    intake(node)._no_odometry_s -= intake_module.ODOMETRY_AGAIN_S
    intake(node)._on_frame(frame(node.now_ns(), 3))
    assert waited == [True, False, False, True] and dropped(node) == {}


def busy(node: StreamNode) -> threading.Event:
    """Keeps the mapper's thread busy until it is set."""
    gate = threading.Event()
    node.worker.tell(lambda mapper: gate.wait(PATIENCE_S))
    until(lambda: not node.worker._requests)
    return gate


@pytest.mark.parametrize("reset", [True, False])
def test_a_clock_that_goes_back_drops_what_is_queued_and_forgets_the_scene_if_asked_to(
    make: Any, reset: bool
) -> None:
    node = make(tf_mode="camera", reset_on_time_jump=reset)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    gauge_id, gate = node.facts.gauge_id, busy(node)
    intake(node)._on_frame(frame(node.now_ns(), 1))
    node._on_clock_jump(None)
    assert dropped(node) == {"time_jump": 1} and node.transforms._held == {}
    assert intake(node)._in_order(frame(BEGUN_NS))  # any stamp may come next
    gate.set()
    node.worker.request(lambda mapper: None, PATIENCE_S)
    assert (node.facts.gauge_id > gauge_id) is reset


def test_a_mount_is_looked_up_anew_when_the_node_is_configured_anew(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make()
    mounts = iter([np.eye(4), BODY_T_OPTICAL])
    monkeypatch.setattr(node.transforms, "_lookup", lambda *_: next(mounts))
    for mount in (np.eye(4), BODY_T_OPTICAL):
        for _ in range(2):
            np.testing.assert_array_equal(node.transforms.base_T_camera(FRAME), mount)
        for transition in ("deactivate", "cleanup", "configure", "activate"):
            getattr(node, f"trigger_{transition}")()


def test_a_pause_drops_what_is_queued_and_what_comes_and_ends_with_the_configuration(
    make: Any,
) -> None:
    node = make(tf_mode="camera")
    gate = busy(node)
    intake(node)._on_frame(frame(node.now_ns()))
    node.set_paused(True)
    gate.set()
    intake(node)._on_frame(frame(node.now_ns()))
    assert dropped(node) == {"paused": 2}
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        getattr(node, f"trigger_{transition}")()
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)


def test_a_reset_drops_what_is_queued(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(tf_mode="camera")
    gate, request = busy(node), node.worker.request
    intake(node)._on_frame(frame(node.now_ns()))
    monkeypatch.setattr(node.worker, "request", lambda *of: gate.set() or request(*of))
    assert node._served._reset(Trigger.Request(), Trigger.Response()).success
    assert dropped(node) == {"reset": 1}
    assert intake(node).trouble() == (Status.WAITING_FOR_IMAGE, "")
    assert intake(node)._in_order(frame(BEGUN_NS))


def test_the_path_is_that_of_the_base_without_gaps_or_doubles_when_the_map_moves(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, mount = make(**EVERY_FRAME), pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.1, 0.2])
    monkeypatch.setattr(node.transforms, "base_T_camera", lambda frame_id: mount)
    stamps: list[int] = []

    def map_one() -> None:
        stamps.append(node.now_ns())
        intake(node)._on_frame(frame(stamps[-1], len(stamps)))
        until(lambda: node.facts.used == len(stamps))
        node.worker.request(lambda mapper: None, PATIENCE_S)

    def path() -> list[PoseStamped]:
        return node.outputs.path().poses

    map_one()
    map_one()
    request = SetPose.Request()
    request.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [5, 0, 0]))
    assert node._served._set_pose(request, SetPose.Response()).success
    last = convert.pose_to_matrix(path()[-1].pose)
    np.testing.assert_allclose(last, pose(np.eye(3), [5, 0, 0]), atol=1e-9)
    node._path_gauge = -1  # as when the scale locks with the next image
    map_one()
    assert [convert.stamp_to_ns(p.header.stamp) for p in path()] == stamps


@pytest.mark.parametrize(("tf_mode", "body"), [("camera", FRAME), ("odom_and_map", "base_link")])
def test_odometry_is_that_of_the_frame_that_moves_on_tf(
    make: Any, monkeypatch: pytest.MonkeyPatch, tf_mode: str, body: str
) -> None:
    node, heard = make(tf_mode=tf_mode), []
    monkeypatch.setattr(node.transforms, "_lookup", lambda *_: BODY_T_OPTICAL)
    monkeypatch.setattr(node.outputs, "wanted", lambda topic: topic == "odometry")
    monkeypatch.setattr(node.outputs._publishers["odometry"], "publish", heard.append)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: heard)
    assert (heard[0].header.frame_id, heard[0].child_frame_id) == ("map", body)


def test_live_parameters_reach_worker_mapper_path_and_subscriptions(make: Any) -> None:
    node = make(tf_mode="camera", **EVERY_FRAME)
    for i in range(3):
        intake(node)._on_frame(frame(node.now_ns(), i))
        until(lambda wanted=i + 1: node.facts.used == wanted)
    new = {"queue_frames": 2, "chunk_timeout_s": 0.25, "path_max_poses": 2, "max_jump_m": 7.0}
    results = node.set_parameters([Parameter(name, value=value) for name, value in new.items()])
    assert all(result.successful for result in results)
    mapped = node.worker.request(lambda mapper: mapper.parameters, PATIENCE_S)
    assert mapped == node.values and mapped.max_jump_m == 7.0
    assert (node.worker.queue_frames, node.worker.chunk_timeout_s) == (2, 0.25)
    assert len(node.outputs.path().poses) == 2
    camera = intake(node)._cameras[0]
    for source, depth in (("depth", ["/depth"]), ("odom", []), ("depth", ["/depth"])):
        node.set_parameters([Parameter("scale_source", value=source)])
        assert intake(node)._cameras == [camera]  # with what it knows of its images
        assert [s.topic_name for s in camera.subscriptions] == ["/image", "/camera_info", *depth]


def test_a_change_of_rate_makes_timers_anew_in_place_of_the_old(make: Any) -> None:
    node = make()
    before = len(list(node.timers))
    for name in ("tf_rate_hz", "status_rate_hz", "map_rate_hz", "path_rate_hz"):
        (result,) = node.set_parameters([Parameter(name, value=8.0)])
        assert result.successful
        periods = [timer.timer_period_ns for timer in node.timers]
        assert periods.count(convert.NS // 8) == 1 and len(periods) == before
        node.set_parameters([Parameter(name, value=3.0)])


def test_timers_that_are_made_anew_are_in_new_callback_groups(make: Any) -> None:
    """In ROS 2 Humble that of a timer which was destroyed as it was due is stuck."""
    node = make()
    before = list(node.timers)
    node.set_parameters([Parameter("tf_rate_hz", value=8.0)])
    new = {timer.callback_group for timer in node.timers if timer not in before}
    assert new and new.isdisjoint(timer.callback_group for timer in before)


def test_only_tf_stands_still_with_simulated_time(make: Any) -> None:
    """As when a bag has ended: the status tells it, and who comes then gets the whole map."""
    node = make(use_sim_time=True)
    clocks = {timer.callback.__name__: timer.clock.clock_type for timer in node._rate_timers}
    steady = ("_publish_status", "_check_silence", "_publish_map", "_publish_path")
    assert clocks == {**dict.fromkeys(steady, ClockType.STEADY_TIME), "_hold": ClockType.ROS_TIME}


def test_of_one_kind_of_trouble_the_log_is_not_flooded(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, said = make(tf_mode="camera", mode="localization"), []
    logger = SimpleNamespace(info=lambda text: None, warning=said.append)
    monkeypatch.setattr(node, "get_logger", lambda: logger)
    for kind in ("a", "b", "a"):
        node.warn(kind, kind)
    node.warn("a", "a", every_s=0.0)
    assert said == ["a", "b"]
    intake(node)._on_frame(frame(node.now_ns()))  # what the mapper drops is said as well
    until(lambda: said[2:])
    assert said[2:] == [node.facts.problem] != [""]


def test_a_map_is_not_loaded_in_a_mode_that_there_is_not(make: Any, tmp_path: Path) -> None:
    node = make(tf_mode="camera", map_directory=str(tmp_path))
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    gauge_id = node.facts.gauge_id
    refused = node._served._load_map(LoadMap.Request(name="office", mode=7), LoadMap.Response())
    assert not refused.success and "mode 7" in refused.message
    assert node.facts.gauge_id == gauge_id


def test_what_waits_for_its_chunk_is_saved_and_published(make: Any, tmp_path: Path) -> None:
    waits = {"chunk_frames": 4, "chunk_timeout_s": 60.0}
    node = make(tf_mode="camera", map_directory=str(tmp_path), **waits)
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.worker.counts().queue_length == 0)
    assert node._served._save_map(SaveMap.Request(name="office"), SaveMap.Response()).success
    assert len(node.outputs.path().poses) == 1 and node._status.state == Status.TRACKING


def test_the_cloud_of_a_queried_view_is_in_the_map_and_has_what_is_known(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, shown = make(tf_mode="camera"), []
    depth = np.full((42, 56), np.nan, np.float32)
    depth[21, 28] = 2.0  # half a pixel from where the camera looks
    rgb = np.zeros((42, 56, 3), np.uint8)
    view = mapping.QueriedView(CAMERA, depth, np.full_like(depth, 7.0), rgb, "map", "far away")
    monkeypatch.setattr(node._mapper, "query", lambda map_T_camera, camera: view)
    monkeypatch.setattr(node.outputs, "publish_query", lambda *of: shown.append(of))
    request = QueryView.Request(want_cloud=True)
    request.pose.pose = convert.matrix_to_pose(look_at([1, 2, 3], [1, 5, 3]))
    answer = node._served._query_view(request, QueryView.Response())
    assert (answer.success, answer.source) == (True, QueryView.Response.MAP)
    assert (answer.message, answer.rgb.width) == ("far away", 0)
    assert (answer.cloud.header.frame_id, answer.cloud.width) == ("map", 1)
    points, _, confidence = convert.cloud_to_points(answer.cloud)
    assert tuple(points[0]) == pytest.approx((1, 4, 3), abs=0.05)
    assert confidence[0] == 7 and (convert.image_to_depth(answer.confidence) == 7).all()
    assert shown[0][1] is answer and answer.duration > 0
    view = replace(view, source="network")
    answer = node._served._query_view(QueryView.Request(pose=request.pose), QueryView.Response())
    assert (answer.source, answer.cloud.width) == (QueryView.Response.NETWORK, 0)
    assert answer.depth.header.frame_id not in ("map", FRAME)


def test_waiting_for_tf_is_part_of_the_time_that_a_query_may_take(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, patience = make(tf_mode="camera", query_timeout_s=0.02), []
    monkeypatch.setattr(node.transforms, "to_map", lambda *_: time.sleep(0.03) or np.eye(4))
    monkeypatch.setattr(node.worker, "request", lambda call, timeout_s: patience.append(timeout_s))
    node._served._query_view(QueryView.Request(), QueryView.Response())
    assert patience == [0.0]


def test_a_query_waits_no_longer_for_tf_than_it_may_take(make: Any) -> None:
    node = make(tf_mode="camera", query_timeout_s=0.05, tf_timeout_s=10.0)
    request = QueryView.Request()
    request.pose.header.frame_id = "nowhere"
    began = time.monotonic()
    response = node._served._query_view(request, QueryView.Response())
    assert not response.success and "no transform from 'nowhere'" in response.message
    assert time.monotonic() - began < 9.0


def test_half_a_camera_or_a_huge_one_is_not_asked_for_a_view() -> None:
    assert requested_camera(CameraInfo()) is None
    whole = convert.camera_to_camera_info(CAMERA, convert.make_header(0, ""))
    assert requested_camera(whole) == CAMERA
    for width, height, k in ((56, 42, [0.0] * 9), (0, 0, whole.k), (56, 5000, whole.k)):
        with pytest.raises(convert.ConvertError):
            requested_camera(CameraInfo(width=width, height=height, k=k))
    whole.roi.width = whole.roi.height = 5000
    with pytest.raises(convert.ConvertError, match="5000x5000 is too large: at most 4096"):
        requested_camera(whole)


def test_an_initial_pose_that_cannot_be_used_ends_nothing(make: Any) -> None:
    node = make(tf_mode="camera")
    node._served._on_initial_pose(PoseWithCovarianceStamped())  # there is nothing to move yet
    node.trigger_deactivate()
    node.trigger_cleanup()
    node._served._on_initial_pose(PoseWithCovarianceStamped())


def test_a_map_that_only_moved_is_another_map(make: Any) -> None:
    """It has as many points, and who listens to ~/map needs it anew."""
    node = make(tf_mode="camera")
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    version = node.worker.request(lambda mapper: node.facts.map_version, PATIENCE_S)
    request = SetPose.Request()
    request.pose.pose = convert.matrix_to_pose(pose(np.eye(3), [5, 0, 0]))
    assert node._served._set_pose(request, SetPose.Response()).success
    assert node.facts.map_version != version


def test_a_map_that_is_as_it_was_is_not_published_again(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, published = make(tf_mode="camera"), []
    monkeypatch.setattr(node.outputs, "wanted", lambda topic: topic == "map")
    monkeypatch.setattr(node.outputs, "publish_map", lambda *of: published.append(of))
    intake(node)._on_frame(frame(node.now_ns()))
    until(lambda: node.facts.used == 1)
    node.worker.request(lambda mapper: None, PATIENCE_S)
    for wanted in (1, 1):
        node._publish_map()
        assert len(published) == wanted


def test_diagnostics_tell_a_network_that_does_not_keep_up_and_a_lost_camera(make: Any) -> None:
    node = make()

    def level(task: str, **fields: Any) -> Any:
        node._status = Status(**fields)
        return getattr(node._diagnostics, task)(DiagnosticStatusWrapper()).level

    slow = {"input_rate": 30.0, "output_rate": 20.0}
    assert level("_input", state=Status.TRACKING, **slow) == DiagnosticStatus.WARN
    assert level("_input", state=Status.PAUSED, **slow) == DiagnosticStatus.OK
    assert level("_input", state=Status.WAITING_FOR_IMAGE) == DiagnosticStatus.WARN
    fast = {"input_rate": 10.0, "output_rate": 9.0}
    assert level("_input", state=Status.TRACKING, **fast) == DiagnosticStatus.OK
    assert level("_tracking", state=Status.LOST) == DiagnosticStatus.ERROR
    assert level("_tracking", state=Status.WAITING_FOR_TF) == DiagnosticStatus.WARN
    assert level("_tracking", state=Status.PAUSED, hint="go on") == DiagnosticStatus.OK
    for hint, expected in (("", DiagnosticStatus.OK), ("see", DiagnosticStatus.WARN)):
        assert level("_tracking", state=Status.TRACKING, hint=hint) == expected
        said = node._diagnostics._tracking(DiagnosticStatusWrapper()).message
        assert said == ("TRACKING: see" if hint else "TRACKING")


def test_diagnostics_tell_why_images_are_dropped(make: Any) -> None:
    node = make()
    rates = {"state": Status.TRACKING, "input_rate": 30.0, "output_rate": 0.0}

    def told(**dropped: int) -> str:
        drops = [KeyValue(key=reason, value=str(n)) for reason, n in dropped.items()]
        node._status = Status(frames_dropped=drops, **rates)
        return node._diagnostics._input(DiagnosticStatusWrapper()).message

    assert told(out_of_order=40, queue_full=12) == "images are dropped as out_of_order"
    assert told(out_of_order=41, queue_full=22).startswith("images come faster than the network")
    values = node._diagnostics._input(DiagnosticStatusWrapper()).values
    assert {"dropped: out_of_order": "41"}.items() <= {v.key: v.value for v in values}.items()


def test_diagnostics_say_where_metres_come_from(make: Any) -> None:
    node = make()
    for source, expected in (("depth", "depth"), ("none", "the session")):
        node._status = Status(metric=True, scale_source=source)
        stat = node._diagnostics._scale(DiagnosticStatusWrapper())
        assert stat.message == f"metres, from {expected}"
    node._status = Status(scale_source="odom")
    stat = node._diagnostics._scale(DiagnosticStatusWrapper())
    waits = DiagnosticStatus.WARN, "not metric yet: waiting for odom"
    assert (stat.level, stat.message) == waits


def test_a_camera_of_which_nobody_knows_where_it_is_is_named(make: Any) -> None:
    node = make(tf_mode="camera", cameras=["front", "left"], align_poses="on")
    taken = intake(node)
    for source in ("front", "left"):
        taken._on_frame(replace(frame(node.now_ns()), source=source))
    until(lambda: node.facts.used + node.facts.gated == 2)
    assert node.facts.astray == () and node._state() == (Status.TRACKING, "")

    def leave_alone(mapper: mapping.StreamMapper) -> None:
        mapper.tracks = mapper.tracks.left_alone()

    node.worker.request(lambda mapper: mapper.tracker.good.update(left=0), PATIENCE_S)
    said = "nobody knows where in the map {} is: let it see what was seen before, or call ~/reset"
    assert node._state() == (Status.TRACKING, said.format("left"))
    node.worker.request(lambda mapper: mapper.tracker.good.clear(), PATIENCE_S)
    node.worker.request(lambda mapper: mapper.tracker.covered.add("front"), PATIENCE_S)
    assert node._state() == (Status.TRACKING, said.format("front"))
    node.worker.request(leave_alone, PATIENCE_S)
    assert node._state() == (Status.TRACKING, said.format("front, left"))
    # As a session may have them: one that is lost, and one that this node does not have.
    node.worker.request(lambda mapper: mapper.tracker.good.update(back=0), PATIENCE_S)
    assert node.facts.astray == ("front", "left")
    node.worker.request(lambda mapper: mapper.tracker.steady.clear(), PATIENCE_S)
    back = "go back to where the map is known, or call ~/reset"
    assert node._state() == (Status.LOST, back)
