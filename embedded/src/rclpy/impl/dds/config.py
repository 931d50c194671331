# SPDX-License-Identifier: Apache-2.0
"""Configuration of a DDS domain from ROS's environment variables."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fcntl import ioctl
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
_LOOPBACK = 'name="lo"'
_ANY = 'autodetermine="true"'
# Peers are asked over the interface that Cyclone prefers, and no other: by itself the loopback.
_BEFORE_LOOPBACK = ' priority="3"'
# What a receive buffer should hold: several large clouds. The kernel grants what it allows.
_RECEIVE_BUFFER = 16 * 2**20
# More than waits in a stock kernel for the address of a host that is out of range (208 KB):
# writers block while their buffer is full. The kernel doubles it.
_SEND_BUFFER = 212992
_GET_ADDRESSES, _GET_FLAGS = 0x8912, 0x8913
_ENTRY, _MOST_ENTRIES = 40, 1024  # bytes of one address in the kernel's list, and how many
_UP, _LOOPS, _POINT_TO_POINT, _MULTICAST = 0x1, 0x8, 0x10, 0x1000
# Some address beyond every own network: the kernel tells the way there, nothing is sent.
_FAR_AWAY, _DISCARD = "203.0.113.1", 9
_RMW = "rmw_cyclonedds_cpp"
_RANGES = ("LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT")

Peers = dict[str, str]


def domain_id(environment: Mapping[str, str] = os.environ) -> int:
    """ROS_DOMAIN_ID as a number, 0 where unset; raises ValueError for anything else."""
    text = environment.get("ROS_DOMAIN_ID", "") or "0"
    if not text.isdecimal() or int(text) > 232:
        raise ValueError(f"ROS_DOMAIN_ID is '{text}': it must be a number from 0 to 232")
    return int(text)


def static_peers(environment: Mapping[str, str] = os.environ) -> Peers:
    """Hosts of ROS_STATIC_PEERS and their addresses, "" where none is known here.

    Cyclone DDS would end the process for one that it cannot look up, or 0.0.0.0.
    """
    peers = {} if _range(environment) == "OFF" else dict.fromkeys(_peer_names(environment), "")
    return {peer: _resolved(peer) for peer in peers}


def domain_configuration(
    environment: Mapping[str, str] = os.environ, peers: Peers | None = None
) -> str:
    """XML for Cyclone DDS, followed by CYCLONEDDS_URI, which can override it.

    Unless ROS_AUTOMATIC_DISCOVERY_RANGE is SUBNET, discovery is by unicast to this host, nothing
    is sent beyond it. A participant on loopback alone is invisible to those of a ROS 2 that uses
    the host's other address (see `loopback`), and one on that address ignores what Fast DDS sends
    from the loopback: we use both, and ask from both. In SUBNET too: what is said within the host
    takes the loopback and outlives the network. Hosts of ROS_STATIC_PEERS are asked in any range
    but OFF, over the networks that lead to them.
    """
    peers = static_peers(environment) if peers is None else peers
    reach, asked = _range(environment), [address for address in peers.values() if address]
    general, discovery, internal = "", "", _LEAVING + _KEY_HASHES + _buffers()
    if _is_local(environment):
        general, internal = _LOCAL_MESSAGES, internal + _LOCAL_REPAIR
    if reach == "OFF":
        general += f"{_interfaces([_LOOPBACK])}<AllowMulticast>false</AllowMulticast>"
        discovery = f"<Tag>ros_discovery_off_{os.getpid()}</Tag>"
    elif reach == "LOCALHOST":
        own_address = _own_address() if is_closed(environment) else None
        if own_address is not None:
            general += _interfaces([_ANY, _LOOPBACK])
            asked = [own_address]
        elif not _is_local(environment):
            general += _networks_beyond(environment, peers)
        general += "<AllowMulticast>false</AllowMulticast>"
        discovery = _unicast(["localhost", *asked])
    else:
        general += _networks_beyond(environment, peers)
        discovery = _peers(asked) if asked else ""
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


def doubts(
    environment: Mapping[str, str] = os.environ, peers: Peers | None = None
) -> Iterator[str]:
    """Why hosts that we want to meet may not be reached; nothing where nothing says so."""
    if (other := environment.get("RMW_IMPLEMENTATION", "")) not in ("", _RMW):
        yield (
            f"RMW_IMPLEMENTATION is {other}, but this runtime has {_RMW} alone: it calls no "
            "services of nodes with another, and meets only those that speak DDS"
        )
    if _is_local(environment):
        return
    peers = static_peers(environment) if peers is None else peers
    if unknown := [peer for peer, address in peers.items() if not address]:
        yield (
            f"{', '.join(unknown)} of ROS_STATIC_PEERS: no address is known here, nothing will be "
            "asked there, start again when there is one"
        )
    if not _networks():
        yield (
            "no network but the loopback is up: other hosts will not be reached, "
            "start again when it is"
        )
        return
    names = _networks(_UP | _MULTICAST, _POINT_TO_POINT)
    if (
        len(names) > 1
        and not environment.get("CYCLONEDDS_URI")
        and _ANY in _chosen(environment, peers)
    ):
        yield (
            f"there are the networks {', '.join(names)} and no default route over one of them to "
            "say which to use: where other hosts are not met, name it in CYCLONEDDS_URI"
        )


def _is_local(environment: Mapping[str, str]) -> bool:
    reach = _range(environment)
    return reach == "OFF" or (reach == "LOCALHOST" and not _peer_names(environment))


def _range(environment: Mapping[str, str]) -> str:
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() or "LOCALHOST"
    if reach not in _RANGES:
        raise ValueError(
            f"ROS_AUTOMATIC_DISCOVERY_RANGE is '{reach}': it must be one of {', '.join(_RANGES)}"
        )
    return reach


def _peer_names(environment: Mapping[str, str]) -> list[str]:
    return [
        peer
        for part in environment.get("ROS_STATIC_PEERS", "").split(";")
        if (peer := part.strip())
    ]


def _unicast(peers: list[str]) -> str:
    return (
        "<ParticipantIndex>auto</ParticipantIndex>"
        "<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>" + _peers(peers)
    )


def _peers(peers: list[str]) -> str:
    return "".join(
        [
            f"{_ASK_AGAIN}<Peers>",
            *(f'<Peer address="{peer}" PruneDelay="inf"/>' for peer in peers),
            "</Peers>",
        ]
    )


def _interfaces(networks: list[str]) -> str:
    entries = "".join(f"<NetworkInterface {network}/>" for network in networks)
    return f"<Interfaces>{entries}</Interfaces>"


def _networks_beyond(environment: Mapping[str, str], peers: Peers) -> str:
    """Those that lead to other hosts, and the loopback; nothing where there are none."""
    if not _networks() or environment.get("CYCLONEDDS_URI"):
        return ""
    preferred = _BEFORE_LOOPBACK if any(peers.values()) else ""
    return _interfaces([*(way + preferred for way in _chosen(environment, peers)), _LOOPBACK])


def _chosen(environment: Mapping[str, str], peers: Peers) -> list[str]:
    """Those towards the peers and, in SUBNET, the rest of the world.

    What else there is may be of containers.
    """
    ways = [_network_towards(address.split(":")[0], _UP) for address in peers.values() if address]
    if _range(environment) != "LOCALHOST" or not any(ways):
        ways.insert(0, _network_towards(_FAR_AWAY, _UP | _MULTICAST, _POINT_TO_POINT))
    chosen: dict[str, str] = {}
    for name, network in filter(None, ways):  # Cyclone DDS takes an interface once
        chosen.setdefault(name, network)
    return [*chosen.values()] or [_ANY]


def _networks(needed_flags: int = _UP, other_flags: int = 0) -> dict[str, list[str]]:
    """Interface -> its IPv4 addresses, of those that have some; the loopback, which may have others
    than 127.0.0.1, is none."""
    found: dict[str, list[str]] = {}
    entries = array.array("B", bytes(_ENTRY * _MOST_ENTRIES))
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iP", len(entries), entries.buffer_info()[0])
        size = struct.unpack_from("i", ioctl(probe, _GET_ADDRESSES, request))[0]
        for at in range(0, size, _ENTRY):
            label, address = struct.unpack_from("16s4x4s", entries, at)
            name = label.split(b"\0")[0].split(b":")[0]  # an address may have a label, "eth0:1"
            flags = ioctl(probe, _GET_FLAGS, struct.pack("40s", name))
            asked = needed_flags | other_flags | _LOOPS
            if struct.unpack_from("=H", flags, 16)[0] & asked == needed_flags:
                found.setdefault(os.fsdecode(name), []).append(socket.inet_ntoa(address))
    return found


def _own_address() -> str | None:
    return next((addresses[0] for addresses in _networks().values()), None)


def _resolved(peer: str) -> str:
    """The address of "host" or "host:port", "" where none is known."""
    host, colon, port = peer.partition(":")
    if colon and not (port.isdecimal() and 0 < int(port) < 2**16):
        return ""
    with suppress(OSError, UnicodeError):
        address = socket.gethostbyname(host)
        return address + colon + port if address != "0.0.0.0" else ""
    return ""


def _network_towards(address: str, *flags: int) -> tuple[str, str] | None:
    """The interface over which the kernel sends there, and how Cyclone DDS is told of it.

    By the address that it has on this way: an interface may have several, a name means the first.
    """
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, _DISCARD))
        own = probe.getsockname()[0]
        for name, addresses in _networks(*flags).items():
            if own in addresses:
                return name, f'address="{own}"'
    return None


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
