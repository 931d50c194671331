# SPDX-License-Identifier: Apache-2.0
"""A running node, seen by a plain DDS process: raw cyclonedds, hand-made bytes, nothing of ours.

What is expected here was measured on a real ROS 2 (Jazzy, rmw_cyclonedds_cpp).
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.version_info >= (3, 14):
    pytest.skip("Cyclone DDS has no Python binding for 3.14", allow_module_level=True)

from cyclonedds._clayer import ddspy_take, ddspy_write
from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsParticipant,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.core import (
    InstanceState,
    Policy,
    Qos,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, int64, sequence, uint8, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from waiting import PATIENCE_S

# Not a domain of the other tests, 7 included: a domain is configured once per process.
DOMAIN = int(os.environ["ROS_DOMAIN_ID"]) % 20 + 8
UNICAST = (
    "<CycloneDDS><Domain><General><AllowMulticast>false</AllowMulticast></General><Discovery>"
    "<ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
    '<Peers><Peer address="localhost"/></Peers></Discovery></Domain></CycloneDDS>'
)


@dataclass
class StringType(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    data: str


@dataclass
class TriggerRequest(IdlStruct, typename="std_srvs.srv.dds_.Trigger_Request_"):
    client: uint64
    number: int64
    nothing: uint8


@dataclass
class TriggerResponse(IdlStruct, typename="std_srvs.srv.dds_.Trigger_Response_"):
    client: uint64
    number: int64
    success: bool
    message: str


@dataclass
class Gid(IdlStruct, typename="rmw_dds_common.msg.dds_.Gid_"):
    data: array[uint8, 16]


@dataclass
class NodeInfo(IdlStruct, typename="rmw_dds_common.msg.dds_.NodeEntitiesInfo_"):
    node_namespace: str
    node_name: str
    reader_gid_seq: sequence[Gid]
    writer_gid_seq: sequence[Gid]


@dataclass
class ParticipantInfo(IdlStruct, typename="rmw_dds_common.msg.dds_.ParticipantEntitiesInfo_"):
    gid: Gid
    nodes: sequence[NodeInfo]


@pytest.fixture(scope="module")
def participant():
    """A plain DDS participant with a real ROS 2's discovery settings."""
    domain = Domain(DOMAIN, UNICAST)
    yield DomainParticipant(DOMAIN)
    del domain


@pytest.fixture(scope="module")
def node(participant):
    """The node, in a process of its own."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("wire_node.py"))],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in errors


def wait_until(participant, reader, ready):
    """Collect samples until `ready(samples)`; fails with what came in time."""
    condition = ReadCondition(reader, SampleState.Any | ViewState.Any | InstanceState.Any)
    waitset = WaitSet(participant)
    waitset.attach(condition)
    samples = []
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        waitset.wait(duration(milliseconds=200))
        samples += reader.take(N=500)
        if ready(samples):
            return samples
    pytest.fail(f"not in {PATIENCE_S} s; got {samples}")


@pytest.fixture(scope="module")
def endpoints(participant, node):
    """(writers, readers) of the node's process by DDS topic."""
    found = []
    for topic, last in (
        (BuiltinTopicDcpsPublication, "rq/robot1/otherRequest"),
        (BuiltinTopicDcpsSubscription, "rr/robot1/otherReply"),
    ):
        reader = BuiltinDataReader(participant, topic)
        samples = wait_until(
            participant, reader, lambda s, last=last: any(e.topic_name == last for e in s)
        )
        owner = next(e.participant_key for e in samples if e.topic_name == last)
        found.append({e.topic_name: e for e in samples if e.participant_key == owner})
    return found


def user_data(endpoint):
    return endpoint.qos[Policy.Userdata].data.decode()


PARAMETER_SERVICES = {
    "describe_parameters": "DescribeParameters",
    "get_parameter_types": "GetParameterTypes",
    "get_parameters": "GetParameters",
    "list_parameters": "ListParameters",
    "set_parameters": "SetParameters",
    "set_parameters_atomically": "SetParametersAtomically",
}
LIFECYCLE_SERVICES = {
    "change_state": "ChangeState",
    "get_state": "GetState",
    "get_available_states": "GetAvailableStates",
    "get_available_transitions": "GetAvailableTransitions",
    "get_transition_graph": "GetAvailableTransitions",
}


