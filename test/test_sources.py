# SPDX-License-Identifier: Apache-2.0
"""Sources of frames: what each loader gives, and one clear line for what it cannot open."""

from __future__ import annotations

import io
import os
import struct
import zlib
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from zipmap_ros.geometry import Camera, invert, rotation_angle_deg, transform_points
from zipmap_ros.sources import SourceError, open_source
from zipmap_ros.sources.folder import natural_key, usual_fps
from zipmap_ros.sources.source import NS, true_pose
from zipmap_ros.sources.synthetic import SyntheticSource


def picture(i: int, height: int = 24, width: int = 32) -> np.ndarray:
    """RGB: red grows with i, a blue left half tells left from right, and RGB from BGR."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0] = 20 * i
    rgb[:, : width // 2, 2] = 200
    return rgb


def write(path: Path, rgb: np.ndarray) -> None:
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def test_synthetic_frames_agree_with_their_truth():
    frames = list(islice(SyntheticSource(seed=2, frames=40, width=64, height=48), 4))
    first, last = frames[0], frames[3]
    assert last.stamp_ns == 3 * 1_000_000_000 // 15
    # Points of the first frame, moved into the last, have the last frame's depth.
    world = transform_points(first.map_T_camera, first.camera.unproject(first.depth))
    pixel, z = last.camera.project(transform_points(invert(last.map_T_camera), world))
    u, v = np.nan_to_num(pixel, nan=-1).astype(int).transpose(2, 0, 1)
    inside = (u >= 0) & (u < 64) & (v >= 0) & (v < 48)
    error = np.abs(z[inside] / last.depth[v[inside], u[inside]] - 1)
    assert inside.mean() > 0.3 and np.median(error) < 0.02
    assert not np.array_equal(first.rgb, last.rgb)


def test_synthetic_source_repeats_and_closes_its_loop():
    source = open_source("auto", "synthetic:2")
    assert len(source) == 300 and source.fps == 15.0
    start, again = next(iter(source)), next(iter(open_source("synthetic", "2")))
    assert np.array_equal(start.rgb, again.rgb) and start.rgb.shape == (240, 320, 3)
    assert start.camera == Camera.from_fov(320, 240, 65.0)
    *_, end = SyntheticSource(2, frames=30, width=16, height=16)
    first = next(iter(SyntheticSource(2, frames=30, width=16, height=16)))
    step = invert(first.map_T_camera) @ end.map_T_camera
    assert np.linalg.norm(step[:3, 3]) < 0.5 and rotation_angle_deg(step) < 30


def test_folder_in_natural_order(tmp_path):
    for i in (10, 9, 1):
        write(tmp_path / f"img{i}.{'PNG' if i == 9 else 'png'}", picture(i))
    (tmp_path / "._img0.png").write_bytes(b"of a Mac")
    frames = list(open_source("auto", str(tmp_path)))
    assert [int(f.rgb[0, 0, 0]) for f in frames] == [20, 180, 200]
    assert [f.stamp_ns for f in frames] == [0, 100_000_000, 200_000_000]
    assert usual_fps([0, NS // 10, NS // 5, 60 * NS], 5.0) == 10, "whatever gap there is"
    assert usual_fps([NS], 5.0) == usual_fps([NS, NS], 5.0) == 5
    assert not open_source("folder", str(tmp_path)).has_truth
    assert natural_key(Path("a2b")) < natural_key(Path("a10b"))
    assert natural_key(Path("a1.png")) != natural_key(Path("a01.png"))  # in the same order always


def test_seven_scenes_layout(tmp_path):
    pose = np.eye(4)
    pose[:3, 3] = (1, 2, 3)
    for i in (0, 4):
        write(tmp_path / f"frame-{i:06d}.color.jpg", picture(i))
        depth = np.full((24, 32), 1500, np.uint16)
        depth[0, :2] = (0, 65535)
        cv2.imwrite(str(tmp_path / f"frame-{i:06d}.depth.png"), depth)
        np.savetxt(tmp_path / f"frame-{i:06d}.pose.txt", pose)
    np.savetxt(tmp_path / "camera-intrinsics.txt", [[30, 0, 16], [0, 31, 12], [0, 0, 1]])
    source = open_source("folder", str(tmp_path))
    first, second = source
    assert source.fps == pytest.approx(7.5) and second.stamp_ns == round(4e9 / 30)
    assert source.has_truth
    assert first.camera == Camera(32, 24, 30, 31, 16, 12)
    assert np.array_equal(second.map_T_camera, pose)
    assert first.depth[5, 5] == 1.5 and np.isnan(first.depth[0, :2]).all()
    (tmp_path / "frame-000000.color.jpg").write_bytes(b"half")
    with pytest.warns(RuntimeWarning, match="cannot be decoded"):
        broken, second = open_source("folder", str(tmp_path))
    assert broken.rgb.size == 0 and second.camera == first.camera


def test_a_frame_of_seven_scenes_without_a_number_is_refused(tmp_path):
    write(tmp_path / "frame.color.png", picture(1))
    with pytest.raises(SourceError, match=r"frame\.color\.png has no number in its name"):
        open_source("folder", str(tmp_path))


def test_kitchen(test_data):
    source = open_source("auto", str(test_data / "data/kitchen"))
    frame = next(iter(source))
    assert len(source) == 250 and frame.rgb.shape == (480, 640, 3)
    assert frame.camera.fx == 585 and frame.map_T_camera.shape == (4, 4)
    assert 0.3 < np.nanmedian(frame.depth) < 5


def test_tum_layout(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg1_room"
    (folder / "rgb").mkdir(parents=True)
    write(folder / "rgb/a.png", picture(1, 480, 640))
    write(folder / "rgb/b.png", picture(2, 480, 640))
    cv2.imwrite(str(folder / "d.png"), np.full((480, 640), 5000, np.uint16))
    images = "# comment\n\n1305031102.100000001 rgb/a.png\n1305031102.2 rgb/b.png\n"
    (folder / "rgb.txt").write_text(images)
    (folder / "depth.txt").write_text("1305031102.11 d.png\n")
    (folder / "groundtruth.txt").write_text("1305031102.18 1 2 3 0 0 0.7071068 0.7071068\n")
    source = open_source("auto", str(folder))
    assert source.has_truth and source.fps == pytest.approx(10)
    first, second = source
    assert first.stamp_ns == 1_305_031_102_100_000_001
    assert first.camera == Camera(640, 480, 517.3, 516.5, 318.6 + 0.5, 255.3 + 0.5)
    assert (first.depth == 1.0).all() and first.map_T_camera is None
    assert second.depth is None
    assert np.allclose(second.map_T_camera[:3, :3], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_a_tum_sequence_of_another_size_or_out_of_order(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg1_small"
    folder.mkdir()
    write(folder / "a.png", picture(1))
    (folder / "rgb.txt").write_text("1.2 a.png\n1.1 a.png\n")
    source = open_source("tum", str(folder))
    assert not source.has_truth
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [1_100_000_000, 1_200_000_000]
    assert all(frame.camera is None for frame in frames)


@pytest.mark.parametrize("factor", [0.985, 0.993, 1.0, 1.008, 1.013, 1.2, -1.0])
def test_a_rotation_may_be_rounded_to_two_digits_and_no_more(factor):
    T = np.diag([factor, factor, factor, 1.0])
    T[:3, 3] = (5, 6, 7)
    if abs(factor - 1) < 0.01:
        assert true_pose(T, "it") is T
    else:
        with pytest.raises(SourceError, match="it is no rotation"):
            true_pose(T, "it")


@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [
        ("film", "", "there is no source 'film'"),
        ("auto", "absent.mp4", "there is no .*absent.mp4: check the path"),
        ("auto", "~/absent.mp4", "there is no /home/me/absent.mp4"),
        ("folder", "", "needs a path"),
        ("folder", "empty", "holds no images"),
        ("video", "text.mp4", "cannot be opened as a video"),
        ("video", "empty", "is no file"),
        ("folder", "text.mp4", "is no folder"),
        ("bag", "text.mp4", "cannot be read as a bag"),
        ("tum", "empty", "no images in rgb.txt"),
        ("synthetic", "blue", "give a whole number"),
        ("webcam", "/dev/video97", "cannot be opened"),
        ("webcam", "front", "give /dev/video0"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, monkeypatch, kind, path, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SourceError, match=says) as refused:
        open_source(kind, path)
    assert "\n" not in str(refused.value)


def test_an_image_that_breaks_off_is_named(tmp_path):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "b.png").write_bytes(b"\x89PNG half")
    write(tmp_path / "c.png", picture(2))
    (tmp_path / "._c.png").write_bytes(b"of a Mac")
    with pytest.warns(RuntimeWarning, match=r"b\.png cannot be decoded") as said:
        frames = list(open_source("folder", str(tmp_path)))
    assert [frame.rgb.size > 0 for frame in frames] == [True, False, True] and len(said) == 1


def gif() -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(picture(1)).save(data, "GIF")
    return data.getvalue()


def signed_tiff() -> bytes:
    """Of a sample format that OpenCV reads, and PIL, which tells the size, does not know."""
    data = bytearray(cv2.imencode(".tif", picture(1))[1])
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, _, _, where = struct.unpack_from("<HHII", data, at)
        if tag == 339:
            struct.pack_into("<3H", data, where, 2, 2, 2)
    return bytes(data)


def png_header(width: int, height: int) -> bytes:
    data = bytearray(cv2.imencode(".png", picture(1))[1])
    struct.pack_into(">II", data, 16, width, height)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gif(), "cannot be decoded"),
        (signed_tiff(), "cannot be decoded"),
        (png_header(8_200, 8_200), "a compressed image of 8200x8200 is too large"),
    ],
)
def test_an_image_file_is_measured_before_it_is_decoded(tmp_path, data, says):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "b.png").write_bytes(data)
    with pytest.warns(RuntimeWarning, match=rf"b\.png.* {says}"):
        frames = list(open_source("folder", str(tmp_path)))
    assert [frame.rgb.size > 0 for frame in frames] == [True, False]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_every_format_of_a_folder_is_read(tmp_path, ending):
    write(tmp_path / f"a{ending}", picture(5))
    (frame,) = open_source("folder", str(tmp_path))
    assert np.abs(frame.rgb.astype(int) - picture(5)).mean() < 9


def test_photos_that_cannot_be_read_are_said_to_be_left_out(tmp_path):
    """A phone's HEIC among JPEG: they were missing, and nobody was told."""
    write(tmp_path / "IMG_1.JPG", picture(1))
    for i in (3, 2):
        (tmp_path / f"IMG_{i}.HEIC").touch()
    with pytest.warns(RuntimeWarning, match=r"left out: 2 photos .* IMG_2.HEIC: convert them"):
        assert len(open_source("auto", str(tmp_path))) == 1


