# SPDX-License-Identifier: Apache-2.0
"""Image conversions: layouts and byte orders by hand, colours against OpenCV."""

import array
import contextlib
import random
import struct

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError, getCvType
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
RNG = np.random.default_rng(5)
COLOR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def image(data, height, width, encoding, step, is_bigendian=0):
    """An Image of these bytes."""
    return Image(
        height=height, width=width, encoding=encoding, step=step, is_bigendian=is_bigendian,
        data=array.array("B", data),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("mono8", np.uint8, 1), ("mono16", np.uint16, 1), ("rgb8", np.uint8, 3),
        ("bgra8", np.uint8, 4), ("rgb16", np.uint16, 3), ("32FC1", np.float32, 1),
        ("16UC1", np.uint16, 1), ("64FC3", np.float64, 3), ("8SC2", np.int8, 2),
        ("32SC4", np.int32, 4), ("bayer_rggb8", np.uint8, 1), ("yuv422", np.uint8, 2),
        ("yuv422_yuy2", np.uint8, 2), ("8UC", np.uint8, 1), ("yuyv", np.uint8, 2),
        ("bgr16", np.uint16, 3), ("rgba16", np.uint16, 4), ("bayer_gbrg16", np.uint16, 1),
    ],
)  # fmt: skip
def test_every_encoding_survives_the_way_there_and_back(encoding, dtype, channels):
    shape = (5, 4) if channels == 1 else (5, 4, channels)
    pixels = (RNG.uniform(0, 100, shape)).astype(dtype)
    message = BRIDGE.cv2_to_imgmsg(pixels, encoding)
    assert message.step == 4 * channels * np.dtype(dtype).itemsize
    assert isinstance(message.data, array.array)
    assert message.data.typecode == "B"
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels)
    assert np.shares_memory(back, np.frombuffer(message.data, np.uint8))


def test_an_image_without_encoding_is_named_after_its_array():
    header = Header(frame_id="camera")
    for pixels, encoding in ((COLOR, "8UC3"), (np.ones((2, 3), np.float32), "32FC1")):
        message = BRIDGE.cv2_to_imgmsg(pixels, header=header)
        assert (message.encoding, message.header.frame_id) == (encoding, "camera")
        np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), pixels)


def test_padded_rows_are_skipped():
    rows = [bytes([1, 2, 3, 99]), bytes([4, 5, 6])]  # the last row may lack its padding
    pixels = BRIDGE.imgmsg_to_cv2(image(b"".join(rows), 2, 3, "mono8", 4))
    np.testing.assert_array_equal(pixels, [[1, 2, 3], [4, 5, 6]])


def test_big_endian_pixels_become_native():
    data = struct.pack(">4H", 1, 256, 513, 65535)
    pixels = BRIDGE.imgmsg_to_cv2(image(data, 2, 2, "mono16", 4, is_bigendian=1))
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, [[1, 256], [513, 65535]])
    swapped = BRIDGE.cv2_to_imgmsg(pixels.astype(">u2"), "mono16")
    assert swapped.is_bigendian
    assert bytes(swapped.data) == data


def test_views_of_an_image_are_written_row_by_row():
    message = BRIDGE.cv2_to_imgmsg(COLOR[1:4, ::2, ::-1], "rgb8")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), COLOR[1:4, ::2, ::-1])


@pytest.mark.parametrize(
    ("encoding", "desired", "expected"),
    [
        ("rgb8", "bgr8", COLOR[..., ::-1]),
        ("rgb8", "mono8", cv2.cvtColor(COLOR, cv2.COLOR_RGB2GRAY)),
        ("bgr8", "rgba8", cv2.cvtColor(COLOR, cv2.COLOR_BGR2RGBA)),
        ("rgb8", "rgb16", COLOR.astype(np.uint16) * 257),
        ("rgb8", "yuv422", cv2.cvtColor(COLOR, cv2.COLOR_RGB2YUV_UYVY)),
        ("bgr8", "yuyv", cv2.cvtColor(COLOR, cv2.COLOR_BGR2YUV_YUY2)),
        ("8UC3", "32FC3", COLOR.astype(np.float32)),
        ("rgb8", "8UC3", COLOR),
    ],
)
def test_colours_are_converted(encoding, desired, expected):
    message = BRIDGE.cv2_to_imgmsg(COLOR, encoding)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, desired), expected)


def test_sixteen_bits_become_eight_by_scale_not_by_cutting():
    message = BRIDGE.cv2_to_imgmsg(np.array([[0, 257, 65535]], np.uint16), "mono16")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "mono8"), [[0, 1, 255]])


