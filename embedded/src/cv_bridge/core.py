# SPDX-License-Identifier: Apache-2.0
"""CvBridge: image messages as numpy arrays, padded rows and foreign byte order included."""

from __future__ import annotations

import array
import sys
from contextlib import suppress

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cv_bridge.compressed import is_whole
from cv_bridge.encodings import DTYPES, CvBridgeError, convert_color, depth_and_channels

COMPRESSED_FORMATS = (
    "bmp", "dib", "jpeg", "jpg", "jpe", "jp2", "png", "pbm", "pgm", "ppm", "sr", "ras", "tiff",
    "tif",
)  # fmt: skip


def getCvType(encoding: str) -> int:
    """Return OpenCV's number for the pixels of an encoding, e.g. cv2.CV_8UC3 for "bgr8"."""
    depth, channels = depth_and_channels(encoding)
    return int(getattr(cv2, f"CV_{depth}C")(channels))


class CvBridge:
    """Converts between sensor_msgs images and arrays (H, W) or (H, W, C)."""

    def __init__(self) -> None:
        self.cvtype_to_name = {
            getattr(cv2, f"CV_{depth}C{channels}"): f"{depth}C{channels}"
            for depth in DTYPES
            for channels in (1, 2, 3, 4)
        }
        self.numpy_type_to_cvtype = {dtype.name: depth for depth, dtype in DTYPES.items()}
        self.numpy_type_to_cvtype.update({depth: dtype.name for depth, dtype in DTYPES.items()})

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """Return e.g. "8UC3" for uint8 and 3."""
        if dtype.name not in self.numpy_type_to_cvtype:
            raise CvBridgeError(f"OpenCV has no pixel type for arrays of {dtype.name}")
        return f"{self.numpy_type_to_cvtype[dtype.name]}C{n_channels}"

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """Return e.g. ("uint8", 3) for cv2.CV_8UC3; CvBridgeError for what is no such number."""
        if cvtype not in self.cvtype_to_name:
            raise CvBridgeError(f"{cvtype} is no pixel type of OpenCV")
        depth, channels = self.cvtype_to_name[cvtype].split("C")
        return self.numpy_type_to_cvtype[depth], int(channels)

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """Return e.g. cv2.CV_8UC3 for "bgr8"; CvBridgeError for what is no encoding."""
        return getCvType(encoding)

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return e.g. ("uint8", 3) for "bgr8"; CvBridgeError for what is no encoding."""
        depth, channels = depth_and_channels(encoding)
        return DTYPES[depth].name, channels

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        """Return the image as an array of native byte order.

        With "passthrough", or the message's own encoding, it is a view of the message's bytes
        (read-only where those came from the network).

        Raises:
            CvBridgeError: an unknown encoding, a conversion that makes no sense, or fewer bytes
                than height, width and step ask for.
        """
        image = _pixels(img_msg)
        if desired_encoding == "passthrough":
            return image
        return convert_color(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: np.ndarray, encoding: str = "passthrough", header: Header | None = None
    ) -> Image:
        """Return an image message; "passthrough" names the encoding after the array, e.g. 8UC3.

        Raises:
            TypeError: not an array.
            CvBridgeError: the encoding has another pixel type than the array, or that is none of
                2 or 3 dimensions.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        if cvim.ndim not in (2, 3):
            raise CvBridgeError(f"an array {cvim.shape} is no image of 2 or 3 dimensions")
        cv_type = self.dtype_with_channels_to_cvtype2(
            cvim.dtype, 1 if cvim.ndim < 3 else cvim.shape[2]
        )
        if encoding == "passthrough":
            encoding = cv_type
        elif "{}C{}".format(*depth_and_channels(encoding)) != cv_type:
            raise CvBridgeError(
                f"encoding specified as {encoding}, but image has incompatible type {cv_type}"
            )
        height, width = cvim.shape[:2]
        data = array.array("B")
        data.frombytes(np.ascontiguousarray(cvim).reshape(-1).view(np.uint8).data)
        order = cvim.dtype.byteorder
        return Image(
            header=Header() if header is None else header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=order == ">" or (order == "=" and sys.byteorder == "big"),
            step=len(data) // height if height else 0,
            data=data,
        )

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> np.ndarray:
        """Return a JPEG, PNG, ... as an array; colour images are BGR unless asked otherwise.

        Raises:
            CvBridgeError: the bytes are no image, or the conversion makes no sense.
        """
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        image = None
        with suppress(cv2.error):
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if is_whole(data.data) else None
        if image is None:
            raise CvBridgeError(
                f"{data.size} bytes of format [{cmprs_img_msg.format}] are not a readable image"
            )
        if desired_encoding == "passthrough":
            return image
        channels = 1 if image.ndim == 2 else image.shape[2]
        space = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels, f"{channels} channels of ")
        return convert_color(image, f"{space}{image.dtype.itemsize * 8}", desired_encoding)

    def cv2_to_compressed_imgmsg(
        self, cvim: np.ndarray, dst_format: str = "jpg"
    ) -> CompressedImage:
        """Return the array (mono or BGR) encoded as `dst_format`.

        Raises:
            TypeError: not an array.
            CvBridgeError: a format that OpenCV cannot write, or not with this array.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        if dst_format not in COMPRESSED_FORMATS:
            raise CvBridgeError(f"[{dst_format}] is none of {', '.join(COMPRESSED_FORMATS)}")
        data = array.array("B")
        with suppress(cv2.error):
            written, encoded = cv2.imencode(f".{dst_format}", cvim)
            if written:
                data.frombytes(encoded.data)
        if not data:
            raise CvBridgeError(f"cannot write an image {cvim.shape} {cvim.dtype} as {dst_format}")
        return CompressedImage(format=dst_format, data=data)


def _pixels(message: Image) -> np.ndarray:
    """Return the pixels of a message in native byte order, a view where that is what they are."""
    depth, channels = depth_and_channels(message.encoding)
    dtype = DTYPES[depth].newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    pixel = dtype.itemsize * channels
    step = step or width * pixel
    data = np.frombuffer(message.data, dtype=np.uint8) if len(message.data) else np.empty(0, "u1")
    needed = (height - 1) * step + width * pixel if height else 0
    if step < width * pixel or data.size < needed:
        raise CvBridgeError(
            f"an image of {height} rows of {width} pixels [{message.encoding}] with step {step} "
            f"does not fit in {data.size} bytes"
        )
    image = np.ndarray(
        shape=(height, width, channels),
        dtype=dtype,
        buffer=data,
        strides=(step, pixel, dtype.itemsize),
    )
    if channels == 1:
        image = image[:, :, 0]
    return image if dtype.isnative else image.astype(dtype.newbyteorder("="))
