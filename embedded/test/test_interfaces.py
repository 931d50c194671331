# SPDX-License-Identifier: Apache-2.0
"""Interfaces of a package that the ament index finds: imported from their text, on the wire."""

import os
import subprocess
import sys

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
