# SPDX-License-Identifier: Apache-2.0
"""Bags as sources: what is written comes back, and every encoding becomes the right RGB."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from itertools import islice
from unittest.mock import Mock

import cv2
import make_bag as bags
import numpy as np
import pytest

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera, camera_from_info, invert, look_at, pose
from zipmap_ros.sources import SourceError, open_source
from zipmap_ros.sources import bag as bag_module
from zipmap_ros.sources.bag import BagSource
from zipmap_ros.sources.bag_frames import FrameTree
from zipmap_ros.sources.decode import compressed_to_rgb, image_to_depth, image_to_rgb
from zipmap_ros.sources.synthetic import SyntheticSource

CAMERA = Camera(32, 24, 30.0, 31.0, 16.25, 12.0, "plumb_bob", (0.1, -0.02, 0.0, 0.0, 0.001))


def colours() -> np.ndarray:
    """(24, 32, 3) RGB in four smooth quarters: red, green, blue, grey."""
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[:12, :16] = (220, 20, 30)
    rgb[:12, 16:] = (10, 200, 40)
    rgb[12:, :16] = (30, 40, 210)
    rgb[12:, 16:] = (130, 130, 130)
    return rgb


def frames(count: int = 4) -> list[Frame]:
    depth = np.linspace(0.5, 4.0, 24 * 32, dtype=np.float32).reshape(24, 32)
    return [
        Frame(
            5_000_000_001 + i * 100_000_000,
            colours() // (i + 1),
            camera=CAMERA,
            depth=depth + i,
            map_T_camera=look_at((i, 0.5, 1.0), (3.0, 1.0, 0.5)),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_gives_back_what_was_written(tmp_path, storage):
    written = frames()
    bags.make_bag(tmp_path / "bag", written, storage)
    source = open_source("auto", str(tmp_path / "bag"))
    read = list(source)
    assert len(source) == len(read) == 4
    assert source.fps == pytest.approx(10.0)
    for a, b in zip(written, read, strict=True):
        assert b.stamp_ns == a.stamp_ns
        assert b.frame_id == bags.FRAME_ID
        np.testing.assert_array_equal(b.rgb, a.rgb)
        np.testing.assert_array_equal(b.depth, a.depth)
        np.testing.assert_allclose(b.map_T_camera, a.map_T_camera, atol=1e-12)
        assert b.camera == CAMERA


def test_a_single_bag_file_is_recognised(tmp_path):
    bags.make_bag(tmp_path / "bag", frames(2))
    (file,) = (tmp_path / "bag").glob("*.mcap")
    assert len(list(open_source("auto", str(file)))) == 2


def test_a_compressed_bag_without_anything_else(tmp_path):
    written = [replace(f, camera=None, depth=None, map_T_camera=None) for f in frames()]
    bags.make_bag(tmp_path / "bag", written, compressed=True)
    for a, b in zip(written, open_source("bag", str(tmp_path / "bag")), strict=True):
        assert b.camera is None
        assert b.depth is None
        assert b.map_T_camera is None
        difference = np.abs(b.rgb.astype(int) - a.rgb)
        assert np.median(difference) <= 4


def test_the_calibration_of_compressed_images_is_found_a_folder_up(tmp_path):
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write("/front/rgb/image/compressed", bags.compressed_message(colours()), 1)
        bag.write("/front/camera_info", bags.camera_info_message(CAMERA), 1)
    (frame,) = open_source("bag", str(tmp_path / "bag"))
    assert frame.camera == CAMERA


def test_depth_and_pose_belong_to_the_image_of_their_time(tmp_path):
    """Depth 5 ms late is that frame's; half a frame late, it is nobody's."""
    near, far, last = frames(3)
    with bags.BagWriter(tmp_path / "bag") as bag:
        for frame, late_ns in ((near, 5_000_000), (far, 50_000_000)):
            bag.write_frame(replace(frame, depth=None))
            stamp = frame.stamp_ns + late_ns
            bag.write(bags.DEPTH, bags.image_message(frame.depth, "32FC1", stamp), stamp)
        bag.write_frame(replace(last, depth=None, map_T_camera=None))
    read = list(open_source("bag", str(tmp_path / "bag")))
    np.testing.assert_array_equal(read[0].depth, near.depth)
    assert read[1].depth is None
    assert read[1].map_T_camera is not None
    assert read[2].map_T_camera is None


def test_of_poses_that_come_faster_than_images_the_nearest_is_taken(tmp_path):
    written = frames(4)
    first, last = written[0].stamp_ns, written[-1].stamp_ns
    with bags.BagWriter(tmp_path / "bag") as bag:
        for frame in written:
            bag.write_frame(replace(frame, map_T_camera=None))
        for stamp in range(first - 56_000_000, last + 60_000_000, 20_000_000):
            moved = np.eye(4)
            moved[0, 3] = stamp - first
            bag.write(bags.TRUTH, bags.pose_message(moved, stamp), stamp)
    for frame in open_source("bag", str(tmp_path / "bag")):
        assert abs(frame.map_T_camera[0, 3] - (frame.stamp_ns - first)) <= 10_000_000


def test_images_that_may_be_depth_are_not_their_own(tmp_path):
    with bags.BagWriter(tmp_path / "bag") as bag:
        message = bags.image_message(np.full((24, 32), 2000, np.uint16), "mono16", 1)
        bag.write("/camera/depth/image_raw", message, 1)
    (frame,) = open_source("bag", str(tmp_path / "bag"), "/camera/depth/image_raw")
    assert frame.rgb.shape == (24, 32, 3) and frame.depth is None


def test_the_topic_must_be_named_where_there_are_two(tmp_path):
    frame = frames(1)[0]
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(frame)
        message = bags.image_message(frame.rgb[:, ::-1], "rgb8", frame.stamp_ns)
        bag.write("/left/image_raw", message, frame.stamp_ns)
    path = str(tmp_path / "bag")
    with pytest.raises(SourceError, match=r"2 image topics .*/left/image_raw"):
        open_source("bag", path)
    with pytest.raises(SourceError, match="no images on /right: its image topics are /camera"):
        open_source("bag", path, topic="/right")
    (read,) = open_source("bag", path, topic="/left/image_raw")
    np.testing.assert_array_equal(read.rgb, frame.rgb[:, ::-1])
    assert read.depth is None


def test_a_truncated_bag_is_refused_in_one_line(tmp_path):
    bags.make_bag(tmp_path / "bag", frames(3))
    (file,) = (tmp_path / "bag").glob("*.mcap")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(SourceError, match="bag"):
        list(open_source("bag", str(tmp_path / "bag")))


def test_the_synthetic_world_as_a_bag(tmp_path):
    source = SyntheticSource(2, frames=12, width=32, height=24)
    bags.make_bag(tmp_path / "bag", islice(source, 3))
    for a, b in zip(source, open_source("auto", str(tmp_path / "bag")), strict=False):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.depth, b.depth)
        np.testing.assert_allclose(a.map_T_camera, b.map_T_camera, atol=1e-12)


def test_the_kitchen_as_a_bag(tmp_path, test_data):
    kitchen = open_source("folder", str(test_data / "data/kitchen"))
    bags.make_bag(tmp_path / "bag", islice(kitchen, 3), "sqlite3", compressed=True)
    read = list(open_source("auto", str(tmp_path / "bag")))
    np.testing.assert_array_equal(read[0].camera.matrix, [[585, 0, 320], [0, 585, 240], [0, 0, 1]])
    for a, b in zip(kitchen, read, strict=False):
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 5
        np.testing.assert_array_equal(a.depth, b.depth)


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor behind a colour filter sees: ``pattern`` names a 2 x 2 block row by row."""
    channel = {"r": 0, "g": 1, "b": 2}
    raw = np.empty(rgb.shape[:2], rgb.dtype)
    for i, letter in enumerate(pattern):
        raw[i // 2 :: 2, i % 2 :: 2] = rgb[i // 2 :: 2, i % 2 :: 2, channel[letter]]
    return raw


def packed_yuv(rgb: np.ndarray, order: str) -> np.ndarray:
    """(H, W, 2) 4:2:2 bytes, full chroma of even columns; ``order`` is uyvy or yuyv."""
    # BT.601 video range, as USB cameras send it.
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = 128 - 37.797 * r - 74.203 * g + 112.0 * b
    v = 128 + 112.0 * r - 93.786 * g - 18.214 * b
    packed = np.empty((*rgb.shape[:2], 2))
    luma, chroma = (1, 0) if order == "uyvy" else (0, 1)
    packed[..., luma] = y
    packed[:, 0::2, chroma], packed[:, 1::2, chroma] = u[:, 0::2], v[:, 0::2]
    return packed.round().astype(np.uint8)


def quarters(rgb: np.ndarray) -> np.ndarray:
    """(4, 3) mean colour of the middle of each quarter."""
    return np.array(
        [rgb[y + 3 : y + 9, x + 4 : x + 12].mean((0, 1)) for y in (0, 12) for x in (0, 16)]
    )


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("rgb8", lambda rgb: rgb),
        ("bgr8", lambda rgb: rgb[..., ::-1]),
        ("8UC3", lambda rgb: rgb[..., ::-1]),
        ("rgba8", lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 9, np.uint8)])),
        ("bgra8", lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 9, np.uint8)])),
    ],
)
def test_colour_encodings_are_exact(encoding, encode, padding):
    message = bags.image_message(encode(colours()), encoding, padding=padding)
    np.testing.assert_array_equal(image_to_rgb(message), colours())


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_encodings_keep_their_colours(pattern):
    message = bags.image_message(mosaic(colours(), pattern), f"bayer_{pattern}8", padding=3)
    np.testing.assert_allclose(quarters(image_to_rgb(message)), quarters(colours()), atol=3)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv_encodings_keep_their_colours(encoding, order):
    message = bags.image_message(packed_yuv(colours(), order), encoding)
    np.testing.assert_allclose(quarters(image_to_rgb(message)), quarters(colours()), atol=3)


