# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag`: what is recorded is read back by rosbags, and played at the pace asked for."""

import argparse
import functools
import itertools
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from ros2cli import bag_info
from ros2cli.bag_record import Recorder
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from waiting import PATIENCE_S, check_soon, soon
from waiting import spin_until as spin_executor_until

HERE = Path(__file__).parent
ROS2 = (sys.executable, "-m", "ros2cli.cli")
STORE = get_typestore(Stores.ROS2_JAZZY)
RECORDED = ("/robot/chatter", "/robot/image", "/robot/latched", "/tf_static")


@contextmanager
def running(*command, **options):
    """A process that is gone when the block ends, however it ends."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def stop(process):
    """Ctrl-C; return what it had printed since."""
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, out
    assert "Traceback" not in out
    return out


@pytest.fixture(scope="module")
def node():
    rclpy.init()
    node = rclpy.create_node("bag_test")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def spin_until(node, condition):
    spin_executor_until(functools.partial(rclpy.spin_once, node), condition)


# Name of a bag -> how it is recorded.
KINDS = {
    "walk": (),
    "sqlite3": ("--storage", "sqlite3"),
    "files": ("--compression-mode", "file", "--compression-format", "zstd"),
    "messages": ("--storage", "sqlite3", "--compression-mode", "message"),
}


@pytest.fixture(scope="module")
def bags(node, tmp_path_factory):
    """Folder with a bag of each kind: 1.5 s of the demo node's topics."""
    folder = tmp_path_factory.mktemp("bags")
    with ExitStack() as stack:
        demo = stack.enter_context(running(sys.executable, str(HERE / "demo_node.py")))
        recorders = [
            stack.enter_context(
                running(*ROS2, "bag", "record", "-o", str(folder / name), *options, *RECORDED)
            )
            for name, options in KINDS.items()
        ]
        for recorder in recorders:
            subscribed = 0
            while subscribed < len(RECORDED):
                line = recorder.stdout.readline()
                assert line, "the recorder ended"
                subscribed += "Subscribed to topic" in line
        heard = []
        subscription = node.create_subscription(String, "/robot/chatter", heard.append, 10)
        spin_until(node, lambda: len(heard) >= 30)
        node.destroy_subscription(subscription)
        for process in (*recorders, demo):
            stop(process)
    return folder


@pytest.fixture(scope="module")
def bag(bags):
    """The bag recorded without options."""
    return bags / "walk"


def test_rosbags_reads_what_was_recorded(bag):
    store = get_typestore(Stores.EMPTY)
    with Reader(bag) as reader:
        connections = {c.topic: c for c in reader.connections}
        assert set(connections) == set(RECORDED)
        for connection in connections.values():  # the bag alone must say what its types are
            types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({k: v for k, v in types.items() if k not in store.fielddefs})
        decoded = {topic: [] for topic in RECORDED}
        stamps = []
        for connection, stamp, data in reader.messages():
            decoded[connection.topic].append(store.deserialize_cdr(data, connection.msgtype))
            stamps.append(stamp)
    texts = [message.data for message in decoded["/robot/chatter"]]
    numbers = [int(text.removeprefix("hello ")) for text in texts]
    assert len(numbers) >= 25
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert decoded["/robot/latched"][0].data == "said once"
    assert decoded["/robot/image"][0].data.tolist() == list(range(200))
    assert stamps == sorted(stamps)
    assert abs(stamps[-1] / 1e9 - time.time()) < 3600
    assert next(bag.glob("*.mcap")).read_bytes()[:6] == b"\x89MCAP0"

    latched = connections["/robot/latched"].ext.offered_qos_profiles[0]
    assert latched.durability is QosDurability.TRANSIENT_LOCAL
    image = connections["/robot/image"].ext.offered_qos_profiles[0]
    assert image.reliability is QosReliability.BEST_EFFORT
    assert connections["/robot/chatter"].digest.startswith("RIHS01_df668c740482bbd4")


