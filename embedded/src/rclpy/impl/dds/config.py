# SPDX-License-Identifier: Apache-2.0
"""Configuration of a DDS domain from ROS's environment variables."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from fcntl import ioctl
from html import escape
from pathlib import Path

# Within a host: datagrams as large as UDP allows, and lost ones asked for again soon, in pieces
# that fit the receive buffer of a kernel nobody has tuned.
_LOCAL_MESSAGES = "<MaxMessageSize>65500B</MaxMessageSize><FragmentSize>65000B</FragmentSize>"
_LOCAL_REPAIR = "<NackDelay>10ms</NackDelay><BurstSize><MaxRexmit>131072B</MaxRexmit></BurstSize>"
# How long a writer that is destroyed waits for a reader that does not answer. Cyclone's second for
# each would keep a node with a dozen publishers alive for ten after Ctrl-C.
_LEAVING = "<WriterLingerDuration>100ms</WriterLingerDuration>"
# With a farewell goes a hash of who leaves: Fast DDS reads nothing else of it, and would keep who
# has left for the lease of ten seconds. Topics of ROS have no keys: messages stay as they are.
_KEY_HASHES = "<GenerateKeyhash>true</GenerateKeyhash>"
# Types as Fast DDS (vendor 1.15) describes them would keep Cyclone from matching; ROS matches by
# name.
_COMPATIBILITY = (
    "<Compatibility><IgnoreTypeInformation>1.15</IgnoreTypeInformation></Compatibility>"
)
# Peers are asked again and again, and never forgotten. Cyclone would ask twice in a tenth of a
# second and drop who does not answer: a host that starts later would never be found.
_ASK_AGAIN = "<SPDPInterval>5s</SPDPInterval>"
_LOOPBACK = '<Interfaces><NetworkInterface name="lo"/></Interfaces>'
_AND_LOOPBACK = '<Interfaces><NetworkInterface {}/><NetworkInterface name="lo"/></Interfaces>'
_ANY = 'autodetermine="true"'
# What a receive buffer should hold: several large clouds. The kernel grants what it allows.
_RECEIVE_BUFFER = 16 * 2**20
# More than waits in a stock kernel for the address of a host that is out of range (208 KB):
# writers block while their buffer is full. The kernel doubles it.
_SEND_BUFFER = 212992
_GET_ADDRESS, _GET_FLAGS = 0x8915, 0x8913
_UP, _POINT_TO_POINT, _MULTICAST = 0x1, 0x10, 0x1000
# Some address beyond every own network: the kernel tells the way there, nothing is sent.
_FAR_AWAY = ("203.0.113.1", 9)
_RANGES = ("LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT")


def domain_id(environment: Mapping[str, str] = os.environ) -> int:
    """ROS_DOMAIN_ID as a number, 0 where unset; raises ValueError for anything else."""
    text = environment.get("ROS_DOMAIN_ID", "") or "0"
    if not text.isdecimal() or int(text) > 232:
        raise ValueError(f"ROS_DOMAIN_ID is '{text}': it must be a number from 0 to 232")
    return int(text)


def domain_configuration(environment: Mapping[str, str] = os.environ) -> str:
    """XML for Cyclone DDS, followed by CYCLONEDDS_URI, which can override it.

    Unless ROS_AUTOMATIC_DISCOVERY_RANGE is SUBNET, discovery is by unicast to this host, nothing
    is sent beyond it. A participant on loopback alone is invisible to those of a ROS 2 that uses
    the host's other address (see `loopback`), and one on that address ignores what Fast DDS sends
    from the loopback: we use both, and ask from both. In SUBNET too: what is said within the host
    takes the loopback and outlives the network. Hosts of ROS_STATIC_PEERS are asked in any range
    but OFF.
    """
    reach, peers = _range(environment), _static_peers(environment)
    general, discovery, internal = "", "", _LEAVING + _KEY_HASHES + _buffers()
    if _is_local(environment):
        general, internal = _LOCAL_MESSAGES, internal + _LOCAL_REPAIR
    if reach == "OFF":
        general += f"{_LOOPBACK}<AllowMulticast>false</AllowMulticast>"
        discovery = f"<Tag>ros_discovery_off_{os.getpid()}</Tag>"
    elif reach == "LOCALHOST":
        own_address = _own_address() if is_closed(environment) else None
        if own_address is not None:
            general += _AND_LOOPBACK.format(_ANY)
            peers = [own_address]
        general += "<AllowMulticast>false</AllowMulticast>"
        discovery = _unicast(["localhost", *peers])
    else:
        if _networks() and not environment.get("CYCLONEDDS_URI"):
            general += _AND_LOOPBACK.format(_network_of_default_route())
        discovery = _peers(peers) if peers else ""
    xml = (
        f"<CycloneDDS><Domain><General>{general}</General>"
        f"<Discovery>{discovery}</Discovery><Internal>{internal}</Internal>{_COMPATIBILITY}"
        "</Domain></CycloneDDS>"
    )
    own = environment.get("CYCLONEDDS_URI", "")
    return f"{xml},{own}" if own else xml


def is_closed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether no other host may reach us. With CYCLONEDDS_URI users decide themselves."""
    return _is_local(environment) and not environment.get("CYCLONEDDS_URI")