@pytest.mark.parametrize("big_endian", [False, True])
def test_grey_encodings(big_endian):
    grey = colours()[..., 0]
    expected = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(image_to_rgb(bags.image_message(grey, "mono8")), expected)
    wide = grey.astype(np.uint16) << 8
    message = bags.image_message(wide, "mono16", padding=6, big_endian=big_endian)
    np.testing.assert_array_equal(image_to_rgb(message), expected)


@pytest.mark.parametrize("big_endian", [False, True])
def test_depth_encodings(big_endian):
    metres = np.linspace(0.4, 5, 24 * 32, dtype=np.float32).reshape(24, 32)
    metres[3, 4] = np.nan
    message = bags.image_message(metres, "32FC1", padding=4, big_endian=big_endian)
    np.testing.assert_array_equal(image_to_depth(message), metres)
    millimetres = np.nan_to_num(metres * 1000).astype(np.uint16)
    message = bags.image_message(millimetres, "16UC1", big_endian=big_endian)
    read = image_to_depth(message)
    assert np.isnan(read[3, 4])
    assert np.nanmax(np.abs(read - metres)) <= 0.001


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_compressed_images(kind):
    read = compressed_to_rgb(bags.compressed_message(colours(), kind=kind))
    np.testing.assert_allclose(quarters(read), quarters(colours()), atol=0 if kind == "png" else 4)


