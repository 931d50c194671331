# SPDX-License-Identifier: Apache-2.0
"""``zipmap``: the command line, for machines with or without ROS 2.

Parsing only: each verb lives in its room, and is imported when it is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from zipmap_ros.parameters import ParameterError, Parameters
from zipmap_ros.threads import calm_threads

if TYPE_CHECKING:
    from zipmap_ros.frame import Frame

EXAMPLES = """examples:
  zipmap reconstruct clip.mp4               trajectory, map, depth and a report in ./out
  zipmap reconstruct run.mcap --topic /camera/image_raw --params config/stream.yaml
  zipmap info                               what the weights that ship are
  zipmap compile                            make the network faster on this CPU, once
  zipmap evaluate --data kitchen:FOLDER     errors beside those of guessing
  zipmap train --help

exit codes: 0 done, 2 bad input (one line says what), 130 interrupted
"""
RECONSTRUCT_EXAMPLES = """examples:
  zipmap reconstruct clip.mp4 --out office
  zipmap reconstruct photos/ --batch --checkpoint checkpoint_aff_inv.pt --device cuda
  zipmap reconstruct /dev/video0 --max-frames 300
  zipmap reconstruct run.mcap --topic /camera/image_raw --params config/stream.yaml
  zipmap reconstruct synthetic --max-frames 100 --json

