# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag info`: what is in a bag."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, ReaderError

LABEL_WIDTH = 19


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("bag_path", help="Bag to open")
    parser.add_argument("-t", "--topic-name", action="store_true", help="Only display topic names")


@contextmanager
def open_bag(path: str) -> Iterator[Reader]:
    """Open a bag folder, or a single .mcap or .db3 file; RuntimeError when it is none."""
    if Path(path).is_dir() and not (Path(path) / "metadata.yaml").exists():
        raise RuntimeError(
            f"Cannot open bag {path}: it has no metadata.yaml, as where the recorder was killed; "
            "name the .db3 file in it, or what `mcap recover` makes of the .mcap file"
        )
    try:
        reader = Reader(path)
        reader.open()
        _check_metadata(reader)
    except (ReaderError, OSError) as error:
        raise RuntimeError(f"Cannot open bag {path}: {' '.join(str(error).split())}") from error
    except Exception as error:  # rosbags raises what the bytes make it
        raise _damaged(path, error) from error
    try:
        yield reader
    finally:
        reader.close()


def _check_metadata(reader: Reader) -> None:
    """TypeError where what a file says in YAML is of another type than what is done with it."""
    numbers: list[object] = [reader.start_time, reader.end_time, reader.message_count]
    texts: list[object] = []
    for connection in reader.connections:
        texts += [connection.topic, connection.msgtype]
        numbers += [qos.depth for qos in getattr(connection.ext, "offered_qos_profiles", ())]
    for values, kind in ((numbers, int), (texts, str)):
        for value in values:
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} in the metadata is not of type {kind.__name__}")


def read_messages(reader: Reader, *selection: Any) -> Iterator[tuple[Connection, int, bytes]]:
    """Yield what `reader.messages` does; RuntimeError at the place where the bag is damaged."""
    try:
        yield from reader.messages(*selection)
    except Exception as error:  # as above
        raise _damaged(reader.path, error) from error


def _damaged(path: object, error: Exception) -> RuntimeError:
    """What rosbags, which checks little of what it reads, came upon; one of many exceptions."""
    return RuntimeError(f"Cannot read bag {path}: the bag is damaged: {error!r}")


def main(args: argparse.Namespace) -> None:
    """Print information about a bag to the screen."""
    with open_bag(args.bag_path) as reader:
        try:
            if args.topic_name:
                lines = sorted({connection.topic for connection in reader.connections})
            else:
                lines = ["", *_lines(reader, _files(Path(args.bag_path)))]
        except Exception as error:  # as above
            raise _damaged(args.bag_path, error) from error
        print("\n".join(lines))


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
