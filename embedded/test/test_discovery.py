# SPDX-License-Identifier: Apache-2.0
"""Who meets whom: domains, discovery ranges, network namespaces."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rclpy.impl.dds.config import domain_configuration, domain_id

# Waits for somebody's message, and publishes its own; prints what it heard.
MEET = textwrap.dedent("""
    import sys, time, rclpy
    from std_msgs.msg import String
    rclpy.init()
    node = rclpy.create_node("meets_" + sys.argv[1])
    heard = set()
    node.create_subscription(String, "meeting", lambda m: heard.add(m.data), 10)
    publisher = node.create_publisher(String, "meeting", 10)
    end = time.monotonic() + float(sys.argv[2])
    met = 0.0
    while time.monotonic() < (met or end):
        publisher.publish(String(data=sys.argv[1]))
        rclpy.spin_once(node, timeout_sec=0.05)
        if heard - {sys.argv[1]} and not met:
            met = time.monotonic() + 0.5
    print(sorted(heard - {sys.argv[1]}), flush=True)
    rclpy.shutdown()
""")


def meet(first, second, prefixes=((), ()), seconds=6):
    """What two processes with these environments hear of each other."""
    processes = []
    for name, environment, prefix in zip("ab", (first, second), prefixes, strict=True):
        processes.append(
            subprocess.Popen(
                [*prefix, sys.executable, "-c", MEET, name, str(seconds)],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    return [process.communicate(timeout=60)[0].strip() for process in processes]


def test_same_host_meets_by_default():
    """Unicast on this host, nothing to set."""
    assert meet({}, {}) == ["['b']", "['a']"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"ROS_DOMAIN_ID": "4"}),
        ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}),
    ],
)
def test_others_do_not_meet(first, second):
    """Another domain, or discovery off."""
    assert meet(first, second, seconds=2) == ["[]", "[]"]


@pytest.mark.parametrize(("text", "number"), [("", 0), ("7", 7)])
def test_domain_id(text, number):
    """Empty means 0."""
    assert domain_id({"ROS_DOMAIN_ID": text}) == number


@pytest.mark.parametrize("text", ["x", "-1", "233"])
def test_bad_domain_id(text):
    """The error names the variable and the value."""
    with pytest.raises(ValueError, match=f"ROS_DOMAIN_ID is '{text}'"):
        domain_id({"ROS_DOMAIN_ID": text})


def test_configuration_by_range():
    """Multicast in a subnet only; peers asked where given; CYCLONEDDS_URI comes last."""
    local = domain_configuration({})
    assert "<AllowMulticast>false" in local and '<Peer address="localhost"/>' in local
    subnet = domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    assert "AllowMulticast" not in subnet and "Peer" not in subnet
    peers = domain_configuration({"ROS_STATIC_PEERS": "robot;10.0.0.7"})
    assert '<Peer address="robot"/><Peer address="10.0.0.7"/>' in peers
    assert domain_configuration({"CYCLONEDDS_URI": "file:///c.xml"}).endswith(",file:///c.xml")
    with pytest.raises(ValueError, match="NEAR"):
        domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "NEAR"})


def _can_make_namespaces():
    if not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    probe = ["unshare", "-rn", "ip", "link", "add", "za", "type", "veth", "peer", "name", "zb"]
    return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.fixture
def two_hosts():
    """Command prefixes that run in two network namespaces joined by a cable."""
    if not _can_make_namespaces():
        pytest.skip("this machine does not allow network namespaces with veth (ip, unshare)")
    holders = [subprocess.Popen(["unshare", "-rn", "sleep", "120"])]
    enter = ["nsenter", "--preserve-credentials", "-U", "-n", "-t"]
    first = [*enter, str(holders[0].pid)]
    _wait_for_namespace(holders[0].pid)
    holders.append(subprocess.Popen([*first, "unshare", "-n", "sleep", "120"]))
    _wait_for_namespace(holders[1].pid)
    second = [*enter, str(holders[1].pid)]
    peer = str(holders[1].pid)
    for command in (
        [*first, "ip", "link", "add", "left", "type", "veth", "peer", "name", "right"],
        [*first, "ip", "link", "set", "right", "netns", peer],
        *([*host, "ip", *words.split()] for host, name, address in
          ((first, "left", "10.99.0.1/24"), (second, "right", "10.99.0.2/24"))
          for words in (f"addr add {address} dev {name}", f"link set {name} up", "link set lo up")),
    ):  # fmt: skip
        subprocess.run(command, check=True)
    yield first, second
    for holder in holders:
        holder.kill()
        holder.wait()


def _wait_for_namespace(pid):
    """Namespaces and the user map are there once the process has become `sleep`."""
    while Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("first", "second", "meets"),
    [
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, None, True),
        ({"ROS_STATIC_PEERS": "10.99.0.1;10.99.0.2"}, None, True),
        ({}, None, False),
        ({}, {"ROS_STATIC_PEERS": "10.99.0.1"}, False),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, {"ROS_STATIC_PEERS": "10.99.0.1"}, False),
        (
            {"CYCLONEDDS_URI": "<CycloneDDS><Domain></Domain></CycloneDDS>"},
            {"ROS_STATIC_PEERS": "10.99.0.1"},
            True,
        ),
    ],
)
def test_two_hosts(two_hosts, first, second, meets):
    """Hosts of one network meet in range SUBNET or as peers, and not by default.

    Not either where one of them asks for the other. The last pair shows that such a request
    arrives, where the configuration is left to the user.
    """
    heard = meet(first, second or first, two_hosts, seconds=12 if meets else 4)
    assert heard == (["['b']", "['a']"] if meets else ["[]", "[]"])
