# SPDX-License-Identifier: Apache-2.0
"""TF: mounts, the three ways to publish, continuity of odometry, poses asked in any frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, Transform, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.time import Time
from rosbench import Bench, until
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import BODY_T_OPTICAL, Array, Camera, invert, pose
from zipmap_ros.nodes import convert
from zipmap_ros.nodes import transforms as transforms_module
from zipmap_ros.nodes.transforms import TransformError, Transforms
from zipmap_ros.parameters import SPECS, Parameters

DOMAIN = 41
S = convert.NS
MOUNT = pose(BODY_T_OPTICAL[:3, :3], [0.3, 0.1, 0.2])


class Tree:
    """A Transforms with these parameters, and a listener that hears what it publishes."""

    def __init__(self, ros: Bench, **changes: object) -> None:
        self.now_ns = ros.node.get_clock().now().nanoseconds
        parameters = Parameters().updated({"tf_timeout_s": 0.05, **changes})
        self.transforms = Transforms(ros.node, lambda: parameters)
        self.heard = Buffer()
        self.listener = TransformListener(self.heard, ros.node)
        self.messages = ros.listen(TFMessage, "/tf", 100)

    def find(self, target: str, source: str, stamp_ns: int) -> Array:
        stamp = Time(nanoseconds=stamp_ns)
        until(lambda: self.heard.can_transform(target, source, stamp))
        found = self.heard.lookup_transform(target, source, stamp)
        return convert.transform_to_matrix(found.transform)

    def close(self) -> None:
        self.transforms.close()
        self.listener.unregister()


def at(x: float, yaw_deg: float = 0.0) -> Array:
    c, s = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    return pose([[c, -s, 0], [s, c, 0], [0, 0, 1]], [x, 0.0, 0.0])


def estimate(stamp_ns: int, map_T_camera: Array, frame_id: str, scale: float = 1.0) -> Estimate:
    flat = np.ones((3, 4), np.float32)
    rgb = np.zeros((3, 4, 3), np.uint8)
    camera = Camera.from_fov(4, 3, 60)
    return Estimate(stamp_ns, frame_id, map_T_camera, flat, flat, camera, rgb, scale=scale)


def stamped(parent: str, child: str, parent_T_child: Array, stamp_ns: int) -> TransformStamped:
    return TransformStamped(
        header=convert.make_header(stamp_ns, parent),
        child_frame_id=child,
        transform=convert.matrix_to_transform(parent_T_child),
    )


def frames(letter: str) -> dict[str, str]:
    """Names of a test's own: TF is one for all of them."""
    return {f"{name}_frame": f"{name}_{letter}" for name in ("map", "odom", "base")}


def odometry_of_now(tree: Tree, letter: str) -> Odometry:
    header = convert.make_header(tree.now_ns, f"odom_{letter}")
    odometry = Odometry(header=header, child_frame_id=f"base_{letter}")
    odometry.pose.pose = convert.matrix_to_pose(at(1.5))
    return odometry


def test_a_missing_mount_names_both_frames_and_the_remedy(ros: Bench) -> None:
    tree = Tree(ros)
    with pytest.raises(TransformError, match=r"'lens_a' to 'base_link'.*tf_mode to camera"):
        tree.transforms.base_T_camera("lens_a")
    tree.close()


def test_a_mount_is_looked_up_and_kept(ros: Bench) -> None:
    tree = Tree(ros)
    static = StaticTransformBroadcaster(ros.node)
    static.sendTransform(stamped("base_link", "lens_b", MOUNT, 0))
    tree.find("base_link", "lens_b", 0)
    until(lambda: tree.transforms._buffer.can_transform("base_link", "lens_b", Time()))
    np.testing.assert_allclose(tree.transforms.base_T_camera("lens_b"), MOUNT, atol=1e-12)
    body = tree.transforms.map_T_body(estimate(S, at(2.0) @ MOUNT, "lens_b"))
    np.testing.assert_allclose(body, at(2.0), atol=1e-12)
    tree.close()


