# SPDX-License-Identifier: Apache-2.0
"""XCDR1 codec of messages: straight-line Python made once per type.

Written: a list of buffers to be sent one after another, in which a large array appears as itself,
so nothing is copied here. Read: one-byte numbers are read-only views on the given buffer.
Neighbouring fields of fixed size share one `struct` call. Alignment counts from after the
encapsulation header; a string is its length with the NUL, its bytes and the NUL; a wstring holds
four bytes per UTF-16 unit; an empty structure is one zero byte.

What is refused has cost next to nothing: see `walking`.
"""

from __future__ import annotations

import struct
from typing import Any

from rosidl_embedded.cdr.layout import CdrError
from rosidl_embedded.cdr.reading import reader
from rosidl_embedded.cdr.writing import close, writer

__all__ = ["HEADER_LE", "CdrError", "deserialize", "serialize"]

HEADER_LE = b"\0\1\0\0"
# Objects made of so few bytes are cheap, whether the message is refused afterwards or not.
_CHEAP = 128


def serialize(message: Any, prefix: bytes = b"") -> list[memoryview]:
    """Encapsulated little-endian CDR of a message as buffers to be joined.

    `prefix` comes between the encapsulation and the body; its length is a multiple of 8.
    """
    parts: list[memoryview] = []
    # Four bytes more than are sent, so that alignment is that of len(buffer).
    buffer = bytearray(b"\0\0\0\0" + HEADER_LE + prefix)
    buffer = writer(type(message))(message, buffer, parts)
    close(buffer, parts)
    return parts


def deserialize(data: memoryview | bytes, message_class: type, skip: int = 0) -> Any:
    """Message from encapsulated CDR of either byte order, up to 3 bytes of padding tolerated.

    `skip` bytes after the encapsulation are passed over (a multiple of 8). One-byte numbers are
    views on `data`. Raises CdrError for anything that is not such a message.
    """
    data = memoryview(data).toreadonly()
    if len(data) < 4 + skip or data[0] != 0 or data[1] > 1:
        raise CdrError(f"no CDR encapsulation: {bytes(data[:4]).hex() or 'no bytes'}")
    body = data[4 + skip :]
    read, walk = reader(message_class, "<" if data[1] else ">")
    try:
        if walk is not None and len(body) > _CHEAP:
            _check_end(walk(body, 0, len(body)), len(body))
        message, end = read(body, 0, len(body))
    except (struct.error, IndexError) as error:
        raise CdrError(f"ends inside a field: {error}") from error
    _check_end(end, len(body))
    return message


def _check_end(end: int, size: int) -> None:
    if size - end > 3:
        raise CdrError(f"{size - end} bytes too many")
