# SPDX-License-Identifier: Apache-2.0
"""Interfaces of a package that the ament index finds: imported from their text, on the wire."""

import os
import subprocess
import sys

import pytest
from rosidl_embedded.definition import InterfaceError, parse_message

MESSAGE = """
# A part of a thing.
uint8 KIND_SMALL=1
std_msgs/Header header
string<=5 name "none"
float32[3] size
Part[] parts
"""
PART = "int16 number 7\nbool[] flags\n"
SERVICE = "Thing thing\n---\nbool found\nstring reason\n"
PROGRAM = """
import rclpy
from things.msg import Part, Thing
from things.srv import Find

thing = Thing(name="table", parts=[Part(flags=[True, False]), Part(number=-1)])
assert Thing.KIND_SMALL == 1 and Thing().name == "none" and Part().number == 7
try:
    thing.name = "too long"
except AssertionError as error:
    print(error)
rclpy.init()
node = rclpy.create_node("finder")
def find(request, response):
    assert request.thing == thing
    response.found = request.thing.parts[1].number == -1
    return response
node.create_service(Find, "find", find)
got = []
node.create_subscription(Thing, "thing", got.append, 10)
publisher = node.create_publisher(Thing, "thing", 10)
client = node.create_client(Find, "find")
assert client.wait_for_service(60.0)
while not publisher.get_subscription_count():
    rclpy.spin_once(node, timeout_sec=0.05)
publisher.publish(thing)
answer = client.call_async(Find.Request(thing=thing))
rclpy.spin_until_future_complete(node, answer, timeout_sec=60.0)
while not got:
    rclpy.spin_once(node, timeout_sec=0.05)
print(answer.result().found, got[0] == thing)
rclpy.shutdown()
"""


@pytest.mark.embedded
def test_a_package_of_the_ament_index(tmp_path):
    """Constants, defaults, bounds, nested types and a service, without a build."""
    share = tmp_path / "share"
    for name, text in {
        "ament_index/resource_index/packages/things": "",
        "things/package.xml": "<package><name>things</name></package>",
        "things/msg/Thing.msg": MESSAGE,
        "things/msg/Part.msg": PART,
        "things/srv/Find.srv": SERVICE,
    }.items():
        (share / name).parent.mkdir(parents=True, exist_ok=True)
        (share / name).write_text(text)
    environment = {**os.environ, "AMENT_PREFIX_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    refused, outcome = done.stdout.splitlines()
    assert "'name'" in refused and outcome == "True True"


@pytest.mark.parametrize(
    ("line", "default"),
    [
        ("int32\tx\t# a tab", None),
        ("bool[] x [true, False,0]", [True, False, False]),
        ("string[] x [a, b]", ["a", "b"]),
        ("string[] x ['a, b', \"c\\\"d\", it's]", ["a, b", 'c"d', "it's"]),
        ("float64[2]\tx\t[1, 2.5]", [1.0, 2.5]),
        ("byte[] x []", []),
    ],
)
def test_lines_as_message_files_have_them(line, default):
    """Tabs, and defaults of arrays."""
    (field,) = parse_message("things/msg/Part", line).fields
    assert (field.name, field.default) == ("x", default)


@pytest.mark.parametrize(
    "line",
    [
        "bool x maybe", "bool X=maybe", "int32[] x 5", "int32[] x [1,]", "int32[3] x [1, 2]",
        "int32[<=1] x [1, 2]", "uint8 x 300", "int8 X=-129", "Part x 5", "int32 class",
    ],
)  # fmt: skip
def test_lines_that_cannot_be_used_are_named(line):
    """With the line, for whoever wrote it."""
    with pytest.raises(InterfaceError, match="things/msg/Part, line 2: cannot read"):
        parse_message("things/msg/Part", f"# a comment\n{line}\n")
