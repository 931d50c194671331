# SPDX-License-Identifier: Apache-2.0
"""A participant's farewell, said in its name to our own DDS alone.

A writer waits for a reliable reader until that one answers, leaves or its lease is over, and no
call of Cyclone DDS makes it stop: deleting it waits for the same. Whoever shuts down does not want
to wait ten seconds for a process that has stopped, and forgets it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

_DATA = 0x15
_LITTLE_ENDIAN, _INLINE_QOS, _KEY_ONLY = 1, 2, 8
# Entities of every participant that announce it and hear of others.
_ANNOUNCING, _HEARING = b"\0\1\0\xc2", b"\0\1\0\xc7"
_DISPOSED_AND_UNREGISTERED = 3
_STATUS_INFO, _PARTICIPANT_GUID, _END = 0x71, 0x50, 1


def farewell(guid: bytes) -> bytes:
    """The RTPS message in which a participant (GUID, 16 bytes) disposes of itself."""
    header = b"RTPS\2\1\1\x10" + guid[:12]
    body = struct.pack("<HH4s4siI", 0, 16, _HEARING, _ANNOUNCING, 0, 1)
    body += struct.pack("<HH", _STATUS_INFO, 4) + struct.pack(">I", _DISPOSED_AND_UNREGISTERED)
    body += struct.pack("<HH", _END, 0)
    body += b"\0\3\0\0" + struct.pack("<HH16s", _PARTICIPANT_GUID, 16, guid)
    body += struct.pack("<HH", _END, 0)
    flags = _LITTLE_ENDIAN | _INLINE_QOS | _KEY_ONLY
    return header + struct.pack("<BBH", _DATA, flags, len(body)) + body


def say_farewell(guid: bytes, addresses: Iterable[tuple[str, int]]) -> None:
    """Send it to sockets of this process, whose addresses are given."""
    message = farewell(guid)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for host, port in addresses:
            sender.sendto(message, ("127.0.0.1" if host == "0.0.0.0" else host, port))