def test_compressed_images_are_jpeg_or_png():
    message = replace(bags.compressed_message(colours()), data=cv2.imencode(".tif", colours())[1])
    with pytest.raises(SourceError, match="could not be decoded"):
        compressed_to_rgb(message)


@pytest.mark.parametrize("length", [0x00_00_FF_FF, 0xFF_00_00_00])
def test_a_chunk_of_a_png_longer_than_the_png_never_reaches_opencv(monkeypatch, length):
    """Which allocates all of it."""
    message = bags.compressed_message(colours(), kind="png")
    data = bytearray(message.data)
    struct.pack_into(">I", data, data.index(b"IDAT") - 4, length)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(SourceError, match="could not be decoded"):
        compressed_to_rgb(replace(message, data=np.frombuffer(data, np.uint8)))


def test_camera_info_with_nothing_in_it_is_no_camera():
    assert camera_from_info(bags.camera_info_message(CAMERA)) == CAMERA
    assert camera_from_info(bags.camera_info_message(replace(CAMERA, fx=0.0))) is None


def test_a_bag_of_a_binned_region_has_the_camera_of_its_images(tmp_path):
    info = bags.camera_info_message(Camera(128, 96, 60.0, 62.0, 52.5, 44.0))
    region = replace(info.roi, x_offset=20, y_offset=20, width=64, height=48)
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write(bags.CAMERA_INFO, replace(info, roi=region, binning_x=2, binning_y=2), 1)
        bag.write_frame(replace(frames(1)[0], camera=None))
    (read,) = open_source("bag", str(tmp_path / "bag"))
    assert read.camera == Camera(32, 24, 30.0, 31.0, 16.25, 12.0)


