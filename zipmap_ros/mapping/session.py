# SPDX-License-Identifier: Apache-2.0
"""Saved sessions: all that a mapper knows, in a folder that is either the old one or the new.

A folder holds ``state.safetensors`` (the network's state), ``mapper.safetensors`` (map, trajectory,
and in its metadata, as JSON, everything small), ``map.ply`` and ``trajectory.tum`` for others to
read, and ``manifest.json``, which is written last and lists the files with their SHA-256. A session
that is saved, loaded and continued goes on exactly as one that was not.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zipmap_ros.geometry import Array, Camera
from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.mapping.gauge import Gauge
from zipmap_ros.mapping.keyframes import Keyframes
from zipmap_ros.mapping.mapper import StreamMapper
from zipmap_ros.mapping.odometry import Odometry
from zipmap_ros.mapping.ply import write_ply
from zipmap_ros.mapping.scale import ScaleEstimator
from zipmap_ros.mapping.tracking import Tracker
from zipmap_ros.mapping.tracks import Tracks
from zipmap_ros.mapping.trajectory import Trajectory
from zipmap_ros.mapping.voxel_map import VoxelMap
from zipmap_ros.model import SceneState, file_sha256
from zipmap_ros.model.files import new_file

FORMAT = 6
PATIENCE_S = 10.0  # for another process, in whose hands the folder is
LOAD_MAP = "load_map"  # the reason that frames are dropped for, which waited for their chunk
_MANIFEST = "manifest.json"
_FILES = {"state.safetensors", "mapper.safetensors", "map.ply", "trajectory.tum"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def save_session(
    mapper: StreamMapper, directory: str | Path, name: str, overwrite: bool = False
) -> tuple[Path, int]:
    """Write the folder ``name`` below ``directory``; its path and the bytes in it.

    Everything is written beside and then renamed: whenever the process dies, the old session or the
    new one loads. Raises MappingError for a bad name, an existing session without ``overwrite``,
    a mapper with frames waiting for their chunk, or a disk that refuses.
    """
    target = session_path(directory, name)
    if mapper.pending:
        raise MappingError(f"{mapper.pending} frames wait for their chunk: save after it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent):
            return target, _replace(mapper, target, overwrite)
    except (OSError, SafetensorError) as error:
        raise MappingError(f"cannot save the session {name!r}: {error}") from error


def load_session(mapper: StreamMapper, directory: str | Path, name: str) -> None:
    """Make the mapper go on from the session ``name``; it is unchanged when that fails.

    Raises MappingError for a bad name, a folder that is no session or is damaged, another format
    or another checkpoint, or a map too large for the bounds in force.
    """
    target = session_path(directory, name)
    with _alone(target.parent):
        state, parts = _read(mapper, target)
    mapper.drop_pending(LOAD_MAP)
    mapper.reset()
    mapper.state = state
    for part, value in parts.items():
        setattr(mapper, part, value)
    if mapper.gauge is not None and mapper.gauge.scale != mapper.scale.scale:
        mapper.regauge(scale=mapper.scale.scale)


def session_path(directory: str | Path, name: str) -> Path:
    """The folder of a session. Raises MappingError for a name that could leave ``directory``."""
    if not _NAME.fullmatch(name):
        raise MappingError(
            f"the session name {name!r} is not up to 100 letters, digits, '.', '_', '-': "
            "choose another"
        )
    try:
        root = Path(directory).expanduser().resolve()
        path = root / name
        inside = path.resolve() == path
    except (OSError, RuntimeError) as error:  # a user that is not there, links in a circle
        raise MappingError(f"map_directory is {directory}, which leads nowhere: {error}") from error
    if not inside:
        raise MappingError(f"the session {name!r} leads out of {root}: remove the link")
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other process saves to the folder or loads from it: robots may share one.

    Raises MappingError when another does for longer than PATIENCE_S, as one that was stopped.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # there is no such folder, or it is on a disk without locks
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            end = time.monotonic() + PATIENCE_S
            while not _locked(descriptor):
                if time.monotonic() > end:
                    raise MappingError(
                        f"another process has been saving to or loading from {folder} for "
                        f"{PATIENCE_S:.0f} s: try again, or end it"
                    )
                time.sleep(0.02)
        yield


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours now. Raises OSError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(mapper: StreamMapper, target: Path, overwrite: bool) -> int:
    """Put a session where there is none, or the old one of the same name; the bytes in it."""
    new, old = _beside(target)
    there = os.path.exists(target)  # what may not be asked is found out where it is written
    if there and not _is_session(target):
        raise MappingError(
            f"{target} is there and no saved session, or holds more than one: take another name"
        )
    if not overwrite and (there or os.path.exists(old)):
        raise MappingError(
            f"the session {target.name!r} exists: set overwrite, or take another name"
        )
    try:
        _remove(new)
        new.mkdir()
        size = _write(mapper, new)
        if target.exists():
            _remove(old)
            target.rename(old)
        new.rename(target)
        _sync(target.parent)
        _remove(old)
    except (OSError, SafetensorError):
        shutil.rmtree(new, ignore_errors=True)
        raise
    return size


def _beside(target: Path) -> tuple[Path, Path]:
    """Where the next session is written, and where the last one waits to be removed."""
    return target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")


def _write(mapper: StreamMapper, folder: Path) -> int:
    small, arrays = _contents(mapper)
    mapper.state.save(folder / "state.safetensors")
    with new_file(folder / "mapper.safetensors") as file:
        save_file(arrays, file, metadata={"mapper": json.dumps(small)})
    write_ply(folder / "map.ply", mapper.voxel_map.cloud())
    mapper.trajectory.write_tum(folder / "trajectory.tum")
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    manifest = {
        "format": FORMAT,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "checkpoint_sha256": mapper.checkpoint,
        "model": json.loads(mapper.model.config.to_json()),
        "parameters": asdict(mapper.parameters),
        "files": files,
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    for path in (*folder.iterdir(), folder):
        _sync(path)
    return sum(path.stat().st_size for path in folder.iterdir())


def _read(mapper: StreamMapper, target: Path) -> tuple[SceneState, dict[str, Any]]:
    """State and parts of a session, both checked."""
    old = _beside(target)[1]
    folder = old if os.path.exists(old) and not os.path.exists(target) else target
    _check(mapper, folder)
    try:
        with safe_open(str(folder / "mapper.safetensors"), "np") as file:
            small = json.loads((file.metadata() or {})["mapper"])
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dictionary
        device = next(mapper.model.parameters()).device
        state = SceneState.load(folder / "state.safetensors", device)
        mapper.model.check_state(state, 1)
        if not all(tensor.isfinite().all() for layer in state.layers for tensor in layer):
            raise ValueError("its state is not finite")
        parts = _parts(mapper, small, arrays)
        _check_parts(parts)
    except Exception as error:  # whatever a file that somebody changed raises
        raise MappingError(f"cannot load the session {target.name!r}: {error}") from error
    return state, parts


def _check(mapper: StreamMapper, folder: Path) -> None:
    """Raise MappingError unless the folder is a whole session of this mapper's network."""
    try:
        if folder.is_symlink():
            raise OSError("it is a link")
        manifest = json.loads(_plain_file(folder / _MANIFEST).read_text())
        format_, written = manifest["format"], dict(manifest["files"])
        checkpoint, config = manifest["checkpoint_sha256"], manifest["model"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MappingError(f"{folder} is no saved session: {error}") from error
    if format_ != FORMAT:
        raise MappingError(f"{folder} has format {format_}, this version reads {FORMAT}")
    if checkpoint != mapper.checkpoint or config != json.loads(mapper.model.config.to_json()):
        raise MappingError(
            f"{folder} was made with another checkpoint (SHA-256 {checkpoint or 'unknown'}): "
            "load that one, or map anew"
        )
    try:
        files = {file: file_sha256(_plain_file(folder / file)) for file in sorted(_FILES)}
    except OSError as error:
        raise MappingError(f"{folder} is no saved session: {error}") from error
    if changed := sorted({file for file, _ in files.items() ^ written.items()}):
        raise MappingError(f"{folder} is damaged, changed is {', '.join(changed)}: use a backup")


def _plain_file(path: Path) -> Path:
    """The path itself. Raises OSError for a link, a pipe or a device, which may never end."""
    if not (path.is_symlink() or path.exists()):
        raise OSError(f"{path} is not there")
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path} is no plain file")
    return path


