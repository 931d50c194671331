# SPDX-License-Identifier: Apache-2.0
"""Where images come from. ``open_source`` finds the loader; each loader is a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

from zipmap_ros.sources.source import RecordedSource, Source, SourceError

KINDS = ("auto", "synthetic", "video", "folder", "tum", "euroc", "bag", "webcam")
BAGS = (".mcap", ".db3")

__all__ = ["KINDS", "RecordedSource", "Source", "SourceError", "open_source"]


def open_source(kind: str = "auto", path: str = "", topic: str = "") -> Source:
    """Open a source of frames.

    kind   synthetic (path: an optional seed), video, folder (images, or the 7-Scenes layout with
           its depth and poses), tum (the TUM RGB-D layout), euroc (the EuRoC MAV layout), bag (a
           ROS 2 bag, ``topic`` the image topic when there are several), webcam (path: /dev/video0
           or a number), or auto: as the path looks, ``synthetic`` or ``synthetic:SEED`` included
    A leading ~ of ``path`` is the home folder: shells leave it alone in ``path:=~/clip.mp4``.
    Raises SourceError that says what is wrong and what to do.
    """
    path = os.path.expanduser(path)
    if kind not in KINDS:
        raise SourceError(f"there is no source {kind!r}: use one of {', '.join(KINDS)}")
    if kind == "auto":
        kind, path = _recognise(path)
    if topic and kind != "bag":
        raise SourceError(
            f"the topic {topic} is of a bag, which {path or kind} is not: leave it out"
        )
    if kind == "synthetic":
        from zipmap_ros.sources.synthetic import SyntheticSource

        return SyntheticSource(_seed(path))
    if kind == "webcam":
        from zipmap_ros.sources.webcam import WebcamSource

        return WebcamSource(path or "/dev/video0")
    if not path:
        raise SourceError(f"a source of kind {kind} needs a path")
    if not Path(path).exists():
        raise SourceError(f"there is no {path}: check the path")
    if kind == "bag":
        from zipmap_ros.sources.bag import BagSource

        return BagSource(path, topic)
    if kind == "tum":
        from zipmap_ros.sources.tum import TumSource

        return TumSource(path)
    if kind == "euroc":
        from zipmap_ros.sources.euroc import EurocSource

        return EurocSource(path)
    if kind == "folder":
        from zipmap_ros.sources.folder import open_folder

        return open_folder(path)
    from zipmap_ros.sources.video import VideoSource

    return VideoSource(path)


def _recognise(path: str) -> tuple[str, str]:
    if path == "synthetic" or path.startswith("synthetic:"):
        return "synthetic", path.partition(":")[2]
    if path.startswith("/dev/video"):
        return "webcam", path
    where = Path(path)
    if where.suffix in BAGS or (where / "metadata.yaml").is_file():
        return "bag", path
    if (where / "rgb.txt").is_file():
        return "tum", path
    if (where / "mav0").is_dir():
        return "euroc", path
    return ("folder" if where.is_dir() else "video"), path


def _seed(text: str) -> int:
    if text and not text.isdecimal():
        raise SourceError(f"the seed of a synthetic source is {text!r}: give a whole number")
    return int(text or 0)
