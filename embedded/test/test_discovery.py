# SPDX-License-Identifier: Apache-2.0
"""Who meets whom: domains, discovery ranges, network namespaces."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rclpy.impl.dds import config
from rclpy.impl.dds.config import domain_configuration, domain_id, doubt

# Within which processes meet on a machine that is busy, in seconds.
PATIENCE_S = 60
# Publishes its name and prints whom it hears, until standard input ends or patience does.
MEET = textwrap.dedent("""
    import select, sys, time, rclpy
    from std_msgs.msg import String
    name, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
    rclpy.init()
    node = rclpy.create_node("meets_" + name)
    heard = {name}

    def hear(message):
        if message.data not in heard:
            heard.add(message.data)
            print(message.data, flush=True)

    node.create_subscription(String, "meeting", hear, 10)
    publisher = node.create_publisher(String, "meeting", 10)
    print("up", flush=True)
    while time.monotonic() < end and not select.select([sys.stdin], [], [], 0)[0]:
        publisher.publish(String(data=name))
        rclpy.spin_once(node, timeout_sec=0.05)
    rclpy.shutdown()
""")


def meet(first, second, prefixes=((), ()), seconds=None):
    """Whom two processes with these environments hear, in so many seconds or until both heard.

    The second is up before the first starts.
    """
    processes = []
    try:
        for name, environment, prefix in zip("ba", (second, first), prefixes[::-1], strict=True):
            processes.insert(0, subprocess.Popen(
                [*prefix, sys.executable, "-c", MEET, name, str(PATIENCE_S)],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ))  # fmt: skip
            assert processes[0].stdout.readline() == "up\n"
        heard = ["", ""]
        if seconds is None:
            heard = [process.stdout.readline() for process in processes]
        else:
            time.sleep(seconds)
        rest = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
        return [(early + late).split() for early, late in zip(heard, rest, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_same_host_meets_by_default():
    """Unicast on this host, nothing to set."""
    assert meet({}, {}) == [["b"], ["a"]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"ROS_DOMAIN_ID": "4"}),
        ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}),
    ],
)
def test_others_do_not_meet(first, second):
    """Another domain, or discovery off."""
    assert meet(first, second, seconds=2) == [[], []]


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
    assert "<AllowMulticast>false" in local and '<Peer address="localhost"' in local
    subnet = domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    assert "AllowMulticast" not in subnet and "Peer" not in subnet
    peers = domain_configuration({"ROS_STATIC_PEERS": "robot;10.0.0.7"})
    assert re.findall('<Peer address="([^"]*)" PruneDelay="inf"/>', peers) == [
        "localhost", "robot", "10.0.0.7",
    ]  # fmt: skip
    own = domain_configuration({"CYCLONEDDS_URI": "file:///c.xml"})
    assert own.endswith(",file:///c.xml") and "NetworkInterface" not in own
    with pytest.raises(ValueError, match="NEAR"):
        domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "NEAR"})


@pytest.mark.parametrize(
    ("networks", "route", "interfaces", "said"),
    [
        ({}, config._ANY, [], "no network but the loopback"),
        ({"wlan0": "10.0.0.7"}, config._ANY, ['autodetermine="true"', 'name="lo"'], ""),
        (
            {"docker0": "172.17.0.1", "wlan0": "10.0.0.7"}, 'name="wlan0"',
            ['name="wlan0"', 'name="lo"'], "",
        ),
        (
            {"docker0": "172.17.0.1", "wlan0": "10.0.0.7"}, config._ANY,
            ['autodetermine="true"', 'name="lo"'], "the networks docker0, wlan0",
        ),
    ],
)  # fmt: skip
def test_networks_of_a_subnet(monkeypatch, networks, route, interfaces, said):
    """That of the default route and the loopback; users with CYCLONEDDS_URI choose themselves."""
    monkeypatch.setattr(config, "_networks", lambda *flags: networks)
    monkeypatch.setattr(config, "_network_of_default_route", lambda: route)
    subnet = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    assert re.findall("<NetworkInterface ([^/]*)/>", domain_configuration(subnet)) == interfaces
    assert said in doubt(subnet) and bool(said) == bool(doubt(subnet))
    own = {**subnet, "CYCLONEDDS_URI": "file:///c.xml"}
    assert "NetworkInterface" not in domain_configuration(own)
    assert not doubt({}) and not doubt({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"})


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
    holders = [subprocess.Popen(["unshare", "-rn", "sleep", "600"])]
    enter = ["nsenter", "--preserve-credentials", "-U", "-n", "-t"]
    first = [*enter, str(holders[0].pid)]
    _wait_for_namespace(holders[0].pid)
    holders.append(subprocess.Popen([*first, "unshare", "-n", "sleep", "600"]))
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
    arrives, where the configuration is left to the user; it is made again until somebody is there.
    """
    heard = meet(first, second or first, two_hosts, None if meets else 4)
    assert heard == ([["b"], ["a"]] if meets else [[], []])
