# SPDX-License-Identifier: Apache-2.0
"""Robot and laptop: two network namespaces and a cable, addresses that come, change and go."""

import os
import shutil
import subprocess
import sys
import textwrap
import time

import pytest
from told_process import Process

# Says its name 50 times a second, and whom it hears: at the fifth message since it was last asked.
SPEAKER = textwrap.dedent("""
    import collections, sys, threading, rclpy
    from std_msgs.msg import String
    rclpy.init()
    node = rclpy.create_node("speaker_" + sys.argv[1])
    heard = collections.Counter()

    def hear(message):
        heard[message.data] += 1
        if heard[message.data] == 5:
            print("hears", message.data, flush=True)

    def follow():
        for _ in sys.stdin:
            heard.clear()
            print("asked", flush=True)
        rclpy.try_shutdown()

    node.create_subscription(String, "speech", hear, 10)
    publisher = node.create_publisher(String, "speech", 10)
    node.create_timer(0.02, lambda: publisher.publish(String(data=sys.argv[1])))
    threading.Thread(target=follow, daemon=True).start()
    print("up", flush=True)
    try:
        rclpy.spin(node)
    except rclpy.executors.ExternalShutdownException:
        pass
""")

# Publishes numbers 50 times a second, in messages of several datagrams; the other tells them.
COUNTER = textwrap.dedent("""
    import sys, threading, rclpy
    from std_msgs.msg import UInt64MultiArray
    rclpy.init()
    node = rclpy.create_node("counter_" + sys.argv[1])
    count = 0

    def publish():
        global count
        publisher.publish(UInt64MultiArray(data=[count] * 2000))
        count += 1

    def hear(message):
        print("number", message.data[0], flush=True)

    if sys.argv[1] == "second":
        node.create_subscription(UInt64MultiArray, "numbers", hear, 300)
    else:
        publisher = node.create_publisher(UInt64MultiArray, "numbers", 300)
        node.create_timer(0.02, publish)
    print("up", flush=True)
    rclpy.spin(node)
""")


class Speaker(Process):
    """A process with one of them."""

    def __init__(self, host, name, reach, peers, says=SPEAKER):
        unset = ["env", "-u", "CYCLONEDDS_URI", f"ROS_STATIC_PEERS={peers}"]
        command = [*host.enter, *unset, sys.executable, "-c", says, name]
        super().__init__(command, ROS_AUTOMATIC_DISCOVERY_RANGE=reach)

    def hears(self, *names):
        """Wait until it hears all of them anew."""
        self.tell("whom?")
        self.wait_for("asked")
        asked = len(self.lines)
        while not {f"hears {name}" for name in names} <= set(self.lines[asked:]):
            self.wait_for("hears")


class Host:
    """A network namespace, with one end of the cable as its interface `net0`."""

    def __init__(self, name):
        self.name = name
        self.enter = ["ip", "netns", "exec", name]
        subprocess.run(["ip", "netns", "add", name], check=True)
        for scope in ("all", "default"):  # the kernel's own packets
            path = f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"
            subprocess.run([*self.enter, "sh", "-c", f"! [ -e {path} ] || echo 1 > {path}"],
                           check=True)  # fmt: skip
        self.ip("link set lo up")

    def ip(self, words):
        subprocess.run(["ip", "-n", self.name, *words.split()], check=True)

    def sent(self):
        """Packets that have left through the cable."""
        command = [*self.enter, "cat", "/proc/net/dev"]
        table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return int(next(line for line in table.splitlines() if "net0:" in line).split()[10])


