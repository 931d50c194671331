# SPDX-License-Identifier: Apache-2.0
"""Sockets that hear this host alone.

Cyclone DDS binds its receiving sockets to every address whatever interface it is told to use, so
any host that knows the port could join. A participant on the address of loopback instead is
invisible to those of a ROS 2 that uses another address of this host. Whatever address they use,
what they send comes in through the device `lo`, and a filter of the kernel lets nothing else in.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

_HIGHEST_INDEX = 32
_SO_ATTACH_FILTER = 26
# Instructions of the kernel's classic packet filter: code, jumps if true and false, operand.
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_INTERFACE_INDEX = 0xFFFFF000 + 8


def hear_this_host_only(opened: socket.socket, domain_id: int) -> None:
    """Close a socket on which the domain listens to what does not come through `lo`."""
    first = 7400 + 250 * domain_id + 10
    if first <= opened.getsockname()[1] <= first + 2 * _HIGHEST_INDEX + 1:
        _accept_interface(opened, socket.if_nametoindex("lo"))


def new_udp_sockets(before: dict[str, int]) -> Iterator[socket.socket]:
    """Each socket that is not among `before` (`sockets()`), to be used at once."""
    for name, descriptor in sockets().items():
        if name not in before:
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as opened:
                if opened.family == socket.AF_INET and opened.type == socket.SOCK_DGRAM:
                    yield opened


def _accept_interface(opened: socket.socket, index: int) -> None:
    program = ctypes.create_string_buffer(
        struct.pack("=HBBI", _LOAD_WORD, 0, 0, _INTERFACE_INDEX)
        + struct.pack("=HBBI", _JUMP_IF_EQUAL, 0, 1, index)
        + struct.pack("=HBBI", _RETURN, 0, 0, 0xFFFFFFFF)
        + struct.pack("=HBBI", _RETURN, 0, 0, 0)
    )
    described = struct.pack("@HP", 4, ctypes.addressof(program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def sockets() -> dict[str, int]:
    """Sockets of this process: name in the kernel -> file descriptor."""
    found = {}
    with suppress(OSError):
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                found[os.readlink(f"/proc/self/fd/{descriptor}")] = int(descriptor)
    return {name: descriptor for name, descriptor in found.items() if name.startswith("socket:")}