def test_rectified_images_of_a_bag_have_p_and_no_distortion(tmp_path):
    info = bags.camera_info_message(CAMERA)
    p = info.p.copy()
    p[0] = 70.0
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write("/cam/camera_info", replace(info, d=np.full(5, 0.1), p=p), 1)
        bag.write("/cam/image_rect/compressed", bags.compressed_message(colours()), 1)
    (read,) = open_source("bag", str(tmp_path / "bag"))
    assert read.camera == replace(CAMERA.undistorted(), fx=70.0)


def test_a_calibration_that_cannot_be_used_is_left_out_and_said(tmp_path):
    info = bags.camera_info_message(CAMERA)
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write(bags.CAMERA_INFO, replace(info, d=np.full(6, 0.1)), 1)
        bag.write_frame(replace(frames(1)[0], camera=None))
    with pytest.warns(RuntimeWarning, match="6 coefficients .* without calibration"):
        (read,) = open_source("bag", str(tmp_path / "bag"))
    assert read.camera is None


def test_depth_of_another_size_is_left_out_and_said(tmp_path):
    written = frames(2)
    with bags.BagWriter(tmp_path / "bag") as bag:
        for frame in written:
            bag.write_frame(replace(frame, depth=frame.depth[:20]))
    with pytest.warns(RuntimeWarning, match="32x20 pixels, images 32x24: record depth"):
        read = list(open_source("bag", str(tmp_path / "bag")))
    assert [frame.depth for frame in read] == [None, None]
    np.testing.assert_array_equal(read[1].rgb, written[1].rgb)


@pytest.mark.parametrize("bad", [(0.0, 0.0, 0.0, 0.0), (np.nan, 0.0, 0.0, 1.0)])
def test_a_bad_true_pose_costs_itself_alone(tmp_path, bad):
    written = frames(3)
    with bags.BagWriter(tmp_path / "bag") as bag:
        for i, frame in enumerate(written):
            bag.write_frame(replace(frame, map_T_camera=None))
            message = bags.pose_message(frame.map_T_camera, frame.stamp_ns)
            if i == 1:
                message.pose.position.x = bad[0]
                message.pose.orientation = bags.TYPES["geometry_msgs/msg/Quaternion"](
                    0, 0, 0, bad[3]
                )
            bag.write(bags.TRUTH, message, frame.stamp_ns)
    with pytest.warns(RuntimeWarning, match="left out: .*pose"):
        read = list(open_source("bag", str(tmp_path / "bag")))
    assert [frame.map_T_camera is None for frame in read] == [False, True, False]


def test_bad_transforms_and_odometry_cost_themselves_alone(tmp_path):
    """A wheel and an IMU that were never set up are nothing to a camera."""
    written = frames(3)
    bags.make_bag(tmp_path / "bag", written, odometry=True)
    with bags.BagWriter(tmp_path / "worse", odometry=True) as bag:
        for topic, child in (("/tf_static", "imu"), ("/tf", "wheel"), ("/tf", "base_link")):
            message = bags.transform_message("odom", child, np.eye(4), 1)
            message.transforms[0].transform.rotation.w = 0.0
            bag.write(topic, message, 1)
        message = bags.odometry_message(np.eye(4), 1)
        message.pose.pose.position.z = np.inf
        bag.write("/odom", message, 1)
        mount = bags.transform_message("base_link", bags.FRAME_ID, bags.BASE_T_CAMERA)
        bag.write("/tf_static", mount, 1)
        for frame in written:
            bag.write_frame(frame)
    whole, worse = (BagSource(str(tmp_path / name)) for name in ("bag", "worse"))
    with pytest.warns(RuntimeWarning, match="left out: .*no direction"):
        np.testing.assert_array_equal(worse.mount("base_link"), whole.mount("base_link"))
    with (
        pytest.warns(RuntimeWarning, match="left out: .*not finite"),
        pytest.warns(RuntimeWarning, match="left out: .*no direction"),
    ):
        heard = list(worse.odometry())
    with pytest.warns(RuntimeWarning, match="left out: .*no direction"):
        moved = list(worse.odometry_from_tf("odom", "base_link"))
    stamps = [frame.stamp_ns for frame in written]
    assert [s for s, _ in heard] == [s for s, _ in moved] == stamps
    for (_, T), (_, expected) in zip(heard, whole.odometry(), strict=True):
        np.testing.assert_array_equal(T, expected)


