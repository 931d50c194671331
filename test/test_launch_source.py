# SPDX-License-Identifier: Apache-2.0
"""The real launch file with a camera of ours: the synthetic one, and a real video.

Camera, node and listener are three processes; what comes out is compared with what the source says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import launch_pytest
import numpy as np
import pytest
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from rclpy.time import Time
from rosbench import (
    EVERY_FRAME,
    FRAME,
    LATCHED,
    SENSOR,
    WILD,
    Bench,
    launch_file,
    parameter_file,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_ros import Buffer, TransformListener

from zipmap_ros.geometry import BODY_T_OPTICAL
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.srv import QueryView

DOMAIN = 50
GIVEN = {**WILD, **EVERY_FRAME, "query_timeout_s": 60.0}


@launch_pytest.fixture(scope="module")
def sources(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[LaunchDescription]:
    folder = tmp_path_factory.mktemp("sources")
    common = {
        "checkpoint": str(tiny_checkpoint(folder)),
        "device": "cpu",
        "params_file": str(parameter_file(folder, **GIVEN)),
    }
    launched = [launch_file(namespace="made", source="synthetic", loop="true", **common)]
    video = office_loop()
    if video is not None:
        launched.append(
            launch_file(
                namespace="real",
                source="video",
                path=str(video),
                pace="consumed",
                loop="true",
                **common,
            )
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        yield LaunchDescription([*launched, ReadyToTest()])


def office_loop() -> Path | None:
    folder = os.environ.get("ZIPMAP_TEST_DATA")
    path = Path(folder or "/nowhere") / "data" / "videos" / "office_loop.mp4"
    return path if path.is_file() else None


class Listener:
    """Everything that is checked, from one namespace."""

    def __init__(self, ros: Bench, name: str) -> None:
        self.ros, self.name = ros, name
        self.images = ros.listen(Image, f"{name}/image", SENSOR)
        self.depths = ros.listen(Image, f"{name}/zipmap/depth/image", 5)
        self.infos = ros.listen(CameraInfo, f"{name}/zipmap/depth/camera_info", 5)
        self.maps = ros.listen(PointCloud2, f"{name}/zipmap/map", LATCHED)
        self.status = ros.listen(Status, f"{name}/zipmap/status", LATCHED)

    def check(self) -> None:
        """Depth, cloud, status and a queried view are there and hang together."""
        until(lambda: len(self.depths) > 3 and self.infos and self.maps, f"{self.status[-1:]}")

        def known() -> list[Image]:
            sent = {convert.stamp_to_ns(m.header.stamp) for m in self.images}
            return [m for m in self.depths if convert.stamp_to_ns(m.header.stamp) in sent]

        depth = convert.image_to_depth(until(known, "no depth has the stamp of an image")[-1])
        assert np.isfinite(depth).all()
        assert (self.infos[-1].width, self.infos[-1].height) == depth.shape[::-1]
        assert self.maps[-1].width > 0
        until(lambda: self.status and self.status[-1].state == Status.TRACKING)
        request = QueryView.Request(want_rgb=True)
        request.pose.pose = convert.matrix_to_pose(BODY_T_OPTICAL)
        view = self.ros.call(QueryView, f"{self.name}/zipmap/query_view", request)
        assert view.success, view.message
        assert view.source == QueryView.Response.NETWORK
        assert convert.image_to_rgb(view.rgb).shape[:2] == depth.shape


@pytest.mark.launch(fixture=sources)
def test_a_synthetic_camera_all_the_way(ros: Bench) -> None:
    listener = Listener(ros, "made")
    infos = ros.listen(CameraInfo, "made/camera_info", SENSOR)
    measured = ros.listen(Image, "made/depth", SENSOR)
    buffer = Buffer()
    tf = TransformListener(buffer, ros.node)
    listener.check()
    until(lambda: infos and measured)
    camera = convert.camera_info_to_camera(infos[-1])
    assert camera is not None
    assert (camera.width, camera.height, camera.cx, camera.cy) == (320, 240, 160.0, 120.0)
    assert (listener.images[-1].width, listener.images[-1].header.frame_id) == (320, FRAME)
    truth = convert.image_to_depth(measured[-1])
    assert 0.1 < np.nanmin(truth) < np.nanmax(truth) < 100

    def is_placed() -> bool:
        return buffer.can_transform("map", FRAME, Time.from_msg(listener.depths[-1].header.stamp))

    until(is_placed)
    tf.unregister()


@pytest.mark.launch(fixture=sources)
def test_a_real_video_as_fast_as_it_is_consumed(ros: Bench) -> None:
    if office_loop() is None:
        pytest.skip("ZIPMAP_TEST_DATA does not name a folder with data/videos/office_loop.mp4")
    listener = Listener(ros, "real")
    listener.check()
    assert (listener.images[-1].width, listener.images[-1].height) == (518, 294)
    # Each frame waited for the one before: nothing was dropped for lack of time, unless it was
    # given up for lost.
    status = listener.status[-1]
    dropped = {pair.key: int(pair.value) for pair in status.frames_dropped}
    assert dropped.get("queue_full", 0) < 0.1 * status.frames_received