def test_numbers_are_rounded_and_kept_within_what_the_type_holds():
    values = np.array([[1.4, 2.6, -5, 70_000, np.nan, np.inf, -np.inf]], np.float32)
    message = BRIDGE.cv2_to_imgmsg(values)
    for desired, most, least in (("16UC1", 65_535, 0), ("8SC1", 127, -128)):
        expected = [[1, 3, max(-5, least), most, 0, most, least]]
        np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, desired), expected)
    message = BRIDGE.cv2_to_imgmsg(np.array([[128, 129]], np.uint16), "mono16")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "mono8"), [[0, 1]])


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_each_bayer_pattern_gives_the_colour_it_was_made_of(pattern):
    rgb = np.zeros((8, 8, 3), np.uint8) + np.array([200, 120, 40], np.uint8)
    mosaic = np.empty((8, 8), np.uint8)
    for position, channel in enumerate(pattern):
        row, column = divmod(position, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(channel)]
    message = BRIDGE.cv2_to_imgmsg(mosaic, f"bayer_{pattern}8")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "rgb8")[2:6, 2:6], rgb[2:6, 2:6])


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [
        ("yuv422", (128, 90)),
        ("uyvy", (128, 90)),
        ("yuv422_yuy2", (90, 128)),
        ("yuyv", (90, 128)),
    ],
)
def test_yuv422_without_colour_is_grey(encoding, pixel):
    message = BRIDGE.cv2_to_imgmsg(np.full((2, 4, 2), pixel, np.uint8), encoding)
    grey = BRIDGE.imgmsg_to_cv2(message, "bgr8")
    assert grey.shape == (2, 4, 3)
    assert grey.max() - grey.min() <= 1
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "mono8"), np.full((2, 4), 90))


def test_what_makes_no_sense_is_refused():
    depth = BRIDGE.cv2_to_imgmsg(np.ones((2, 2), np.float32), "32FC1")
    with pytest.raises(CvBridgeError, match="does not make sense"):
        BRIDGE.imgmsg_to_cv2(depth, "bgr8")
    with pytest.raises(CvBridgeError, match="same number of channel"):
        BRIDGE.imgmsg_to_cv2(depth, "32FC3")
    with pytest.raises(CvBridgeError, match="Unrecognized image encoding"):
        BRIDGE.imgmsg_to_cv2(image(b"", 0, 0, "rgb5", 0))
    with pytest.raises(CvBridgeError, match="incompatible type 8UC3"):
        BRIDGE.cv2_to_imgmsg(COLOR, "mono8")
    with pytest.raises(CvBridgeError, match="float16"):
        BRIDGE.cv2_to_imgmsg(np.ones((2, 2), np.float16))
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_imgmsg([[1, 2]])
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_compressed_imgmsg([[1, 2]])
    for short in (
        image(b"123", 2, 2, "mono8", 2),
        image(b"1234", 2, 2, "mono8", 1),
        image(b"", 1, 1, "mono8", 1),
    ):
        with pytest.raises(CvBridgeError, match="does not fit"):
            BRIDGE.imgmsg_to_cv2(short)
    with pytest.raises(CvBridgeError, match=r"of an image \(0, 0, 3\)"):
        BRIDGE.imgmsg_to_cv2(image(b"", 0, 0, "rgb8", 0), "bgr8")
    for none in ("8UC0", "8UC\u0663", "8UC100", "8UC-1"):
        with pytest.raises(CvBridgeError, match="Unrecognized image encoding"):
            getCvType(none)
    for shape in ((), (3,), (2, 2, 2, 2)):
        with pytest.raises(CvBridgeError, match="no image of 2 or 3 dimensions"):
            BRIDGE.cv2_to_imgmsg(np.zeros(shape, np.uint8))
    with pytest.raises(CvBridgeError, match="-1 is no pixel type"):
        BRIDGE.cvtype2_to_dtype_with_channels(-1)
    with pytest.raises(NotImplementedError, match="nv21"):
        BRIDGE.imgmsg_to_cv2(image(b"1234", 2, 2, "nv21", 2), "bgr8")


def test_an_empty_image_is_an_empty_array():
    assert BRIDGE.imgmsg_to_cv2(image(b"", 0, 0, "rgb8", 0)).shape == (0, 0, 3)


