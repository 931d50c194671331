# SPDX-License-Identifier: Apache-2.0
"""Bytes on the wire: against messages and hashes of a real ROS 2, a second codec, and damage."""

import array
import itertools
import json
import random
import struct
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore
from rosidl_embedded import cdr, registry
from rosidl_embedded.cdr.reading import reader
from rosidl_embedded.cdr.walking import make_walker
from rosidl_embedded.definition import (
    EMPTY_MEMBER,
    FieldType,
    InterfaceError,
    Message,
    parse_message,
)
from rosidl_embedded.message_class import DTYPES
from rosidl_embedded.type_hash import type_hash

DATA = Path(__file__).parents[2] / "test" / "data"
GOLDEN = json.loads((DATA / "ros2_golden_cdr.json").read_text())["messages"]
HASHES = json.loads((DATA / "ros2_type_hashes.json").read_text())["hashes"]
STORE = get_typestore(Stores.ROS2_JAZZY)


def build(name, fields):
    """Message from the golden file's plain values."""
    types = {field.name: field.type for field in registry.get_message(name).fields}
    values = {key: _value(types[key], value) for key, value in fields.items()}
    return registry.get_class(name)(**values)


def _value(field_type, value):
    if isinstance(value, dict) and "__float__" in value:
        return float(value["__float__"])
    if field_type.kind != "scalar":
        element = FieldType(field_type.base, field_type.string_bound)
        return [_value(element, item) for item in value]
    if not field_type.is_primitive:
        return build(field_type.base, value)
    if field_type.base == "byte":
        return bytes(value)
    return float(value) if field_type.base.startswith("float") else value


def to_bytes(message):
    return b"".join(cdr.serialize(message))


@pytest.mark.parametrize("entry", GOLDEN, ids=[f"{i}-{e['type']}" for i, e in enumerate(GOLDEN)])
def test_golden_message(entry):
    """Fields to bytes, and bytes to message to bytes, are what a real ROS 2 sends."""
    wire = bytes.fromhex(entry["cdr_hex"])
    message = build(entry["type"], entry["fields"])
    assert to_bytes(message) == wire
    read = cdr.deserialize(wire, registry.get_class(entry["type"]))
    assert to_bytes(read) == wire
    if "NaN" not in entry["cdr_hex"] and "nan" not in json.dumps(entry["fields"]).lower():
        assert read == message
    assert type_hash(entry["type"]) == entry["rihs01"]


def test_every_known_hash():
    """Messages, services, their halves and events; actions are not in this runtime."""
    for name, expected in HASHES.items():
        if "/action/" not in name:
            assert type_hash(name) == expected, name


def _fill(name, generator):
    """A message with random content in every field."""
    cls = registry.get_class(name)
    values = {
        field.name: _random_field(field.type, generator)
        for field in registry.get_message(name).fields
    }
    return cls(**values)


def _random_field(field_type, generator):
    if field_type.kind != "scalar":
        bound = field_type.size or 3
        count = bound if field_type.kind == "array" else generator.randrange(bound + 1)
        element = FieldType(field_type.base, field_type.string_bound)
        return [_random_field(element, generator) for _ in range(count)]
    base = field_type.base
    if not field_type.is_primitive:
        return _fill(base, generator)
    if base == "string":
        return "".join(
            generator.choices("aé漢", k=generator.randrange(field_type.string_bound or 5))
        )
    if base == "bool":
        return generator.random() < 0.5
    if base == "byte":
        return bytes([generator.randrange(256)])
    if base.startswith("float"):
        return float(generator.randrange(1000)) / 8
    low, high = (0, 255) if base == "char" else (None, None)
    if low is None:
        info = np.iinfo(base)
        low, high = int(info.min), int(info.max)
    return generator.randint(low, high)


@pytest.mark.parametrize("name", sorted(STORE.fielddefs))
def test_second_codec_agrees(name):
    """rosbags reads what we write, and writes the same again."""
    generator = random.Random(name)
    for _ in range(3):
        message = _fill(name, generator)
        wire = to_bytes(message)
        theirs = STORE.deserialize_cdr(wire, name)
        assert bytes(STORE.serialize_cdr(theirs, name)) == wire
        assert cdr.deserialize(wire, type(message)) == message


def test_big_endian_is_read():
    """Another DDS process may send either byte order."""
    message = _fill("sensor_msgs/msg/PointCloud2", random.Random(1))
    name = message._interface_name
    theirs = STORE.deserialize_cdr(to_bytes(message), name)
    wire = bytes(STORE.serialize_cdr(theirs, name, little_endian=False))
    assert cdr.deserialize(wire, type(message)) == message


