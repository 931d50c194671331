# SPDX-License-Identifier: Apache-2.0
"""Videos as people have them: upright, in proportion, in time, and what is said of broken ones."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_sources import picture

from zipmap_ros.sources import SourceError, open_source
from zipmap_ros.sources.source import NS


def test_video(tmp_path, monkeypatch):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 24))
    for i in range(5):
        writer.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    writer.release()
    source = open_source("auto", str(path))
    frames = list(source)
    assert len(source) == len(frames) == 5 and source.fps == 20.0
    steps = np.diff([frame.stamp_ns for frame in frames])
    assert (steps == 50_000_000).all()
    assert frames[4].rgb[12, 24, 0] > 60 and frames[4].rgb[12, 4, 2] > 150
    assert len(list(source)) == 5  # from the beginning again
    opened = cv2.VideoCapture

    def untimed(path: str) -> SimpleNamespace:
        capture = opened(path)
        parts = {name: getattr(capture, name) for name in ("isOpened", "read", "set", "release")}
        parts["get"] = lambda what: 0.0 if what == cv2.CAP_PROP_POS_MSEC else capture.get(what)
        return SimpleNamespace(**parts)

    monkeypatch.setattr(cv2, "VideoCapture", untimed)
    assert [frame.stamp_ns for frame in source] == [i * 50_000_000 for i in range(5)]


def test_a_video_of_a_frame_every_four_seconds(tmp_path, monkeypatch):
    """Its stamps are those of the container, also where those are not by the rate."""
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 0.25, (32, 24))
    for i in range(3):
        writer.write(picture(i))
    writer.release()
    source = open_source("video", path)
    assert source.fps == 0.25
    assert [frame.stamp_ns for frame in source] == [0, 4 * NS, 8 * NS]
    opened = cv2.VideoCapture
    times_ms = iter([0.0, 12.3456785, 5000.0])

    def uneven(path: str) -> SimpleNamespace:
        capture = opened(path)
        parts = {name: getattr(capture, name) for name in ("isOpened", "read", "set", "release")}
        parts["get"] = lambda what: next(times_ms)
        return SimpleNamespace(**parts)

    monkeypatch.setattr(cv2, "VideoCapture", uneven)
    assert [frame.stamp_ns for frame in source] == [0, 12_345_678, 5 * NS]


def test_a_video_may_be_named_by_the_time_of_day(tmp_path, monkeypatch):
    """ffmpeg takes what stands before a colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    # OpenCV reads an AVI with MJPG without ffmpeg.
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (32, 24))
    writer.write(np.ascontiguousarray(picture(1)[..., ::-1]))
    writer.release()
    Path("clip.mp4").rename("12:30:05.mp4")
    assert len(list(open_source("auto", "12:30:05.mp4"))) == 1


def test_a_video_that_says_the_unit_of_its_stamps_is_played_by_its_stamps(tmp_path, monkeypatch):
    """WebM of a browser or a screen recorder says 1000 frames a second."""
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 24))
    for i in range(5):
        writer.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    writer.release()
    opened = cv2.VideoCapture
    said = {cv2.CAP_PROP_FPS: 1000.0, cv2.CAP_PROP_FRAME_COUNT: 250.0}

    def boastful(path: str) -> SimpleNamespace:
        capture = opened(path)
        names = ("isOpened", "read", "grab", "set", "release")
        parts = {name: getattr(capture, name) for name in names}
        parts["get"] = lambda what: said.get(what) or capture.get(what)
        return SimpleNamespace(**parts)

    monkeypatch.setattr(cv2, "VideoCapture", boastful)
    source = open_source("auto", path)
    assert source.fps == pytest.approx(20) and len(source) == len(list(source)) == 5
    said[cv2.CAP_PROP_FPS] = np.nan
    assert open_source("auto", path).fps == 30


def written(path: Path, pictures: list[np.ndarray]) -> str:
    height, width = pictures[0].shape[:2]
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, 20.0, (width, height))
    for rgb in pictures:
        writer.write(np.ascontiguousarray(rgb[..., ::-1]))
    writer.release()
    return str(path)


