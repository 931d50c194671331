# SPDX-License-Identifier: Apache-2.0
"""Conversions: every encoding, hostile layouts, half a pixel, clouds, exact stamps."""

from __future__ import annotations

import array
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2, or the embedded runtime: make test")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointField, RegionOfInterest
from std_msgs.msg import Header

from zipmap_ros import geometry
from zipmap_ros.geometry import Camera
from zipmap_ros.mapping.undistort import rectification
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.convert import ConvertError

HEADER = Header(stamp=Time(sec=7, nanosec=123456789), frame_id="camera")


def picture(height: int = 6, width: int = 8) -> np.ndarray:
    """Flat 2x2 blocks, so that bayer and 4:2:2 encodings lose nothing inside them."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(30, 220, (height // 2, width // 2, 3), dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(2, 0).repeat(2, 1))


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    """An Image whose rows end in ``padding`` bytes of rubbish."""
    height, width = pixels.shape[:2]
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = pixels.reshape(height, -1).view(np.uint8)
    rows = np.hstack([rows, np.full((height, padding), 0xAB, np.uint8)])
    data = array.array("B", rows.tobytes())
    step = rows.shape[1]
    return Image(
        header=HEADER,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big),
        step=step,
        data=data,
    )


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("order", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour_orders_and_padded_rows(order: str, padding: int) -> None:
    rgb = picture()
    pixels = rgb if order.startswith("rgb") else rgb[..., ::-1]
    if order.endswith("a8"):
        pixels = np.dstack([pixels, np.full(rgb.shape[:2], 9, np.uint8)])
    np.testing.assert_array_equal(convert.image_to_rgb(image(pixels, order, padding)), rgb)


def test_rgb8_is_a_view() -> None:
    message = image(picture(), "rgb8", padding=3)
    view = convert.image_to_rgb(message)
    assert np.shares_memory(view, np.frombuffer(message.data, np.uint8))


def test_the_last_row_needs_no_padding() -> None:
    message = image(picture(), "rgb8", padding=5)
    message.data = message.data[:-5]
    np.testing.assert_array_equal(convert.image_to_rgb(message), picture())


@pytest.mark.parametrize("big", [False, True])
def test_grey_images_of_8_and_16_bits(big: bool) -> None:
    grey = picture()[..., 0]
    expected = np.dstack([grey] * 3)
    np.testing.assert_array_equal(convert.image_to_rgb(image(grey, "mono8", 2)), expected)
    deep = grey.astype(np.uint16) * 257
    result = convert.image_to_rgb(image(deep, "mono16", 2, big)).astype(int)
    assert np.abs(result - expected).max() <= 1


@pytest.mark.parametrize("big", [False, True])
def test_colours_of_16_bits(big: bool) -> None:
    deep = picture().astype(np.uint16) * 257
    for encoding, pixels in (("rgb16", deep), ("bgr16", deep[..., ::-1])):
        np.testing.assert_array_equal(
            convert.image_to_rgb(image(pixels, encoding, 2, big)), picture()
        )


def test_images_of_bytes_that_do_not_say_what_they_are() -> None:
    """As OpenCV writes them: grey, or blue first."""
    rgb = picture()
    np.testing.assert_array_equal(convert.image_to_rgb(image(rgb[..., ::-1], "8UC3", 2)), rgb)
    grey = np.dstack([rgb[..., 0]] * 3)
    np.testing.assert_array_equal(convert.image_to_rgb(image(rgb[..., 0], "8UC1")), grey)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_yuv422(encoding: str) -> None:
    rgb = picture()
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)
    packed = np.empty((*rgb.shape[:2], 2), np.uint8)
    luma, chroma = (1, 0) if encoding in ("yuv422", "uyvy") else (0, 1)
    packed[..., luma] = yuv[..., 0]
    packed[:, 0::2, chroma], packed[:, 1::2, chroma] = yuv[:, 0::2, 1], yuv[:, 0::2, 2]
    result = convert.image_to_rgb(image(packed, encoding)).astype(int)
    # OpenCV's 4:2:2 is video range: compare hues, not exact values.
    assert np.corrcoef(result.ravel(), rgb.ravel().astype(int))[0, 1] > 0.98


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_mosaics(pattern: str) -> None:
    flat = np.broadcast_to(np.array([200, 120, 40], np.uint8), (8, 8, 3))
    mosaic = np.empty((8, 8), np.uint8)
    for i, colour in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = flat[0, 0, "rgb".index(colour)]
    result = convert.image_to_rgb(image(mosaic, f"bayer_{pattern}8"))
    np.testing.assert_array_equal(result[2:-2, 2:-2], flat[2:-2, 2:-2])


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("big", [False, True])
def test_bayer_mosaics_of_16_bits_are_their_high_bytes(pattern: str, big: bool) -> None:
    mosaic = np.random.default_rng(1).integers(0, 1 << 16, (6, 8), dtype=np.uint16)
    result = convert.image_to_rgb(image(mosaic, f"bayer_{pattern}16", padding=3, big=big))
    high = (mosaic >> 8).astype(np.uint8)
    np.testing.assert_array_equal(result, convert.image_to_rgb(image(high, f"bayer_{pattern}8")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "32FC3"}, "encoding"),
        ({"height": 0}, "empty"),
        ({"width": 0}, "empty"),
        ({"step": 5}, "step"),
        ({"height": 60}, "step"),
        ({"data": array.array("B")}, "step"),
    ],
)
def test_images_that_cannot_be_used_say_why(change: dict, reason: str) -> None:
    message = image(picture(), "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ConvertError) as caught:
        convert.image_to_rgb(message)
    assert caught.value.reason == reason


def test_compressed_images() -> None:
    rgb = picture()
    png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    message = CompressedImage(header=HEADER, format="png", data=array.array("B", png))
    np.testing.assert_array_equal(convert.compressed_to_rgb(message), rgb)
    grey = cv2.imencode(".png", rgb[..., 0])[1].tobytes()
    message.data = array.array("B", grey)
    np.testing.assert_array_equal(convert.compressed_to_rgb(message), np.dstack([rgb[..., 0]] * 3))
    message.data = array.array("B")
    with pytest.raises(ConvertError, match="could not be decoded"):
        convert.compressed_to_rgb(message)
    for kind in (".png", ".jpg"):
        huge = cv2.imencode(kind, np.zeros((8_200, 8_200), np.uint8))[1]
        message.data = array.array("B", huge.tobytes())
        with pytest.raises(ConvertError, match="8200x8200 is too large"):
            convert.compressed_to_rgb(message)
    message.data = array.array("B", png[:40])
    with pytest.raises(ConvertError, match="could not be decoded"):
        convert.compressed_to_rgb(message)


def test_rgb_goes_out_and_comes_back() -> None:
    rgb = picture()
    message = convert.rgb_to_image(rgb[:, ::-1], HEADER)
    assert (message.encoding, message.step, message.header) == ("rgb8", 24, HEADER)
    np.testing.assert_array_equal(convert.image_to_rgb(message), rgb[:, ::-1])


def test_depth_of_both_kinds_becomes_metres_with_nan() -> None:
    metres = np.array([[1.5, np.inf, -1.0], [0.0, np.nan, 2.0]], np.float32)
    expected = np.array([[1.5, np.nan, np.nan], [np.nan, np.nan, 2.0]], np.float32)
    np.testing.assert_array_equal(
        convert.image_to_depth(convert.depth_to_image(metres, HEADER)), expected
    )
    millimetres = np.array([[1500, 0], [65535, 2000]], np.uint16)
    for encoding in ("16UC1", "mono16"):
        depth = convert.image_to_depth(image(millimetres, encoding, padding=2))
        np.testing.assert_allclose(depth, [[1.5, np.nan], [65.535, 2.0]], rtol=1e-6)
    with pytest.raises(ConvertError, match="32FC1 or 16UC1"):
        convert.image_to_depth(image(picture(), "rgb8"))


def test_a_camera_info_moves_by_half_a_pixel() -> None:
    """CameraInfo of a centred 640x480 camera says cx = 319.5; ours says 320."""
    camera = Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    info = convert.camera_to_camera_info(camera, HEADER)
    assert (info.k[2], info.k[5], info.p[2], info.p[6]) == (319.5, 239.5, 319.5, 239.5)
    K = np.reshape(info.k, (3, 3))
    np.testing.assert_array_equal(K, camera.matrix - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4)), np.c_[K, np.zeros(3)])
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    assert convert.camera_info_to_camera(info) == camera


def test_distortion_is_carried_and_checked() -> None:
    for model, d in (
        ("equidistant", (0.1, 0.0, 0.0, 0.0)),
        ("rational_polynomial", (0.1, -0.2, 0.01, 0.02, 0.0, 0.3, 0.1, 0.0)),
        ("plumb_bob", (0.1, -0.2, 0.01, 0.02)),
        ("plumb_bob", (0.1, -0.2, 0.01, 0.02, 0.0)),
    ):
        camera = Camera(64, 48, 50.0, 50.0, 32.0, 24.0, model, d)
        info = convert.camera_to_camera_info(camera, HEADER)
        assert convert.camera_info_to_camera(info) == camera
    info.d = [0.1, 0.2, 0.3]
    with pytest.raises(ConvertError, match="3 coefficients"):
        convert.camera_info_to_camera(info)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial"])
@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_coefficients_beyond_those_of_the_name_are_opencvs(model: str, count: int) -> None:
    """Orbbec publishes plumb_bob with eight, OpenCV calibrates rational models to fourteen."""
    d = (-0.3, 0.1, 0.001, -0.001) + (0.0,) * 10
    four = Camera(64, 48, 50.0, 50.0, 32.0, 24.0, "plumb_bob", d[:4])
    info = convert.camera_to_camera_info(four, HEADER)
    info.distortion_model, info.d = model, d[:count]
    camera = convert.camera_info_to_camera(info)
    assert camera is not None and camera.distortion == d[:count]
    np.testing.assert_allclose(rectification(camera).map_x, rectification(four).map_x)


@pytest.mark.parametrize("d", [[], [0.0] * 4])
def test_an_equidistant_lens_bends_without_coefficients(d: list[float]) -> None:
    info = convert.camera_to_camera_info(Camera(64, 48, 50.0, 50.0, 32.0, 24.0), HEADER)
    info.distortion_model, info.d = "equidistant", d
    camera = convert.camera_info_to_camera(info)
    assert camera is not None and camera.is_distorted and camera.distortion == (0.0,) * 4
    assert rectification(camera).camera.fx < 50
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    filled_up = convert.camera_info_to_camera(info)
    assert filled_up is not None and filled_up.distortion == (0.1, 0.0, 0.0, 0.0)
    info.distortion_model = "fisheye"
    assert convert.camera_info_to_camera(info) == filled_up
    info.distortion_model, info.d = "plumb_bob", d
    assert not convert.camera_info_to_camera(info).is_distorted


def test_binning_and_region_give_the_camera_of_the_published_image() -> None:
    info = convert.camera_to_camera_info(Camera(640, 480, 500.0, 500.0, 320.0, 240.0), HEADER)
    info.roi = RegionOfInterest(x_offset=100, y_offset=40, width=200, height=120)
    info.binning_x, info.binning_y = 2, 4
    assert convert.camera_info_to_camera(info) == Camera(100, 30, 250.0, 125.0, 110.0, 50.0)


def test_uncalibrated_and_impossible_camera_infos() -> None:
    assert convert.camera_info_to_camera(CameraInfo(width=4, height=4)) is None
    info = convert.camera_to_camera_info(Camera(64, 48, 50.0, 50.0, 32.0, 24.0), HEADER)
    k = list(info.k)
    for i, bad in ((0, -1.0), (0, float("nan")), (4, 0.0), (0, 1.0), (4, 1.0)):
        info.k = [*k[:i], bad, *k[i + 1 :]]
        with pytest.raises(ConvertError, match="calibrate"):
            convert.camera_info_to_camera(info)


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_camera_info_without_a_size_is_refused(side: str) -> None:
    info = convert.camera_to_camera_info(Camera.from_fov(8, 6, 60), HEADER)
    setattr(info, side, 0)
    with pytest.raises(ConvertError, match="no width and height"):
        convert.camera_info_to_camera(info)


def test_a_cloud_has_the_promised_layout_and_comes_back() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (50, 3), dtype=np.uint8)
    confidence = rng.uniform(1, 5, 50).astype(np.float32)
    cloud = convert.points_to_cloud(points, colors, confidence, HEADER)
    layout = [(f.name, f.offset, f.datatype) for f in cloud.fields]
    names = ["x", "y", "z", "rgb", "confidence"]
    assert layout == [(name, 4 * i, PointField.FLOAT32) for i, name in enumerate(names)]
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 50, 20, 1000)
    assert cloud.is_dense
    first = np.frombuffer(cloud.data, np.uint8)[:16]
    assert first[:12].tobytes() == points[0].tobytes()
    assert first[12:15].tolist() == colors[0, ::-1].tolist()
    for back, sent in zip(
        convert.cloud_to_points(cloud), (points, colors, confidence), strict=True
    ):
        np.testing.assert_array_equal(back, sent)


def test_an_empty_cloud_is_a_cloud() -> None:
    none = np.zeros((0, 3), np.float32)
    cloud = convert.points_to_cloud(none, none.astype(np.uint8), none[:, 0], HEADER)
    assert cloud.width == 0
    assert [len(part) for part in convert.cloud_to_points(cloud)] == [0, 0, 0]


def test_a_million_points_become_a_cloud_at_once() -> None:
    """Assigning bytes to a message's data, element by element, once took minutes."""
    points = np.zeros((1_000_000, 3), np.float32)
    began_s = time.thread_time()  # of this thread alone, however busy the machine is
    convert.points_to_cloud(points, points.astype(np.uint8), points[:, 0], HEADER)
    assert time.thread_time() - began_s < 2.0