def _is_session(folder: Path) -> bool:
    """Whether `save_session` wrote the folder, and nobody else anything into it."""
    try:
        manifest = json.loads(_plain_file(folder / _MANIFEST).read_text())
        found = {path.name for path in folder.iterdir()}
    except (OSError, ValueError, RecursionError):
        return False
    is_ours = isinstance(manifest, dict) and "checkpoint_sha256" in manifest
    return is_ours and found <= {_MANIFEST, *_FILES}


def _check_parts(parts: dict[str, Any]) -> None:
    """Raise ValueError for what no mapper has written, with which every later frame would fail."""
    gauge, tracks, tracker = parts["gauge"], parts["tracks"], parts["tracker"]
    keyframes = parts["keyframes"]
    poses = [tracks.correction, *keyframes.last.values(), *parts["trajectory"].poses]
    poses += [*keyframes.views, *parts["extrinsics"].values()]
    poses += [*tracker.believed.values(), *tracker.latest.values()]
    poses += [gauge.anchor_network, gauge.anchor_map] if gauge else []
    numbers = [keyframes.gap, tracks.frames, tracks.log, parts["scale"].scale]
    for track in tracks.cameras.values():
        track.correction.check()
        track.still.check()
        numbers += [*track.step, *track.stamps, *vars(track.focal).values()]
        if track.step.shape != (6,):
            raise ValueError(f"one of its steps is {track.step}")
    if keyframes.views.shape[1:] != (4, 4):
        raise ValueError(f"its views are {keyframes.views.shape}, no poses")
    numbers += [gauge.scale] if gauge else []
    poses += [track.pose for track in tracks.cameras.values()]
    poses += [t.offset for t in tracks.cameras.values() if t.offset is not None]
    poses += [t.said for t in tracks.cameras.values() if t.said is not None]
    references = [track.reference for track in tracks.cameras.values()]
    for reference in (*references, *tracks.places.references):
        poses.append(reference.world_T_camera)
        reference.check()
    if not all(np.shape(pose) == (4, 4) and np.isfinite(pose).all() for pose in poses):
        raise ValueError("one of its poses is no finite (4, 4) matrix")
    if not all(isinstance(n, (int, float)) and np.isfinite(n) for n in numbers):
        raise ValueError(f"one of {numbers} is no number")
    if min([parts["scale"].scale] + ([gauge.scale] if gauge else [])) <= 0:
        raise ValueError("its scale is not above 0")


