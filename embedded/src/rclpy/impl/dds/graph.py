# SPDX-License-Identifier: Apache-2.0
"""The graph: who is there, with which endpoints. One thread that sleeps until something changes.

Endpoints come from DDS's own discovery, nodes from the topic `ros_discovery_info`, on which each
participant says which endpoints belong to which of its nodes.
"""

from __future__ import annotations

import ctypes as ct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakMethod

from rmw_dds_common.msg import Gid, NodeEntitiesInfo, ParticipantEntitiesInfo
from rosidl_embedded import cdr

from rclpy.impl.dds.endpoint import Reader, Writer
from rclpy.impl.dds.library import (
    ALIVE,
    ANY_STATE,
    BUILTIN_PARTICIPANT,
    BUILTIN_PUBLICATION,
    BUILTIN_SUBSCRIPTION,
    BuiltinEndpoint,
    BuiltinParticipant,
    SampleInfo,
    check,
    dds,
)
from rclpy.impl.dds.qos_policies import dds_qos, profile_of, user_data_of
from rclpy.impl.dds.type_descriptor import ros_type_name, topic_descriptor
from rclpy.impl.dds.waitset import Trigger, WaitSet
from rclpy.impl.wake import notify_all
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile

_TOPIC = "ros_discovery_info"
_BATCH = 64
# With which the GUIDs of Fast DDS begin.
_FAST_DDS = b"\x01\x0f"
NodeName = tuple[str, str]  # namespace, name


@dataclass(frozen=True)
class RemoteEndpoint:
    """A writer or reader somewhere on the network, our own included."""

    guid: bytes
    participant: bytes
    dds_topic: str
    type_name: str
    is_writer: bool
    handle: int
    qos: QoSProfile
    user_data: str


@dataclass
class LocalNode:
    """A node of this process, with the GUIDs of its endpoints."""

    name: NodeName
    readers: list[bytes] = field(default_factory=list)
    writers: list[bytes] = field(default_factory=list)


