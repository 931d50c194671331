# SPDX-License-Identifier: Apache-2.0
"""Values that users give to `ros2`: what it printed, and what is odd."""

import argparse
import subprocess
import sys

import pytest
import yaml
from ros2cli import message_type
from ros2cli.verbs import positive_float
from rosidl_runtime_py.utilities import get_message, get_service
from waiting import PATIENCE_S

ROS2 = (sys.executable, "-m", "ros2cli.cli")


def ros2(*words):
    """Run `ros2 ...` to its end; return (exit code, stdout, stderr)."""
    run = subprocess.run([*ROS2, *words], capture_output=True, text=True, timeout=PATIENCE_S)
    return run.returncode, run.stdout, run.stderr


def test_bytes_that_echo_prints_can_be_published():
    """The bytes of quotes, of line breaks and beyond ASCII too."""
    given = "{data: [0, 10, 34, 39, 44, 65, 133, 255]}"
    command = [
        *ROS2,
        "topic",
        "pub",
        "-r",
        "20",
        "-p",
        "0",
        "/bytes",
        "std_msgs/msg/ByteMultiArray",
    ]
    publisher = subprocess.Popen([*command, given], stdout=subprocess.DEVNULL)
    try:
        for style in ([], ["--flow-style"]):
            code, printed, _ = ros2("topic", "echo", "--once", *style, "/bytes", command[-1])
            assert code == 0
            values = printed.removesuffix("---\n")
            once = ("topic", "pub", "-1", "-w", "0", "/again", command[-1], values)
            code, published, problem = ros2(*once)
            assert (code, problem) == (0, "")
            message = get_message(command[-1])(
                data=[bytes([number]) for number in yaml.safe_load(given)["data"]]
            )
            assert repr(message) in published
    finally:
        publisher.kill()
        publisher.wait()


ODD = [
    "1", "-1", "'a'", "[1]", "[[1]]", "{a: 1}", "{a: {b: 1}}", "now", "~", "!!binary '!'",
    "!!python/object:os.system x", "!!set {a}", "!!omap [a: 1]", "!!timestamp x", "2001-99-01",
    "!!int x", "!!bool x", "*a", "&a [*a]", "&a {x: *a}", "{<<: [1]}", "{[1]: 2}", "{{a: 1}: 2}",
    "a: b: c", '"\\uD800"', '"\\0"', "\0", "--- 1\n--- 2", "%YAML 9.9", "@", "`", "!", "[" * 200,
    "[" * 150 + "]" * 150, "9" * 5000, "1e400", ".nan", "[.inf]", "[true, 1]", "[~]", "1" * 20,
]  # fmt: skip


@pytest.mark.parametrize(
    "made",
    [
        *(get_message(f"std_msgs/msg/{name}") for name in ("String", "Bool", "Char", "Float32")),
        *(get_message(f"std_msgs/msg/{name}") for name in ("Byte", "ByteMultiArray", "Header")),
        get_message("sensor_msgs/msg/Image"), get_message("tf2_msgs/msg/TFMessage"),
        get_message("geometry_msgs/msg/PoseStamped"), get_message("sensor_msgs/msg/CameraInfo"),
        get_service("rcl_interfaces/srv/SetParameters").Request,
        get_service("std_srvs/srv/SetBool").Request,
    ],
)  # fmt: skip
def test_odd_values_are_refused_in_one_line(made):
    """Or taken: for each field of a message, and for the message itself."""
    refused = 0
    for field in ("", *made.get_fields_and_field_types()):
        for odd in ODD:
            args = argparse.Namespace(stdin=False, values=f"{{{field}: {odd}}}" if field else odd)
            try:
                message_type.populate(made(), message_type.values_from(args))
            except RuntimeError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 30


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e-320", "1e10", "x", ""])
def test_rates_that_no_clock_has_are_refused(text):
    """One of 1e-320 ended in a traceback."""
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        positive_float(text)
    assert positive_float("0.5") == 0.5