@pytest.mark.parametrize(
    ("kind", "file", "magic", "compression"),
    [
        ("sqlite3", "sqlite3.db3", b"SQLite format 3\0", ""),
        ("files", "files.mcap.zstd", b"\x28\xb5\x2f\xfd", "file"),
        ("messages", "messages.db3", b"SQLite format 3\0", "message"),
    ],
    ids=["sqlite3", "files", "messages"],
)
def test_other_storage_and_compression(node, bags, kind, file, magic, compression):
    """The file is what was asked for, rosbags reads it, and `play` says the same again."""
    assert (bags / kind / file).read_bytes().startswith(magic)
    with Reader(bags / kind) as reader:
        assert reader.compression_mode == compression
        chosen = [c for c in reader.connections if c.topic == "/robot/chatter"]
        recorded = [
            STORE.deserialize_cdr(data, "std_msgs/msg/String").data
            for _, _, data in reader.messages(chosen)
        ]
    assert len(recorded) >= 25
    heard = []
    subscription = node.create_subscription(String, "/again", lambda m: heard.append(m.data), 100)
    with play(bags / kind, "--rate", "20", "-m", "/robot/chatter:=/again") as player:
        spin_until(node, lambda: player.poll() is not None)
        assert player.returncode == 0, player.stdout.read()
    spin_until(node, lambda: len(heard) >= len(recorded))
    assert heard == recorded
    node.destroy_subscription(subscription)


def test_info_lists_files_span_and_topics(bag):
    shown = subprocess.run(
        [*ROS2, "bag", "info", str(bag)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout
    with Reader(bag) as reader:
        count = reader.message_count
    assert "Files:             walk.mcap\n" in shown
    assert "Storage id:        mcap\n" in shown
    assert f"Messages:          {count}\n" in shown
    assert "Topic information: Topic: /robot/chatter | Type: std_msgs/msg/String | Count: " in shown


def play(bag, *options):
    return running(*ROS2, "bag", "play", str(bag), *options)


def test_play_honours_rate_offset_clock_and_latched_topics(node, bag):
    heard, ticks, late = [], [], []
    subscriptions = [
        node.create_subscription(
            String, "/again", lambda m: heard.append((time.monotonic(), m.data)), 100
        ),
        node.create_subscription(
            Clock, "/clock", lambda m: ticks.append(Time.from_msg(m.clock).nanoseconds), 100
        ),
    ]
    options = "--rate 0.5 --start-offset 0.5 --clock 50 --topics /robot/chatter"
    with play(bag, *options.split(), "--remap", "/robot/chatter:=/again") as player:
        spin_until(node, lambda: player.poll() is not None)
        assert player.returncode == 0, player.stdout.read()
    with Reader(bag) as reader:
        start_ns = reader.start_time + 500_000_000
        chosen = [c for c in reader.connections if c.topic == "/robot/chatter"]
        stamps = [stamp for _, stamp, _ in reader.messages(chosen, start=start_ns)]
    spin_until(node, lambda: len(heard) >= len(stamps))
    assert len(heard) == len(stamps)
    recorded_s = (stamps[-1] - stamps[0]) / 1e9
    # Later than it should is the machine's fault, earlier is the player's.
    assert heard[-1][0] - heard[0][0] > 1.5 * recorded_s
    assert ticks == sorted(ticks)
    assert start_ns <= ticks[0] < start_ns + 100_000_000
    # 50 Hz of wall time at half the pace: 10 ms of bag time between two ticks
    assert ticks[1] - ticks[0] == 10_000_000

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    options = "--topics /robot/latched /robot/chatter --remap /robot/latched:=/late"
    with play(bag, *options.split()) as player:
        spin_until(node, lambda: node.count_publishers("/late") > 0)
        subscriptions.append(node.create_subscription(String, "/late", late.append, latched))
        spin_until(node, lambda: late)
        assert late[0].data == "said once"
        stop(player)
    for subscription in subscriptions:
        node.destroy_subscription(subscription)


@soon
def test_loop_starts_again_until_ctrl_c(node, bag):
    heard = []
    subscription = node.create_subscription(String, "/again", lambda m: heard.append(m.data), 100)
    with play(bag, "--loop", "--rate", "10", "-m", "/robot/chatter:=/again") as player:
        spin_until(node, lambda: heard and heard.count(heard[0]) >= 3)
        begin = time.monotonic()
        assert stop(player) == ""
        check_soon(begin)
    node.destroy_subscription(subscription)


def test_a_damaged_bag_is_played_up_to_the_damage(node, bags, tmp_path):
    shutil.copytree(bags / "messages", tmp_path / "messages")
    with sqlite3.connect(tmp_path / "messages" / "messages.db3") as database:
        last = "SELECT id FROM messages ORDER BY timestamp DESC LIMIT 1"
        database.execute(f"UPDATE messages SET data = x'00' WHERE id = ({last})")
    database.close()
    heard = []
    subscription = node.create_subscription(String, "/cut", lambda m: heard.append(m.data), 100)
    options = ("--rate", "20", "-m", "/robot/chatter:=/cut")
    with play(tmp_path / "messages", *options) as player:
        spin_until(node, lambda: player.poll() is not None)
        out = player.stdout.read()
    assert player.returncode == 1 and out.count("\n") == 1
    assert "messages: the bag is damaged: " in out
    spin_until(node, lambda: len(heard) >= 25)
    node.destroy_subscription(subscription)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nanoseconds_since_epoch:", "nanoseconds_since_epoch: abc #"),
        ("\n  message_count:", "\n  message_count: [] #"),
        ("name: /robot/chatter", "name: 5"),
        ("depth: ", "depth: a"),
    ],
)
def test_metadata_of_other_types_are_damage(bag, tmp_path, old, new):
    shutil.copytree(bag, tmp_path / "walk")
    metadata = tmp_path / "walk" / "metadata.yaml"
    text = metadata.read_text()
    assert old in text
    metadata.write_text(text.replace(old, new))
    with pytest.raises(RuntimeError, match=r"walk: (the bag is damaged|Invalid bag metadata): "):
        bag_info.main(argparse.Namespace(bag_path=str(tmp_path / "walk"), topic_name=False))