class Graph:
    """Everything discovered; every method may be called from any thread."""

    def __init__(self, participant: int, guid: bytes) -> None:
        self._guid = guid
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        self._endpoints: dict[bytes, RemoteEndpoint] = {}
        # Handles of the endpoints of Fast DDS, which do not understand our services, nor we theirs.
        self.fast_dds: set[int] = set()
        # Participants that will say on `ros_discovery_info` which nodes they have.
        self._announcing: set[bytes] = set()
        self._nodes: dict[bytes, list[NodeEntitiesInfo]] = {}
        self._local: list[LocalNode] = []
        self._batches = 0
        self._watched: list[tuple[str, WeakMethod[Callable[[], None]]]] = []
        self._calls: list[WeakMethod[Callable[[], None]]] = []
        self._open_channels(participant)
        self.thread = threading.Thread(target=self._run, name="ros-graph", daemon=True)
        self.thread.start()

    def _open_channels(self, participant: int) -> None:
        descriptor = topic_descriptor("rmw_dds_common/msg/ParticipantEntitiesInfo")
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        with dds_qos(QoSProfile(depth=1, durability=latched), writer=True) as qos:
            self._writer = Writer(participant, _TOPIC, descriptor, qos)
        keep_all = QoSProfile(history=HistoryPolicy.KEEP_ALL, durability=latched)
        with dds_qos(keep_all, writer=False, ignore_own=True) as qos:
            self._reader = Reader(participant, _TOPIC, descriptor, qos)
        self._builtin: dict[int, tuple[int, type[ct.Structure], Callable]] = {}
        for topic, kind, read in (
            (BUILTIN_PARTICIPANT, BuiltinParticipant, self._read_participant),
            (BUILTIN_PUBLICATION, BuiltinEndpoint, partial(self._read_endpoint, is_writer=True)),
            (BUILTIN_SUBSCRIPTION, BuiltinEndpoint, partial(self._read_endpoint, is_writer=False)),
        ):
            reader = dds.dds_create_reader(participant, topic, None, None)
            check(reader, "read the discovery")
            condition = check(dds.dds_create_readcondition(reader, ANY_STATE), "wait for it")
            self._builtin[condition] = (reader, kind, read)
        self._stop = Trigger(participant)
        self._waitset = WaitSet(participant)
        self._waitset.attach_only({*self._builtin, self._reader.condition, self._stop.handle})

    # What this process tells the others

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Announce once at the end, however much is added inside."""
        with self._lock:
            self._batches += 1
        try:
            yield
        finally:
            with self._lock:
                self._batches -= 1
            self._announce()

    def add_node(self, name: NodeName) -> LocalNode:
        """Announce a node of this process."""
        node = LocalNode(name)
        with self._lock:
            self._local.append(node)
        self._announce()
        return node

    def remove_node(self, node: LocalNode) -> None:
        """Take a node back."""
        with self._lock:
            self._local.remove(node)
        self._announce()

    def add_endpoints(
        self,
        node: LocalNode,
        *,
        readers: Sequence[bytes] = (),
        writers: Sequence[bytes] = (),
    ) -> None:
        """Announce endpoints of a node."""
        with self._lock:
            node.readers += readers
            node.writers += writers
        self._announce()

    def remove_endpoints(self, node: LocalNode, guids: list[bytes]) -> None:
        """Take endpoints of a node back."""
        with self._lock:
            node.readers = [guid for guid in node.readers if guid not in guids]
            node.writers = [guid for guid in node.writers if guid not in guids]
        self._announce()

    def _announce(self) -> None:
        with self._lock:
            if not self._batches and self._writer.handle:
                message = ParticipantEntitiesInfo(
                    gid=_gid(self._guid), node_entities_info_seq=self._own_nodes()
                )
                self._writer.write(cdr.serialize(message))
            self.changed.notify_all()

    def _own_nodes(self) -> list[NodeEntitiesInfo]:
        return [
            NodeEntitiesInfo(
                node_namespace=node.name[0],
                node_name=node.name[1],
                reader_gid_seq=[_gid(guid) for guid in node.readers],
                writer_gid_seq=[_gid(guid) for guid in node.writers],
            )
            for node in self._local
        ]

    # What is known

    def nodes(self) -> list[NodeName]:
        """Namespace and name of every node, our own first."""
        with self._lock:
            return [node.name for node in self._local] + [
                (info.node_namespace, info.node_name)
                for infos in self._nodes.values()
                for info in infos
            ]

    def endpoints(self, dds_topic: str | None = None) -> list[RemoteEndpoint]:
        """Endpoints, of one DDS topic or all."""
        with self._lock:
            return [e for e in self._endpoints.values() if dds_topic in (None, e.dds_topic)]

    def endpoints_of(self, name: NodeName) -> list[RemoteEndpoint] | None:
        """Endpoints of a node, None where there is no such node."""
        with self._lock:
            infos = [i for infos in self._nodes.values() for i in infos] + self._own_nodes()
            found = [i for i in infos if (i.node_namespace, i.node_name) == name]
            if not found:
                return None
            gids = {
                bytes(gid.data) for i in found for gid in (*i.reader_gid_seq, *i.writer_gid_seq)
            }
            return [endpoint for guid, endpoint in self._endpoints.items() if guid in gids]

    def owner_of(self, guid: bytes) -> NodeName | None:
        """The node an endpoint belongs to, None where nobody has said."""
        with self._lock:
            infos = [i for infos in self._nodes.values() for i in infos] + self._own_nodes()
            for info in infos:
                gids = (*info.reader_gid_seq, *info.writer_gid_seq)
                if any(bytes(gid.data) == guid for gid in gids):
                    return info.node_namespace, info.node_name
        return None

    def is_complete(self) -> bool:
        """Whether all participants met so far have named their nodes, and what they named is here.

        Those that never do, plain DDS processes, do not count.
        """
        with self._lock:
            announcing = self._announcing | {
                endpoint.participant
                for endpoint in self._endpoints.values()
                if endpoint.is_writer and endpoint.dds_topic == _TOPIC
            }
            named = {
                bytes(gid.data)
                for infos in self._nodes.values()
                for info in infos
                for gid in (*info.reader_gid_seq, *info.writer_gid_seq)
            }
            return announcing <= {self._guid, *self._nodes} and named <= self._endpoints.keys()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        """Block until a predicate over the graph holds; returns whether it did in time (s)."""
        with self._lock:
            return self.changed.wait_for(predicate, timeout)

    def wake(self) -> None:
        """Have whoever waits look again."""
        notify_all(self.changed)

    def watch_fast_dds(self, dds_topic: str, listener: Callable[[], None]) -> None:
        """Call a method when Fast DDS writes to a topic: at once, or later in another thread."""
        with self._lock:
            self._watched = [watched for watched in self._watched if watched[1]() is not None]
            self._watched.append((dds_topic, WeakMethod(listener)))
            is_there = self.fast_dds and any(
                e.is_writer and e.handle in self.fast_dds for e in self.endpoints(dds_topic)
            )
        if is_there:
            listener()

    def close(self) -> None:
        """Announce that all nodes are gone and end the thread."""
        with self._lock:
            self._local.clear()
            self._batches = 0
        self._announce()
        self._stop.set()
        # The thread is asleep or about to be; a process that is being ended does not wait longer.
        self.thread.join(1.0)
        self._writer.delete()
        self._reader.delete()
        self._waitset.delete()

    def abandon(self) -> None:
        """Say nothing more: in a child that was forked, what is said would be its parent's word."""
        self._lock = threading.RLock()  # that of the parent may have been held
        self.changed = threading.Condition(self._lock)
        self._writer.handle = self._reader.handle = 0

    # The thread

    def _run(self) -> None:
        while True:
            triggered = self._waitset.wait()
            if self._stop.handle in triggered:
                return
            with self._lock:
                for condition in triggered & self._builtin.keys():
                    self._read_builtin(*self._builtin[condition])
                if self._reader.condition in triggered:
                    self._read_nodes()
                self.changed.notify_all()
                calls, self._calls = self._calls, []
            # Without the lock: they may write to others that do not read.
            for call in calls:
                _call(call)

    def _read_nodes(self) -> None:
        while (sample := self._reader.take()) is not None:
            try:
                message = cdr.deserialize(sample.data, ParticipantEntitiesInfo)
            except cdr.CdrError:
                # As from Humble with Fast DDS, whose GIDs are longer: no names are to be expected.
                for endpoint in self._endpoints.values():
                    if endpoint.handle == sample.publication_handle:
                        self._nodes.setdefault(endpoint.participant, [])
                continue
            self._nodes[bytes(message.gid.data)] = message.node_entities_info_seq

    def _read_builtin(self, reader: int, kind: type[ct.Structure], read: Callable) -> None:
        samples = (ct.POINTER(kind) * _BATCH)()
        infos = (SampleInfo * _BATCH)()
        count = _BATCH
        while count == _BATCH:
            samples[0] = None  # type: ignore[call-overload]
            count = dds.dds_take(reader, samples, infos, _BATCH, _BATCH)
            for sample, info in zip(samples[: max(0, count)], infos, strict=False):
                read(sample.contents, info)
            if count > 0:
                dds.dds_return_loan(reader, samples, count)

    def _read_participant(self, sample: BuiltinParticipant, info: SampleInfo) -> None:
        guid = bytes(sample.key)
        if info.valid_data and info.instance_state == ALIVE:
            if "enclave=" in user_data_of(sample.qos):
                self._announcing.add(guid)
        else:
            self._announcing.discard(guid)
            self._nodes.pop(guid, None)

    def _read_endpoint(self, sample: BuiltinEndpoint, info: SampleInfo, is_writer: bool) -> None:
        guid = bytes(sample.key)
        if info.valid_data and info.instance_state == ALIVE:
            self._endpoints[guid] = RemoteEndpoint(
                guid,
                bytes(sample.participant_key),
                sample.topic_name.decode("utf-8", "replace"),
                ros_type_name(sample.type_name.decode("utf-8", "replace")),
                is_writer,
                info.instance_handle,
                profile_of(sample.qos),
                user_data_of(sample.qos),
            )
            if guid.startswith(_FAST_DDS):
                self.fast_dds.add(info.instance_handle)
                topic = self._endpoints[guid].dds_topic
                if is_writer:
                    self._calls += [call for watched, call in self._watched if watched == topic]
        else:
            self.fast_dds.discard(info.instance_handle)
            endpoint = self._endpoints.pop(guid, None)
            if endpoint is not None and endpoint.dds_topic == _TOPIC and endpoint.is_writer:
                self._nodes.pop(endpoint.participant, None)


def _call(method: WeakMethod[Callable[[], None]]) -> None:
    """Call a method if its object is still there, and keep no reference to that."""
    if (bound := method()) is not None:
        bound()


def _gid(guid: bytes) -> Gid:
    gid = Gid()
    gid.data[:] = memoryview(guid)
    return gid