def _contents(mapper: StreamMapper) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is small, for JSON (whose floats keep every bit), and the arrays."""
    gauge, camera = mapper.gauge, mapper.last_camera
    tracks = mapper.tracks
    if mapper.parameters.mode == "mapping":
        tracks = tracks.with_places()
    tracks_small, images = tracks.state()
    small = {
        "voxel": mapper.voxel_map.voxel,
        "gauge": gauge and {key: _plain(value) for key, value in vars(gauge).items()},
        "scale": mapper.scale.state(),
        "keyframes": {
            key: _plain(value) for key, value in vars(mapper.keyframes).items() if key != "views"
        },
        "extrinsics": _plain(mapper.extrinsics),
        "tracks": tracks_small,
        "tracker": {
            key: _plain(value)
            for key, value in vars(mapper.tracker).items()
            if key not in ("steady", "covered")
        },
        "odometry": [[stamp, _plain(pose)] for stamp, pose in mapper.odometry.entries],
        "trajectory_sources": mapper.trajectory.sources,
        "last_camera": camera and asdict(camera),
    }
    arrays = {f"map.{key}": value for key, value in mapper.voxel_map.state().items()}
    arrays |= {f"tracks.{key}": value for key, value in images.items()}
    arrays["keyframes.views"] = mapper.keyframes.views
    arrays["trajectory.stamps_ns"] = mapper.trajectory.stamps_ns
    arrays["trajectory.poses"] = mapper.trajectory.poses
    return small, arrays


def _parts(
    mapper: StreamMapper, small: dict[str, Any], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The mapper's attributes, made anew from what `_contents` gave."""
    p = mapper.parameters
    voxel_map = VoxelMap(small["voxel"], p.map_max_points, p.map_max_mb)
    voxel_map.restore(_below("map.", arrays))
    if voxel_map.voxel != p.map_voxel_m:
        saved, voxel_map = voxel_map, VoxelMap(p.map_voxel_m, p.map_max_points, p.map_max_mb)
        voxel_map.absorb(saved)
    trajectory = Trajectory(p.path_max_poses)
    entries = zip(
        arrays["trajectory.stamps_ns"],
        small["trajectory_sources"],
        arrays["trajectory.poses"],
        strict=True,
    )
    for stamp, source, pose in entries:
        trajectory.append(int(stamp), source, pose)
    scale = ScaleEstimator(p.scale_source, p.scale)
    scale.restore(small["scale"])
    odometry = Odometry()
    for stamp, pose in small["odometry"]:
        odometry.add(stamp, np.array(pose))
    gauge, camera = small["gauge"], small["last_camera"]
    tracker, keyframes = small["tracker"], small["keyframes"]
    # Where the cameras sat that the trajectory is of; those of now are known better.
    mounts = _poses(small.get("extrinsics", {})) if p.tf_mode != "camera" else {}
    return {
        "extrinsics": mounts | mapper.extrinsics,
        "voxel_map": voxel_map,
        "trajectory": trajectory,
        "scale": scale,
        "odometry": odometry,
        "gauge": gauge
        and Gauge(np.array(gauge["anchor_network"]), np.array(gauge["anchor_map"]), gauge["scale"]),
        "tracks": Tracks.restored(small["tracks"], _below("tracks.", arrays)),
        "keyframes": Keyframes(
            _poses(keyframes["last"]), keyframes["gap"], arrays["keyframes.views"]
        ),
        "tracker": Tracker(
            _poses(tracker["believed"]),
            _poses(tracker["latest"]),
            tracker["doubted"],
            tracker["good"],
        ),
        "last_camera": camera and Camera(**{**camera, "distortion": tuple(camera["distortion"])}),
    }


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _plain(value: Any) -> Any:
    """Arrays, also those in a dictionary, as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _poses(lists: dict[str, Any]) -> dict[str, Array]:
    return {source: np.array(pose) for source, pose in lists.items()}


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    """Have a file or folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
