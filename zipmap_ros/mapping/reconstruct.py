# SPDX-License-Identifier: Apache-2.0
"""``zipmap reconstruct``: frames through a mapper into files.

trajectory.tum      map_T_camera of every accepted frame
map.ply             the voxel map with colour and confidence
depth/NNNNNN.png    16 bit, thousandths of a map unit (millimetres once metric); 0: > 65.535
depth/NNNNNN.npz    depth, confidence (float32), K (pixels of the depth), stamp_ns
report.png          to look at
summary.json        what happened, in numbers
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zipmap_ros.frame import Estimate, Frame
from zipmap_ros.geometry import Array
from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.mapping.mapper import StreamMapper
from zipmap_ros.mapping.ply import write_ply
from zipmap_ros.mapping.report import Samples, write_report

PNG_UNITS = 1000
_ARRAYS = ("depth", "confidence", "K", "stamp_ns")


def reconstruct(
    mapper: StreamMapper,
    frames: Iterable[Frame],
    out: str | Path,
    batch: bool = False,
    odometry: Iterable[tuple[int, Array]] = (),
) -> dict[str, Any]:
    """Run all frames and write the files above into ``out``; the summary as plain values.

    ``batch`` shows all frames to the network at once. ``odometry`` are stamps with (4, 4)
    odom_T_base in order of time, for scale_source odom and tf. All depth files end in the final
    scale. Raises MappingError when no frame gave a result, when a file cannot be written, and where
    ``out`` has depth images that are not ours. Whatever else ends the frames, Ctrl-C too, is raised
    after the files of what was computed until then are written.
    """
    out = Path(out)
    frames = _with_odometry(mapper, frames, odometry)
    depth = _DepthFiles(out / "depth")
    samples = Samples()
    ended: BaseException | None = None
    began = time.perf_counter()
    try:
        for estimate in _estimates(mapper, frames, batch):
            depth.write(estimate)
            samples.add(estimate)
    except (Exception, KeyboardInterrupt) as error:  # raised again once the files are written
        ended = error
    seconds = time.perf_counter() - began
    if not depth.count:
        raise ended or MappingError(
            f"none of {mapper.counts.received} frames gave a result: "
            + (mapper.problem or "the input is empty")
        )
    try:
        summary = _write(mapper, out, depth, samples, seconds)
    except OSError as error:
        raise MappingError(f"cannot write the results to {out}: {error}") from (ended or error)
    if ended:
        raise ended
    return summary


def _write(
    mapper: StreamMapper, out: Path, depth: _DepthFiles, samples: Samples, seconds: float
) -> dict[str, Any]:
    """All files but those of the depth, which are brought to the final scale; the summary."""
    depth.rescale(mapper.scale.scale)
    mapper.trajectory.write_tum(out / "trajectory.tum")
    cloud = mapper.voxel_map.cloud()
    write_ply(out / "map.ply", cloud)
    summary = _summary(mapper, depth.count, seconds)
    positions = mapper.trajectory.poses[:, :3, 3]
    unit = "metres" if mapper.scale.metric else "map units, not metric"
    title = (
        f"{summary['frames']} frames, {summary['estimates']} poses, {len(cloud)} points, "
        f"{summary['frames_per_second']:.1f} frames/s"
    )
    shown = [_in_scale(estimate, mapper.scale.scale) for estimate in samples.chosen()]
    write_report(out / "report.png", shown, positions, cloud, title, unit)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _with_odometry(
    mapper: StreamMapper, frames: Iterable[Frame], odometry: Iterable[tuple[int, Array]]
) -> Iterator[Frame]:
    """The frames, each after the mapper has been given the odometry that encloses its stamp."""
    entries = iter(odometry)
    entry = next(entries, None)
    given_ns = -1
    for frame in frames:
        while entry is not None and given_ns < frame.stamp_ns:
            mapper.add_odometry(*entry)
            given_ns, entry = entry[0], next(entries, None)
        yield frame


def _estimates(mapper: StreamMapper, frames: Iterable[Frame], batch: bool) -> Iterable[Estimate]:
    if batch:
        try:
            yield from mapper.reconstruct(frames)
        except torch.OutOfMemoryError as error:
            raise MappingError(
                f"the device has too little memory for {mapper.counts.received} frames at once: "
                "take fewer, or set device to cpu"
            ) from error
        return
    for frame in frames:
        yield from mapper.add_frame(frame)
    yield from mapper.flush()


def _in_scale(estimate: Estimate, scale: float) -> Estimate:
    """With the depth that it would have had in another scale of the map."""
    depth = estimate.depth * np.float32(scale / estimate.scale)
    return replace(estimate, depth=depth, scale=scale)


def _summary(mapper: StreamMapper, estimates: int, seconds: float) -> dict[str, Any]:
    steps = np.diff(mapper.trajectory.poses[:, :3, 3], axis=0)
    counts = mapper.counts
    return {
        "frames": counts.received,
        "estimates": estimates,
        "used": counts.used,
        "gated": counts.gated,
        "dropped": dict(counts.dropped),
        "problem": mapper.problem,
        "seconds": round(seconds, 3),
        "frames_per_second": round(counts.received / seconds, 2),
        "path_length": round(float(np.linalg.norm(steps, axis=1).sum()), 6),
        "map_points": len(mapper.voxel_map),
        "map_evicted": mapper.voxel_map.evicted,
        "metric": mapper.scale.metric,
        "scale": mapper.scale.scale,
        "scale_source": mapper.scale.source,
        "scale_spread": mapper.scale.spread,
    }


class _DepthFiles:
    """Numbered depth files in a folder; those of a run before are deleted, no others."""

    def __init__(self, folder: Path) -> None:
        """Raises MappingError for a folder that cannot be, or with numbered images not ours."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MappingError(f"cannot write the results to {folder.parent}: {error}") from error
        ours = [path for path in folder.glob("[0-9]*.npz") if _is_ours(path)]
        pictures = {path.with_suffix(".png") for path in ours}
        others = {*folder.glob("[0-9]*.png"), *folder.glob("[0-9]*.npz")} - pictures - {*ours}
        if others:
            raise MappingError(
                f"{min(others)} was not written by zipmap: choose another folder for the results"
            )
        for left_over in (*ours, *pictures):
            left_over.unlink(missing_ok=True)
        self._folder = folder
        self._scales: list[float] = []

    @property
    def count(self) -> int:
        return len(self._scales)

    def write(self, estimate: Estimate) -> None:
        depth, confidence, K = estimate.depth, estimate.confidence, estimate.camera.matrix
        values = (depth, confidence, K, np.int64(estimate.stamp_ns))
        arrays = dict(zip(_ARRAYS, values, strict=True))
        self._store(self.count, arrays)
        self._scales.append(estimate.scale)

    def rescale(self, scale: float) -> None:
        """Bring files from before the scale locked to ``scale``."""
        for index, old in enumerate(self._scales):
            if old != scale:
                with np.load(self._folder / f"{index:06d}.npz") as file:
                    arrays = dict(file)
                arrays["depth"] = (arrays["depth"] * (scale / old)).astype(np.float32)
                self._store(index, arrays)
        self._scales = [scale] * self.count

    def _store(self, index: int, arrays: dict[str, Any]) -> None:
        whole = self._folder / f"{index:06d}.npz"
        begun = self._folder / "being_written.npz"  # a run that is killed leaves none in part
        try:
            np.savez_compressed(begun, **arrays)
            begun.replace(whole)
            Image.fromarray(_to_png(arrays["depth"])).save(whole.with_suffix(".png"))
        except OSError as error:
            with suppress(OSError):
                begun.unlink()
            raise MappingError(f"cannot write {whole}: {error}") from error


def _is_ours(path: Path) -> bool:
    try:
        with np.load(path) as file:
            return set(file.files) == set(_ARRAYS)
    except (OSError, ValueError, AttributeError, BadZipFile):
        return False


def _to_png(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    thousandths = np.rint(depth * PNG_UNITS)
    return np.where(thousandths <= 65535, thousandths, 0).astype(np.uint16)
