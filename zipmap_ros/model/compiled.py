# SPDX-License-Identifier: Apache-2.0
"""`ZipMap.stream` compiled ahead of time for this processor, one package for each shape of chunk.

torch's AOTInductor lays the weights out for the products, fuses what lies between them and leaves
Python out. Same function, other roundings. ``zipmap compile`` makes a package, which takes a
minute and a C++ compiler; `CompiledStream` finds it again in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from zipmap_ros.model.cameras import decode_pose
from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.fast_weights import FastWeights, SceneState
from zipmap_ros.model.package import Package
from zipmap_ros.model.zipmap import Prediction, ZipMap

OUTPUTS = ("depth",)
TENSORS = len(FastWeights._fields)
_NAME = re.compile(r"(\d+)x(\d+)-(\d+)-")  # width, height, frames of a chunk


class CompiledStream:
    """Called with (images, state) as `ZipMap.stream` is, images (1, chunk, 3, H, W), one chunk.

    The first chunk of a scene, and chunks of shapes that are not compiled, of several scenes or on
    another device, go through the network itself. ``checkpoint`` is the SHA-256 of the weights.
    What is there is loaded here, from the folder ``packages``, by default `cache_folder`;
    ``shapes`` says for which (chunk, H, W).
    """

    def __init__(self, model: ZipMap, checkpoint: str, packages: Path | None = None) -> None:
        self.model = model
        self._packages: dict[tuple[int, int, int], Package] = {}
        for path in sorted((packages or cache_folder()).glob(f"*-{_name(model, checkpoint)}")):
            shape = _NAME.match(path.name)
            package = _load(path) if shape else None
            if shape and package:
                width, height, chunk = map(int, shape.groups())
                self._packages[chunk, height, width] = package

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """The (chunk, H, W) that are compiled."""
        return tuple(self._packages)

    def __call__(self, images: Tensor, state: SceneState) -> tuple[Prediction, SceneState]:
        """The prediction and the new state; ``state`` stays as it is.

        Raises ModelError for what the network itself refuses.
        """
        images = self.model.checked(images)
        self.model.check_state(state, len(images))
        chunk, height, width = images.shape[1], *images.shape[-2:]
        package = self._packages.get((chunk, height, width))
        inputs = [images.contiguous(), *_flat(state)]
        fits = len(images) == 1 and all(tensor.is_cpu for tensor in inputs)
        # The first frame may be its reference view.
        if package is None or not fits or state.frames_seen == 0:
            return self.model.stream(images, state, chunk, OUTPUTS)
        with torch.no_grad():
            encoding, depth, confidence, *flat = package(*inputs)
            camera_T_world, intrinsics = decode_pose(encoding, height, width)
        prediction = Prediction(
            encoding, camera_T_world, intrinsics, depth, confidence, None, (encoding,)
        )
        return prediction, SceneState(_layers(flat), state.targets, state.frames_seen + chunk)


def compile_stream(
    model: ZipMap,
    checkpoint: str,
    height: int,
    width: int,
    chunk_frames: int = 1,
    packages: Path | None = None,
) -> Path:
    """Compile a network in eval mode on the CPU for chunks (1, chunk_frames, 3, height, width).

    ``checkpoint`` is the SHA-256 of the weights; ``packages`` the folder of packages, by default
    `cache_folder`. Returns where the package is. Raises ModelError
    for a network that does not stream or lies on another device, and where torch cannot compile it,
    which says why.
    """
    if model.training or not model.config.streams or next(model.parameters()).device.type != "cpu":
        raise ModelError("only a network that streams, in eval mode and on the CPU, is compiled")
    shape, name = f"{width}x{height}-{chunk_frames}", _name(model, checkpoint)
    path = (packages or cache_folder()) / f"{shape}-{name}"
    missing = [place for place in (path.parent, *path.parent.parents) if not place.exists()]
    for place in reversed(missing):  # one by one: mkdir leaves the mode of parents to the umask
        place.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(path.parent):
        raise ModelError(
            f"others can write {path.parent} or a folder above it, and what is there is run as a "
            "program: set XDG_CACHE_HOME to a folder of your own"
        )
    images = torch.zeros(1, chunk_frames, 3, height, width)
    # Which also makes the tables that the network keeps: they are constants of the package.
    _, state = model.stream(images, model.new_state(), chunk_frames, OUTPUTS)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        try:
            with torch.no_grad():
                program = torch.export.export(_Step(model), (images, *_flat(state)), strict=False)
                torch._inductor.aoti_compile_and_package(
                    program,
                    package_path=str(made),
                    inductor_configs={"freezing": True, "cpp.dynamic_threads": True},
                )
        except Exception as error:  # of torch, of its compiler, of the C++ compiler
            raise ModelError(
                f"torch {torch.__version__} could not compile the network, which takes torch 2.7 "
                f"or newer and a C++ compiler such as g++: {_first_line(error)}"
            ) from error
        made.chmod(0o600)  # whatever the umask: what others can write is not run
        made.replace(path)
    for other in path.parent.glob(f"{shape}-{name.split('-')[0]}-*.pt2"):
        if other != path:  # of other code, or another torch
            other.unlink(missing_ok=True)
    return path


def cache_folder() -> Path:
    """``zipmap_ros/compiled`` in ``$XDG_CACHE_HOME``, which is ``~/.cache`` where it is not set."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache_home).expanduser() / "zipmap_ros" / "compiled"


