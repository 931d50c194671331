# SPDX-License-Identifier: Apache-2.0
"""What the node zipmap publishes, without a node: depth, points, poses, path, status."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rosbench import CAMERA, FRAME

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, invert, look_at, pose
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.outputs import Outputs, twist
from zipmap_ros.nodes.status import MapperFacts, make_status
from zipmap_ros.nodes.worker import Counts
from zipmap_ros.parameters import Parameters
from zipmap_ros.srv import QueryView


def estimate(stamp_ns: int) -> Estimate:
    """Two metres everywhere, of which nothing is known in the first row."""
    depth = np.full((3, 4), 2.0, np.float32)
    confidence = np.array([[1.0], [2.0], [2.0]], np.float32).repeat(4, 1)
    points = np.ones((2, 3), np.float32)
    return Estimate(
        stamp_ns,
        FRAME,
        np.eye(4),
        depth,
        confidence,
        CAMERA,
        np.zeros((3, 4, 3), np.uint8),
        points=points,
        colors=points.astype(np.uint8),
        point_confidence=points[:, 0],
    )


def heard_outputs(**changes: Any) -> tuple[Outputs, dict[str, list[Any]]]:
    """Outputs without a node, and what they publish on each topic; all are listened to."""
    heard: dict[str, list[Any]] = {}

    def create(kind: type, topic: str, qos: Any) -> Any:
        messages = heard[topic.removeprefix("~/")] = []
        return SimpleNamespace(publish=messages.append, get_subscription_count=lambda: 1)

    heard["log"] = []
    logger = SimpleNamespace(info=heard["log"].append)
    node: Any = SimpleNamespace(create_lifecycle_publisher=create, get_logger=lambda: logger)
    return Outputs(node, Parameters().updated(changes)), heard


def test_a_turn_to_the_left_is_a_positive_angular_velocity() -> None:
    c, s = np.cos(0.2), np.sin(0.2)
    left = pose([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.zeros(3))
    _, angular = twist(np.eye(4), left, 0.5)
    assert (angular.x, angular.y, angular.z) == pytest.approx((0.0, 0.0, 0.4))


def test_the_velocity_is_that_of_one_camera() -> None:
    """Poses of several at nearly one time differ by more than the robot moved."""
    outputs, _ = heard_outputs(cameras=["front", "left"])
    outputs._last["front"] = (0, np.eye(4))
    outputs._last["left"] = (999_000_000, pose(np.eye(3), [0.995, 0, 0]))
    message = PoseStamped(header=convert.make_header(1_000_000_000, "map"))
    now = replace(estimate(1_000_000_000), source="front")
    odometry = outputs._odometry(message, pose(np.eye(3), [1, 0, 0]), "base_link", now)
    assert odometry.twist.twist.linear.x == pytest.approx(1.0)


def test_a_place_that_was_found_again_is_no_velocity() -> None:
    outputs, heard = heard_outputs()
    jump = pose(np.eye(3), [0.5, 0, 0])
    outputs.publish(estimate(1), np.eye(4), FRAME, low=1.5)
    now = replace(estimate(1_000_000_001), jump=jump)
    outputs.publish(now, pose(np.eye(3), [0.7, 0, 0]), FRAME, low=1.5)
    assert heard["odometry"][-1].twist.twist.linear.x == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("jump", "said"),
    [
        (pose(np.eye(3), [0.2, 0, 0]), []),
        (pose(np.eye(3), [0, 0.4, 0]), ["the pose moved by 0.40 map units and 0.0 degrees"]),
        (
            pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [0, 0, 0]),
            ["the pose moved by 1.41 map units and 90.0 degrees"],
        ),
    ],
)
def test_who_wonders_why_the_pose_jumped_finds_it_in_the_log(jump: Any, said: list[str]) -> None:
    """By how far the robot jumped, not the origin of the map."""
    outputs, heard = heard_outputs()
    now = replace(estimate(1_000_000_001), jump=jump)
    outputs.publish(now, jump @ pose(np.eye(3), [1, 0, 0]), FRAME, low=1.5)
    assert heard["log"] == [f"a place was seen again: {text}" for text in said]


def test_a_place_that_one_camera_found_again_is_no_velocity_of_another() -> None:
    """They are of one body: all move along."""
    outputs, heard = heard_outputs(cameras=("left", "right"))
    aside, jump = pose(np.eye(3), [0, 1, 0]), look_at([5, -2, 1], [6, 3, 2])

    def say(seconds: int, camera: str, map_T_camera: Any, **changes: Any) -> None:
        now = replace(estimate(seconds * 1_000_000_000), source=camera, **changes)
        outputs.publish(now, map_T_camera, FRAME, low=1.5)

    say(1, "left", np.eye(4))
    say(1, "right", aside)
    say(2, "left", jump @ pose(np.eye(3), [0.1, 0, 0]), jump=jump)
    say(2, "right", jump @ aside @ pose(np.eye(3), [0.1, 0, 0]))
    for message in heard["odometry"][2:]:
        assert message.twist.twist.linear.x == pytest.approx(0.1)
        assert message.twist.twist.angular.z == pytest.approx(0, abs=1e-9)


def test_the_velocity_is_as_uncertain_as_the_motion_of_the_base() -> None:
    """A camera a metre ahead of the base, which may have turned, may have moved the base aside."""
    outputs, heard = heard_outputs()
    known = np.diag([1e-4, 1e-4, 1e-4, 0, 4e-2, 0])  # optical y is downwards: a turn to the side
    for i in range(2):
        now = replace(estimate(1 + 500_000_000 * i), motion_covariance=known)
        base = now.map_T_camera @ invert(BODY_T_OPTICAL) @ pose(np.eye(3), [-1, 0, 0])
        outputs.publish(now, base, FRAME, low=1.5)
    first, second = (np.reshape(m.twist.covariance, (6, 6)) for m in heard["odometry"])
    assert first[0, 0] == -1.0, "there was no motion"
    np.testing.assert_allclose(np.diag(second), [4e-4, 0.16 + 4e-4, 4e-4, 0, 0, 0.16], atol=1e-12)
    assert abs(second[1, 5]) == pytest.approx(0.16)
    assert heard["odometry"][1].pose.covariance[0] == -1.0, "nothing is known of drift"


def test_one_motion_is_known_of_one_camera_of_a_body() -> None:
    """A filter that hears it from all of them is surer than it may be."""
    outputs, heard = heard_outputs(cameras=("left", "right"))
    for i in range(2):
        for camera in ("left", "right"):
            now = replace(estimate(1 + 500_000_000 * i), source=camera, carried=camera == "right")
            now = replace(now, motion_covariance=np.eye(6))
            outputs.publish(now, pose(np.eye(3), [0.1 * i, 0, 0]), FRAME, low=1.5)
    left, right = (m.twist for m in heard["odometry"][2:])
    assert left.covariance[0] == pytest.approx(4.0) and right.covariance[0] == -1.0
    assert left.twist == right.twist


def test_a_motion_of_which_nobody_knows_how_good_it_is_says_so() -> None:
    outputs, heard = heard_outputs()
    for i in range(2):
        outputs.publish(estimate(1 + i), pose(np.eye(3), [0.1 * i, 0, 0]), FRAME, low=1.5)
    for part in (heard["odometry"][1].pose, heard["odometry"][1].twist):
        np.testing.assert_array_equal(np.reshape(part.covariance, (6, 6)), -np.eye(6))


def test_depth_of_little_confidence_is_unknown() -> None:
    outputs, heard = heard_outputs()
    outputs.publish(estimate(5), np.eye(4), FRAME, low=2.0)  # just enough is enough
    depth = convert.image_to_depth(heard["depth/image"][0])
    assert np.isnan(depth[0]).all() and (depth[1:] == 2).all()


def test_the_points_of_a_chunk_are_stamped_as_its_last_frame() -> None:
    outputs, heard = heard_outputs()
    outputs.publish_points([estimate(5), estimate(9)])
    (cloud,) = heard["points"]
    assert (convert.stamp_to_ns(cloud.header.stamp), cloud.width) == (9, 4)


def test_a_path_that_was_re_anchored_is_bounded_and_gives_no_velocity() -> None:
    outputs, heard = heard_outputs()

    def stamps(since_ns: int = 0) -> list[int]:
        return [convert.stamp_to_ns(p.header.stamp) for p in outputs.path(since_ns).poses]

    outputs.publish(estimate(5), np.eye(4), FRAME, low=1.5)
    outputs.set_path(np.arange(4), [""] * 4, np.stack([np.eye(4)] * 4), 3)
    outputs.publish(estimate(50), pose(np.eye(3), [1, 0, 0]), FRAME, low=1.5)
    assert (stamps(), stamps(since_ns=3)) == ([2, 3, 50], [3, 50])
    assert heard["odometry"][-1].twist.twist.linear.x == 0.0


@pytest.mark.parametrize(("stamp_ns", "speed"), [(1, 2.0), (2, 0.0)], ids=["moved", "another"])
def test_a_velocity_goes_on_where_the_map_moved(stamp_ns: int, speed: float) -> None:
    """A robot that drives does not stand while its pose is set or its scale locks; in another map,
    as after `load_map`, nobody knows.
    """
    outputs, heard = heard_outputs()
    outputs.publish(estimate(1), np.eye(4), FRAME, low=1.5)
    there, on = pose(np.diag([-1, -1, 1]), [5, 0, 0]), pose(np.eye(3), [2, 0, 0])
    outputs.set_path(np.array([0, stamp_ns]), ["", ""], np.stack([np.eye(4), there]), 3)
    outputs.publish(estimate(1_000_000_001), there @ on, FRAME, low=1.5)
    assert heard["odometry"][-1].twist.twist.linear.x == pytest.approx(speed)


def test_the_path_is_in_the_order_of_stamps_whichever_camera_is_late() -> None:
    """RViz would draw a line to and fro."""
    outputs, _ = heard_outputs(path_max_poses=5)
    late, jumped = [10, 9, 11, 10.5], [3, 2, 4]

    def stamps() -> list[float]:
        return [convert.stamp_to_ns(p.header.stamp) / convert.NS for p in outputs.path().poses]

    for seconds in late:
        outputs.publish(estimate(int(seconds * convert.NS)), np.eye(4), FRAME, low=1.5)
    assert stamps() == [10, 9, 10.5, 11], "a second and more is another time"
    for seconds in (9.5, 10.2):
        outputs.publish(estimate(int(seconds * convert.NS)), np.eye(4), FRAME, low=1.5)
    assert stamps() == [9, 10.5, 11, 9.5, 10.2]
    stamps_ns = np.array([int(s * convert.NS) for s in jumped])
    outputs.set_path(stamps_ns, [""] * 3, np.stack([np.eye(4)] * 3), 5)
    assert stamps() == jumped


def test_a_path_is_published_when_it_changed_and_only_then() -> None:
    outputs, heard = heard_outputs()
    outputs.publish(estimate(5), np.eye(4), FRAME, low=1.5)
    for wanted in (1, 1):
        outputs.publish_path()
        assert len(heard["path"]) == wanted
    outputs.set_path(np.array([5]), [""], pose(np.eye(3), [1, 0, 0])[None], 3)
    outputs.publish_path()
    assert [message.poses[0].pose.position.x for message in heard["path"]] == [0.0, 1.0]


def test_the_pose_of_a_queried_view_looks_along_x() -> None:
    outputs, heard = heard_outputs()
    outputs.publish_query(look_at([1, 2, 3], [1, 5, 3]), QueryView.Response())
    looking = convert.pose_to_matrix(heard["query/pose"][0].pose)
    np.testing.assert_allclose(looking[:3, 0], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(looking[:3, 2:], [[0, 1], [0, 2], [1, 3]], atol=1e-9)
    assert heard["query/image"] == heard["query/points"] == [], "nobody asked for them"


def status_of(facts: MapperFacts, counts: Counts) -> Status:
    header = convert.make_header(0, "map")
    return make_status(header, Status.TRACKING, "go on", Parameters(), facts, counts)


def test_each_figure_of_the_worker_is_where_the_status_has_it() -> None:
    rates = {"input_rate_hz": 5.0, "output_rate_hz": 4.0}
    latencies = {"latency_p50_s": 1.0, "latency_p95_s": 2.0, "latency_max_s": 3.0}
    counts = Counts(received=7, queue_length=6, **rates, **latencies)
    status = status_of(MapperFacts(), counts)
    assert (status.frames_received, status.queue_length) == (7, 6)
    assert (status.input_rate, status.output_rate) == (5.0, 4.0)
    assert (status.latency_p50, status.latency_p95, status.latency_max) == (1.0, 2.0, 3.0)


def test_each_figure_of_the_mapper_is_where_the_status_has_it() -> None:
    numbers = {"map_points": 1, "map_mb": 2.0, "map_evicted": 3, "gauge_id": 4}
    numbers |= {"scale": 5.0, "state_update": 6.0, "gpu_mb": 7.0, "metric": True}
    facts = MapperFacts(used=8, gated=9, variant="tiny", device="cpu", **numbers)
    status = status_of(facts, Counts())
    for name in ("variant", "device", *numbers):
        assert getattr(status, name) == getattr(facts, name), name
    assert (status.frames_used, status.frames_gated) == (8, 9)
    assert (status.state, status.hint) == (Status.TRACKING, "go on")
    assert (status.mode, status.checkpoint) == (Status.MAPPING, "shipped")
    assert status.scale_source == Parameters().scale_source
    # With Python and torch alone it takes more; in KB it would be a million.
    assert 50 < status.process_mb < 100_000


def test_frames_dropped_by_worker_and_mapper_for_one_reason_are_all_counted() -> None:
    facts = MapperFacts(dropped=Counter(reset=1))
    status = status_of(facts, Counts(dropped=Counter(reset=2, paused=1)))
    assert [(d.key, d.value) for d in status.frames_dropped] == [("paused", "1"), ("reset", "3")]