def test_topic_and_type_names(endpoints):
    """Every endpoint of a lifecycle node, by DDS's names."""
    writers, readers = endpoints
    topics = {
        "rt/rosout": "rcl_interfaces::msg::dds_::Log_",
        "rt/parameter_events": "rcl_interfaces::msg::dds_::ParameterEvent_",
        "rt/robot1/out": "std_msgs::msg::dds_::String_",
        "rt/robot1/latched": "std_msgs::msg::dds_::String_",
        "rt/robot1/cam/transition_event": "lifecycle_msgs::msg::dds_::TransitionEvent_",
        "ros_discovery_info": "rmw_dds_common::msg::dds_::ParticipantEntitiesInfo_",
        "rq/robot1/otherRequest": "std_srvs::srv::dds_::Trigger_Request_",
    }
    for name, kind in topics.items():
        assert writers[name].type_name == kind
    assert readers["rr/robot1/otherReply"].type_name == "std_srvs::srv::dds_::Trigger_Response_"
    services = {
        **{f"cam/{n}": f"rcl_interfaces::srv::dds_::{k}" for n, k in PARAMETER_SERVICES.items()},
        **{f"cam/{n}": f"lifecycle_msgs::srv::dds_::{k}" for n, k in LIFECYCLE_SERVICES.items()},
        "cam/get_type_description": "type_description_interfaces::srv::dds_::GetTypeDescription",
        "do_it": "std_srvs::srv::dds_::Trigger",
    }
    for name, kind in services.items():
        assert readers[f"rq/robot1/{name}Request"].type_name == f"{kind}_Request_"
        assert writers[f"rr/robot1/{name}Reply"].type_name == f"{kind}_Response_"
    assert "rt/clock" not in readers
    assert len(writers) == 7 + len(services)
    assert len(readers) == 4 + len(services)


RELIABLE = Policy.Reliability.Reliable(duration(infinite=True))


@pytest.mark.parametrize(
    ("is_writer", "topic", "reliable", "latched", "depth"),
    [
        (True, "rt/robot1/out", True, False, 10),
        (False, "rt/robot1/in", True, False, 10),
        (False, "rt/robot1/sensor", False, False, 5),
        (True, "rt/robot1/latched", True, True, 2),
        (True, "rr/robot1/do_itReply", True, False, 10),
        (False, "rq/robot1/do_itRequest", True, False, 10),
        (True, "rq/robot1/otherRequest", True, False, 10),
        (False, "rq/robot1/cam/set_parametersRequest", True, False, 1000),
        (True, "rr/robot1/cam/get_parametersReply", True, False, 1000),
        (False, "rq/robot1/cam/get_type_descriptionRequest", True, False, 10),
        (False, "rq/robot1/cam/change_stateRequest", True, False, 10),
        (True, "rt/robot1/cam/transition_event", True, False, 10),
        (True, "rt/parameter_events", True, False, 1000),
        (True, "rt/rosout", True, True, 1000),
        (True, "ros_discovery_info", True, True, 1),
        (False, "ros_discovery_info", True, True, 0),
    ],
)
def test_qos(endpoints, is_writer, topic, reliable, latched, depth):
    """QoS of each kind of endpoint; depth 0 stands for KEEP_ALL."""
    qos = endpoints[0 if is_writer else 1][topic].qos
    if reliable:
        assert qos[Policy.Reliability] == RELIABLE
    else:
        assert qos[Policy.Reliability] == Policy.Reliability.BestEffort
    expected = Policy.Durability.TransientLocal if latched else Policy.Durability.Volatile
    assert qos[Policy.Durability] == expected
    history = Policy.History.KeepLast(depth) if depth else Policy.History.KeepAll
    assert qos[Policy.History] == history
    assert qos[Policy.Liveliness] == Policy.Liveliness.Automatic(duration(infinite=True))
    assert qos[Policy.Deadline] == Policy.Deadline(duration(infinite=True))
    if is_writer:
        assert qos[Policy.WriterDataLifecycle] == Policy.WriterDataLifecycle(autodispose=False)
        if latched:
            assert qos[Policy.DurabilityService].history == history
    lifespan = duration(seconds=10) if topic == "rt/rosout" else duration(infinite=True)
    if is_writer:
        assert qos[Policy.Lifespan] == Policy.Lifespan(lifespan)


def test_user_data(participant, endpoints):
    """Type hashes; ids of services and clients; the enclave. As ROS writes them, byte by byte."""
    writers, readers = endpoints
    string_hash = "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"
    assert user_data(writers["rt/robot1/out"]) == f"typehash={string_hash};"
    owner = writers["rt/robot1/out"].participant_key.bytes
    identity = r"[ 0-9a-f]{2}(\.[0-9a-f]{1,2}){15}"
    for word, request, reply in (
        ("serviceid", readers["rq/robot1/do_itRequest"], writers["rr/robot1/do_itReply"]),
        ("clientid", writers["rq/robot1/otherRequest"], readers["rr/robot1/otherReply"]),
    ):
        texts = [user_data(request), user_data(reply)]
        found = [re.fullmatch(rf"{word}=({identity});typehash=(RIHS01_[0-9a-f]{{64}});", t)
                 for t in texts]  # fmt: skip
        assert all(found), texts
        assert found[0][1] == found[1][1]
        assert found[0][3] != found[1][3]
        raw = bytes(int(part, 16) for part in found[0][1].strip().split("."))
        assert raw[:12] == owner[:12]
    reader = BuiltinDataReader(participant, BuiltinTopicDcpsParticipant)
    everyone = wait_until(participant, reader, lambda s: any(p.key.bytes == owner for p in s))
    mine = next(p for p in everyone if p.key.bytes == owner)
    assert mine.qos[Policy.Userdata].data == b"enclave=/;"


