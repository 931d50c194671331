# SPDX-License-Identifier: Apache-2.0
"""A node beside one of Fast DDS, as rmw_fastrtps's: topics both ways, leaving, services refused.

Needs Fast DDS 2 and a compiler (Debian: g++ libfastrtps-dev libfastcdr-dev), else it is skipped.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from told_process import Process
from waiting import PATIENCE_S, check_soon, soon

HERE = Path(__file__).parent
RANGES = [("LOCALHOST", "subnet"), ("LOCALHOST", "localhost"), ("SUBNET", "subnet")]
FAR = "192.0.2.7"  # an address of documentation, where nobody is
PIXELS = "640x480 " + str(sum(range(256)) * (640 * 480 * 3 // 256))
_HEADERS = ("fastdds/dds/domain/DomainParticipant.hpp", "fastcdr/Cdr.h")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program of Fast DDS, built."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++ here to build a node of Fast DDS")
    for header in _HEADERS:
        found = subprocess.run([compiler, "-E", "-x", "c++", "-include", header, os.devnull],
                               capture_output=True)  # fmt: skip
        if found.returncode != 0:
            pytest.skip(f"Fast DDS 2 is not installed here: no header {header}")
    path = tmp_path_factory.mktemp("fast_dds") / "peer"
    subprocess.run(
        [compiler, "-std=c++17", HERE / "fast_dds_peer.cpp", "-o", path,
         "-lfastrtps", "-lfastcdr", "-lpthread"],
        check=True,
    )  # fmt: skip
    return path


@pytest.fixture
def meet(program):
    """Make a node of ours in a range and one of Fast DDS in a range, in that order."""
    made = []

    def make(ours, theirs):
        script = [sys.executable, str(HERE / "fast_dds_node.py")]
        made.append(Process(script, ROS_AUTOMATIC_DISCOVERY_RANGE=ours))
        made.append(Process([program, os.environ["ROS_DOMAIN_ID"], theirs]))
        return made[-2:]

    yield make
    for process in made:
        process.kill()


def say_until_heard(speaker, word, listener, line):
    """Have it said again and again: what is sent before both sides have matched is lost."""
    end = time.monotonic() + PATIENCE_S
    speaker.tell(word)
    while not listener.wait_for(line, 1.0):
        assert time.monotonic() < end, (listener.lines, speaker.lines)
        speaker.tell(word)


@pytest.mark.parametrize(
    ("ours", "theirs", "peers"),
    [*((*pair, "") for pair in RANGES), ("LOCALHOST", "localhost", FAR)],
)
def test_topics(meet, monkeypatch, ours, theirs, peers):
    """Strings and images arrive whole, both ways, whatever the ranges, and with peers to ask."""
    monkeypatch.setenv("ROS_STATIC_PEERS", peers)
    node, peer = meet(ours, theirs)
    say_until_heard(node, "text", peer, "rt/text_to_fast: hello from Python")
    say_until_heard(peer, "text", node, "text hello from Fast DDS")
    say_until_heard(node, "image", peer, f"rt/image_to_fast: {PIXELS}")
    say_until_heard(peer, "image", node, f"image {PIXELS}")


@soon
def test_leaving_is_seen_at_once(meet):
    """On both sides, not when the lease of ten seconds is over."""
    node, peer = meet("LOCALHOST", "localhost")
    say_until_heard(node, "text", peer, "rt/text_to_fast: hello")
    node.leave()
    begin = time.monotonic()
    peer.wait_for("rt/text_to_fast has 0")
    check_soon(begin)
    node, _ = meet("LOCALHOST", "localhost")
    node.wait_for("matched 2")
    peer.leave()
    begin = time.monotonic()
    node.wait_for("matched 1")
    check_soon(begin)


def test_services_are_refused(meet):
    """Neither side takes the other for what it could talk to; one warning for each service."""
    node, peer = meet("LOCALHOST", "localhost")
    say_until_heard(peer, "request", node, "service '/asked' has a server or client with Fast DDS")
    for _ in range(2):
        peer.tell("request")
        node.tell("ready")
        node.wait_for("ready False")
    lines = node.leave()
    assert "asked!" not in lines
    for service in ("/asked", "/answered"):
        warning = f"service '{service}' has a server or client with Fast DDS"
        assert sum(warning in line for line in lines) == 1, lines


def test_names_that_are_not_text(meet):
    """A topic whose name is not UTF-8 does no harm to what comes later."""
    node, peer = meet("LOCALHOST", "localhost")
    peer.tell("odd name")
    say_until_heard(node, "names", node, "/caf\N{REPLACEMENT CHARACTER}")
    say_until_heard(peer, "text", node, "text hello")


def test_ros2_waits_for_names(meet):
    """Fast DDS tells its nodes late; the command line tools wait for them."""
    meet("LOCALHOST", "localhost")
    command = [sys.executable, "-m", "ros2cli.cli", "node", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert {"/fast", "/ours"} <= set(listed.stdout.split())