def test_errors_are_one_line(bag, tmp_path):
    expected = {
        ("play", str(tmp_path / "none")): "Cannot open bag",
        ("record", "-a", "-o", str(bag)): "Cannot write bag",
        ("record",): "Must specify topics",
        ("play", str(bag), "--topics", "/none"): "No topics to play",
        ("play", str(bag), "--remap", "/a"): "rules of the form old:=new, got '/a'",
        ("info", str(tmp_path)): "has no metadata.yaml",
    }
    with ExitStack() as stack:
        processes = [stack.enter_context(running(*ROS2, "bag", *words)) for words in expected]
        for process, text in zip(processes, expected.values(), strict=True):
            out, _ = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 1
            assert text in out
            assert out.count("\n") == 1


@pytest.mark.parametrize("verb", ["play", "record"])
@pytest.mark.parametrize("option", ["--regex", "--exclude-regex"])
def test_regular_expressions_are_checked_first(verb, option, tmp_path):
    """A recorder left an empty folder, and a traceback."""
    words = {"play": ("nothing",), "record": ("-o", str(tmp_path / "new"))}[verb]
    with running(*ROS2, "bag", verb, *words, option, "(") as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2 and "'(' is no regular expression: " in out
    assert not (tmp_path / "new").exists()


def test_relative_names_are_remapped(node, bag):
    heard = []
    subscription = node.create_subscription(String, "/again", heard.append, 100)
    with play(bag, "--rate", "20", "--remap", "robot/chatter:=again") as player:
        spin_until(node, lambda: player.poll() is not None)
    spin_until(node, lambda: len(heard) >= 25)
    node.destroy_subscription(subscription)


