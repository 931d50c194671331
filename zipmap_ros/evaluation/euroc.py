# SPDX-License-Identifier: Apache-2.0
"""The EuRoC MAV layout (Burri et al., IJRR 2016), and TUM-VI, which shares it.

``mav0/cam0/{data.csv,data/,sensor.yaml}`` and ``mav0/state_groundtruth_estimate0/data.csv``
(TUM-VI: ``mocap0``). Poses are those of the body; sensor.yaml's ``T_BS`` places the camera on it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera, GeometryError, matrix_from_quaternion, pose
from zipmap_ros.sources.folder import read_rgb
from zipmap_ros.sources.source import LAST_STAMP_NS, SourceError, true_pose

_TRUTHS = ("state_groundtruth_estimate0", "mocap0")
_DISTORTIONS = {"radial-tangential": "plumb_bob", "equidistant": "equidistant"}
# What PyYAML raises beside its own, and what is made of values of another kind.
_OF_YAML = (ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)
_MAX_GAP_NS = 10_000_000  # an image further from every true pose is left out


class EurocSource:
    """The left images of a sequence that have a true pose, in order of time, as `Frame`s.

    ``path`` is the folder that holds ``mav0``, or ``mav0`` itself. Raises EvaluationError when a
    file of the layout is missing or cannot be read.
    """

    has_truth = True

    def __init__(self, path: str) -> None:
        root = Path(path)
        root = root / "mav0" if (root / "mav0").is_dir() else root
        truth = next((root / name for name in _TRUTHS if (root / name).is_dir()), None)
        if truth is None:
            raise EvaluationError(f"{path} has no mav0/{_TRUTHS[0]}: it is no EuRoC sequence")
        self._images = root / "cam0" / "data"
        self._camera, body_T_camera = _read_sensor(root / "cam0" / "sensor.yaml")
        stamps, names = _read_rows(root / "cam0" / "data.csv", 2)
        pose_stamps, values = _read_rows(truth / "data.csv", 8)
        nearest = _nearest(pose_stamps, stamps)
        gap = np.abs(pose_stamps[nearest] - stamps)
        near = np.flatnonzero(gap <= _MAX_GAP_NS)
        poses = [_body_pose(values[nearest[i]]) for i in near]
        self._entries = [
            (int(stamps[i]), names[i][0].strip(), world_T_body @ body_T_camera)
            for i, world_T_body in zip(near, poses, strict=True)
            if world_T_body is not None
        ]
        if len(self._entries) < 2:
            raise EvaluationError(f"{path}: images and true poses share no time, check the stamps")

    def __iter__(self) -> Iterator[Frame]:
        for stamp_ns, name, world_T_camera in self._entries:
            try:
                rgb = read_rgb(self._images / name)
            except SourceError as error:
                raise EvaluationError(str(error)) from error
            yield Frame(stamp_ns, rgb, camera=self._camera, map_T_camera=world_T_camera)


def _read_rows(path: Path, columns: int) -> tuple[NDArray[np.int64], list[list[str]]]:
    """Stamps (n,) int64 nanoseconds in order of time, and the ``columns - 1`` fields after them."""
    try:
        with open(path, newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
        stamps = [int(row[0]) for row in rows]
        fields = [row[1:columns] for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error
    if not rows or any(len(row) < columns - 1 for row in fields):
        raise EvaluationError(f"{path} should have rows of {columns} columns or more")
    absurd = [stamp for stamp in stamps if not 0 <= stamp <= LAST_STAMP_NS]
    if absurd:
        raise EvaluationError(f"{path} has the stamp {absurd[0]} ns, before 0 or beyond 2038")
    order = np.argsort(stamps, kind="stable")
    return np.array(stamps, dtype=np.int64)[order], [fields[i] for i in order]


def _read_sensor(path: Path) -> tuple[Camera, Array]:
    """The camera, and body_T_camera."""
    try:
        sensor = yaml.safe_load(path.read_text())
        fx, fy, cx, cy = (float(value) for value in sensor["intrinsics"])
        width, height = (int(value) for value in sensor["resolution"])
        coefficients = tuple(float(value) for value in sensor["distortion_coefficients"])
        model = _DISTORTIONS[sensor["distortion_model"]]
        body_T_camera = np.array(sensor["T_BS"]["data"], dtype=np.float64).reshape(4, 4)
        true_pose(body_T_camera, "T_BS")
    except (OSError, yaml.YAMLError, *_OF_YAML) as error:
        raise EvaluationError(f"cannot read the camera of {path}: {error!r}") from error
    # Kalibr puts pixel centres at integers, Camera half a pixel further.
    camera = Camera(width, height, fx, fy, cx + 0.5, cy + 0.5, model, coefficients)
    if not camera.is_usable:
        raise EvaluationError(f"{path} has no finite intrinsics with focal lengths above 0")
    return camera, body_T_camera


def _body_pose(row: list[str]) -> Array | None:
    """world_T_body from px, py, pz, qw, qx, qy, qz; None where they are no pose."""
    try:
        x, y, z, qw, qx, qy, qz = map(float, row)
        T = pose(matrix_from_quaternion((qx, qy, qz, qw)), (x, y, z))
    except (ValueError, GeometryError):
        return None
    return T if np.isfinite(T).all() else None


def _nearest(sorted_stamps: NDArray[np.int64], stamps: NDArray[np.int64]) -> NDArray[np.int_]:
    """For each stamp the index of the nearest sorted one."""
    after = np.clip(np.searchsorted(sorted_stamps, stamps), 1, max(len(sorted_stamps) - 1, 1))
    after = np.minimum(after, len(sorted_stamps) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(sorted_stamps[after] - stamps) < np.abs(sorted_stamps[before] - stamps)
    return np.where(nearer, after, before)