def doubt(environment: Mapping[str, str] = os.environ) -> str:
    """Why hosts that we want to meet may not be reached, "" where nothing speaks against it."""
    if _is_local(environment):
        return ""
    if not _networks():
        return (
            "no network but the loopback is up: other hosts will not be reached, "
            "start again when it is"
        )
    names = _networks(_UP | _MULTICAST, _POINT_TO_POINT)
    if len(names) < 2 or environment.get("CYCLONEDDS_URI") or _network_of_default_route() != _ANY:
        return ""
    return (
        f"there are the networks {', '.join(names)} and no default route over one of them to say "
        "which to use: where other hosts are not met, name it in CYCLONEDDS_URI"
    )


def _is_local(environment: Mapping[str, str]) -> bool:
    reach = _range(environment)
    return reach == "OFF" or (reach == "LOCALHOST" and not _static_peers(environment))


def _range(environment: Mapping[str, str]) -> str:
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() or "LOCALHOST"
    if reach not in _RANGES:
        raise ValueError(
            f"ROS_AUTOMATIC_DISCOVERY_RANGE is '{reach}': it must be one of {', '.join(_RANGES)}"
        )
    return reach


def _static_peers(environment: Mapping[str, str]) -> list[str]:
    return [peer for peer in environment.get("ROS_STATIC_PEERS", "").split(";") if peer.strip()]


def _unicast(peers: list[str]) -> str:
    return (
        "<ParticipantIndex>auto</ParticipantIndex>"
        "<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>" + _peers(peers)
    )


def _peers(peers: list[str]) -> str:
    return "".join(
        [
            f"{_ASK_AGAIN}<Peers>",
            *(f'<Peer address="{escape(peer.strip())}" PruneDelay="inf"/>' for peer in peers),
            "</Peers>",
        ]
    )


def _networks(needed_flags: int = _UP, other_flags: int = 0) -> dict[str, str]:
    """Interface -> its address, of those with an IPv4 address beside the ones of loopback."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("40s", name.encode())
            with suppress(OSError):
                flags = struct.unpack_from("=H", ioctl(probe, _GET_FLAGS, request), 16)[0]
                address = socket.inet_ntoa(ioctl(probe, _GET_ADDRESS, request)[20:24])
                is_fit = flags & (needed_flags | other_flags) == needed_flags
                if is_fit and not address.startswith("127."):
                    found[name] = address
    return found


def _own_address() -> str | None:
    return next(iter(_networks().values()), None)


def _network_of_default_route() -> str:
    """The interface towards the rest of the world: what else there is may be of containers."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_FAR_AWAY)
        for name, address in _networks(_UP | _MULTICAST, _POINT_TO_POINT).items():
            if address == probe.getsockname()[0]:
                return f'name="{escape(name)}"'
    return _ANY


def _buffers() -> str:
    """Ask for large socket buffers, take what the kernel allows."""
    return "".join(
        f'<Socket{kind}BufferSize min="default" max="{min(allowed, wanted)}B"/>'
        for kind, limit, wanted in (
            ("Receive", "rmem_max", _RECEIVE_BUFFER),
            ("Send", "wmem_max", _SEND_BUFFER),
        )
        if (allowed := _kernel_limit(limit))
    )


def _kernel_limit(name: str) -> int | None:
    try:
        return int(Path("/proc/sys/net/core", name).read_text())
    except (OSError, ValueError):
        return None
