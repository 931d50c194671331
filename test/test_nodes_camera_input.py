# SPDX-License-Identifier: Apache-2.0
"""Images, calibration and depth of one camera, without a node: paired, checked, counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rosbench import CAMERA, FRAME, PATIENCE_S, image, scene
from sensor_msgs.msg import Image

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import names_rectified
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.camera_input import DEPTH_MISSED_AFTER, CameraInput
from zipmap_ros.parameters import Parameters

BEGUN_NS = 1_000_000_000_000


def subscription(kind: type, topic: str, *_: Any, **__: Any) -> Any:
    return SimpleNamespace(topic_name=f"/camera/{topic}")


def camera_input(
    name: str = "", subscribe: Callable[..., Any] = subscription, **changes: Any
) -> tuple[CameraInput, list[Frame], list[str], list[str]]:
    """A camera's input without a node: its frames, its drops, and what it says."""
    frames: list[Frame] = []
    drops: list[str] = []
    said: list[str] = []
    logger = SimpleNamespace(info=said.append, warning=said.append)
    node: Any = SimpleNamespace(create_subscription=subscribe, get_logger=lambda: logger)
    node.get_publishers_info_by_topic = lambda _: []
    parameters = Parameters().updated(changes)
    return CameraInput(node, name, parameters, frames.append, drops.append), frames, drops, said


def depth_image(stamp_ns: int, width: int = CAMERA.width, height: int = CAMERA.height) -> Image:
    metres = np.full((height, width), 2.0, np.float32)
    return convert.depth_to_image(metres, convert.make_header(stamp_ns, FRAME))


def test_an_image_may_come_while_its_camera_still_subscribes() -> None:
    """Another thread runs callbacks as soon as there is a subscription."""

    def subscribe(kind: type, topic: str, callback: Any, *_: Any, **__: Any) -> Any:
        if topic == "image":
            callback(image(1, scene(0)))
        return subscription(kind, topic)

    _, frames, _, _ = camera_input(subscribe=subscribe)
    assert [frame.stamp_ns for frame in frames] == [1]


def test_a_camera_whose_images_come_is_not_silent() -> None:
    camera, frames, _, _ = camera_input()
    camera.last_image_s = -1e9
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames and time.monotonic() - camera.last_image_s < PATIENCE_S


def test_an_image_is_mapped_with_the_depth_of_its_moment_or_without() -> None:
    camera, frames, drops, said = camera_input(scale_source="depth")
    camera._on_depth(depth_image(BEGUN_NS))
    camera._on_image(image(BEGUN_NS + 15_000_000, scene(0)))
    camera._on_image(image(BEGUN_NS + 200_000_000, scene(1)))
    assert len(frames) == 1  # the second waits for its depth
    camera._on_depth(depth_image(BEGUN_NS + 190_000_000))
    camera._on_image(image(BEGUN_NS + 300_000_000, scene(2)))  # whose depth never comes
    camera._on_image(image(BEGUN_NS + 400_000_000, scene(3)))
    camera._on_depth(depth_image(BEGUN_NS + 400_000_000, width=28))
    assert [frame.depth is not None for frame in frames] == [True, True, False, False]
    assert [frame.stamp_ns for frame in frames] == [
        BEGUN_NS + ms * 1_000_000 for ms in (15, 200, 300, 400)
    ]
    assert any("register depth to it" in text for text in said) and drops == []


def test_depth_that_never_fits_is_told_once() -> None:
    """Depth of another clock, or of no publisher, gives no scale and was waited for in silence."""
    camera, frames, drops, said = camera_input(scale_source="depth")
    for i in range(2 * DEPTH_MISSED_AFTER + 1):
        camera._on_depth(depth_image(BEGUN_NS + i * 100_000_000 + 40_000_000))
        camera._on_image(image(BEGUN_NS + i * 100_000_000, scene(i)))
    missed, why = "depth: none within 20 ms of 30 images in a row", "/camera/depth has no publisher"
    assert said.count(f"{missed} (nearest +40 ms): {why}") == 1 and drops == []
    assert len(frames) == 2 * DEPTH_MISSED_AFTER + 1  # mapped all the same


