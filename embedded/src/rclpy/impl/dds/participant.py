# SPDX-License-Identifier: Apache-2.0
"""One participant, its domain, and the makers of its endpoints."""

from __future__ import annotations

import ctypes as ct
import itertools
import struct
import threading
from contextlib import nullcontext

from rosidl_embedded.type_hash import type_hash

from rclpy.impl.dds.config import domain_configuration, is_closed
from rclpy.impl.dds.endpoint import Reader, Writer
from rclpy.impl.dds.graph import Graph
from rclpy.impl.dds.library import RETCODE_PRECONDITION_NOT_MET, check, dds
from rclpy.impl.dds.loopback import hear_this_host_only
from rclpy.impl.dds.qos_policies import dds_qos
from rclpy.impl.dds.type_descriptor import topic_descriptor
from rclpy.qos import QoSProfile

_domains: dict[int, int] = {}
_lock = threading.Lock()


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

    def close(self) -> None:
        """Leave the network."""
        self.graph.close()
        dds.dds_delete(self.handle)


def _open_domain(domain_id: int) -> None:
    """Configure a domain once per process; one that somebody else opened stays as it is."""
    with _lock:
        if domain_id in _domains:
            return
        with hear_this_host_only(domain_id) if is_closed() else nullcontext():
            code = dds.dds_create_domain(domain_id, domain_configuration().encode())
        if code != RETCODE_PRECONDITION_NOT_MET:
            check(code, f"open domain {domain_id}")
        _domains[domain_id] = code