class _Step(nn.Module):
    """One chunk of a scene that has begun, tensors in and out."""

    def __init__(self, model: ZipMap) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        half = len(flat) // 2
        state = SceneState(_layers(flat[:half]), _layers(flat[half:]), frames_seen=1)
        prediction, after = self.model(images, state, outputs=OUTPUTS)
        layers = (tensor for weights in after.layers for tensor in weights)
        return (prediction.pose_encoding, prediction.depth, prediction.confidence, *layers)


def _name(model: ZipMap, checkpoint: str) -> str:
    """What a package depends on, beside the shape of the chunk: whom it is for (weights, processor
    and number formats), and what has made it (this code and torch), of which the last one stays."""
    formats = (str(model.compute_dtype), str(model.head_dtype))
    whom, maker = (checkpoint, _processor(), *formats), (_source(), torch.__version__)
    return f"{_digest(*whom)}-{_digest(*maker)}.pt2"


def _digest(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _flat(state: SceneState) -> list[Tensor]:
    """Layers, then targets, as packages take them: they do not look at how a tensor lies."""
    parts = (state.layers, state.targets)
    return [w.contiguous() for layers in parts for weights in layers for w in weights]


def _layers(flat: tuple[Tensor, ...] | list[Tensor]) -> tuple[FastWeights, ...]:
    starts = range(0, len(flat), TENSORS)
    return tuple(FastWeights(*flat[start : start + TENSORS]) for start in starts)


def _load(path: Path) -> Package | None:
    """The package, which is a program: None for one that others than the user can write."""
    if not _is_ours(path):
        problem = "others may have written it, or what lies in a folder above it"
    else:
        try:
            return Package(path)
        except Exception as error:  # whatever it is: the network itself is there
            problem = _first_line(error)
    warnings.warn(
        f"the compiled network {path} is not used: {problem}; make it anew (zipmap compile)",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _is_ours(path: Path) -> bool:
    """Whether a file or folder, and the three folders above it, the cache's, belong to the user or
    root, and are no link and not for everybody to write, nor the file for the group.

    One where only owners may move files, as /tmp, is no danger.
    """
    if path.is_symlink():
        return False
    for place in (path, *path.resolve().parents[:3]):
        status = place.stat()
        if status.st_uid not in (os.getuid(), 0):
            return False
        others = 0o002 if place.is_dir() and status.st_gid == os.getgid() else 0o022
        if status.st_mode & others and not (place.is_dir() and status.st_mode & stat.S_ISVTX):
            return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@cache
def _source() -> str:
    """A digest of the network's code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """What the processor can do, as Linux lists it; elsewhere, what torch knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    listed = (line for line in lines if line.startswith(("flags", "Features")))
    return next(listed, torch.backends.cpu.get_cpu_capability())