def test_empty_sequence_of_doubles_is_not_aligned():
    """No padding follows the count of an empty sequence, even of 8-byte elements."""
    definition = parse_message("p/msg/M", "float64[] a\nuint32 b\n")
    assert isinstance(definition, Message)
    joints = registry.get_class("sensor_msgs/msg/JointState")()
    assert to_bytes(joints).hex() == "00010000" + "00" * 8 + "01000000" + "00" * 4 + "00" * 16


def test_wide_strings_are_aligned_and_read_in_either_order(tmp_path, monkeypatch):
    """After a byte and after each other; the message is long enough to be walked first."""
    share = tmp_path / "share"
    for name, text in {
        "ament_index/resource_index/packages/wide": "",
        "wide/msg/Wide.msg": "uint8 a\nwstring b\nuint8 c\nwstring[] d\nuint8 e\n",
    }.items():
        (share / name).parent.mkdir(parents=True)
        (share / name).write_text(text)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    message = registry.get_class("wide/msg/Wide")(a=1, b="a漢", c=2, d=["", 20 * "\U0001f600"], e=3)
    fields = (1, 2, ord("a"), ord("漢"), 2, 2, 0, 40, *[0xD83D, 0xDE00] * 20, 3)
    little, big = (struct.pack(f"{order}B3x3IB3x3I40IB", *fields) for order in "<>")
    assert to_bytes(message) == b"\0\1\0\0" + little
    for wire in (b"\0\1\0\0" + little, b"\0\0\0\0" + big):
        assert cdr.deserialize(wire, type(message)) == message


@pytest.mark.parametrize("text", ["abc", 200 * "abc"])
def test_three_bytes_of_padding_are_passed_over_and_no_more(text):
    string = registry.get_class("std_msgs/msg/String")(data=text)
    assert cdr.deserialize(to_bytes(string) + bytes(3), type(string)) == string
    with pytest.raises(cdr.CdrError, match="4 bytes too many"):
        cdr.deserialize(to_bytes(string) + bytes(4), type(string))


def test_other_encapsulations_are_refused():
    """Parameter lists, what begins with no zero, and what does not even have a header."""
    string = registry.get_class("std_msgs/msg/String")(data="abc")
    whole = to_bytes(string)
    for wire in (b"\0\2" + whole[2:], b"\0\3" + whole[2:], b"\1" + whole[1:], whole[:3]):
        with pytest.raises(cdr.CdrError, match="no CDR encapsulation"):
            cdr.deserialize(wire, type(string))


def test_large_arrays_are_not_copied():
    """What is published is the array itself; what is read is a view on the bytes."""
    image_class = registry.get_class("sensor_msgs/msg/Image")
    pixels = np.arange(30_000, dtype=np.uint8)
    parts = cdr.serialize(image_class(data=pixels))
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), pixels) for part in parts)
    wire = b"".join(parts)
    read = cdr.deserialize(wire, image_class)
    assert np.shares_memory(read.data, np.frombuffer(wire, np.uint8))
    assert not read.data.flags.writeable


@pytest.mark.parametrize("make", [bytes, bytearray, lambda b: array.array("B", b),
                                  lambda b: np.frombuffer(b, np.uint8), list])  # fmt: skip
def test_what_uint8_sequences_take(make):
    """numpy arrays, array.array, bytes and lists give the same bytes."""
    content = bytes(range(256)) * 20
    image_class = registry.get_class("sensor_msgs/msg/Image")
    assert to_bytes(image_class(data=make(content))) == to_bytes(image_class(data=content))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("std_msgs/msg/String", "data", 3),
        ("std_msgs/msg/UInt8", "data", 256),
        ("std_msgs/msg/Float64", "data", 1),
        ("std_msgs/msg/Bool", "data", 1),
        ("std_msgs/msg/Byte", "data", b"ab"),
        ("std_msgs/msg/UInt8MultiArray", "data", [1, -1]),
        ("sensor_msgs/msg/Image", "data", "text"),
        ("sensor_msgs/msg/Image", "header", None),
        ("sensor_msgs/msg/CameraInfo", "k", [0.0] * 8),
        ("geometry_msgs/msg/Polygon", "points", [1]),
        ("geometry_msgs/msg/Point", "w", 1.0),
    ],
)
def test_wrong_values_are_refused(name, field, value):
    """Fields check types, ranges and lengths, in assertions as in ROS 2."""
    with pytest.raises(AssertionError):
        registry.get_class(name)(**{field: value})


def test_defaults_and_constants():
    """Defaults of the definition, constants on class and instance."""
    assert registry.get_class("geometry_msgs/msg/Quaternion")().w == 1.0
    request = registry.get_class("type_description_interfaces/srv/GetTypeDescription").Request()
    assert request.include_type_sources is True
    point_field = registry.get_class("sensor_msgs/msg/PointField")
    assert point_field.FLOAT32 == point_field().FLOAT32 == 7
    assert point_field.get_fields_and_field_types()["name"] == "string"


