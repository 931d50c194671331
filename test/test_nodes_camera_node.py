# SPDX-License-Identifier: Apache-2.0
"""When the node `camera` says that an image was taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from rclpy.parameter import Parameter
from rosbench import Bench, scene

from zipmap_ros import sources
from zipmap_ros.nodes.camera_node import CameraNode
from zipmap_ros.sources import Source

DOMAIN = 68
PERIOD_MS = 50


class Live(Source):
    """A webcam, of which nobody knows when it sends the next image."""

    name, fps = "live", 1000 / PERIOD_MS

    def __iter__(self) -> Iterator:
        return iter(())


def made(ros: Bench, folder: Path, **parameters: object) -> CameraNode:
    cv2.imwrite(str(folder / "0.png"), scene(0))
    values = {"source": "folder", "path": str(folder), "rate_hz": 1000 / PERIOD_MS, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return CameraNode(context=ros.context, parameter_overrides=overrides)


def stamps_ms(node: CameraNode, monkeypatch: pytest.MonkeyPatch, sent_ms: list[int]) -> list[int]:
    """Of images that are sent then."""
    stamps = []
    for ms in sent_ms:
        monkeypatch.setattr(node, "_now_ns", lambda ms=ms: ms * 1_000_000)
        node._last_ns = node._stamp_ns()
        stamps.append(node._last_ns // 1_000_000)
    node.destroy_node()
    return stamps


@pytest.mark.parametrize(
    ("sent", "stamps"),
    [
        ([1000, 1050, 1100], [1000, 1050, 1100]),
        ([1000, 1099, 1101, 1150], [1000, 1050, 1100, 1150]),  # late, then early again
        ([1040, 1050, 1100], [1040, 1050, 1100]),  # the first was late itself
        ([1000, 1100, 1151], [1000, 1100, 1150]),  # so late that it is the next one's time
        ([1000, 10, 60], [1000, 10, 60]),  # time has jumped back
    ],
)
def test_a_recorded_frame_is_stamped_when_it_was_due(
    ros: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[int], stamps: list[int]
) -> None:
    assert stamps_ms(made(ros, tmp_path), monkeypatch, sent) == stamps


def test_a_live_frame_is_stamped_when_it_came(
    ros: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "open_source", lambda *arguments: Live())
    sent = [1000, 1099, 1101, 1150]
    assert stamps_ms(made(ros, tmp_path), monkeypatch, sent) == sent


def test_a_frame_that_waits_for_others_is_stamped_when_it_is_sent(
    ros: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [1000, 1099, 1101, 1150]
    assert stamps_ms(made(ros, tmp_path, pace="consumed"), monkeypatch, sent) == sent
