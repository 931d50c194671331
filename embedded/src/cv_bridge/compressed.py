# SPDX-License-Identifier: Apache-2.0
"""Whether a file can hold the image that it says it is, before OpenCV allocates that."""

from __future__ import annotations

import struct

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Markers of a JPEG: those that say its size are 0xC0 to 0xCF without these three.
_NO_SIZE = (0xC4, 0xC8, 0xCC)
_SCAN = 0xDA
# A byte of a JPEG is at most so many pixels: of each block of 64 it says at least one bit.
_PIXELS_PER_BYTE = 8 * 64


def is_whole(data: memoryview) -> bool:
    """Whether there is something, all chunks of a PNG, and enough for the pixels of a JPEG."""
    if data[: len(_PNG)] == _PNG:
        return _has_its_chunks(data)
    if data[: len(_JPEG)] == _JPEG:
        return _pixels_of_jpeg(data) <= _PIXELS_PER_BYTE * len(data)
    return len(data) > 0


def _has_its_chunks(data: memoryview) -> bool:
    at = len(_PNG)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if name == b"IEND":
            break
    return at <= len(data)


def _pixels_of_jpeg(data: memoryview) -> int:
    """As its header says, 0 where none does."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:  # OpenCV passes over what is between segments, too
            at += 1
            continue
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(height) * int(width)
        if marker == _SCAN:
            return 0
        # Fill bytes and markers that stand alone have no length.
        is_alone = marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9
        if is_alone:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0
