# SPDX-License-Identifier: Apache-2.0
"""Messages to YAML and CSV and back, in the form that ROS 2 users know."""

import array
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseArray, TransformStamped
from rclpy.impl.yaml_text import load_standard
from rosidl_runtime_py import (
    get_interface_path,
    get_interfaces,
    message_to_csv,
    message_to_yaml,
    set_message_fields,
)
from rosidl_runtime_py.utilities import get_interface, get_message, get_service
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Byte, ByteMultiArray, Empty, Float32MultiArray, Header, String


def test_text_needs_quotes_only_where_yaml_does():
    assert message_to_yaml(String(data="hello 1")) == "data: hello 1\n"
    assert message_to_yaml(String(data="Hello World: 1")) == "data: 'Hello World: 1'\n"
    assert message_to_yaml(String()) == "data: ''\n"
    assert message_to_yaml(String(data="höhe")) == "data: höhe\n"
    assert message_to_yaml(String(data="x" * 500)) == f"data: {'x' * 500}\n"
    assert message_to_yaml(Empty()) == "{}\n"


def test_long_arrays_and_text_are_cut():
    floats = Float32MultiArray(data=[0.5] * 5)
    cut = message_to_yaml(floats, truncate_length=2, flow_style=True)
    assert cut.endswith("data: [0.5, 0.5, '...']\n")
    assert message_to_yaml(String(data="abcdef"), truncate_length=3) == "data: abc...\n"
    assert message_to_csv(floats, truncate_length=2).endswith("0.5,0.5,...")


def test_cutting_is_done_before_converting():
    image = Image(data=array.array("B", bytes(20_000_000)))
    text = message_to_yaml(image, truncate_length=2)
    assert text.endswith("data:\n- 0\n- 0\n- '...'\n")


def test_arrays_and_text_can_be_left_out():
    shown = message_to_yaml(CameraInfo(), no_arr=True)
    assert "d: '<sequence type: double, length: 0>'\nk: '<array type: double[9]>'\n" in shown
    poses = message_to_yaml(PoseArray(), no_arr=True)
    assert "poses: '<sequence type: geometry_msgs/msg/Pose, length: 0>'\n" in poses
    assert message_to_yaml(String(data="abc"), no_str=True) == "data: '<string length: <3>>'\n"


def test_messages_inside_messages():
    status = DiagnosticStatus(level=DiagnosticStatus.WARN, values=[KeyValue(key="a", value="b")])
    plain = yaml.safe_load(message_to_yaml(status))
    assert plain["values"] == [{"key": "a", "value": "b"}]
    assert message_to_yaml(status, flow_style=True).endswith("values: [{key: a, value: b}]\n")
    assert message_to_csv(status).endswith(",a,b")


def test_yaml_fills_a_message():
    message = TransformStamped()
    stamps = set_message_fields(
        message,
        yaml.safe_load("{header: auto, child_frame_id: 7, transform: {translation: {x: 1, z: 2}}}"),
        expand_header_auto=True,
    )
    assert message.child_frame_id == "7"
    assert message.transform.translation.x == 1.0
    assert message.transform.rotation.w == 1.0
    assert len(stamps) == 1
    stamp = get_message("builtin_interfaces/msg/Time")(sec=5)
    stamps[0](stamp)
    assert message.header.stamp.sec == 5


@pytest.mark.parametrize("flow_style", [False, True])
def test_what_is_printed_fills_the_same_message(flow_style):
    """Bytes of each number, line breaks that YAML has and others have not, words of YAML."""
    every = [bytes([number]) for number in range(256)]
    texts = [*map(chr, range(1, 0x100)), "\u2028", "\u2029 a", "a\x85 ", " a\n\n", "yes", "~"]
    for message in (
        ByteMultiArray(data=every), ByteMultiArray(data=[b"-"]), ByteMultiArray(),
        *(Byte(data=byte) for byte in every), *(String(data=text) for text in texts),
        DiagnosticStatus(level=b"\2", values=[KeyValue(key="", value=text) for text in texts]),
        Float32MultiArray(data=[1e-7, 1e30, float("inf"), -0.0]),
    ):  # fmt: skip
        filled = type(message)()
        set_message_fields(filled, load_standard(message_to_yaml(message, flow_style=flow_style)))
        assert filled == message


