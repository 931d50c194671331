# SPDX-License-Identifier: Apache-2.0
"""The transform tree alone: numbers against matrices, and errors in tf2's words."""

import math
import threading
import time

import numpy as np
import pytest
import tf2_geometry_msgs
import tf2_ros
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import (
    PointStamped,
    PoseStamped,
    PoseWithCovarianceStamped,
    TransformStamped,
)
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_py import rigid
from transforms3d.axangles import axangle2mat, mat2axangle
from transforms3d.quaternions import mat2quat, quat2mat

SECOND = 1_000_000_000
RNG = np.random.default_rng(3)


def stamped(parent, child, stamp_s, xyz=(0.0, 0.0, 0.0), quaternion=(0.0, 0.0, 0.0, 1.0)):
    """A TransformStamped parent_T_child; the quaternion is (x, y, z, w)."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(nanoseconds=round(stamp_s * SECOND)).to_msg()
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, xyz)
    q.x, q.y, q.z, q.w = map(float, quaternion)
    return message


def buffer_with(*transforms, static=()):
    """A buffer that was told these."""
    buffer = tf2_ros.Buffer()
    for transform in transforms:
        buffer.set_transform(transform, "test")
    for transform in static:
        buffer.set_transform_static(transform, "test")
    return buffer


def at(seconds):
    return Time(nanoseconds=round(seconds * SECOND), clock_type=ClockType.ROS_TIME)


def random_pose():
    q = RNG.normal(size=4)
    q /= np.linalg.norm(q)
    return RNG.uniform(-2, 2, 3), q[[1, 2, 3, 0]], _matrix(RNG.uniform(-2, 2, 3), q)


def _matrix(xyz, wxyz):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = quat2mat(wxyz), xyz
    return matrix


def matrix_of(message):
    t, q = message.transform.translation, message.transform.rotation
    return _matrix((t.x, t.y, t.z), (q.w, q.x, q.y, q.z))


def random_transform(parent, child, stamp_s=1.0):
    xyz, q, _ = random_pose()
    message = stamped(parent, child, stamp_s, xyz, q)
    return message, matrix_of(message)


def test_a_lookup_across_two_branches_is_the_product_of_the_matrices():
    map_odom, map_T_odom = random_transform("map", "odom")
    odom_base, odom_T_base = random_transform("odom", "base")
    map_marker, map_T_marker = random_transform("map", "marker")
    base_camera, base_T_camera = random_transform("base", "camera", 0.0)
    buffer = buffer_with(map_odom, odom_base, map_marker, static=[base_camera])

    found = buffer.lookup_transform("marker", "camera", at(1.0))

    expected = np.linalg.inv(map_T_marker) @ map_T_odom @ odom_T_base @ base_T_camera
    np.testing.assert_allclose(matrix_of(found), expected, atol=1e-12)
    assert (found.header.frame_id, found.child_frame_id) == ("marker", "camera")
    assert Time.from_msg(found.header.stamp) == at(1.0)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.9])
def test_between_two_stamps_position_is_linear_and_rotation_is_slerp(ratio):
    half = math.radians(120) / 2
    start = stamped("a", "b", 1.0, (0, 0, 0))
    # the same turn by 120 degrees, written with the opposite sign: the short way must be taken
    end = stamped("a", "b", 2.0, (4, 2, 0), (0, 0, -math.sin(half), -math.cos(half)))
    found = buffer_with(start, end).lookup_transform("a", "b", at(1.0 + ratio)).transform

    assert found.translation.x == pytest.approx(4 * ratio)
    turned = 2 * math.atan2(found.rotation.z, found.rotation.w)
    assert math.remainder(turned, 2 * math.pi) == pytest.approx(math.radians(120) * ratio)


def test_slerp_turns_by_a_fraction_of_the_angle_about_the_same_axis():
    for _ in range(20):
        (_, p, start), (_, q, end) = random_pose(), random_pose()
        axis, angle = mat2axangle(start[:3, :3].T @ end[:3, :3])
        ratio = float(RNG.uniform())
        x, y, z, w = rigid.slerp(tuple(p), tuple(q), ratio)
        expected = start[:3, :3] @ axangle2mat(axis, ratio * angle)
        np.testing.assert_allclose(quat2mat((w, x, y, z)), expected, atol=1e-9)


def test_time_zero_is_the_latest_time_common_to_the_chain():
    buffer = buffer_with(
        stamped("map", "odom", 1.0),
        stamped("map", "odom", 3.0, (1, 0, 0)),
        stamped("odom", "base", 1.0),
        stamped("odom", "base", 2.0, (5, 0, 0)),
        static=[stamped("base", "camera", 0.0)],
    )
    found = buffer.lookup_transform("map", "camera", Time())
    assert Time.from_msg(found.header.stamp) == at(2.0)
    assert found.transform.translation.x == pytest.approx(5.5)
    assert buffer.get_latest_common_time("map", "camera").nanoseconds == 2 * SECOND


def test_a_static_chain_holds_at_any_time_and_outlives_clear():
    buffer = buffer_with(static=[stamped("base", "camera", 5.0, (1, 2, 3))])
    for seconds in (0.0, 0.1, 1e6):
        found = buffer.lookup_transform("base", "camera", at(seconds))
        assert found.transform.translation.z == 3.0
    buffer.clear()
    assert buffer.can_transform("camera", "base", Time())


def test_clear_forgets_what_moves():
    buffer = buffer_with(stamped("a", "b", 1.0))
    buffer.clear()
    assert not buffer.can_transform("a", "b", Time())
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("a", "b", at(1.0))
    buffer.set_transform(stamped("c", "b", 0.5, (2, 0, 0)), "test")
    assert buffer.lookup_transform("c", "b", Time()).transform.translation.x == 2


def test_what_is_older_than_the_cache_time_goes_and_is_not_taken(capfd):
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=2))
    for seconds in (1.0, 2.0, 2.0, 3.5):
        buffer.set_transform(stamped("a", "b", seconds), "test")
    assert not buffer.can_transform("a", "b", at(1.0))
    assert buffer.can_transform("a", "b", at(2.0))
    assert "TF_" not in capfd.readouterr().err
    buffer.set_transform(stamped("a", "b", 1.4), "test")
    told = "TF_OLD_DATA ignoring data from the past for frame b at time 1.400000"
    assert told in capfd.readouterr().err
    with pytest.raises(tf2_ros.ExtrapolationException, match=r"earliest data is at time 2\.000000"):
        buffer.lookup_transform("a", "b", at(1.4))
    buffer.set_transform(stamped("a", "b", 1.5), "test")  # just as old as may be
    assert buffer.can_transform("a", "b", at(1.5))


def test_late_and_repeated_stamps_are_sorted_in():
    buffer = buffer_with(*(stamped("a", "b", s, (s, 0, 0)) for s in (3.0, 1.0, 2.0, 2.0)))
    assert buffer.lookup_transform("a", "b", at(1.5)).transform.translation.x == pytest.approx(1.5)
    assert buffer.lookup_transform("a", "b", at(2.5)).transform.translation.x == pytest.approx(2.5)
    assert "rate: 1.500" in buffer.all_frames_as_yaml()  # three in two seconds
    for x in (7, 8):
        buffer.set_transform(stamped("a", "b", 3.0, (x, 0, 0)), "test")
        assert buffer.lookup_transform("a", "b", at(3.0)).transform.translation.x == x


def test_a_frame_may_change_its_parent():
    buffer = buffer_with(stamped("a", "x", 1.0, (1, 0, 0)), stamped("b", "x", 2.0, (2, 0, 0)))
    assert buffer.lookup_transform("a", "x", at(1.0)).transform.translation.x == 1.0
    assert buffer.lookup_transform("b", "x", at(2.0)).transform.translation.x == 2.0


@pytest.mark.parametrize(
    ("target", "source", "seconds", "error", "message"),
    [
        ("nowhere", "b", 1.0, tf2_ros.LookupException,
         '"nowhere" passed to lookupTransform argument target_frame does not exist. '),
        ("a", "nowhere", 1.0, tf2_ros.LookupException,
         '"nowhere" passed to lookupTransform argument source_frame does not exist. '),
        ("", "b", 1.0, tf2_ros.InvalidArgumentException,
         'Invalid argument "" passed to lookupTransform argument target_frame - '
         "in tf2 frame_ids cannot be empty"),
        ("/a", "b", 1.0, tf2_ros.InvalidArgumentException,
         'Invalid argument "/a" passed to lookupTransform argument target_frame - '
         "in tf2 frame_ids cannot start with a '/'"),
        ("a", "island", 1.0, tf2_ros.ConnectivityException,
         "Could not find a connection between 'a' and 'island' because they are not part of the "
         "same tree.Tf has two or more unconnected trees."),
        ("a", "b", 2.5, tf2_ros.ExtrapolationException,
         "Lookup would require extrapolation into the future.  Requested time 2.500000 but the "
         "latest data is at time 2.000000, when looking up transform from frame [b] to frame [a]"),
        ("a", "b", 0.5, tf2_ros.ExtrapolationException,
         "Lookup would require extrapolation into the past.  Requested time 0.500000 but the "
         "earliest data is at time 1.000000, when looking up transform from frame [b] to frame "
         "[a]"),
        ("a", "once", 2.0, tf2_ros.ExtrapolationException,
         "Lookup would require extrapolation at time 2.000000, but only time 1.000000 is in the "
         "buffer, when looking up transform from frame [once] to frame [a]"),
    ],
)  # fmt: skip
def test_errors_are_those_of_tf2(target, source, seconds, error, message):
    buffer = buffer_with(
        stamped("a", "b", 1.0),
        stamped("a", "b", 2.0),
        stamped("a", "once", 1.0),
        stamped("sea", "island", 1.0),
    )
    with pytest.raises(error) as raised:
        buffer.lookup_transform(target, source, at(seconds))
    assert type(raised.value) is error
    assert isinstance(raised.value, tf2_ros.TransformException)
    assert str(raised.value) == message
    possible, why = buffer.can_transform(target, source, at(seconds), return_debug_tuple=True)
    assert not possible
    reasons = {
        "nowhere": "frame does not exist",
        "": "in tf2 frame_ids cannot be empty",
        "/a": "in tf2 frame_ids cannot start with a '/'",
    }
    for argument, frame in (("target_frame", target), ("source_frame", source)):
        if frame in reasons:
            message = f'Invalid frame ID "{frame}" passed to canTransform argument {argument} - '
            message += reasons[frame]
    assert why == message


def test_an_ancestor_that_cannot_be_extrapolated_does_not_matter_below_it():
    buffer = buffer_with(
        stamped("map", "odom", 1.0),
        stamped("odom", "base", 5.0),
        stamped("odom", "arm", 5.0, (1, 0, 0)),
    )
    assert buffer.lookup_transform("base", "arm", at(5.0)).transform.translation.x == 1.0


def test_a_loop_is_an_error_not_a_hang():
    loop = [stamped("a", "b", 1.0), stamped("b", "c", 1.0), stamped("c", "a", 1.0)]
    buffer = buffer_with(*loop, stamped("x", "y", 1.0))
    for seconds in (0.0, 1.0):
        for target, source in (("y", "b"), ("b", "y")):
            with pytest.raises(tf2_ros.LookupException, match="contains a loop"):
                buffer.lookup_transform(target, source, at(seconds))


@pytest.mark.parametrize(
    "bad",
    [
        stamped("a", "a", 1.0),
        stamped("", "b", 1.0),
        stamped("a", "", 1.0),
        stamped("a", "b", 1.0, (math.nan, 0, 0)),
        stamped("a", "b", 1.0, quaternion=(0, 0, 0, 0)),
        stamped("a", "b", 1.0, quaternion=(0, 0, 0, 1.2)),
    ],
)
def test_unusable_transforms_are_ignored(bad, capfd):
    buffer = buffer_with(bad)
    assert "TF_" in capfd.readouterr().err
    assert buffer.all_frames_as_string() == ""
    assert buffer.all_frames_as_yaml() == "[]"


@pytest.mark.parametrize("nanosec", [SECOND, 2**32 - 1])
def test_a_stamp_past_the_last_that_can_be_told_is_ignored(nanosec):
    late = stamped("a", "b", 2**31 - 1)
    late.header.stamp.nanosec = nanosec
    assert buffer_with(late).all_frames_as_string() == ""


def test_a_slash_in_front_of_a_frame_that_comes_in_is_dropped():
    assert buffer_with(stamped("/a", "/b", 1.0)).can_transform("a", "b", at(1.0))


def test_full_lookup_goes_through_the_fixed_frame():
    buffer = buffer_with(
        stamped("map", "base", 1.0, (1, 0, 0)), stamped("map", "base", 2.0, (3, 0, 0))
    )
    query = ("base", at(2.0), "base", at(1.0), "map")
    found = buffer.lookup_transform_full(*query)
    assert found.transform.translation.x == pytest.approx(-2.0)
    assert buffer.can_transform_full(*query)
    assert not buffer.can_transform_full("base", at(3.0), "base", at(1.0), "map")
    assert not buffer.can_transform_full("base", at(2.0), "base", at(3.0), "map")


def test_full_lookup_is_the_product_of_matrices_of_two_times():
    (old, map_T_old), (new, map_T_new) = (random_transform("map", "base", s) for s in (1.0, 2.0))
    marker, map_T_marker = random_transform("map", "marker", 2.0)
    buffer = buffer_with(old, new, marker)
    for target, map_T_target in (("base", map_T_new), ("marker", map_T_marker)):
        found = buffer.lookup_transform_full(target, at(2.0), "base", at(1.0), "map")
        expected = np.linalg.inv(map_T_target) @ map_T_old
        np.testing.assert_allclose(matrix_of(found), expected, atol=1e-12)
        assert (found.header.frame_id, found.child_frame_id) == (target, "base")
        assert Time.from_msg(found.header.stamp) == at(2.0)
    assert not buffer.can_transform_full("marker", at(1.0), "base", at(2.0), "map")
    for query in (
        ("/base", at(2.0), "base", at(1.0), "map"),
        ("base", at(2.0), "/base", at(1.0), "map"),
        ("base", at(2.0), "base", at(1.0), "/map"),
    ):
        with pytest.raises(tf2_ros.InvalidArgumentException):
            buffer.lookup_transform_full(*query)


def test_a_frame_seen_from_itself_is_where_it_is():
    buffer = buffer_with(stamped("a", "b", 1.0, (1, 2, 3)), stamped("a", "b", 2.5, (3, 2, 1)))
    for asked, told in ((at(0.0), at(2.5)), (at(1.5), at(1.5)), (at(9.0), at(9.0))):
        found = buffer.lookup_transform("b", "b", asked)
        np.testing.assert_array_equal(matrix_of(found), np.eye(4))
        assert Time.from_msg(found.header.stamp) == told
    for frame in ("a", "nobody"):  # frames without a parent have no time of their own
        assert Time.from_msg(buffer.lookup_transform(frame, frame, at(0.0)).header.stamp) == at(0)
        assert buffer.can_transform(frame, frame, at(1.0))
    with pytest.raises(tf2_ros.LookupException, match="argument source_frame does not exist"):
        buffer.get_latest_common_time("a", "nobody")
    buffer.clear()
    assert Time.from_msg(buffer.lookup_transform("b", "b", at(0.0)).header.stamp) == at(0)


def test_waiting_ends_when_the_transform_comes_and_when_time_is_up():
    buffer = tf2_ros.Buffer()
    assert not buffer.can_transform("a", "b", at(1.0), timeout=Duration(seconds=0.05))
    with pytest.raises(tf2_ros.LookupException):
        start = time.monotonic()
        buffer.lookup_transform("a", "b", at(1.0), timeout=Duration(seconds=0.05))
    assert time.monotonic() - start > 0.049

    found = []
    waiting = threading.Thread(
        target=lambda: found.append(
            buffer.lookup_transform("a", "b", at(1.0), timeout=Duration(seconds=60))
        )
    )
    waiting.start()
    buffer.set_transform(stamped("a", "b", 1.0, (7, 0, 0)), "test")
    waiting.join(timeout=60)
    assert found[0].transform.translation.x == 7.0


def test_full_lookups_wait_as_well():
    buffer = buffer_with(stamped("map", "base", 1.0, (1, 0, 0)))
    query = ("base", at(2.0), "base", at(1.0), "map")
    possible, why = buffer.can_transform_full(*query, return_debug_tuple=True)
    assert not possible and "only time 1.000000 is in the buffer" in why
    new = stamped("map", "base", 2.0, (3, 0, 0))
    threading.Timer(0.05, buffer.set_transform, (new, "test")).start()
    found = buffer.lookup_transform_full(*query, timeout=Duration(seconds=60))
    assert found.transform.translation.x == pytest.approx(-2)

    later = ("base", at(3.0), "base", at(1.0), "map")
    future = buffer.wait_for_transform_full_async(*later)
    looked_up = buffer.lookup_transform_full_async(*later)
    looked_up.send(None)
    assert not future.done()
    buffer.set_transform(stamped("map", "base", 3.0, (5, 0, 0)), "test")
    assert future.result().transform.translation.x == pytest.approx(-4)
    with pytest.raises(StopIteration) as ended:
        looked_up.send(None)
    assert ended.value.value == future.result()


def test_a_future_is_fulfilled_by_the_transform_that_completes_it():
    buffer = tf2_ros.Buffer()
    future = buffer.wait_for_transform_async("a", "c", at(1.0))
    buffer.set_transform(stamped("a", "b", 1.0), "test")
    assert not future.done()
    buffer.set_transform_static(stamped("b", "c", 0.0, (0, 4, 0)), "test")
    assert future.done()
    assert future.result().transform.translation.y == 4.0
    assert buffer.wait_for_transform_async("a", "c", at(1.0)).done()


def test_frames_are_described():
    buffer = buffer_with(stamped("a", "b", 1.0), stamped("a", "b", 2.0))
    assert buffer.all_frames_as_string() == "Frame b exists with parent a.\n"
    described = buffer.all_frames_as_yaml()
    assert "parent: 'a'" in described
    assert "buffer_length: 1.000" in described
    buffer.set_transform_static(stamped("b", "c", 0.0), "a sensor")
    described = buffer.all_frames_as_yaml()
    assert "c: \n  parent: 'b'\n  broadcaster: 'a sensor'\n" in described


def test_poses_are_transformed_with_their_covariance():
    map_base, map_T_base = random_transform("map", "base")
    base_goal, base_T_goal = random_transform("base", "goal")
    pose = PoseStamped()
    pose.header.frame_id = "base"
    pose.header.stamp = TimeMessage(sec=1)
    t, q = base_goal.transform.translation, base_goal.transform.rotation
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = t.x, t.y, t.z
    pose.pose.orientation = q
    buffer = buffer_with(map_base)

    moved = buffer.transform(pose, "map")

    p, o = moved.pose.position, moved.pose.orientation
    found = _matrix((p.x, p.y, p.z), (o.w, o.x, o.y, o.z))
    np.testing.assert_allclose(found, map_T_base @ base_T_goal, atol=1e-12)
    assert moved.header.frame_id == "map"
    assert np.abs(mat2quat(found[:3, :3])).max() <= 1

    uncertain = PoseWithCovarianceStamped(header=pose.header)
    uncertain.pose.pose = pose.pose
    covariance = np.diag(np.arange(1.0, 7.0))
    uncertain.pose.covariance = covariance.ravel()
    turned = np.asarray(buffer.transform(uncertain, "map").pose.covariance).reshape(6, 6)
    both = np.kron(np.eye(2), map_T_base[:3, :3])
    np.testing.assert_allclose(turned, both @ covariance @ both.T, atol=1e-12)
    with pytest.raises(tf2_ros.TypeException):
        buffer.transform(map_base, "map")
    assert tf2_geometry_msgs.do_transform_pose(pose.pose, map_base) == moved.pose


def test_points_go_to_a_frame_of_another_time():
    buffer = buffer_with(
        stamped("map", "base", 1.0, (1, 0, 0)), stamped("map", "base", 2.0, (3, 0, 0))
    )
    point = PointStamped()
    point.header.frame_id, point.header.stamp = "base", TimeMessage(sec=1)
    point.point.y = 4.0
    moved = buffer.transform_full(point, "base", at(2.0), "map")
    assert (moved.point.x, moved.point.y) == (-2.0, 4.0)
    assert Time.from_msg(moved.header.stamp) == at(2.0)
    assert buffer.transform(point, "map", new_type=PointStamped).point.x == 1.0


def test_nothing_is_interpolated_between_two_parents():
    before, after = stamped("a", "x", 1.0, (0, 0, 0)), stamped("b", "x", 2.0, (4, 0, 0))
    found = buffer_with(before, after).lookup_transform("a", "x", at(1.5))
    assert found.transform.translation.x == 0
