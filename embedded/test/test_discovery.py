# SPDX-License-Identifier: Apache-2.0
"""Who meets whom: domains, discovery ranges, network namespaces."""

import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rclpy.impl.dds import config
from rclpy.impl.dds.config import domain_configuration, domain_id, doubts

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


def test_configuration_by_range(monkeypatch):
    """Multicast in a subnet only; peers asked where given; CYCLONEDDS_URI comes last."""
    local = domain_configuration({})
    assert "<AllowMulticast>false" in local and '<Peer address="localhost"' in local
    subnet = domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    assert "AllowMulticast" not in subnet and "Peer" not in subnet
    monkeypatch.setattr(config.socket, "gethostbyname", {"robot": "10.0.0.8"}.get)
    peers = domain_configuration({"ROS_STATIC_PEERS": "robot; robot:7410 ;"})
    assert re.findall('<Peer address="([^"]*)" PruneDelay="inf"/>', peers) == [
        "localhost", "10.0.0.8", "10.0.0.8:7410",
    ]  # fmt: skip
    own = domain_configuration({"CYCLONEDDS_URI": "file:///c.xml"})
    assert own.endswith(",file:///c.xml") and "NetworkInterface" not in own
    with pytest.raises(ValueError, match="NEAR"):
        domain_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "NEAR"})


SUBNET = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
ADDRESSES = {"docker0": ["172.17.0.1"], "wlan0": ["10.0.0.7", "10.0.0.9"]}


@pytest.mark.parametrize(
    ("networks", "route", "environment", "interfaces", "said"),
    [
        ({}, None, SUBNET, [], "no network but the loopback"),
        ({"wlan0": ["10.0.0.7"]}, None, SUBNET, ['autodetermine="true"', 'name="lo"'], ""),
        (ADDRESSES, "10.0.0.7", SUBNET, ['address="10.0.0.7"', 'name="lo"'], ""),
        (ADDRESSES, "10.0.0.9", SUBNET, ['address="10.0.0.9"', 'name="lo"'], ""),
        (ADDRESSES, None, SUBNET, ['autodetermine="true"', 'name="lo"'], "docker0, wlan0"),
        (
            ADDRESSES, "172.17.0.1", {"ROS_STATIC_PEERS": "10.0.0.7;10.0.0.9"},
            ['address="10.0.0.7" priority="3"', 'name="lo"'], "",
        ),
        (
            ADDRESSES, "172.17.0.1", {**SUBNET, "ROS_STATIC_PEERS": "10.0.0.9"},
            ['address="172.17.0.1" priority="3"', 'address="10.0.0.9" priority="3"', 'name="lo"'],
            "",
        ),
        (
            ADDRESSES, "10.0.0.7", {"ROS_STATIC_PEERS": "127.0.0.1"},
            ['address="10.0.0.7" priority="3"', 'name="lo"'], "",
        ),
    ],
)  # fmt: skip
def test_networks_beyond_this_host(monkeypatch, networks, route, environment, interfaces, said):
    """Those towards the peers, that of the default route, and the loopback.

    Users with CYCLONEDDS_URI choose themselves.
    """

    class Probe(socket.socket):
        def connect(self, address):  # to a peer that is one of our addresses here
            self.own = route if address[0] == config._FAR_AWAY else address[0]
            if self.own is None:
                raise OSError

        def getsockname(self):
            return self.own, 0

    monkeypatch.setattr(config, "_networks", lambda *flags: networks)
    monkeypatch.setattr(config.socket, "socket", Probe)
    written = domain_configuration(environment)
    assert re.findall("<NetworkInterface ([^/]*)/>", written) == interfaces
    told = [*doubts(environment)]
    assert len(told) == bool(said)
    assert said in "".join(told)
    own = {**environment, "CYCLONEDDS_URI": "file:///c.xml"}
    assert "NetworkInterface" not in domain_configuration(own)
    assert not [*doubts({})] and not [*doubts({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"})]


@pytest.mark.parametrize("reach", ["LOCALHOST", "OFF"])
def test_another_rmw_implementation_is_not_passed_over_in_silence(reach):
    environment = {"ROS_AUTOMATIC_DISCOVERY_RANGE": reach}
    for own in ("", "rmw_cyclonedds_cpp"):
        assert not [*doubts(environment | {"RMW_IMPLEMENTATION": own})]
    (told,) = doubts(environment | {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"})
    assert "rmw_zenoh_cpp, but this runtime has rmw_cyclonedds_cpp alone" in told


@pytest.mark.parametrize("peers", ["no.such.host.invalid", "::1", "0.0.0.0", "127.0.0.1:x", "a b"])
def test_peers_without_an_address_are_named_and_left_out(peers):
    """Each of them ended the process: Cyclone DDS aborts, or worse."""
    code = "import rclpy; rclpy.init(); rclpy.create_node('n'); print('up')"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ROS_STATIC_PEERS": f"{peers};127.0.0.1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "up\n"), run.stderr
    assert f"{peers} of ROS_STATIC_PEERS: no address is known here" in run.stderr


def test_addresses_of_interfaces():
    """The second one of an interface too, with a label or without; none of the loopback, which has
    a second one on WSL 2."""
    if not _can_make_namespaces():
        pytest.skip("this machine does not allow network namespaces (ip, unshare)")
    script = "; ".join(
        "ip " + words for words in
        ("link add net0 type veth peer name down0", "link set lo up", "link set net0 up",
         "addr add 10.255.255.254/32 dev lo",
         "addr add 10.9.0.1/24 dev net0", "addr add 10.9.0.2/24 dev net0",
         "addr add 10.8.0.1/24 dev net0 label net0:1", "addr add 10.7.0.1/24 dev down0")
    )  # fmt: skip
    code = "from rclpy.impl.dds import config; print(config._networks())"
    run = subprocess.run(
        ["unshare", "-rn", "sh", "-ec", f'{script}; "$0" -c "$1"', sys.executable, code],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout == "{'net0': ['10.9.0.1', '10.8.0.1', '10.9.0.2']}\n", run.stderr


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