def test_unknown_interface_names_itself():
    """The error says which interface is missing."""
    with pytest.raises(InterfaceError, match="nothing_msgs/msg/Nothing"):
        registry.get_class("nothing_msgs/msg/Nothing")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("uint8[<=3] a", "sequence<uint8, 3>"),
        ("string<=5[2] a", "string<5>[2]"),
        ("wstring a", "wstring"),
        ("Other a", "p/Other"),
        ("other_msgs/Other[] a", "sequence<other_msgs/Other>"),
    ],
)
def test_types_as_ros_writes_them(line, expected):
    """What `get_fields_and_field_types` says of a field."""
    assert str(parse_message("p/msg/M", line).fields[0].type) == expected


# What a message that is refused may cost: four times its bytes, and something for the error.
REFUSED, ERROR_BYTES = 4, 4096


def _long_lists():
    """Messages of many small parts, and a string that takes four bytes for each of its own."""
    for name, field, element, count in (
        ("shape_msgs/msg/Mesh", "triangles", None, 200),
        ("sensor_msgs/msg/MultiEchoLaserScan", "ranges", None, 100),
        ("sensor_msgs/msg/JointState", "name", "joint", 100),
        ("rcl_interfaces/msg/ParameterValue", "bool_array_value", True, 1000),
        ("tf2_msgs/msg/TFMessage", "transforms", None, 20),
        ("visualization_msgs/msg/MarkerArray", "markers", None, 10),
    ):
        cls = registry.get_class(name)
        if element is None:
            kinds = {f.name: f.type.base for f in registry.get_message(name).fields}
            element = registry.get_class(kinds[field])()
        yield to_bytes(cls(**{field: [element] * count})), cls
    string = registry.get_class("std_msgs/msg/String")
    yield to_bytes(string(data="x" * 1000 + "\U0001f600")), string


def test_fuzzed_bytes_are_refused_or_read():
    """20,000 damaged messages: a message, or CdrError for less than four times the bytes."""
    generator = random.Random(7)
    sources = [
        (bytes.fromhex(entry["cdr_hex"]), registry.get_class(entry["type"])) for entry in GOLDEN
    ]
    sources += _long_lists()
    for (_, cls), order in itertools.product(sources, "<>"):
        reader(cls, order)  # a codec is made once
    refused = 0
    with _tracing():
        for index in range(20_000):
            wire, cls = sources[index % len(sources)]
            data = bytearray(wire[: generator.randrange(len(wire) + 1)] if index % 3 else wire)
            for _ in range(generator.randrange(1, 5)):
                if data:
                    data[generator.randrange(len(data))] = generator.choice((0, 1, 127, 255))
            is_refused, peak = _try(bytes(data), cls)
            refused += is_refused
            assert not is_refused or peak < ERROR_BYTES + REFUSED * len(data), (cls, data.hex())
    assert 5_000 < refused < 20_000