@pytest.mark.parametrize(("turned", "size"), [(0, (32, 24)), (90, (24, 32))])
def test_a_video_of_wide_pixels_has_its_true_proportions(tmp_path, monkeypatch, turned, size):
    """PAL, DV and HDV: their pixels are not square."""
    path = written(tmp_path / "clip.mp4", [picture(i, 24, 24) for i in range(3)])
    opened = cv2.VideoCapture
    said = {cv2.CAP_PROP_SAR_NUM: 4.0, cv2.CAP_PROP_SAR_DEN: 3.0}
    said[cv2.CAP_PROP_ORIENTATION_META] = turned

    def anamorphic(path: str) -> SimpleNamespace:
        capture = opened(path)
        parts = {name: getattr(capture, name) for name in ("isOpened", "read", "set", "release")}
        parts["get"] = lambda what: said.get(what) or capture.get(what)
        return SimpleNamespace(**parts)

    monkeypatch.setattr(cv2, "VideoCapture", anamorphic)
    frame = next(iter(open_source("auto", path)))
    assert frame.rgb.shape == (*size[::-1], 3)
    said[cv2.CAP_PROP_SAR_NUM] = 40_000.0  # nonsense
    assert next(iter(open_source("auto", path))).rgb.shape == (24, 24, 3)


def test_a_video_that_is_damaged_in_the_middle_goes_on_behind_that(tmp_path):
    """It ended there, and nobody was told."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)
    path = written(tmp_path / "clip.mp4", list(noise))
    data = bytearray(Path(path).read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 6] = bytes(len(data) // 6)
    Path(path).write_bytes(data)
    with pytest.warns(
        RuntimeWarning, match=r"left out: frames of .*clip.mp4, \d+ before .* damaged"
    ):
        frames = list(open_source("auto", path))
    assert 40 < len(frames) < 60 and frames[-1].stamp_ns == 2_950_000_000


def test_a_video_that_never_moves_is_refused(tmp_path):
    """OpenCV from 4.13 on makes one image of all frames of interlaced video."""
    path = written(tmp_path / "clip.mp4", [picture(3)] * 5)
    with pytest.raises(SourceError, match=r"clip.mp4 are all one image.* interlaced .*yadif"):
        open_source("auto", path)
    for name, pictures in (("one", [picture(3)]), ("intro", [picture(0)] * 40 + [picture(9)] * 40)):
        path = written(tmp_path / f"{name}.mp4", pictures)
        assert len(list(open_source("auto", path))) == len(pictures)
    with pytest.raises(SourceError, match="all one image"):
        open_source("auto", written(tmp_path / "long.mp4", [picture(3)] * 40))


def test_a_video_that_cannot_be_decoded_is_named_with_its_codec(tmp_path):
    path = Path(written(tmp_path / "clip.mp4", [picture(i) for i in range(3)]))
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(
        data[:start] + bytes(data.index(b"moov") - start) + data[data.index(b"moov") :]
    )
    with pytest.raises(
        SourceError, match=r"no frame of .*clip.mp4 \(.{4}\) can be decoded.*ffmpeg"
    ):
        open_source("auto", str(path))


def test_real_video(test_data):
    source = open_source("auto", str(test_data / "data/videos/office_loop.mp4"))
    frames = list(islice(source, 3))
    assert len(source) == 237 and source.fps == 10.0
    assert frames[0].rgb.shape == (294, 518, 3) and frames[0].rgb.std() > 20
    assert [f.stamp_ns - frames[0].stamp_ns for f in frames] == [0, 100_000_000, 200_000_000]


def unturned(path, opened=cv2.VideoCapture):
    """A video as OpenCV 4 opens it: its frames stay lying unless it is told."""
    capture = opened(path)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return capture


@pytest.mark.parametrize("capture", [cv2.VideoCapture, unturned])
def test_video_is_upright_as_its_metadata_says(tmp_path, monkeypatch, capture):
    """A phone held upright writes lying frames and a turned track matrix."""
    monkeypatch.setattr(cv2, "VideoCapture", capture)
    path = tmp_path / "phone.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (32, 24))
    for i in range(3):
        writer.write(np.ascontiguousarray(picture(i)[..., ::-1]))
    writer.release()
    one, unit = 0x10000, 0x40000000
    lying = np.array([one, 0, 0, 0, one, 0, 0, 0, unit], ">i4").tobytes()
    upright = np.array([0, one, 0, -one, 0, 0, 24 * one, 0, unit], ">i4").tobytes()
    data = path.read_bytes()
    track = data.index(lying, data.index(b"tkhd"))
    path.write_bytes(data[:track] + upright + data[track + len(lying) :])
    frame = next(iter(open_source("video", str(path))))
    assert frame.rgb.shape == (32, 24, 3)
    assert frame.rgb[4, 12, 2] > 120 and frame.rgb[28, 12, 2] < 80  # the left half is on top