def test_depth_that_comes_after_later_images_is_waited_for_in_order() -> None:
    """Stereo matching or a device takes a few images' time: such depth was all thrown away."""
    camera, frames, drops, said = camera_input(scale_source="depth")
    for i in range(10):
        camera._on_image(image(BEGUN_NS + i * 33_000_000, scene(i)))
        if i >= 3:
            camera._on_depth(depth_image(BEGUN_NS + (i - 3) * 33_000_000 + 5_000_000))
    assert [frame.stamp_ns for frame in frames] == [BEGUN_NS + i * 33_000_000 for i in range(7)]
    # Until the first depth came there was nothing to wait for.
    assert [frame.depth is not None for frame in frames] == [False] * 3 + [True] * 4
    for i in range(10, 30):  # the depth camera has gone
        camera._on_image(image(BEGUN_NS + i * 33_000_000, scene(i)))
    assert len(frames) == 29 and frames[-1].depth is None and drops == []
    assert not any(text.startswith("depth") for text in said)
    camera.forget("reset")
    assert drops == ["reset"]


def test_images_whose_stamps_stand_still_wait_for_no_depth() -> None:
    """Their time never comes: they were kept, each of them, for ever."""
    camera, frames, _, _ = camera_input(scale_source="depth")
    camera._on_depth(depth_image(BEGUN_NS))
    for i in range(20):
        camera._on_image(image(BEGUN_NS + 100_000_000, scene(i)))
    assert len(frames) >= 19


def test_depth_of_the_nearest_stamp_is_taken() -> None:
    camera, frames, _, _ = camera_input(scale_source="depth")
    for ms, metres in ((-15, 1.0), (2, 2.0), (12, 3.0)):
        depth = np.full((CAMERA.height, CAMERA.width), metres, np.float32)
        header = convert.make_header(BEGUN_NS + ms * 1_000_000, FRAME)
        camera._on_depth(convert.depth_to_image(depth, header))
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames[0].depth is not None and frames[0].depth[0, 0] == 2.0