def test_a_mount_that_moves_is_noticed(ros: Bench) -> None:
    """A head that pans: its mount is looked up once, the base then turned with it."""
    tree, joints = Tree(ros), TransformBroadcaster(ros.node)
    static = StaticTransformBroadcaster(ros.node)
    static.sendTransform([stamped("head_p", "lens_p", MOUNT, 0)])
    own = tree.transforms._buffer
    for i, (yaw_deg, moved) in enumerate(((10.0, False), (11.0, False), (20.0, True))):
        stamp_ns = tree.now_ns + i * S
        joints.sendTransform(stamped("base_link", "head_p", at(0.0, yaw_deg), stamp_ns))
        until(lambda: own.can_transform("base_link", "lens_p", Time(nanoseconds=stamp_ns)))  # noqa: B023
        mount = tree.transforms.base_T_camera("lens_p")
        assert tree.transforms.has_moved("lens_p", mount) is moved
    assert not tree.transforms.has_moved("nowhere_p", mount)
    tree.close()


def test_a_hand_held_camera_is_its_own_body(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="camera", map_frame="map_c")
    stamp_ns = tree.now_ns
    tree.transforms.publish(estimate(stamp_ns, at(1.0), "lens_c"), 1)
    np.testing.assert_allclose(tree.find("map_c", "lens_c", stamp_ns), at(1.0), atol=1e-12)
    np.testing.assert_array_equal(tree.transforms.base_T_camera("lens_c"), BODY_T_OPTICAL)
    tree.close()


def test_odometry_is_continuous_and_only_map_to_odom_jumps(ros: Bench) -> None:
    tree = Tree(ros, map_frame="map_d", odom_frame="odom_d", base_frame="base_d")
    StaticTransformBroadcaster(ros.node).sendTransform(stamped("base_d", "lens_d", MOUNT, 0))
    until(lambda: tree.transforms._buffer.can_transform("base_d", "lens_d", Time()))
    t0 = tree.now_ns
    frames = (
        # time, pose in map, gauge, scale, then what odom -> base must be
        (0, at(0.0), 1, 1.0, at(0.0)),
        (1, at(0.5), 1, 1.0, at(0.5)),
        (2, at(9.0, 90.0), 2, 1.0, at(0.5)),  # re-anchored: the robot has not moved
        (3, at(9.0, 90.0) @ at(0.25), 2, 1.0, at(0.75)),
        (4, at(4.0), 2, 2.0, at(0.75)),  # the scale has locked
    )
    for i, map_T_base, gauge_id, scale, odom_T_base in frames:
        stamp_ns = t0 + i * S // 10
        seen = estimate(stamp_ns, map_T_base @ MOUNT, "lens_d", scale)
        tree.transforms.publish(seen, gauge_id)
        np.testing.assert_allclose(
            tree.find("odom_d", "base_d", stamp_ns), odom_T_base, atol=1e-9, err_msg=str(i)
        )
        np.testing.assert_allclose(tree.find("map_d", "base_d", stamp_ns), map_T_base, atol=1e-9)
    tree.close()


def test_with_odometry_of_others_only_map_to_odom_is_published(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("e"))
    StaticTransformBroadcaster(ros.node).sendTransform(stamped("base_e", "lens_e", MOUNT, 0))
    others = TransformBroadcaster(ros.node)
    t0 = tree.now_ns
    with pytest.raises(TransformError, match="odom_e"):
        tree.transforms.odom_T_base(t0)
    others.sendTransform(stamped("odom_e", "base_e", at(3.0, 90.0), t0))
    own = tree.transforms._buffer
    until(lambda: own.can_transform("odom_e", "lens_e", Time(nanoseconds=t0)))
    tree.transforms.publish(estimate(t0, at(1.0) @ MOUNT, "lens_e"), 1)
    np.testing.assert_allclose(tree.find("map_e", "base_e", t0), at(1.0), atol=1e-9)
    until(
        lambda: any(
            (t.header.frame_id, t.child_frame_id) == ("map_e", "odom_e")
            for m in tree.messages
            for t in m.transforms
        )
    )
    tree.close()