def test_bytes_are_given_as_numbers_characters_and_base64():
    """The last as ROS 2 takes a byte, and prints a list of them among parameters."""
    for values in ("[1, 255]", '["\\x01", ÿ]', "!!binary Af8=", "[!!binary AQ==, !!binary /w==]"):
        message = ByteMultiArray()
        set_message_fields(message, load_standard(f"data: {values}"))
        assert message.data == [b"\x01", b"\xff"]
    for value in ("7", '"\\x07"', "!!binary Bw=="):
        byte = Byte()
        set_message_fields(byte, load_standard(f"data: {value}"))
        assert byte.data == b"\7"
    for value in (256, -1, True, 1.5, None, "ab", "", "€", [1], {"a": 1}):
        with pytest.raises((TypeError, ValueError, AssertionError)):
            set_message_fields(Byte(), {"data": value})
    for value in (1, True, None, "ab", [256], [[1]], ["ab"], {1: 2}):
        with pytest.raises((TypeError, ValueError, AssertionError)):
            set_message_fields(ByteMultiArray(), {"data": value})


def test_bytes_among_values_separated_by_commas():
    """In Python's words: a byte may be a comma or a line break."""
    assert message_to_csv(Byte(data=b"\n")) == "b'\\n'"
    assert message_to_csv(ByteMultiArray(data=[b"\1", b","])) == "0,b'\\x01',b','"


def test_arrays_of_all_kinds_are_filled():
    info = CameraInfo()
    set_message_fields(info, {"k": [1] * 9, "d": [0.5, 1], "header": {"frame_id": "cam"}})
    assert np.asarray(info.k).tolist() == [1.0] * 9
    assert list(info.d) == [0.5, 1.0]
    poses = PoseArray()
    set_message_fields(poses, {"poses": [{"position": {"x": 3}}, {}]})
    assert [pose.position.x for pose in poses.poses] == [3.0, 0.0]
    status = DiagnosticStatus()
    set_message_fields(status, {"level": 2})
    assert status.level == DiagnosticStatus.ERROR


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"nose": 1}, AttributeError),
        ({"stamp": 1}, TypeError),
        ("text", TypeError),
        ({"stamp": {"sec": "late"}}, ValueError),
    ],
)
def test_what_does_not_fit_is_refused(values, error):
    with pytest.raises(error):
        set_message_fields(Header(), values)


def test_classes_by_name():
    assert get_message("std_msgs/String") is String
    assert get_message("std_msgs/msg/String") is String
    assert get_service("std_srvs/srv/Trigger").Request is not None
    assert get_interface("std_srvs/srv/Trigger") is get_service("std_srvs/Trigger")
    for bad in ("String", "std_msgs/srv/String/x", "std_msgs/action/String"):
        with pytest.raises(ValueError, match="Expected the full name"):
            get_message(bad)


@pytest.mark.parametrize(
    ("get", "name", "error"),
    [
        (get_message, "std_msgs/msg/__init__", AttributeError),
        (get_message, "std_msgs/msg/No", AttributeError),
        (get_message, "this/msg/Zen", ModuleNotFoundError),
        (get_message, ".a/msg/B", ValueError),
        (get_message, f"std_msgs/msg/{'x' * 300}", ValueError),
        (get_service, "std_srvs/srv/Trigger_Request", AttributeError),
        (get_interface, "std_srvs/srv/Trigger_Request_Request", AttributeError),
    ],
)
def test_names_of_what_is_no_interface(get, name, error, capsys):
    """As another process may call its types; nothing is imported for them."""
    with pytest.raises(error):
        get(name)
    assert capsys.readouterr().out == ""


def test_interfaces_and_their_files():
    assert get_interfaces(["std_srvs"]) == {"std_srvs": ["srv/Empty", "srv/SetBool", "srv/Trigger"]}
    assert "msg/String" in get_interfaces()["std_msgs"]
    assert Path(get_interface_path("std_msgs/msg/String")).read_text().endswith("string data\n")
    for missing in ("std_msgs/msg/No", "no_msgs/msg/String", "std_msgs/String"):
        with pytest.raises(LookupError):
            get_interface_path(missing)
    with pytest.raises(LookupError, match="no_msgs"):
        get_interfaces(["no_msgs"])