def test_registered_depth_of_half_the_size_is_taken_and_depth_of_another_frame_told_of() -> None:
    camera, frames, _, said = camera_input(scale_source="depth")
    half = depth_image(BEGUN_NS, CAMERA.width // 2, CAMERA.height // 2)
    data = np.tile(np.arange(1, CAMERA.width // 2 + 1, dtype=np.float32), (CAMERA.height // 2, 1))
    camera._on_depth(convert.depth_to_image(data, half.header))
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames[0].depth is not None and said == []
    np.testing.assert_array_equal(frames[0].depth[-1], np.repeat(data[0], 2))
    half.header = convert.make_header(BEGUN_NS + 10**9, "depth_optical_frame")
    camera._on_depth(half)
    camera._on_image(image(BEGUN_NS + 10**9, scene(0)))
    assert frames[1].depth is None
    assert said[0].startswith(f"depth is of 'depth_optical_frame', the image of '{FRAME}'")


@pytest.mark.parametrize("topic", ["image_rect", "rect/image", "image_rect_color/compressed"])
def test_rectified_images_have_p_and_no_distortion(topic: str) -> None:
    """image_proc publishes them beside the camera_info of the raw ones, which bent them again."""
    rectified = SimpleNamespace(topic_name=f"/camera/{topic}")
    camera, frames, _, said = camera_input(subscribe=lambda *_, **__: rectified)
    bent = replace(CAMERA, distortion_model="plumb_bob", distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
    info = convert.camera_to_camera_info(bent, convert.make_header(0, FRAME))
    info.p[0], info.p[2] = 30.0, 27.0
    camera._on_info(info)
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames[0].camera == replace(CAMERA, fx=30.0, cx=27.5)
    assert said == [
        f"images of /camera/{topic} are rectified by their name: p of camera_info is used, "
        "and not its distortion"
    ]
    info.p[:] = [0.0] * 12
    camera._on_info(info)
    camera._on_image(image(BEGUN_NS + 1, scene(0)))
    assert frames[1].camera == CAMERA


def test_raw_images_are_not_taken_for_rectified_ones() -> None:
    for topic in ("/camera/image_raw", "/rectory/image", "/correct/image", "/image_direct"):
        assert not names_rectified(topic), topic


def test_depth_in_millimetres_under_the_name_of_metres_gives_no_scale() -> None:
    camera, frames, drops, said = camera_input(scale_source="depth")
    for i, far in enumerate((240.0, 1400.0, 260.0)):  # metres
        message = depth_image(BEGUN_NS + i * 100_000_000)
        depth = np.full((CAMERA.height, CAMERA.width), far, np.float32)
        depth[::2] = np.nan
        depth[0, 0] = far
        camera._on_depth(convert.depth_to_image(depth, message.header))
        camera._on_image(image(BEGUN_NS + i * 100_000_000, scene(i)))
    assert [frame.depth is not None for frame in frames] == [True, False, False]
    (told,) = [text for text in said if "metres" in text]
    assert "depth is 1400 m in the median" in told and drops == []


def test_depth_that_cannot_be_read_costs_no_image() -> None:
    camera, frames, drops, said = camera_input(scale_source="depth")
    strange = depth_image(BEGUN_NS)
    strange.encoding = "rgb8"
    camera._on_depth(strange)
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert [frame.depth for frame in frames] == [None] and drops == []
    assert any(text.startswith("depth: ") for text in said)


def test_what_waited_before_time_jumped_is_not_mapped_after_it() -> None:
    camera, frames, _, _ = camera_input(scale_source="depth")
    camera._on_image(image(BEGUN_NS, scene(0)))
    camera.forget("reset")
    camera._on_depth(depth_image(BEGUN_NS))
    assert frames == []
    camera.forget("reset")
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames == []  # nor is it given the depth of before
    camera._on_depth(depth_image(BEGUN_NS))
    assert len(frames) == 1


def test_a_calibration_of_another_resolution_is_scaled_and_of_another_shape_refused() -> None:
    camera, frames, drops, _ = camera_input()
    header = convert.make_header(0, FRAME)
    large = CAMERA.resized(2 * CAMERA.width, 2 * CAMERA.height)
    camera._on_info(convert.camera_to_camera_info(large, header))
    camera._on_image(image(BEGUN_NS, scene(0)))
    (found,) = [frame.camera for frame in frames]
    assert found is not None and (found.width, found.height) == (CAMERA.width, CAMERA.height)
    assert (found.fx, found.cy) == pytest.approx((CAMERA.fx, CAMERA.cy))
    square = CAMERA.resized(CAMERA.width, CAMERA.width)
    camera._on_info(convert.camera_to_camera_info(square, header))
    camera._on_image(image(BEGUN_NS + 1, scene(0)))
    assert drops == ["camera_info_size"] and "camera_info is for 56x56" in camera.problem
    camera._on_info(convert.camera_to_camera_info(CAMERA, header))
    camera._on_image(image(BEGUN_NS + 2, scene(0)))
    assert frames[-1].camera == CAMERA and camera.problem == ""


def test_a_calibration_that_became_unusable_is_used_no_more() -> None:
    camera, frames, _, said = camera_input()
    info = convert.camera_to_camera_info(CAMERA, convert.make_header(0, FRAME))
    camera._on_info(info)
    info.binning_x = info.binning_y = 10_000
    camera._on_info(info)
    camera._on_image(image(BEGUN_NS, scene(0)))
    assert frames[0].camera is None and "going on without calibration" in said[0]


def test_a_camera_without_calibration_is_told_of_once_and_not_at_its_first_images() -> None:
    camera, frames, _, said = camera_input()
    for i in range(30):
        camera._on_image(image(BEGUN_NS + i, scene(0)))
        assert (len(said) > 0) is (i >= 10)
    assert len(frames) == 30
    why = "/camera/camera_info has no publisher"
    assert said == [f"no calibration: {why}: the network's own focal length is used"]


def test_a_frame_says_which_camera_it_is_of() -> None:
    camera, frames, _, said = camera_input("front")
    for frame_id in ("/lens", ""):
        camera._on_image(image(BEGUN_NS, scene(0), frame_id))
    assert [(f.source, f.frame_id) for f in frames] == [("front", "lens"), ("front", "camera")]
    assert [text.split(":")[0] for text in said] == [
        "front/image has no frame_id, 'camera' is taken"
    ]


def test_a_new_size_counts_once_ten_images_in_a_row_have_it() -> None:
    """A few of another size among the camera's are a hiccup, or those of another publisher."""
    camera, frames, drops, _ = camera_input()
    sizes = [56, *[28] * 9, 56, *[28] * 9, 56]
    for i, width in enumerate(sizes):
        camera._on_image(image(BEGUN_NS + i, scene(0, width, 42)))
    assert len(frames) == 3 and drops == ["resolution"] * 18
    for i in range(11):
        camera._on_image(image(2 * BEGUN_NS + i, scene(0, 28, 42)))
    assert [frame.rgb.shape[1] for frame in frames[3:]] == [28, 28]