def test_no_xtypes_information(endpoints):
    """Endpoints of ROS announce none."""
    assert all(e.type_id is None for side in endpoints for e in side.values())


def test_discovery_info(participant, endpoints):
    """One latched sample says which endpoints belong to the node."""
    writers, readers = endpoints
    qos = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepAll)
    reader = DataReader(participant, Topic(participant, "ros_discovery_info", ParticipantInfo), qos)
    owner = writers["rt/robot1/out"].participant_key.bytes
    count = len(writers) + len(readers) - 2  # without those of ros_discovery_info itself

    def is_whole(info):
        gids = sum(len(n.writer_gid_seq) + len(n.reader_gid_seq) for n in info.nodes)
        return bytes(info.gid.data) == owner and gids == count

    samples = wait_until(participant, reader, lambda s: any(map(is_whole, s)))
    (mine,) = next(filter(is_whole, samples)).nodes
    assert (mine.node_namespace, mine.node_name) == ("/robot1", "cam")
    own = {"ros_discovery_info"}
    assert {bytes(g.data) for g in mine.writer_gid_seq} == {
        e.key.bytes for name, e in writers.items() if name not in own
    }
    assert {bytes(g.data) for g in mine.reader_gid_seq} == {
        e.key.bytes for name, e in readers.items() if name not in own
    }


def open_pair(participant, out_topic, out_type, in_topic, in_type, qos):
    """Writer and reader, once both are matched here; the node may come to match them later."""
    writer = DataWriter(participant, Topic(participant, out_topic, out_type), qos)
    reader = DataReader(participant, Topic(participant, in_topic, in_type), qos)
    end = time.monotonic() + PATIENCE_S
    while not (writer.get_matched_subscriptions() and reader.get_matched_publications()):
        assert time.monotonic() < end, "never matched"
        time.sleep(0.01)
    return writer, reader


def take_bytes(participant, reader, count=1, patience_s=PATIENCE_S):
    """The raw bytes of the next samples with data; fewer once patience is over."""
    condition = ReadCondition(reader, SampleState.Any | ViewState.Any | InstanceState.Any)
    waitset = WaitSet(participant)
    waitset.attach(condition)
    taken = []
    end = time.monotonic() + patience_s
    while len(taken) < count and time.monotonic() < end:
        waitset.wait(duration(milliseconds=200))
        samples = ddspy_take(reader._ref, 127, 100)
        taken += [data for data, info in samples if info.valid_data]
    return taken


def await_echo(participant, writer, reader):
    """Greet until a greeting comes back, as nothing here tells that the node matched the reader."""
    end = time.monotonic() + PATIENCE_S
    heard = b""
    for number in itertools.count():
        assert time.monotonic() < end, "no greeting came back"
        greeting = bytes.fromhex("0001000006000000") + b"%05d\0\0\0" % number
        ddspy_write(writer._ref, greeting)
        if answers := take_bytes(participant, reader, patience_s=0.2):
            heard = answers[-1]
            break
    while heard != greeting:
        heard = take_bytes(participant, reader)[-1]


VOLATILE = Qos(RELIABLE, Policy.Durability.Volatile, Policy.History.KeepLast(10))


def test_service_with_hand_made_bytes(participant, endpoints):
    """A request of 24 bytes gets the response that a real ROS 2 gives, byte by byte."""
    writer, reader = open_pair(
        participant, "rq/robot1/do_itRequest", TriggerRequest,
        "rr/robot1/do_itReply", TriggerResponse,
        VOLATILE + Qos(Policy.Userdata(b"clientid=1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.10;")),
    )  # fmt: skip
    client = "184dbe4d175ed481"
    for number in (1, 2, 77):
        count = number.to_bytes(8, "little").hex()
        assert ddspy_write(writer._ref, bytes.fromhex(f"00010000{client}{count}00000000")) == 0
        (response,) = take_bytes(participant, reader)
        assert response.hex() == f"00010000{client}{count}01000000030000006f6b0000"


def test_topic_with_hand_made_bytes(participant, endpoints):
    """A string comes back padded to four bytes, options zero; damaged samples do no harm."""
    writer, reader = open_pair(
        participant, "rt/robot1/in", StringType, "rt/robot1/out", StringType, VOLATILE
    )
    await_echo(participant, writer, reader)
    wire = bytes.fromhex("00010000060000006d73672031000000")
    assert len(wire) == 16
    ddspy_write(writer._ref, wire)
    assert take_bytes(participant, reader) == [wire]
    big_endian = bytes.fromhex("00000000000000066d73672031000000")
    ddspy_write(writer._ref, big_endian)
    assert take_bytes(participant, reader) == [wire]


def test_late_joiner_gets_latched_samples(participant, endpoints):
    """Transient local with depth two: the last two, to a plain DDS reader."""
    qos = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(10))
    reader = DataReader(participant, Topic(participant, "rt/robot1/latched", StringType), qos)
    taken = take_bytes(participant, reader, 2)
    assert [data[8:].rstrip(b"\0") for data in taken] == [b"two", b"three"]