def test_a_message_without_an_image_costs_itself_alone(tmp_path):
    good = bags.compressed_message(colours())
    with bags.BagWriter(tmp_path / "bag") as bag:
        for i, data in enumerate([good.data, good.data[:0], good.data[:20], good.data]):
            stamp = 1_000_000_000 * (i + 1)
            message = replace(good, header=bags.header(stamp), data=data)
            bag.write("/camera/image_raw/compressed", message, stamp)
    with pytest.warns(RuntimeWarning, match="could not be decoded"):
        read = list(open_source("bag", str(tmp_path / "bag")))
    assert [frame.rgb.size > 0 for frame in read] == [True, False, False, True]


def test_images_that_lie_about_themselves_are_refused():
    message = bags.image_message(colours(), "rgb8")
    with pytest.raises(SourceError, match="'rgb7' cannot be used: publish one of rgb8"):
        image_to_rgb(replace(message, encoding="rgb7"))
    with pytest.raises(SourceError, match="step 90"):
        image_to_rgb(replace(message, step=90))
    with pytest.raises(SourceError, match="bytes"):
        image_to_rgb(replace(message, data=message.data[:-1]))
    with pytest.raises(SourceError, match="pixels has nothing to see"):
        image_to_rgb(replace(message, width=0))
    with pytest.raises(SourceError, match="could not be decoded"):
        broken = bags.compressed_message(colours())
        compressed_to_rgb(replace(broken, data=broken.data[:20]))
    png = cv2.imencode(".png", colours())[1]
    padded = replace(broken, data=np.append(png, np.full(20, 255, np.uint8)))
    np.testing.assert_array_equal(compressed_to_rgb(padded), colours()[..., ::-1])
    with pytest.raises(SourceError, match="32FC1 or 16UC1"):
        image_to_depth(message)


def test_a_message_that_breaks_off_costs_itself_alone(tmp_path, monkeypatch):
    bags.make_bag(tmp_path / "bag", frames(3))
    read, calls = bag_module.AnyReader.deserialize, []

    def broken(reader, data, kind):
        calls.append(kind)
        image = kind == bag_module.IMAGE and calls.count(kind) == 2
        return read(reader, data[:40] if image else data, kind)

    monkeypatch.setattr(bag_module.AnyReader, "deserialize", broken)
    source = BagSource(str(tmp_path / "bag"))
    source._depth_topic = ""  # images of the same type
    with pytest.warns(RuntimeWarning, match="a message on /camera/image_raw cannot be read"):
        assert len(list(source)) == 2


def test_a_bag_that_is_damaged_at_its_start_is_refused(tmp_path):
    """The length of its first message is one byte off."""
    bags.make_bag(tmp_path / "bag", written := frames(3))
    (file,) = (tmp_path / "bag").glob("*.mcap")
    data = bytearray(file.read_bytes())
    times = struct.pack("<QQ", written[0].stamp_ns, written[0].stamp_ns)
    data[data.index(times) - 7] = 0x7F
    file.write_bytes(data)
    with pytest.raises(SourceError, match="damaged after 0 messages on /camera/image_raw: "):
        BagSource(str(tmp_path / "bag"))


