# SPDX-License-Identifier: Apache-2.0
"""Folders of images: plain ones, and the 7-Scenes layout with true depth and poses."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Array, Camera
from zipmap_ros.sources.decode import DecodeError, decoded
from zipmap_ros.sources.source import (
    NS,
    RecordedSource,
    SourceError,
    read_or,
    registered,
    to_stamp_ns,
    true_pose,
    without_pixels,
)

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")  # by PIL's names
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
OTHERS = {".heic", ".heif", ".avif", ".dng"}  # that phones write, and OpenCV may not read
PLAIN_FPS = 10.0
SCENES_FPS = 30.0
SCENES_INTRINSICS = "camera-intrinsics.txt"
_NO_DEPTH = (0, 65535)


@dataclass(frozen=True, eq=False)
class _Entry:
    image: Path
    stamp_ns: int
    depth: Path | None = None
    map_T_camera: Array | None = None


class FolderSource(RecordedSource):
    """Images of a folder; see ``open_folder``."""

    def __init__(self, path: str, entries: list[_Entry], fps: float, camera: Camera | None) -> None:
        self.folder = Path(path).resolve()
        self.name, self.fps, self._entries, self._camera = Path(path).name, fps, entries, camera
        self.has_truth = any(entry.map_T_camera is not None for entry in entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Frame]:
        for entry in self._entries:
            rgb, depth = read_or(without_pixels(), partial(read_rgb, entry.image)), None
            if entry.depth is not None:
                depth = read_or(None, partial(read_depth, entry.depth, 1000.0, rgb))
            yield Frame(
                entry.stamp_ns,
                rgb,
                camera=self._camera,
                depth=depth,
                map_T_camera=entry.map_T_camera,
            )


def open_folder(path: str) -> FolderSource:
    """The images of a folder in natural order of their names, ten a second.

    ``frame-NNNNNN.color.jpg|png`` beside ``.depth.png`` (uint16 millimetres, 0 and 65535 unknown),
    ``.pose.txt`` (4x4 camera to world) and ``camera-intrinsics.txt`` (3x3) is the 7-Scenes layout:
    thirty frames a second by their numbers, with depth, pose and camera where the files exist.
    Raises SourceError for a folder without images.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise SourceError(f"{path} is no folder: give a folder of images, or open it as a video")
    images = sorted((path for path in folder.iterdir() if _is_image(path)), key=natural_key)
    coloured = [p for p in images if ".color." in p.name]
    if coloured:
        return _open_scenes(path, coloured)
    if not images:
        kinds = ", ".join(sorted(SUFFIXES))
        raise SourceError(f"{path} holds no images ({kinds}): check the path, or convert others")
    if others := sorted(path.name for path in folder.iterdir() if path.suffix.lower() in OTHERS):
        what = f"{len(others)} photos of {path} such as {others[0]}: convert them to JPEG"
        warnings.warn(f"left out: {what}", RuntimeWarning, stacklevel=2)
    entries = [_Entry(image, round(i * NS / PLAIN_FPS)) for i, image in enumerate(images)]
    return FolderSource(path, entries, PLAIN_FPS, None)


def _open_scenes(path: str, images: list[Path]) -> FolderSource:
    entries = []
    for image in images:
        stem = image.name.split(".color.")[0]
        numbers = re.findall(r"\d+", stem)
        if not numbers:
            raise SourceError(f"{image} has no number in its name: use frame-NNNNNN.color.jpg")
        seconds = Fraction(int(numbers[-1])) / int(SCENES_FPS)
        depth, pose = (image.parent / f"{stem}{end}" for end in (".depth.png", ".pose.txt"))
        entries.append(
            _Entry(
                image,
                to_stamp_ns(seconds, f"{image}, at thirty frames a second,"),
                depth if depth.is_file() else None,
                read_or(None, partial(_read_pose, pose)) if pose.is_file() else None,
            )
        )
    camera = None
    intrinsics = Path(path) / SCENES_INTRINSICS
    if intrinsics.is_file():
        read = (read_or(without_pixels(), partial(read_rgb, image)) for image in images)
        height, width = next((rgb.shape[:2] for rgb in read if rgb.size), (0, 0))
        camera = Camera.from_matrix(_read_matrix(intrinsics, 3), width, height)
        if not camera.is_usable:
            raise SourceError(f"{intrinsics} has no finite K with focal lengths above 0: calibrate")
    fps = usual_fps([entry.stamp_ns for entry in entries], SCENES_FPS)
    return FolderSource(path, entries, fps, camera)


def usual_fps(stamps_ns: Sequence[int], otherwise: float) -> float:
    """Frames a second by the median of the steps; ``otherwise`` where that says nothing."""
    step = float(np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 0.0
    return NS / step if step > 0 else otherwise


def natural_key(path: Path) -> list[tuple[str, int]]:
    """Sorts img2 before img10, and both before other2; img1 and img01 are never equal."""
    parts = [(text, int(part or 0)) for text, part in re.findall(r"(\D*)(\d*)", path.name)]
    return [*parts, (path.name, 0)]


def _is_image(path: Path) -> bool:
    """Hidden files, such as the ``._img0.jpg`` of a Mac, are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB. Raises SourceError when it cannot be decoded."""
    bgr = _pixels(path, cv2.IMREAD_COLOR)
    if bgr is None:
        raise SourceError(f"{path} cannot be decoded: is it a complete image?")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def read_depth(path: Path, units_per_metre: float, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A 16-bit depth image as (H, W) float32 metres along z, NaN where unknown. Raises SourceError
    for another, and for one of another size than its image ``rgb``."""
    raw = _pixels(path, cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
        raise SourceError(f"{path} is no depth image of one channel of 16 bits")
    depth = raw.astype(np.float32) / units_per_metre
    depth[np.isin(raw, _NO_DEPTH)] = np.nan
    return registered(depth, rgb, f"in {path.parent}")


def _pixels(path: Path, flags: int) -> NDArray | None:
    """An image file as OpenCV decodes it, None where it is none. Raises SourceError for one that is
    too large."""
    try:
        return decoded(np.fromfile(path, np.uint8), FORMATS, flags) if path.is_file() else None
    except OSError:
        return None
    except DecodeError as error:
        raise SourceError(f"{path}: {error}") from error


def _read_pose(path: Path) -> Array:
    return true_pose(_read_matrix(path, 4), f"the pose in {path}")


def _read_matrix(path: Path, size: int) -> Array:
    try:
        return np.loadtxt(path, np.float64, encoding="utf-8-sig").reshape(size, size)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is no {size}x{size} matrix of numbers: {error}") from error