@pytest.fixture
def hosts():
    """Two hosts: robot 10.98.0.1, laptop 10.98.0.2."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces with names need root and the command ip")
    names = [f"{side}_{os.getpid()}" for side in ("robot", "laptop")]
    probe = subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, text=True)
    try:
        if probe.returncode != 0:
            pytest.skip(f"this machine allows no network namespaces: {probe.stderr.strip()}")
        subprocess.run(["ip", "netns", "del", names[0]], check=True)
        robot, laptop = made = [Host(name) for name in names]
        robot.ip("link add box0 type veth peer name box1")
        robot.ip(f"link add net0 index 40 type veth peer name net0 index 40 netns {laptop.name}")
        for number, host in enumerate(made, 1):
            host.ip(f"addr add 10.98.0.{number}/24 dev net0")
            host.ip("link set net0 up")
        yield made
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.fixture
def start():
    """Make a process on a host that speaks under a name in a range."""
    made = []

    def make(host, name, reach="SUBNET", peers="", **what):
        made.append(Speaker(host, name, reach, peers, **what))
        return made[-1]

    yield make
    for speaker in made:
        speaker.kill()


@pytest.mark.parametrize("order", [1, -1])
def test_both_ways(hosts, start, order):
    """Whoever is first, and within the robot too."""
    first, second = (start(host, host.name) for host in hosts[::order])
    third = start(hosts[0], "third")
    first.hears(hosts[::order][1].name, "third")
    second.hears(hosts[::order][0].name, "third")
    third.hears(*(host.name for host in hosts))


def test_robot_without_its_network(hosts, start):
    """What runs on one host goes on when the cable or the address goes, or another comes."""
    robot = hosts[0]
    first, second = start(robot, "first"), start(robot, "second")
    first.hears("second")
    for change in ("link set net0 down", "link set net0 up", "addr flush dev net0",
                   "addr add 10.98.0.7/24 dev net0"):  # fmt: skip
        robot.ip(change)
        first.hears("second")
        second.hears("first")


def test_localhost_stays_within(hosts, start):
    """Nothing leaves in range LOCALHOST, and SUBNET shows that it would be seen."""
    robot = hosts[0]
    before = robot.sent()
    first, _ = start(robot, "first", "LOCALHOST"), start(robot, "second", "LOCALHOST")
    first.hears("second")
    assert robot.sent() == before
    start(robot, "third", "SUBNET")
    assert robot.sent() > before


def test_started_before_the_network(hosts, start):
    """It says so, and is met by what starts on its host when the network is there."""
    robot = hosts[0]
    robot.ip("addr flush dev net0")
    early, local = start(robot, "early"), start(robot, "local", "LOCALHOST")
    robot.ip("addr add 10.98.0.1/24 dev net0")
    late = start(robot, "late")
    early.hears("late")
    late.hears("early")
    said = [[line for line in s.lines if "no network" in line] for s in (early, local, late)]
    assert [len(lines) for lines in said] == [1, 0, 0], said


def start_containers(robot):
    """A second network, which Cyclone DDS would take."""
    for words in ("addr add 172.31.0.1/16 dev box0", "link set box0 up", "link set box1 up"):
        robot.ip(words)


def test_network_of_containers(hosts, start):
    """The default route says which of two networks is used; without one, a warning."""
    robot, laptop = hosts
    start_containers(robot)
    lost = start(robot, "lost")
    assert any("box0, net0" in line for line in lost.lines), lost.lines
    robot.ip("route add default via 10.98.0.2")
    found, other = start(robot, "found"), start(laptop, "other")
    found.hears("other")
    other.hears("found")
    assert not any("box0" in line for line in found.lines), found.lines


def test_default_route_from_a_second_address(hosts, start):
    """Of the interface, in a network of its own: where the other hosts are."""
    robot, laptop = hosts
    start_containers(robot)
    for words in ("addr flush dev net0", "addr add 10.99.0.1/24 dev net0",
                  "addr add 10.98.0.1/24 dev net0", "route add default via 10.98.0.2"):  # fmt: skip
        robot.ip(words)
    first, second = start(robot, "first"), start(laptop, "second")
    first.hears("second")
    second.hears("first")
    assert not any("there are the networks" in line for line in first.lines), first.lines


@pytest.mark.parametrize("reach", ["LOCALHOST", "SUBNET"])
def test_peers_are_asked_over_the_network_that_leads_to_them(hosts, start, reach):
    """From a network of containers nobody would answer, nor can the loopback send there.

    Without multicast, which peers are for.
    """
    robot, laptop = hosts
    for host in hosts:
        host.ip("link set net0 multicast off")
    start_containers(robot)
    first, third = (start(robot, name, reach, "10.98.0.2") for name in ("first", "third"))
    second = start(laptop, "second", "LOCALHOST", "10.98.0.1")
    first.hears("second", "third")
    second.hears("first", "third")
    third.hears("first", "second")
    said = [line for process in (first, second, third) for line in process.lines]
    assert not [line for line in said if "failed" in line or "networks" in line]


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_an_outage_shorter_than_the_history_loses_nothing(hosts, start, mtu):
    """The cable is out for two seconds, a hundred messages; the history has three hundred."""
    for host in hosts:
        host.ip(f"link set net0 mtu {mtu}")
    receiver = start(hosts[1], "second", says=COUNTER)
    start(hosts[0], "first", says=COUNTER)
    receiver.wait_for("number")
    hosts[0].ip("link set net0 down")
    time.sleep(2)
    before = len(receiver.lines)
    hosts[0].ip("link set net0 up")
    numbers = []
    while len(numbers) < before + 150:
        receiver.wait_for("number")
        numbers = [int(x.split()[1]) for x in receiver.lines if x.startswith("number")]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