@pytest.mark.parametrize(
    ("wire", "cls"), list(_long_lists()), ids=lambda x: getattr(x, "__name__", "")
)
def test_a_message_that_is_refused_at_its_end_has_cost_little(wire, cls):
    """Cut off, with bytes too many, with a string that does not end: at any place, four times."""
    cdr.deserialize(wire, cls)
    with _tracing():
        for data in (wire[:-5], wire[:-1] + b"\1" * 10, wire + bytes(8), wire[: len(wire) // 2]):
            is_refused, peak = _try(data, cls)
            assert is_refused and peak < ERROR_BYTES + REFUSED * len(data)


@pytest.mark.parametrize("order", "<>")
def test_walking_and_reading_accept_the_same(order):
    """Every type, whole and damaged: both come to the same end or refuse."""
    generator = random.Random(8)
    little = order == "<"
    for name in sorted(STORE.fielddefs):
        message = _fill(name, generator)
        walk, (read, _) = make_walker(name, order), reader(type(message), order)
        theirs = STORE.deserialize_cdr(to_bytes(message), name)
        whole = bytes(STORE.serialize_cdr(theirs, name, little_endian=little))[4:]
        assert _end(walk, whole) == len(whole)
        for _ in range(20):
            data = bytearray(whole[: generator.randrange(len(whole) + 1)] + bytes(3))
            data[generator.randrange(len(data))] = generator.choice((0, 1, 2, 127, 255))
            assert _end(walk, bytes(data)) == _end(read, bytes(data)), name


def _end(codec, data):
    """Where a codec comes to, None where it refuses."""
    try:
        outcome = codec(memoryview(data), 0, len(data))
        return outcome[1] if isinstance(outcome, tuple) else outcome
    except (cdr.CdrError, struct.error, IndexError):
        return None


@pytest.mark.parametrize("name", ["sensor_msgs/msg/PointCloud2", "std_msgs/msg/String",
                                  "diagnostic_msgs/msg/DiagnosticArray"])  # fmt: skip
def test_huge_lengths_allocate_nothing(name):
    """A count of four billion in a small sample is refused before memory is asked for."""
    cls = registry.get_class(name)
    cdr.deserialize(to_bytes(cls()), cls)  # the codec is made once
    wire = bytearray(to_bytes(cls()) + bytes(4096))
    for offset in range(4, 60, 4):
        damaged = bytes(wire[:offset]) + b"\xff\xff\xff\xff" + bytes(wire[offset + 4 :])
        with _tracing():
            is_refused, peak = _try(damaged, cls)
        assert is_refused and peak < REFUSED * len(damaged), offset


@pytest.mark.parametrize(
    ("name", "field", "element", "limit"),
    [
        ("sensor_msgs/msg/PointCloud2", "data", 7, 0.5),
        ("sensor_msgs/msg/JointState", "position", 7.0, 1.5),
        ("sensor_msgs/msg/JointState", "name", "joint", 10),
        ("rcl_interfaces/msg/ParameterValue", "bool_array_value", True, 10),
        ("geometry_msgs/msg/Polygon", "points",
         registry.get_class("geometry_msgs/msg/Point32")(), 16),
        ("visualization_msgs/msg/MarkerArray", "markers",
         registry.get_class("visualization_msgs/msg/Marker")(), 10),
    ],
)  # fmt: skip
def test_memory_grows_with_the_bytes_that_are_there(name, field, element, limit):
    """Bytes are views, numbers a copy; of lists each element is a Python object."""
    cls = registry.get_class(name)
    wire = to_bytes(cls(**{field: [element] * 2_000}))
    cdr.deserialize(wire, cls)
    with _tracing():
        is_refused, peak = _try(wire, cls)
    assert not is_refused and peak < 4096 + limit * len(wire)


FILLINGS = {"bool": True, "byte": b"\1", "string": "abc", "wstring": "abc"}


def test_no_type_costs_more_than_the_readme_says():
    """Lists of messages of every type we carry: below 32 times their bytes, cut off below four."""
    seen = 0
    for package in registry.packages():
        for short in registry.interface_names(package, "msg"):
            name = f"{package}/msg/{short}"
            for field in registry.get_message(name).fields:
                kind = field.type
                if kind.kind != "sequence" or kind.base in DTYPES:
                    continue
                element = FILLINGS.get(kind.base)
                element = registry.get_class(kind.base)() if element is None else element
                cls = registry.get_class(name)
                wire = to_bytes(cls(**{field.name: [element] * min(kind.size or 300, 300)}))
                cdr.deserialize(wire, cls)
                seen += 1
                with _tracing():
                    for data, limit in ((wire, 32), (wire[:-5], REFUSED)):
                        is_refused, peak = _try(data, cls)
                        assert peak < 4096 + limit * len(data), (name, field.name)
                        assert is_refused == (data is not wire)
    assert seen > 50


@contextmanager
def _tracing():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def _try(data, cls):
    """Whether bytes are refused, and how much memory was in use meanwhile."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    try:
        cdr.deserialize(data, cls)
        is_refused = False
    except cdr.CdrError:
        is_refused = True
    return is_refused, tracemalloc.get_traced_memory()[1] - before


def test_interfaces_are_those_of_the_typestore():
    """Every message of rosbags' Jazzy store is here, with the same fields and constants."""

    def described(description):
        node, detail = int(description[0]), description[1]
        if node <= 2:
            return FieldType(detail[0], detail[1]) if node == 1 else FieldType(detail)
        inner = described(detail[0])
        kind = "array" if node == 3 else "sequence"
        return FieldType(inner.base, inner.string_bound, kind, detail[1])

    for name, (constants, fields) in STORE.fielddefs.items():
        message = registry.get_message(name)
        theirs = [(n, described(d)) for n, d in fields if n != EMPTY_MEMBER]
        assert [(f.name, f.type) for f in message.fields] == theirs, name
        ours = [(c.name, c.type, c.value[0] if c.type == "byte" else c.value)
                for c in message.constants]  # fmt: skip
        assert ours == [tuple(constant) for constant in constants], name


def test_readme_lists_every_golden_type():
    """The table in embedded/README.md is complete."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert all(f"| {entry['type']} | " in text for entry in GOLDEN)


def test_a_string_that_does_not_end_is_refused():
    string = registry.get_class("std_msgs/msg/String")
    with pytest.raises(cdr.CdrError):
        cdr.deserialize(bytes.fromhex("00010000 03000000 616263 00"), string)
