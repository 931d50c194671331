# SPDX-License-Identifier: Apache-2.0
"""One participant, its domain, and the makers of its endpoints."""

from __future__ import annotations

import ctypes as ct
import itertools
import os
import struct
import threading
from collections.abc import Iterable

from rosidl_embedded.type_hash import type_hash

from rclpy.impl.dds.config import domain_configuration, doubts, is_closed, static_peers
from rclpy.impl.dds.endpoint import Reader, Writer
from rclpy.impl.dds.farewell import say_farewell
from rclpy.impl.dds.graph import Graph
from rclpy.impl.dds.library import RETCODE_PRECONDITION_NOT_MET, check, dds
from rclpy.impl.dds.loopback import hear_this_host_only, new_udp_sockets, sockets
from rclpy.impl.dds.qos_policies import dds_qos
from rclpy.impl.dds.type_descriptor import topic_descriptor
from rclpy.logging import get_logger
from rclpy.qos import QoSProfile

# Domain -> addresses of the sockets on which it alone listens, in this process.
_domains: dict[int, list[tuple[str, int]]] = {}
_lock = threading.Lock()
_was_forked = False  # from a process that had opened one


def _remember_fork() -> None:
    global _was_forked
    _was_forked = bool(_domains)
    if _was_forked:  # none of the threads that deleting waits for is here
        dds.dds_delete = lambda entity: 0  # type: ignore[attr-defined]  # ctypes knows no names


os.register_at_fork(after_in_child=_remember_fork)


class Participant:
    """A DDS participant with its graph."""

    def __init__(self, domain_id: int, enclave: str = "/") -> None:
        _open_domain(domain_id)
        qos = dds.dds_create_qos()
        user_data = f"enclave={enclave};".encode()
        dds.dds_qset_userdata(qos, user_data, len(user_data))
        handle = dds.dds_create_participant(domain_id, qos, None)
        dds.dds_delete_qos(qos)
        self.handle = check(handle, f"join domain {domain_id}")
        guid = (ct.c_char * 16)()
        check(dds.dds_get_guid(self.handle, guid), "read a GUID")
        self.guid = guid.raw
        self._counter = itertools.count(1)
        self.graph = Graph(self.handle, self.guid)
        self._addresses = _domains[domain_id]

    def make_writer(
        self, topic: str, interface: str, profile: QoSProfile, owner: str = ""
    ) -> Writer:
        """Writer on a DDS topic. `owner` is `serviceid= ...;` or `clientid= ...;` of a half."""
        descriptor = topic_descriptor(interface, bool(owner))
        user_data = f"{owner}typehash={type_hash(interface)};"
        with dds_qos(profile, user_data, writer=True) as qos:
            return Writer(self.handle, topic, descriptor, qos)

    def make_reader(
        self, topic: str, interface: str, profile: QoSProfile, owner: str = ""
    ) -> Reader:
        """Reader on a DDS topic."""
        descriptor = topic_descriptor(interface, bool(owner))
        user_data = f"{owner}typehash={type_hash(interface)};"
        with dds_qos(profile, user_data, writer=False) as qos:
            return Reader(self.handle, topic, descriptor, qos)

    def new_id(self) -> str:
        """A new id of a service or client: 16 bytes in hex, the first padded to width 2."""
        raw = self.guid[:12] + struct.pack(">I", next(self._counter))
        return ".".join([f"{raw[0]:2x}", *(f"{byte:x}" for byte in raw[1:])])

    def forget_readers(self, writers: Iterable[Writer]) -> None:
        """Stop waiting for those who read what these writers write, as if they had left."""
        readers = [e for w in writers for e in self.graph.endpoints(w.topic_name)]
        for guid in {e.participant for e in readers if not e.is_writer} - {self.guid}:
            say_farewell(guid, self._addresses)

    def close(self) -> None:
        """Leave the network."""
        self.graph.close()
        dds.dds_delete(self.handle)


def _open_domain(domain_id: int) -> None:
    """Configure a domain once per process; one that somebody else opened stays as it is."""
    if _was_forked:
        raise RuntimeError(
            f"rclpy cannot be initialised in process {os.getpid()}, which was forked from one that "
            "uses it: start it afresh, as by multiprocessing.get_context('spawn')"
        )
    with _lock:
        if domain_id in _domains:
            return
        peers = static_peers()
        for text in doubts(peers=peers):
            get_logger("rclpy").warning(text)
        before = sockets()
        code = dds.dds_create_domain(domain_id, domain_configuration(peers=peers).encode())
        if code != RETCODE_PRECONDITION_NOT_MET:
            check(code, f"open domain {domain_id}")
        shared = (7400 + 250 * domain_id, 7401 + 250 * domain_id)  # multicast
        _domains[domain_id] = []
        for opened in new_udp_sockets(before):
            if is_closed():
                hear_this_host_only(opened, domain_id)
            if opened.getsockname()[1] not in shared:
                _domains[domain_id].append(opened.getsockname())