@pytest.mark.timeout(20)
def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    write(tmp_path / "a.png", picture(1))
    os.mkfifo(tmp_path / "b.png")
    with pytest.warns(RuntimeWarning, match=r"b\.png cannot be decoded"):
        frames = list(open_source("folder", str(tmp_path)))
    assert [frame.rgb.size > 0 for frame in frames] == [True, False]


def test_depth_that_breaks_off_is_left_out_and_said(tmp_path):
    write(tmp_path / "frame-1.color.png", picture(1))
    (tmp_path / "frame-1.depth.png").write_bytes(b"\x89PNG half")
    write(tmp_path / "frame-2.color.png", picture(2))
    write(tmp_path / "frame-2.depth.png", picture(2))  # of three channels
    write(tmp_path / "frame-3.color.png", picture(3))
    cv2.imwrite(str(tmp_path / "frame-3.depth.png"), picture(3)[..., 0])  # of 8 bits
    with pytest.warns(RuntimeWarning, match=r"depth\.png is no depth image") as said:
        frames = list(open_source("folder", str(tmp_path)))
    assert all(frame.depth is None and frame.rgb.size for frame in frames) and len(said) == 3


@pytest.mark.parametrize("kind", ["folder", "tum"])
def test_depth_of_another_size_is_left_out_and_said(tmp_path, kind):
    """Its image was refused with it, and an evaluation ended."""
    write(tmp_path / "frame-1.color.png", picture(1))
    (tmp_path / "rgb.txt").write_text("1.1 frame-1.color.png\n")
    (tmp_path / "depth.txt").write_text("1.1 frame-1.depth.png\n")
    cv2.imwrite(str(tmp_path / "frame-1.depth.png"), np.full((12, 16), 1500, np.uint16))
    with pytest.warns(RuntimeWarning, match="left out: depth in .* has 16x12 pixels, images 32x24"):
        (frame,) = open_source(kind, str(tmp_path))
    assert frame.depth is None and frame.rgb.size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 0 0", "is no 4x4 matrix"),
        ("-inf -inf -inf -inf\n" * 4, "is not finite"),
        ("0 0 0 0\n" * 4, "is no rotation"),
        ("5 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "is no rotation"),
        ("1 0 0 0\n0 1 0 0\n0 0 -1 0\n0 0 0 1\n", "is no rotation"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n9 9 9 9\n", "is no rotation"),
    ],
)
def test_a_bad_pose_of_a_scene_costs_itself_alone(tmp_path, text, says):
    """A file that breaks off, and ScanNet's way to say that tracking was lost."""
    for i in (1, 2):
        write(tmp_path / f"frame-{i}.color.png", picture(i))
        np.savetxt(tmp_path / f"frame-{i}.pose.txt", np.eye(4))
    (tmp_path / "frame-1.pose.txt").write_text(text)
    with pytest.warns(RuntimeWarning, match=rf"left out: .*frame-1\.pose\.txt {says}"):
        source = open_source("folder", str(tmp_path))
    first, second = source
    assert first.map_T_camera is None and first.rgb.size and source.has_truth
    assert np.array_equal(second.map_T_camera, np.eye(4))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("1.1 0 0 0 0 0 0 0", "cannot be used"),
        ("1.1 1 2 3 0 0", "cannot be used"),
        ("1.1 nan nan nan 0 0 0 1", "is not finite"),
        ("1.1", "a stamp alone"),
        ("nan 1 2 3 0 0 0 1", "without a stamp"),
    ],
)
def test_a_bad_pose_of_a_tum_sequence_costs_itself_alone(tmp_path, bad, says):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "rgb.txt").write_text("1.1 a.png\n1.2 a.png\n")
    (tmp_path / "groundtruth.txt").write_text(f"{bad}\n1.2 1 2 3 0 0 0 1\n")
    with pytest.warns(RuntimeWarning, match=f"left out: .*{says}"):
        first, second = open_source("tum", str(tmp_path))
    assert first.map_T_camera is None and first.rgb.size
    assert second.map_T_camera[:3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("focal", ["0", "-500", "nan", "inf"])
def test_a_scene_with_a_camera_that_cannot_be_is_refused(tmp_path, focal):
    write(tmp_path / "frame-1.color.png", picture(1))
    (tmp_path / "camera-intrinsics.txt").write_text(f"{focal} 0 16\n0 500 12\n0 0 1\n")
    with pytest.raises(SourceError, match=r"intrinsics\.txt has no finite K with focal lengths"):
        open_source("folder", str(tmp_path))


@pytest.mark.parametrize("number", ["1403636579763555584", "9" * 200])
def test_a_frame_beyond_2038_is_refused(tmp_path, number):
    """Nanoseconds, where the layout numbers frames."""
    write(tmp_path / f"frame-{number}.color.png", picture(1))
    with pytest.raises(SourceError, match=rf"{number}\.color\.png, .* is before 0 or beyond 2038"):
        open_source("folder", str(tmp_path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("stamp", ["1305031102175304000", "-5", "1E+400", "1E+999990"])
@pytest.mark.parametrize("name", ["rgb.txt", "groundtruth.txt"])
def test_a_stamp_of_a_tum_sequence_that_cannot_be_is_refused(tmp_path, name, stamp):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "rgb.txt").write_text("1.1 a.png\n")
    with open(tmp_path / name, "a") as file:
        file.write(f"{stamp} 0 0 0 0 0 0 1\n")
    with pytest.raises(SourceError) as refused:
        open_source("tum", str(tmp_path))
    assert str(refused.value).startswith(f"the stamp {stamp} s in {tmp_path / name} is before 0")


def test_notepads_mark_before_the_first_word_is_none_of_it(tmp_path):
    write(tmp_path / "frame-000000.color.png", picture(1))
    for name, matrix in (
        ("camera-intrinsics.txt", np.eye(3)),
        ("frame-000000.pose.txt", np.eye(4)),
    ):
        text = "\r\n".join(" ".join(map(str, row)) for row in matrix)
        (tmp_path / name).write_text(text, "utf-8-sig")
    (frame,) = open_source("folder", str(tmp_path))
    assert frame.camera is not None and frame.map_T_camera is not None
    (tmp_path / "rgb.txt").write_text("1.5 frame-000000.color.png\r\n", "utf-8-sig")
    (frame,) = open_source("tum", str(tmp_path))
    assert frame.stamp_ns == 1_500_000_000


def test_a_tum_sequence_may_have_comments_in_any_encoding(tmp_path):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "rgb.txt").write_bytes("# Küche\n1.1 a.png\n".encode("latin-1"))
    (frame,) = open_source("auto", str(tmp_path))
    assert frame.stamp_ns == 1_100_000_000 and frame.rgb.size


def test_a_list_of_a_tum_sequence_may_break_off(tmp_path):
    write(tmp_path / "a.png", picture(1))
    (tmp_path / "rgb.txt").write_text("1.1 a.png\n1.2 a.png\n1.3")
    (tmp_path / "depth.txt").write_text("1.1")
    with pytest.warns(RuntimeWarning, match="a stamp alone") as said:
        frames = list(open_source("tum", str(tmp_path)))
    assert len(said) == 2
    assert [frame.stamp_ns for frame in frames] == [1_100_000_000, 1_200_000_000]
    assert all(frame.rgb.size and frame.depth is None for frame in frames)


def test_names_are_sorted_by_their_text_before_their_numbers(tmp_path):
    names = ["hall_1", "hall_2", "hall_10", "office_1", "office_3"]
    for name in names[::-1]:
        write(tmp_path / f"{name}.png", picture(1))
    sorted_names = [path.stem for path in sorted(tmp_path.iterdir(), key=natural_key)]
    assert sorted_names == names


def test_a_number_before_that_of_the_frame_is_not_its_number(tmp_path):
    for i in (3, 6, 9):
        write(tmp_path / f"seq1-{i:06d}.color.png", picture(i))
    source = open_source("folder", str(tmp_path))
    assert [round(frame.stamp_ns / 1e8) for frame in source] == [1, 2, 3]
    assert source.fps == pytest.approx(10)
    (tmp_path / "twice").mkdir()
    for part in "ab":
        write(tmp_path / "twice" / f"{part}-1.color.png", picture(1))
    assert open_source("folder", str(tmp_path / "twice")).fps == 30
