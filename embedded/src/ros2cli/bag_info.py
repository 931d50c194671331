# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag info`: what is in a bag."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rosbags.rosbag2 import Reader, ReaderError

LABEL_WIDTH = 19


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("bag_path", help="Bag to open")
    parser.add_argument("-t", "--topic-name", action="store_true", help="Only display topic names")


@contextmanager
def open_bag(path: str) -> Iterator[Reader]:
    """Open a bag folder, or a single .mcap or .db3 file; RuntimeError when it is none."""
    try:
        reader = Reader(path)
        reader.open()
    except (ReaderError, OSError) as error:
        raise RuntimeError(f"Cannot open bag {path}: {error}") from error
    try:
        yield reader
    finally:
        reader.close()


def main(args: argparse.Namespace) -> None:
    """Print information about a bag to the screen."""
    with open_bag(args.bag_path) as reader:
        counted = {c.topic: c for c in reader.connections}
        if args.topic_name:
            print("\n".join(sorted(counted)))
            return
        files = _files(Path(args.bag_path))
        print("\n" + "\n".join(_lines(reader, files)))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if p.suffix in (".mcap", ".db3", ".zstd"))


def _lines(reader: Reader, files: list[Path]) -> list[str]:
    def line(label: str, value: object) -> str:
        return f"{label + ':':{LABEL_WIDTH}}{value}"

    topics = sorted(reader.connections, key=lambda connection: connection.topic)
    described = [
        f"Topic: {c.topic} | Type: {c.msgtype} | Count: {c.msgcount} | "
        f"Serialization Format: {getattr(c.ext, 'serialization_format', 'cdr')}"
        for c in topics
    ]
    storage = "mcap" if any(".mcap" in file.name for file in files) else "sqlite3"
    empty = reader.message_count == 0
    return [
        line("Files", f"\n{' ' * LABEL_WIDTH}".join(file.name for file in files)),
        line("Bag size", _size(sum(file.stat().st_size for file in files))),
        line("Storage id", storage),
        line("ROS Distro", reader.ros_distro or "unknown"),
        line("Duration", f"{0.0 if empty else reader.duration / 1e9:.9f}s"),
        line("Start", _date(0 if empty else reader.start_time)),
        line("End", _date(0 if empty else reader.end_time)),
        line("Messages", reader.message_count),
        line("Topic information", f"\n{' ' * LABEL_WIDTH}".join(described)),
        line("Service", 0),
        "Service information:",
        "",
    ]


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _date(stamp_ns: int) -> str:
    """Return local date and time, and the seconds since the epoch."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    date = datetime.fromtimestamp(seconds).strftime("%b %e %Y %H:%M:%S")
    return f"{date}.{nanoseconds:09d} ({seconds}.{nanoseconds:09d})"