@pytest.mark.parametrize("error", [KeyError("pos2msg"), MemoryError(), struct.error("22 bytes")])
def test_a_bag_that_cannot_be_opened_says_why(tmp_path, monkeypatch, error):
    bags.make_bag(tmp_path / "bag", frames(1))
    monkeypatch.setattr(bag_module.AnyReader, "_open", Mock(side_effect=error))
    with pytest.raises(SourceError, match="bag cannot be read as a bag: ") as refused:
        BagSource(str(tmp_path / "bag"))
    assert repr(error) in str(refused.value)


def test_metadata_of_a_bag_may_be_damaged(tmp_path):
    bags.make_bag(tmp_path / "bag", frames(1), "sqlite3")
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(re.sub(r"\bname: .*", "name: null", metadata.read_text()))
    with pytest.raises(SourceError, match="cannot be read as a bag"):
        BagSource(str(tmp_path / "bag"))


@pytest.mark.filterwarnings("ignore:left out")  # of the other topics
@pytest.mark.parametrize("error", [KeyError(7), OverflowError("int"), struct.error("22 bytes")])
def test_what_comes_before_the_damage_of_a_bag_is_kept(tmp_path, monkeypatch, error):
    """As of a video that breaks off."""
    written = frames(4)
    bags.make_bag(tmp_path / "bag", written, odometry=True)
    read = bag_module.AnyReader.messages

    def broken(reader, connections):
        for i, message in enumerate(read(reader, connections)):
            if i == 2:
                raise error
            yield message

    monkeypatch.setattr(bag_module.AnyReader, "messages", broken)
    source = BagSource(str(tmp_path / "bag"))
    with pytest.warns(RuntimeWarning, match="damaged after 2 messages on /camera/image_raw: "):
        kept = list(source)
    assert [frame.stamp_ns for frame in kept] == [frame.stamp_ns for frame in written[:2]]
    np.testing.assert_array_equal(kept[1].depth, written[1].depth)
    with pytest.warns(RuntimeWarning, match="damaged after 2 messages on /odom: "):
        assert len(list(source.odometry())) == 2


@pytest.mark.filterwarnings("ignore:left out")  # of the other topics
def test_a_message_that_rosbags_cannot_take_apart_costs_itself_alone(tmp_path, monkeypatch):
    bags.make_bag(tmp_path / "bag", frames(1))
    broken = Mock(side_effect=struct.error("unpack requires 4 bytes"))
    monkeypatch.setattr(bag_module.AnyReader, "deserialize", broken)
    with pytest.warns(RuntimeWarning, match="a message on /camera/image_raw cannot be read"):
        assert list(BagSource(str(tmp_path / "bag"))) == []


def test_an_odd_width_of_pairs_of_pixels_is_refused():
    message = bags.image_message(np.zeros((4, 5, 2), np.uint8), "uyvy")
    with pytest.raises(SourceError, match="5x4 uyvy could not be converted"):
        image_to_rgb(message)


def test_the_mount_and_odometry_of_a_bag(tmp_path):
    written = frames(5)
    bags.make_bag(tmp_path / "bag", written, odometry=True)
    bag = BagSource(str(tmp_path / "bag"))
    np.testing.assert_allclose(bag.mount("base_link"), bags.BASE_T_CAMERA, atol=1e-12)
    assert bag.mount("trunk") is None
    for heard in (bag.odometry(), bag.odometry("/odom"), bag.odometry_from_tf("odom", "base_link")):
        heard = list(heard)
        assert [stamp for stamp, _ in heard] == [frame.stamp_ns for frame in written]
        for (_, odom_T_base), frame in zip(heard, written, strict=True):
            np.testing.assert_allclose(
                odom_T_base @ bags.BASE_T_CAMERA, frame.map_T_camera, atol=1e-9
            )
    assert list(bag.odometry_from_tf("odom", "trunk")) == []
    with pytest.raises(SourceError, match="odometry topics /odom: name one"):
        bag.odometry("/wheels")
    bags.make_bag(tmp_path / "still", written)
    with pytest.raises(SourceError, match="odometry topics none: name one"):
        BagSource(str(tmp_path / "still")).odometry()