def test_stamps_keep_every_nanosecond() -> None:
    stamp_ns = 1_700_000_000_123_456_789
    assert convert.stamp_to_ns(convert.ns_to_stamp(stamp_ns)) == stamp_ns


def test_poses_and_transforms_are_the_same_matrix() -> None:
    T = geometry.look_at((1.0, 2.0, 3.0), (0.0, 0.5, 0.0))
    np.testing.assert_allclose(convert.pose_to_matrix(convert.matrix_to_pose(T)), T, atol=1e-12)
    np.testing.assert_allclose(
        convert.transform_to_matrix(convert.matrix_to_transform(T)), T, atol=1e-12
    )


@pytest.mark.parametrize("bad", [(0.0, 0.0, 0.0, 0.0), (float("nan"), 0.0, 0.0, 1.0)])
def test_a_pose_without_direction_is_refused(bad: tuple[float, ...]) -> None:
    x, y, z, w = bad
    with pytest.raises(ConvertError, match="quaternion"):
        convert.pose_to_matrix(Pose(orientation=Quaternion(x=x, y=y, z=z, w=w)))


def test_a_pose_that_is_nowhere_is_refused() -> None:
    nowhere = Pose(position=Point(x=float("nan")), orientation=Quaternion(w=1.0))
    with pytest.raises(ConvertError, match="not finite"):
        convert.pose_to_matrix(nowhere)