def test_compressed_images():
    smooth = cv2.GaussianBlur(COLOR, (5, 5), 3)
    png = BRIDGE.cv2_to_compressed_imgmsg(smooth, "png")
    assert png.format == "png"
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(png), smooth)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(png, "rgb8"), smooth[..., ::-1])
    jpeg = BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(smooth))
    assert np.abs(jpeg.astype(int) - smooth).mean() < 12
    mono = BRIDGE.cv2_to_compressed_imgmsg(smooth[..., 0], "png")
    assert BRIDGE.compressed_imgmsg_to_cv2(mono, "bgr8").shape == (6, 8, 3)
    with pytest.raises(CvBridgeError, match="not a readable image"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=array.array("B", b"x")))
    with pytest.raises(CvBridgeError, match="none of"):
        BRIDGE.cv2_to_compressed_imgmsg(smooth, "webm")
    for none in (np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8), np.zeros((2, 2), "c8")):
        with pytest.raises(CvBridgeError, match="cannot write"):
            BRIDGE.cv2_to_compressed_imgmsg(none, "png")


def test_a_compressed_depth_image_is_no_image():
    """Its twelve bytes before the PNG are for a plugin of image_transport."""
    png = BRIDGE.cv2_to_compressed_imgmsg(np.full((4, 4), 900, np.uint16), "png")
    for head in (bytes(12), bytes(range(12)), b"\xff" * 12, bytes(5)):
        depth = CompressedImage(
            format="16UC1; compressedDepth png", data=array.array("B", head + bytes(png.data))
        )
        with pytest.raises(CvBridgeError, match="compressedDepth png"):
            BRIDGE.compressed_imgmsg_to_cv2(depth)


@pytest.mark.parametrize("length", [0x00_00_FF_FF, 0xFF_00_00_00])
def test_a_chunk_of_a_png_longer_than_the_png_never_reaches_opencv(monkeypatch, length):
    """Which allocates all of it."""
    png = BRIDGE.cv2_to_compressed_imgmsg(COLOR, "png")
    struct.pack_into(">I", png.data, bytes(png.data).index(b"IDAT") - 4, length)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(CvBridgeError, match="not a readable image"):
        BRIDGE.compressed_imgmsg_to_cv2(png)


@pytest.mark.parametrize("side", [2_000, 65_500])
def test_a_jpeg_of_more_pixels_than_its_bytes_can_hold_never_reaches_opencv(monkeypatch, side):
    """Which makes them all: 631 bytes took 5 GB and 24 seconds."""
    jpeg = BRIDGE.cv2_to_compressed_imgmsg(COLOR)
    size_at = bytes(jpeg.data).index(b"\xff\xc0") + 5
    struct.pack_into(">HH", jpeg.data, size_at, side, side)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(CvBridgeError, match="not a readable image"):
        BRIDGE.compressed_imgmsg_to_cv2(jpeg)


@pytest.mark.parametrize("progressive", [0, 1])
def test_the_emptiest_jpeg_is_read(progressive):
    """All of one colour, its codes as short as they can be."""
    options = [
        cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive,
        cv2.IMWRITE_JPEG_QUALITY, 1,
    ]  # fmt: skip
    jpeg = cv2.imencode(".jpg", np.full((4000, 4000), 128, np.uint8), options)[1]
    message = CompressedImage(format="jpeg", data=array.array("B", jpeg.tobytes()))
    assert BRIDGE.compressed_imgmsg_to_cv2(message).shape == (4000, 4000)


def test_damaged_files_raise_bridge_errors_alone():
    """Whatever the format: OpenCV tells it by the bytes."""
    rng = random.Random(5)
    for name in ("png", "jpg", "bmp", "tiff", "ppm"):
        whole = bytes(BRIDGE.cv2_to_compressed_imgmsg(COLOR, name).data)
        for _ in range(40):
            data = array.array("B", whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
            for _ in range(rng.choice([1, 4]) if data else 0):
                data[rng.randrange(min(len(data), 60))] = rng.choice([0, 255, rng.randrange(256)])
            with contextlib.suppress(CvBridgeError):
                BRIDGE.compressed_imgmsg_to_cv2(
                    CompressedImage(format=name, data=data), rng.choice(["passthrough", "mono8"])
                )


def test_types_have_opencv_numbers():
    assert getCvType("bgr8") == cv2.CV_8UC3
    assert getCvType("8UC5") == cv2.CV_8UC(5)
    assert BRIDGE.encoding_to_cvtype2("32FC1") == cv2.CV_32FC1
    assert BRIDGE.encoding_to_dtype_with_channels("rgba16") == ("uint16", 4)
    assert BRIDGE.cvtype2_to_dtype_with_channels(cv2.CV_16SC2) == ("int16", 2)
    assert BRIDGE.dtype_with_channels_to_cvtype2(np.dtype(np.int32), 1) == "32SC1"