def test_a_mount_is_found_over_several_links_up_and_down(tmp_path):
    """trunk is the root; base_link and the mast that carries the camera hang from it.

    The mast is turned to the left: what is ahead on it lies to the left of the trunk.
    """
    left = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    links = {"base_link": pose(np.eye(3), (1, 0, 0)), "mast": pose(left, (0, 2, 0))}
    with bags.BagWriter(tmp_path / "bag") as bag:
        for child, trunk_T_child in links.items():
            message = bags.transform_message("/trunk", child, trunk_T_child)
            bag.write("/tf_static", message, 1)
        message = bags.transform_message("mast", bags.FRAME_ID, pose(np.eye(3), (3.0, 0.0, 0.5)))
        bag.write("/tf_static", message, 1)
        bag.write_frame(frames(1)[0])
    mount = BagSource(str(tmp_path / "bag")).mount("base_link")
    np.testing.assert_allclose(mount, pose(left, (-1.0, 5.0, 0.5)), atol=1e-12)


def test_a_frame_with_a_slash_is_the_one_without(tmp_path):
    lens = bags.transform_message("base_link", "lens", pose(np.eye(3), (1, 2, 3)))
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write("/tf_static", lens, 1)
        image = bags.image_message(colours(), "rgb8", 1)
        image.header.frame_id = "/lens"
        bag.write(bags.IMAGE, image, 1)
    mount = BagSource(str(tmp_path / "bag")).mount("base_link")
    np.testing.assert_allclose(mount[:3, 3], (1, 2, 3))


@pytest.mark.timeout(20)
def test_frames_that_go_round_in_a_circle_end():
    links = (("b", "a"), ("c", "b"), ("b", "c"))
    tree = FrameTree(bags.transform_message(*link, np.eye(4)) for link in links)
    assert list(tree.ancestors("a")) == ["a", "b", "c"]
    assert tree.find("map", "a") is None


def test_odometry_of_another_part_of_the_robot_is_brought_to_its_base(tmp_path):
    written, base_T_frd = frames(3), pose(np.diag([1.0, -1.0, -1.0]), [0.2, 0.0, 0.1])
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write("/tf_static", bags.transform_message("base_link", "frd", base_T_frd), 1)
        for frame in written:
            odom_T_frd = frame.map_T_camera @ invert(bags.BASE_T_CAMERA) @ base_T_frd
            message = bags.odometry_message(odom_T_frd, frame.stamp_ns)
            message.child_frame_id = "/frd"
            bag.write("/odom", message, frame.stamp_ns)
            bag.write_frame(frame)
    source = BagSource(str(tmp_path / "bag"))
    for base_frame, base_T_child in (("base_link", base_T_frd), ("trunk", np.eye(4))):
        for (_, T), frame in zip(source.odometry("", base_frame), written, strict=True):
            odom_T_base = frame.map_T_camera @ invert(bags.BASE_T_CAMERA)
            np.testing.assert_allclose(T @ base_T_child, odom_T_base @ base_T_frd, atol=1e-9)


def test_odometry_on_tf_may_go_over_a_static_link(tmp_path):
    """odom -> base_footprint moves, base_footprint -> base_link does not."""
    step = bags.transform_message("base_footprint", "base_link", pose(np.eye(3), (0, 0, 0.1)))
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write("/tf_static", step, 1)
        bag.write_frame(frames(1)[0])
        for i in range(1, 4):
            moved = bags.transform_message("odom", "base_footprint", pose(np.eye(3), (i, 0, 0)), i)
            bag.write("/tf", moved, i)
            wheel = bags.transform_message("base_link", "wheel", pose(np.eye(3), (0, i, 0)), i)
            bag.write("/tf", wheel, i)
    heard = list(BagSource(str(tmp_path / "bag")).odometry_from_tf("odom", "base_link"))
    assert [stamp for stamp, _ in heard] == [1, 2, 3]
    np.testing.assert_allclose([T[:3, 3] for _, T in heard], [(i, 0, 0.1) for i in (1, 2, 3)])


def test_what_moves_above_odometry_gives_none(tmp_path):
    """map -> odom says nothing of how the robot moved."""
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(frames(1)[0])
        for i, (parent, child) in enumerate((("odom", "base_link"), ("map", "odom")), 1):
            bag.write("/tf", bags.transform_message(parent, child, np.eye(4), i), i)
    heard = BagSource(str(tmp_path / "bag")).odometry_from_tf("odom", "base_link")
    assert [stamp for stamp, _ in heard] == [1]