def test_odometry_of_others_is_that_of_the_stamp(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("o"))
    others, t0 = TransformBroadcaster(ros.node), tree.now_ns
    for i in range(2):
        others.sendTransform(stamped("odom_o", "base_o", at(float(i)), t0 + i * S))
    own = tree.transforms._buffer
    until(lambda: own.can_transform("odom_o", "base_o", Time(nanoseconds=t0 + S)))
    np.testing.assert_allclose(tree.transforms.odom_T_base(t0 + S // 4), at(0.25), atol=1e-9)
    tree.close()


def test_odometry_from_a_topic_stands_in_for_tf(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("f"))
    odometry = odometry_of_now(tree, "f")
    odometry.pose.pose.orientation.w = 2.0  # which TF would refuse
    tree.transforms.add_odometry(odometry)
    np.testing.assert_allclose(tree.transforms.odom_T_base(tree.now_ns), at(1.5), atol=1e-12)
    tree.close()


def test_odometry_of_another_frame_of_the_body_is_named_unless_tf_has_what_is_needed(
    ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """base_footprint -> base_link of robot_state_publisher places the base, but not in odom."""
    tree = Tree(ros, tf_mode="map_to_odom", **frames("w"))
    own, odometry = tree.transforms._buffer, odometry_of_now(tree, "w")
    odometry.child_frame_id = "foot_w"
    own.set_transform_static(stamped("foot_w", "base_w", at(0.0), 0), "driver")
    tree.transforms.add_odometry(odometry)  # TF may be about to begin
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", -1.0)
    with pytest.raises(TransformError, match="odom is of 'foot_w' in 'odom_w', not of base_frame"):
        tree.transforms.add_odometry(odometry)
    own.set_transform(stamped("odom_w", "foot_w", at(0.0), tree.now_ns), "driver")
    tree.transforms.add_odometry(odometry)
    tree.close()


def test_odometry_from_a_topic_is_on_tf_while_nobody_else_puts_it_there(
    ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("k"))
    stamps: list[int] = []

    def add() -> None:
        stamps.append(tree.now_ns + len(stamps) * S // 100)
        odometry = Odometry(header=convert.make_header(stamps[-1], "odom_k"))
        odometry.child_frame_id = "base_k"
        odometry.pose.pose = convert.matrix_to_pose(at(1.5))
        tree.transforms.add_odometry(odometry)

    def on_tf() -> list[int]:
        return [
            convert.stamp_to_ns(t.header.stamp)
            for message in tree.messages
            for t in message.transforms
            if t.child_frame_id == "base_k"
        ]

    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", 60.0)
    add()  # others may be about to begin
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", -1.0)
    add()
    np.testing.assert_allclose(tree.find("odom_k", "base_k", stamps[1]), at(1.5), atol=1e-9)
    until(lambda: on_tf() == stamps[1:])
    # A driver that broadcasts what it publishes, with the very stamps that ours have had.
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", 60.0)
    own = tree.transforms._buffer
    others = TransformBroadcaster(ros.node)
    others.sendTransform(stamped("odom_k", "base_k", at(1.5), stamps[1]))
    until(lambda: own.others_parent("base_k"))
    add()
    until(lambda: len(on_tf()) == 2)
    assert on_tf() == [stamps[1], stamps[1]]
    tree.close()


def test_a_static_base_is_never_moved_by_us(ros: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("l"))
    own = tree.transforms._buffer
    own.set_transform_static(stamped("odom_l", "base_l", at(0.0), 0), "driver")
    assert own.others_silent_s("base_l") < -1e9
    tree.close()


def test_the_last_transforms_are_held_stamped_ahead(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="camera", map_frame="map_g", tf_tolerance_s=0.5)
    tree.transforms.hold(moving=True)  # nothing to hold yet: nothing happens
    stamp_ns = ros.node.get_clock().now().nanoseconds
    tree.transforms.publish(estimate(stamp_ns, at(1.0), "lens_g"), 1)
    tree.transforms.hold(moving=True)
    np.testing.assert_allclose(tree.find("map_g", "lens_g", stamp_ns + S // 4), at(1.0), atol=1e-9)
    tree.transforms.clear()
    tree.transforms.hold(moving=True)
    tree.transforms.publish(estimate(stamp_ns, at(1.0), "later_g"), 1)
    tree.find("map_g", "later_g", stamp_ns)

    def heard() -> list[str]:
        children = [t.child_frame_id for m in tree.messages for t in m.transforms]
        return [child for child in children if child.endswith("_g")]

    until(lambda: "later_g" in heard())
    assert heard() == ["lens_g", "lens_g", "later_g"]
    tree.close()


def test_what_is_held_leaves_room_for_the_estimates_behind_it(ros: Bench) -> None:
    """TF remembers 10 s: further behind the newest transform than that, none is taken."""
    most_s = SPECS["tf_tolerance_s"].high
    tree = Tree(ros, tf_mode="camera", map_frame="map_t", tf_tolerance_s=most_s)
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_t"), 1)
    tree.transforms.hold(moving=True)
    tree.find("map_t", "lens_t", tree.now_ns + S)
    late_ns = tree.now_ns - S
    tree.transforms.publish(estimate(late_ns, at(2.0), "lens_t"), 1)
    np.testing.assert_allclose(tree.find("map_t", "lens_t", late_ns), at(2.0), atol=1e-9)
    tree.close()


def test_a_moving_base_has_no_place_ahead_of_its_estimates(ros: Bench) -> None:
    """Between them a place of the past, stamped ahead, would make the robot jump to and fro."""
    tree = Tree(ros, map_frame="map_n", odom_frame="odom_n", base_frame="base_n")
    tree.transforms._base_T_camera["lens_n"] = np.eye(4)
    sent: list[str] = []

    def send(transforms: list[TransformStamped]) -> None:
        sent.extend(t.child_frame_id for t in transforms)

    tree.transforms._broadcaster.sendTransform = send
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_n"), 1)
    assert sent == ["odom_n", "base_n"]
    tree.transforms.hold(moving=False)
    assert sent == ["odom_n", "base_n", "odom_n"]
    tree.transforms.hold(moving=True)
    assert sent[3:] == ["odom_n", "base_n"]
    tree.close()


def test_a_clock_at_its_end_ends_nothing(ros: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stamp ahead of it would not fit into a message."""
    tree = Tree(ros, map_frame="map_w", odom_frame="odom_w", base_frame="base_w")
    tree.transforms._base_T_camera["lens_w"] = np.eye(4)
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_w"), 1)
    end = Time(seconds=2**31 - 1)
    monkeypatch.setattr(tree.transforms._node.get_clock(), "now", lambda: end)
    sent: list[TransformStamped] = []
    tree.transforms._broadcaster.sendTransform = sent.extend
    tree.transforms.hold(moving=True)
    assert len(sent) == 2
    tree.close()


def test_odometry_goes_on_where_it_was_after_time_has_jumped(ros: Bench) -> None:
    tree = Tree(ros, map_frame="map_p", odom_frame="odom_p", base_frame="base_p")
    tree.transforms._base_T_camera["lens_p"] = np.eye(4)
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_p"), 1)
    tree.transforms.clear()
    tree.transforms.publish(estimate(tree.now_ns + S, at(7.0), "lens_p"), 1)
    np.testing.assert_allclose(tree.transforms._held["odom_p", "base_p"], at(1.0), atol=1e-9)
    tree.close()


def test_odometry_of_before_a_jump_of_time_is_forgotten(ros: Bench) -> None:
    """TF refuses what is older than all that it has."""
    tree = Tree(ros, tf_mode="map_to_odom", **frames("x"))
    tree.transforms.add_odometry(odometry_of_now(tree, "x"))
    tree.transforms.odom_T_base(tree.now_ns)
    tree.transforms.clear()
    with pytest.raises(TransformError, match="odom_x"):
        tree.transforms.odom_T_base(tree.now_ns)
    tree.close()


def test_a_place_that_was_found_again_moves_only_the_map(ros: Bench) -> None:
    """odom -> base goes on as the camera moved."""
    tree = Tree(ros, tf_mode="odom_and_map", map_frame="map_p", odom_frame="odom_p")
    tree.transforms._base_T_camera["lens_p"] = np.eye(4)
    jump, moved = at(0.3, 10), at(2.0, 5)
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_p"), 1)
    found = replace(estimate(tree.now_ns + 1, jump @ moved, "lens_p"), jump=jump)
    tree.transforms.publish(found, 1)
    held = tree.transforms._held
    np.testing.assert_allclose(held["map_p", "odom_p"], jump, atol=1e-12)
    np.testing.assert_allclose(held["odom_p", "base_link"], moved, atol=1e-12)
    tree.transforms.publish(estimate(tree.now_ns + 2, jump @ at(2.5, 5), "lens_p"), 1)
    np.testing.assert_allclose(held["map_p", "odom_p"], jump, atol=1e-12)
    np.testing.assert_allclose(tree.transforms._held["odom_p", "base_link"], at(2.5, 5), atol=1e-12)
    tree.close()


def test_what_is_held_moves_with_the_map(ros: Bench) -> None:
    """Without another image: the last pose, seen from the map's new anchor."""
    tree = Tree(ros, tf_mode="odom_and_map", map_frame="map_h", odom_frame="odom_h")
    transforms, now_ns = tree.transforms, tree.now_ns
    transforms._base_T_camera["lens_h"] = np.eye(4)
    transforms._map_T_odom, odom_T_base = at(0.5, 30), invert(at(0.5, 30)) @ at(1.0)
    for x in (0.0, 1.0):
        transforms.publish(estimate(now_ns + int(x), at(x), "lens_h"), 1)
    transforms.anchor((now_ns + 1, "", at(5.0, 90)))
    held = dict(transforms._held)
    np.testing.assert_allclose(held["map_h", "odom_h"] @ odom_T_base, at(5.0, 90), atol=1e-12)
    np.testing.assert_allclose(held["odom_h", "base_link"], odom_T_base, atol=1e-12)
    transforms.publish(estimate(now_ns + 2, at(5.0, 90), "lens_h"), 2)
    np.testing.assert_allclose(transforms._held["odom_h", "base_link"], odom_T_base, atol=1e-12)
    tree.close()


@pytest.mark.parametrize("known", [None, (7, "", at(9.0))], ids=["reset", "another session"])
def test_nothing_is_held_of_a_map_that_is_gone(ros: Bench, known: Any) -> None:
    tree = Tree(ros, tf_mode="odom_and_map", map_frame="map_i", odom_frame="odom_i")
    tree.transforms._base_T_camera["lens_i"] = np.eye(4)
    for x in (0.0, 1.0):
        tree.transforms.publish(estimate(tree.now_ns + int(x), at(x), "lens_i"), 1)
    tree.transforms.anchor(known)
    assert list(tree.transforms._held) == [("odom_i", "base_link")]
    tree.close()


def test_time_may_jump_while_transforms_are_held(
    ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer holds them, a callback of another thread forgets them."""
    tree = Tree(ros, tf_mode="camera", map_frame="map_m")
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_m"), 1)
    convert_one = convert.matrix_to_transform

    def jump(matrix: Array) -> Transform:
        tree.transforms.clear()
        return convert_one(matrix)

    monkeypatch.setattr(convert, "matrix_to_transform", jump)
    tree.transforms.hold(moving=True)
    tree.close()


@pytest.mark.parametrize("apart_s", [-3600, 3600])
def test_images_of_another_time_are_held_in_their_time(ros: Bench, apart_s: int) -> None:
    """A bag without /clock: transforms of now would push the bag's out of everyone's cache."""
    tree = Tree(ros, tf_mode="camera", map_frame="map_h")
    stamp_ns = tree.now_ns + apart_s * S
    tree.transforms.publish(estimate(stamp_ns, at(1.0), "lens_h"), 1)
    sent: list[TransformStamped] = []
    tree.transforms._broadcaster.sendTransform = sent.extend
    tree.transforms.hold(moving=True)
    assert 0 <= convert.stamp_to_ns(sent[0].header.stamp) - stamp_ns < 2 * S
    tree.close()


def test_a_pose_in_any_frame(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="camera", map_frame="map_i")
    request = PoseStamped(pose=convert.matrix_to_pose(at(2.0)))
    np.testing.assert_allclose(tree.transforms.to_map(request), at(2.0), atol=1e-12)
    request.header.frame_id = "lens_i"
    with pytest.raises(TransformError, match="lens_i"):
        tree.transforms.to_map(request)
    tree.transforms.publish(estimate(tree.now_ns, at(1.0, 90.0), "lens_i"), 1)
    own = tree.transforms._buffer
    until(lambda: own.can_transform("map_i", "lens_i", Time()))
    expected = at(1.0, 90.0) @ at(2.0)
    np.testing.assert_allclose(tree.transforms.to_map(request), expected, atol=1e-9)
    np.testing.assert_allclose(invert(expected) @ expected, np.eye(4), atol=1e-12)
    tree.close()


def test_a_pose_in_a_frame_that_moves_is_of_its_stamp(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="camera", map_frame="map_q")
    own, t0 = tree.transforms._buffer, tree.now_ns
    for i in range(2):
        tree.transforms.publish(estimate(t0 + i * S, at(float(i)), "lens_q"), 1)
    until(lambda: own.can_transform("map_q", "lens_q", Time(nanoseconds=t0 + S)))
    request = PoseStamped(header=convert.make_header(t0, "lens_q"))
    request.pose = convert.matrix_to_pose(at(2.0))
    np.testing.assert_allclose(tree.transforms.to_map(request), at(2.0), atol=1e-9)
    tree.close()


def test_what_is_held_is_ahead_of_now_however_late_the_estimate_was(ros: Bench) -> None:
    """Lookups of the present must succeed behind a slow network too."""
    tree = Tree(ros, tf_mode="camera", map_frame="map_r", tf_tolerance_s=0.5)
    late_ns = tree.now_ns - 3 * S
    tree.transforms.publish(estimate(late_ns, at(1.0), "lens_r"), 1)
    sent: list[TransformStamped] = []
    tree.transforms._broadcaster.sendTransform = sent.extend
    tree.transforms.hold(moving=True)
    assert convert.stamp_to_ns(sent[0].header.stamp) >= tree.now_ns + S // 2
    tree.close()


def test_each_camera_is_held_and_moves_with_the_map_if_it_was_the_last(ros: Bench) -> None:
    """Two may have the same stamp."""
    tree = Tree(ros, tf_mode="camera", map_frame="map_s")
    transforms, now_ns = tree.transforms, tree.now_ns
    for name in ("left", "right"):
        seen = replace(estimate(now_ns, at(1.0), f"{name}_s"), source=name)
        transforms.publish(seen, 1)
    both = {("map_s", "left_s"), ("map_s", "right_s")}
    assert transforms._held.keys() == both
    transforms.anchor((now_ns, "right", at(5.0)))
    assert transforms._held.keys() == both
    transforms.anchor((now_ns, "left", at(9.0)))
    assert transforms._held == {}
    tree.close()


def test_a_camera_whose_frame_is_another_now_is_held_there_alone(ros: Bench) -> None:
    """Its driver was started again: the old frame stayed on TF, as if something were there."""
    tree = Tree(ros, tf_mode="camera", map_frame="map_u")
    for name, frame_id in (("left", "l_u"), ("right", "r_u"), ("left", "new_u"), ("left", "new_u")):
        seen = replace(estimate(tree.now_ns, at(1.0), frame_id), source=name)
        tree.transforms.publish(seen, 1)
    assert tree.transforms._held.keys() == {("map_u", "r_u"), ("map_u", "new_u")}
    tree.close()


def test_frames_with_a_slash_are_those_without(ros: Bench) -> None:
    tree = Tree(ros, tf_mode="map_to_odom", **frames("t"))
    request = PoseStamped(pose=convert.matrix_to_pose(at(2.0)))
    request.header.frame_id = "/map_t"
    np.testing.assert_allclose(tree.transforms.to_map(request), at(2.0), atol=1e-12)
    odometry = Odometry(header=convert.make_header(tree.now_ns, "/odom_t"))
    odometry.child_frame_id = "/base_t"
    odometry.pose.pose = convert.matrix_to_pose(at(1.5))
    tree.transforms.add_odometry(odometry)
    np.testing.assert_allclose(tree.transforms.odom_T_base(tree.now_ns), at(1.5), atol=1e-12)
    tree.close()


def test_odometry_from_a_topic_is_not_taken_for_that_of_others(ros: Bench) -> None:
    """It would keep itself from TF."""
    tree = Tree(ros, tf_mode="map_to_odom", **frames("u"))
    odometry = odometry_of_now(tree, "u")
    tree.transforms.add_odometry(odometry)
    assert "base_u" not in tree.transforms._buffer._others
    tree.close()


def test_what_we_put_on_tf_is_not_taken_for_that_of_others(
    ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back to us, and odometry would be on TF one moment in two seconds."""
    tree = Tree(ros, tf_mode="map_to_odom", **frames("v"))
    own, came = tree.transforms._buffer, []
    take = own.set_transform

    def listen(transform: TransformStamped, authority: str) -> None:
        take(transform, authority)
        came.append(transform.child_frame_id)

    monkeypatch.setattr(own, "set_transform", listen)
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", -1.0)
    tree.transforms.add_odometry(odometry_of_now(tree, "v"))
    until(lambda: came.count("base_v") == 2)  # from the topic, and back from TF
    assert "base_v" not in own._others
    stamps = [tree.now_ns + i for i in (1, 2)]
    for stamp_ns in stamps:
        own.expect_ours("base_v", stamp_ns)
    for stamp_ns in stamps:
        take(stamped("odom_v", "base_v", at(1.5), stamp_ns), "driver")
    assert "base_v" not in own._others, "the second was sent before the first came back"
    take(stamped("odom_v", "base_v", at(1.5), stamps[1]), "driver")
    assert "base_v" in own._others
    tree.close()


def test_what_we_place_ourselves_is_nobody_elses(ros: Bench, monkeypatch: Any) -> None:
    """Two cameras that are synchronised, and a clock that stands still, give one stamp twice."""
    tree = Tree(ros, map_frame="map_y", odom_frame="odom_y", base_frame="base_y")
    transforms, own = tree.transforms, tree.transforms._buffer
    now = Time(nanoseconds=tree.now_ns)
    monkeypatch.setattr(transforms._node.get_clock(), "now", lambda: now)
    monkeypatch.setattr(transforms_module, "MOST_EXPECTED", 4)
    for i in range(3):
        for name in ("left", "right"):
            transforms._base_T_camera[f"{name}_y"] = np.eye(4)
            seen = estimate(tree.now_ns + i, at(1.0), f"{name}_y")
            transforms.publish(replace(seen, source=name), 1)
        for _ in range(2):
            transforms.hold(moving=True)
        until(lambda: not own._ours)
    assert transforms.rival() == "" and not {"odom_y", "base_y"} & own._others.keys()
    for i in range(9):  # which never come back
        own.expect_ours("odom_y", i)
    assert list(own._ours) == [("odom_y", i) for i in (5, 6, 7, 8)]
    tree.close()


@pytest.mark.parametrize(
    ("tf_mode", "child", "remedy"),
    [
        ("odom_and_map", "base_z", "map_to_odom; else set base_frame to it"),
        ("odom_and_map", "odom_z", "stop them, or set tf_mode to off"),
        ("camera", "lens_z", "set tf_mode to odom_and_map"),
    ],
)
@pytest.mark.parametrize("static", [True, False])
def test_what_others_place_on_tf_as_well_is_named(
    ros: Bench, tf_mode: str, child: str, remedy: str, static: bool
) -> None:
    """A driver of wheels, or amcl: the robot goes to and fro between theirs and ours."""
    tree = Tree(ros, tf_mode=tf_mode, **frames("z"))
    transforms, own = tree.transforms, tree.transforms._buffer
    transforms._base_T_camera["lens_z"] = np.eye(4)
    transforms.publish(estimate(tree.now_ns, at(1.0), "lens_z"), 1)
    transforms.hold(moving=True)
    until(lambda: not own._ours)  # all has come back
    own.set_transform(stamped("base_z", "wheel_z", at(0.0), tree.now_ns), "driver")
    assert transforms.rival() == ""
    take = own.set_transform_static if static else own.set_transform
    take(stamped("/other_z", child, at(0.0), tree.now_ns), "driver")
    said = f"others place {child!r} on TF as well, in 'other_z': "
    assert transforms.rival().startswith(said) and transforms.rival().endswith(remedy)
    tree.close()


def test_others_who_have_stopped_are_no_longer_named(
    ros: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(ros, tf_mode="camera", **frames("a"))
    tree.transforms.publish(estimate(tree.now_ns, at(1.0), "lens_q"), 1)
    tree.transforms._buffer.set_transform(
        stamped("x", "lens_q", at(0.0), tree.now_ns + 1), "driver"
    )
    assert tree.transforms.rival()
    monkeypatch.setattr(transforms_module, "OTHERS_SILENT_S", 0.0)
    assert not tree.transforms.rival()
    tree.close()
