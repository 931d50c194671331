# SPDX-License-Identifier: Apache-2.0
"""The EuRoC MAV layout (Burri et al., IJRR 2016), and TUM-VI, which shares it.

``mav0/cam0/{data.csv,data/,sensor.yaml}`` and ``mav0/state_groundtruth_estimate0/data.csv``
(TUM-VI: ``mocap0``). Poses are those of the body; sensor.yaml's ``T_BS`` places the camera on it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera
from zipmap_ros.sources.folder import read_rgb, usual_fps
from zipmap_ros.sources.source import (
    NS,
    RecordedSource,
    SourceError,
    nearest,
    pose_from_words,
    read_or,
    to_stamp_ns,
    true_pose,
    without_pixels,
)

TRUTHS = ("state_groundtruth_estimate0", "mocap0")
DISTORTIONS = {"radial-tangential": "plumb_bob", "equidistant": "equidistant"}
MAX_GAP_NS = 10_000_000


class EurocSource(RecordedSource):
    """The left images of a sequence, each with the true pose nearest in time (within 10 ms)."""

    def __init__(self, path: str) -> None:
        """``path`` is the folder that holds ``mav0``, or ``mav0`` itself.

        Raises SourceError when a file of the layout is missing or cannot be read; the folder of
        true poses may be missing.
        """
        root = Path(path)
        self.name = root.name
        root = root / "mav0" if (root / "mav0").is_dir() else root
        if not (root / "cam0").is_dir():
            raise SourceError(f"{path} has no mav0/cam0: it is no EuRoC sequence")
        self._folder = root / "cam0" / "data"
        self._camera, self._body_T_camera = _read_sensor(root / "cam0" / "sensor.yaml")
        self._images = _read_rows(root / "cam0" / "data.csv", 2)
        truth = next((root / name for name in TRUTHS if (root / name).is_dir()), None)
        self._poses = [] if truth is None else _read_rows(truth / "data.csv", 8)
        self.has_truth = truth is not None
        self.fps = usual_fps([stamp for stamp, _ in self._images], 20.0)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Frame]:
        for stamp_ns, (name,) in self._images:
            truth = nearest(self._poses, stamp_ns, MAX_GAP_NS)
            yield Frame(
                stamp_ns,
                read_or(without_pixels(), partial(read_rgb, self._folder / name.strip())),
                camera=self._camera,
                map_T_camera=read_or(None, partial(self._pose, truth)) if truth else None,
            )

    def _pose(self, words: list[str]) -> Array:
        x, y, z, qw, *q = words
        return pose_from_words([x, y, z, *q, qw], self.name) @ self._body_T_camera


def _read_rows(path: Path, columns: int) -> list[tuple[int, list[str]]]:
    """(stamp_ns, the ``columns - 1`` fields after it) of each row, in order of time."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
        stamped = [(int(row[0]), row[1:columns]) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"cannot read {path}: {error}") from error
    if not rows or any(len(row) < columns for row in rows):
        raise SourceError(f"{path} should have rows of {columns} columns or more")
    for stamp_ns, _ in stamped:
        to_stamp_ns(Fraction(stamp_ns, NS), f"the stamp {stamp_ns} ns in {path}")
    return sorted(stamped, key=lambda row: row[0])


def _read_sensor(path: Path) -> tuple[Camera, Array]:
    """The camera, and body_T_camera."""
    try:
        sensor = yaml.safe_load(path.read_text())
        fx, fy, cx, cy = (float(value) for value in sensor["intrinsics"])
        width, height = (int(value) for value in sensor["resolution"])
        coefficients = tuple(float(value) for value in sensor["distortion_coefficients"])
        model = DISTORTIONS[sensor["distortion_model"]]
        body_T_camera = np.array(sensor["T_BS"]["data"], dtype=np.float64).reshape(4, 4)
        true_pose(body_T_camera, "T_BS")
    except Exception as error:  # PyYAML, and what is made of its values, raise of every kind
        raise SourceError(f"cannot read the camera of {path}: {error!r}") from error
    # Kalibr puts pixel centres at integers, Camera half a pixel further.
    camera = Camera(width, height, fx, fy, cx + 0.5, cy + 0.5, model, coefficients)
    if not camera.is_usable:
        raise SourceError(f"{path} has no finite intrinsics with focal lengths above 0")
    return camera, body_T_camera