writes report.png, map.ply, trajectory.tum, summary.json and depth/ (16-bit PNG in millimetres or
thousandths of the map's unit, and NPZ with confidence). Ctrl-C ends it; what was computed until
then is written
"""
INFO_EXAMPLES = """examples:
  zipmap info
  zipmap info checkpoint_online.pt --json
"""

COMPILE_EXAMPLES = """examples:
  zipmap compile
  zipmap compile --image 1280x720 --chunk-frames 4

takes a minute and a C++ compiler (g++). The node and zipmap reconstruct find the package in
~/.cache/zipmap_ros/compiled, unless the parameter compiled is off. It is for these weights, this
version and this processor: after an update, compile again
"""

# Parameters that `ros2 param dump` has of a node beside its own; here time is the frames' own.
OF_EVERY_NODE = {
    "use_sim_time",
    "start_type_description_service",
    "diagnostic_updater",
    "qos_overrides",
}
# Verbs that parse their own arguments: the module whose main(argv) does.
ELSEWHERE = {
    "evaluate": ("zipmap_ros.evaluation.run", "judge a checkpoint on data"),
    "train": ("zipmap_ros.training.__main__", "train the small model"),
}


class InputError(ValueError):
    """A command line that cannot be carried out."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0, or 2 after one line on standard error when the input is bad."""
    if argv is None:  # run as a program, and not called from one of others
        argv = sys.argv[1:]
        warnings.formatwarning = _one_line
    if argv[:1] != ["train"]:  # which may have the machine to itself
        calm_threads()
    try:
        if argv and argv[0] in ELSEWHERE:
            return import_module(ELSEWHERE[argv[0]][0]).main(argv[1:]) or 0
        arguments = _parser().parse_args(argv)
        verbs = {"reconstruct": _reconstruct, "info": _info, "compile": _compile}
        result = verbs[arguments.verb](arguments)
        text = json.dumps(result, indent=2) if arguments.json else _table(result)
        print(text, flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # zipmap info | head
        if not _nobody_reads_on():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # each room has an error of its own; all else is raised again
        if not _is_ours(error):
            raise
        print(f"zipmap {argv[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning for people: where in our code it was raised, and that line, tell them nothing."""
    return f"zipmap: {message}\n"


def _table(result: dict[str, Any]) -> str:
    """A name and its value a line; what has names of its own as paragraphs."""
    lines = []
    for name, value in result.items():
        lines.append(f"{name:>18}  {value}")
        if entries := _entries(value):
            whole = [wrap(text, 80, subsequent_indent="  ") for text in _paragraphs("", entries)]
            wrapped = [line for paragraph in whole for line in paragraph]
            lines[-1:] = [f"{'' if i else name:>18}  {line}" for i, line in enumerate(wrapped)]
    return "\n".join(lines)


def _paragraphs(name: str, entries: dict[str, Any]) -> Iterator[str]:
    """Names and values, then a paragraph for each that has names of its own."""
    within = {key: inner for key, value in entries.items() if (inner := _entries(value))}
    if plain := [f"{key} {value}" for key, value in entries.items() if key not in within]:
        yield f"{name}: {', '.join(plain)}" if name else ", ".join(plain)
    for key, inner in within.items():
        yield from _paragraphs(f"{name}.{key}" if name else key, inner)


def _entries(value: Any) -> dict[str, Any]:
    """The names and values in a dictionary, in a list of some, or in a text that is JSON of one."""
    if isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        value = {str(i): each for i, each in enumerate(value)}
    return value if isinstance(value, dict) else {}


def _nobody_reads_on() -> bool:
    """Whether standard output is what is broken, and not a pipe to, say, a compiler that died."""
    output = select.poll()
    output.register(sys.stdout, 0)
    return bool(output.poll(0))


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="zipmap",
        description="Streaming 3D reconstruction from a camera, without ROS.",
        epilog=EXAMPLES,
        formatter_class=as_written,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, purpose: str, examples: str) -> argparse.ArgumentParser:
        description = f"{purpose[0].upper()}{purpose[1:]}."
        return verbs.add_parser(
            name,
            help=purpose,
            description=description,
            epilog=examples,
            formatter_class=as_written,
        )

    reconstruct = verb(
        "reconstruct", "frames to trajectory, map, depth and a report", RECONSTRUCT_EXAMPLES
    )
    reconstruct.add_argument(
        "input",
        help="a video, a folder (images, 7-Scenes, TUM RGB-D, EuRoC), a bag, /dev/videoN or "
        "synthetic",
    )
    reconstruct.add_argument("--out", default="out", help="folder for the results (default: out)")
    reconstruct.add_argument(
        "--batch", action="store_true", help="all frames at once, each seeing every other"
    )
    reconstruct.add_argument("--checkpoint", help="weights (default: the small model that ships)")
    reconstruct.add_argument("--device", help="cpu, cuda, cuda:N or auto (default)")
    reconstruct.add_argument(
        "--params", metavar="FILE", help="a ROS 2 parameter file, such as config/stream.yaml"
    )
    reconstruct.add_argument("--max-frames", type=int, metavar="N", help="stop after so many")
    reconstruct.add_argument("--topic", help="image topic of a bag (default: its only one)")
    reconstruct.add_argument(
        "--odom", help="odometry topic of a bag, for scale_source odom (default: its only one)"
    )
    info = verb("info", "what a checkpoint is: variant, sizes, state", INFO_EXAMPLES)
    info.add_argument("checkpoint", nargs="?", help="weights (default: the small model that ships)")
    compiling = verb("compile", "make the network faster on this machine's CPU", COMPILE_EXAMPLES)
    compiling.add_argument(
        "--image",
        type=_size,
        default=(640, 480),
        metavar="WxH",
        help="size of the camera's images (default: 640x480); one shape, one package",
    )
    compiling.add_argument(
        "--chunk-frames", type=int, default=1, metavar="N", help="as the parameter (default: 1)"
    )
    compiling.add_argument("--checkpoint", help="weights (default: the small model that ships)")
    for each in (reconstruct, info, compiling):
        each.add_argument("--json", action="store_true", help="print the result as JSON")
    for name, (_, purpose) in ELSEWHERE.items():
        verbs.add_parser(name, help=purpose, add_help=False)
    return parser


def _reconstruct(arguments: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from zipmap_ros.mapping import StreamMapper, load_network
    from zipmap_ros.mapping.reconstruct import reconstruct
    from zipmap_ros.sources import open_source
    from zipmap_ros.sources.folder import FolderSource

    parameters = _parameters(arguments)
    if not arguments.out:
        raise InputError("--out is empty: name a folder for the results")
    source = open_source("auto", arguments.input, arguments.topic or "")
    if isinstance(source, FolderSource) and Path(arguments.out).resolve() == source.folder:
        raise InputError(
            f"--out is {arguments.out}, the folder of the images, of which report.png would be one "
            "the next time: name another"
        )
    network, sha256 = load_network(parameters)
    frames: Iterable[Frame] = islice(source, arguments.max_frames)
    total = _length(source, arguments.max_frames)
    mapper = StreamMapper(network, parameters, sha256)
    odometry = _robot(source, mapper, arguments.odom or "")
    with tqdm(frames, total=total, unit="frame", desc=source.name, file=sys.stderr) as progress:
        summary = reconstruct(mapper, progress, arguments.out, arguments.batch, odometry)
    return {"out": str(arguments.out), **summary}


def _robot(source: Any, mapper: Any, odom_topic: str) -> Iterable[tuple[int, Any]]:
    """What a bag knows of the robot: tells the mapper the camera's mount, returns the odometry."""
    from zipmap_ros.sources.bag import BagSource

    p = mapper.parameters
    if odom_topic and not (isinstance(source, BagSource) and p.scale_source == "odom"):
        raise InputError("--odom is for a bag, with scale_source odom in --params: leave it out")
    if isinstance(source, BagSource):
        mount = None if p.tf_mode == "camera" else source.mount(p.base_frame)
        if mount is not None:
            mapper.set_extrinsic("", mount)
        if p.scale_source == "odom":
            return source.odometry(odom_topic, p.base_frame)
        if p.scale_source == "tf":
            return source.odometry_from_tf(p.odom_frame, p.base_frame)
    elif p.scale_source in ("odom", "tf"):
        raise InputError(f"scale_source is {p.scale_source}, but only a bag has odometry")
    return ()


def _info(arguments: argparse.Namespace) -> dict[str, Any]:
    from zipmap_ros.evaluation.machine import describe_model
    from zipmap_ros.mapping import load_network
    from zipmap_ros.model import shipped_checkpoint

    changes = {"checkpoint": arguments.checkpoint or "", "device": "cpu"}
    network, _ = load_network(Parameters().updated(changes))
    path = Path(arguments.checkpoint or shipped_checkpoint()).expanduser()
    return {
        **describe_model(network, path),
        "file_mb": round(path.stat().st_size / 1e6, 2),
        "state_mb": round(network.new_state().nbytes / 1e6, 2),
        "config": json.loads(network.config.to_json()),
    }


def _compile(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from zipmap_ros.frame import Frame
    from zipmap_ros.mapping import load_network
    from zipmap_ros.mapping.prepare import prepare
    from zipmap_ros.model.compiled import compile_stream

    changes = {"checkpoint": arguments.checkpoint or "", "device": "cpu"}
    parameters = Parameters().updated({**changes, "chunk_frames": arguments.chunk_frames})
    network, sha256 = load_network(parameters)
    width, height = arguments.image
    frame = Frame(0, np.zeros((height, width, 3), np.uint8))
    height, width = prepare(frame, network.config, undistort=False).pixels.shape[1:]
    print("compiling, which takes a minute or more", file=sys.stderr)
    package = compile_stream(network, sha256, height, width, arguments.chunk_frames)
    return {"package": str(package), "network_input": f"{width}x{height}"}


def _size(text: str) -> tuple[int, int]:
    """640x480 as numbers."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give WIDTHxHEIGHT, like 640x480")
    return int(width), int(height)


def _parameters(arguments: argparse.Namespace) -> Parameters:
    """Defaults, then the parameter file, then the command line; no pose is ever forgotten."""
    changes = _read_parameters(arguments.params) if arguments.params else {}
    changes["path_max_poses"] = 10_000_000
    for name in ("checkpoint", "device"):
        if getattr(arguments, name):
            changes[name] = getattr(arguments, name)
    if arguments.max_frames is not None and arguments.max_frames < 1:
        raise InputError(f"--max-frames is {arguments.max_frames}: give at least 1")
    return Parameters().updated(changes)


def _read_parameters(path: str) -> dict[str, Any]:
    """The values that a ROS 2 parameter file gives to any node, or to one named zipmap, in whatever
    namespace."""
    import yaml

    try:
        tree = yaml.safe_load(Path(path).read_text()) or {}
        if not isinstance(tree, dict):
            raise TypeError(f"it holds a {type(tree).__name__}, not names of nodes")
        nodes = list(_nodes(tree))
    except Exception as error:  # PyYAML raises of every kind, as for 2001-99-99 and deep nesting
        raise InputError(f"cannot read parameters from {path}: {error}") from error
    if tree and not nodes:
        raise InputError(f"{path} is no ROS 2 parameter file: it has no ros__parameters")
    ours = [content for name, content in nodes if name.split("/")[-1] in ("**", "zipmap")]
    if nodes and not ours:
        names = ", ".join(name for name, _ in nodes)
        raise InputError(f"{path} has no node zipmap or /**, but {names}")
    values: dict[str, Any] = {}
    for content in ours:
        values |= content
    return {  # the web view may share the file; a dump has null for what is not set
        name: value
        for name, value in values.items()
        if value is not None and name not in OF_EVERY_NODE and not name.startswith("viewer_")
    }


def _nodes(tree: dict[str, Any], namespace: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and parameters of the nodes of a file, where namespaces may be keys of their own."""
    for key, content in tree.items():
        name = f"{namespace}/{key.strip('/')}"
        if not isinstance(content, dict):
            continue
        if "ros__parameters" in content:
            values = content["ros__parameters"] or {}
            if not isinstance(values, dict):
                raise TypeError(f"the parameters of {name} are {values!r}: give names and values")
            yield name, {str(key): value for key, value in values.items()}
        else:
            yield from _nodes(content, name)


def _length(source: Any, most: int | None) -> int | None:
    """How many frames will come, where that is known."""
    try:
        known = len(source)
    except TypeError:
        return most
    return known if most is None else min(known, most)


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised to tell the user what is wrong."""
    from zipmap_ros.mapping import MappingError
    from zipmap_ros.model import ModelError
    from zipmap_ros.sources import SourceError

    ours = (InputError, ParameterError, MappingError, ModelError, SourceError, OSError)
    return isinstance(error, ours)


if __name__ == "__main__":
    sys.exit(main())