@contextmanager
def recording(node, topic, *options, **environment):
    """A recorder that hears what `say(text)` publishes."""
    publisher = node.create_publisher(String, topic, 100)
    with running(*ROS2, "bag", "record", topic, *options, **environment) as recorder:
        yield recorder, lambda text: publisher.publish(String(data=text))
    node.destroy_publisher(publisher)


def wait_for_subscription(node, recorder, topic):
    while "Subscribed to topic" not in (line := recorder.stdout.readline()):
        assert line, "the recorder ended"
    spin_until(node, lambda: node.count_subscribers(topic) > 0)


def wait_for_messages(node, file, count):
    query = "select count(*) from messages"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
        spin_until(node, lambda: reader.execute(query).fetchone()[0] == count)


def test_who_reads_a_recording_does_not_end_it(tmp_path):
    """Until then nothing can be committed: SQLite says that the file is locked."""
    with Writer(tmp_path / "read", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        recorder = Recorder(None, writer, None)
        connection = writer.add_connection("/a", "std_msgs/msg/String", typestore=STORE)
        for i in range(3000):
            writer.write(connection, i, b"\0\1\0\0\1\0\0\0\0")
        recorder.commit()
        with closing(sqlite3.connect(tmp_path / "read" / "read.db3")) as reader:
            rows = reader.execute("select * from messages")
            rows.fetchone()
            writer.write(connection, 3000, b"\0\1\0\0\1\0\0\0\0")
            recorder.commit()
            assert writer.storage.conn.in_transaction, "it is still to be committed"
            rows.close()
        recorder.commit()
        assert not writer.storage.conn.in_transaction


def test_a_recorder_that_is_killed_leaves_what_sqlite_has(node, tmp_path):
    """All but the last second; it was one transaction, and nothing was left."""
    options = ("-o", str(tmp_path / "cut"), "--storage", "sqlite3")
    with recording(node, "/kept", *options) as (recorder, say):
        wait_for_subscription(node, recorder, "/kept")
        for index in range(10):
            say(str(index))
        file = tmp_path / "cut" / "cut.db3"
        wait_for_messages(node, file, 10)
        recorder.kill()
        recorder.wait()
    with Reader(file) as reader:
        assert reader.message_count == 10


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_full_disk_is_one_line(node, tmp_path, storage):
    """Here a limit on the size of files."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    options = ("-o", str(tmp_path / "full"), "--storage", storage)
    with recording(node, "/much", *options, preexec_fn=limit) as (recorder, say):
        wait_for_subscription(node, recorder, "/much")
        spin_until(node, lambda: say("x" * 100_000) or recorder.poll() is not None)
        out = recorder.stdout.read()
    assert recorder.returncode == 1
    assert "Cannot go on writing bag" in out and "Traceback" not in out


def test_nothing_is_recorded_before_sim_time_begins(node, tmp_path):
    """It had the time 0: a bag that begins in 1970 and never ends."""
    clock = node.create_publisher(Clock, "/clock", 1)
    options = ("-o", str(tmp_path / "sim"), "--use-sim-time", "--storage", "sqlite3")
    with recording(node, "/simulated", *options) as (recorder, say):
        spin_until(node, lambda: clock.get_subscription_count() > 0)
        for _ in range(5):
            say("early")
            time.sleep(0.1)
        ticks = itertools.count(100)

        def tick():
            clock.publish(Clock(clock=Time(seconds=next(ticks)).to_msg()))
            return node.count_subscribers("/simulated") > 0

        spin_until(node, tick)
        wait_for_subscription(node, recorder, "/simulated")
        say("late")
        wait_for_messages(node, tmp_path / "sim" / "sim.db3", 1)
        stop(recorder)
    with Reader(tmp_path / "sim") as reader:
        assert reader.message_count == 1
        assert reader.start_time >= 100_000_000_000
