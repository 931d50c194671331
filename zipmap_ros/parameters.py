# SPDX-License-Identifier: Apache-2.0
"""Every parameter once, as plain data: name, default, range, unit, description, live or read-only.

The node declares them, the command line reads them from YAML, the mapper obeys them, and
``docs/parameters.md`` and ``config/stream.yaml`` are printed from here::

    python -m zipmap_ros.parameters --markdown > docs/parameters.md
    python -m zipmap_ros.parameters --yaml > config/stream.yaml
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

Value = bool | int | float | str | tuple[str, ...]


class ParameterError(ValueError):
    """A parameter that does not exist, or a value that was refused."""


@dataclass(frozen=True)
class Spec:
    """What is known of one parameter.

    default      its type is the parameter's type; a tuple is an array of strings
    low, high    the inclusive range of a number, or None
    allowed      the values a string may take; empty when any may
    pattern      a regular expression that a string (or each of an array) must match as a whole
    unit         unit of the value, "" where it has none
    read_only    set once at start; all others are live
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    unit: str = ""
    read_only: bool = False

    @property
    def type_name(self) -> str:
        """bool, int, double, string or string_array: the names ROS 2 uses."""
        names = {bool: "bool", int: "int", float: "double", str: "string", tuple: "string_array"}
        return names[type(self.default)]

    @property
    def constraint(self) -> str:
        """The range, the allowed values or the pattern, for people to read; "" if none."""
        if self.allowed:
            return ", ".join(self.allowed)
        if self.low is not None and self.high is not None:
            return f"{self.low:g} .. {self.high:g}" + (f" {self.unit}" if self.unit else "")
        return self.pattern


def _parameter(default: Value, description: str, **constraints: Any) -> Any:
    return field(default=default, metadata={"description": description, **constraints})


_FRAME = r"[A-Za-z][A-Za-z0-9_/]*"
_NAME = r"[A-Za-z][A-Za-z0-9_]*"


@dataclass(frozen=True)
class Parameters:
    """The value of every parameter. ``Parameters()`` holds the defaults; `updated` changes some.

    Raises ParameterError with the reason when a value is refused.
    """

    checkpoint: str = _parameter(
        "",
        "Path of the network's weights, ours (.safetensors) or official (.pt). "
        "Empty: the small model that ships.",
        read_only=True,
    )
    checkpoint_sha256: str = _parameter(
        "",
        "SHA-256 that the checkpoint must have. Empty: not checked.",
        pattern=r"([0-9a-fA-F]{64})?",
        read_only=True,
    )
    device: str = _parameter(
        "auto",
        "Where the network runs: cpu, cuda, cuda:N. auto: the GPU if there is one.",
        pattern=r"auto|cpu|cuda(:\d+)?",
        read_only=True,
    )
    precision: str = _parameter(
        "auto",
        "Number format of the network; with bfloat16, what stays float32 may use TF32. "
        "auto: bfloat16 where that is fast, float32 elsewhere.",
        allowed=("auto", "float32", "bfloat16"),
        read_only=True,
    )
    compiled: str = _parameter(
        "auto",
        "auto: on a CPU, the network as `zipmap compile` has compiled it for this machine, "
        "if it has. off: never.",
        allowed=("auto", "off"),
        read_only=True,
    )
    autostart: bool = _parameter(
        True, "Configure and activate at start, without a lifecycle manager.", read_only=True
    )
    cameras: tuple[str, ...] = _parameter(
        (),
        "Names of the cameras; each has its topics under <name>/, and all feed one state. "
        'Empty, or [""]: one camera without a name.',
        pattern=_NAME,
        read_only=True,
    )
    image_transport: str = _parameter(
        "raw",
        "Subscribe to image (raw) or to image/compressed (compressed).",
        allowed=("raw", "compressed"),
        read_only=True,
    )
    qos_image: str = _parameter(
        "sensor_data",
        "Quality of service of image, camera_info and depth alike.",
        allowed=("sensor_data", "reliable", "system_default"),
        read_only=True,
    )
    undistort: str = _parameter(
        "auto",
        "auto: rectify images whose camera_info carries distortion. off: take them as they come.",
        allowed=("auto", "off"),
    )
    chunk_frames: int = _parameter(
        1, "Frames that the network folds into its state at once.", low=1, high=64
    )
    chunk_timeout_s: float = _parameter(
        0.5, "A partial chunk goes ahead after this time.", low=0.01, high=60.0, unit="s"
    )
    queue_frames: int = _parameter(
        4, "Frames that may wait for the network; the oldest is dropped.", low=1, high=1000
    )
    keyframe_translation_m: float = _parameter(
        0.02,
        "A chunk is kept, in the map and as far as its view is new in the state, when a camera has "
        "moved this far since the last kept one (map units while the scale is not metric).",
        low=0.0,
        high=100.0,
        unit="m",
    )
    keyframe_rotation_deg: float = _parameter(
        1.0, "Or has turned this far.", low=0.0, high=180.0, unit="deg"
    )
    keyframe_max_gap: int = _parameter(
        30,
        "Or, after this many frames without a kept one, a quarter of that.",
        low=1,
        high=1_000_000,
    )
    mode: str = _parameter(
        "mapping",
        "mapping: keyframe chunks are kept in map and state. localization: every chunk is computed "
        "and dropped, the map does not grow.",
        allowed=("mapping", "localization"),
    )
    align_poses: str = _parameter(
        "auto",
        "on: each image is aligned to an earlier one by the network's depth, which gives its pose "
        "(the network's own where that fails) and mends its depth. off: the network's own poses "
        "and depth. auto: off for official checkpoints, on for others.",
        allowed=("auto", "on", "off"),
        read_only=True,
    )
    scale_source: str = _parameter(
        "none",
        "Where metres come from: none (map units are the network's), fixed (parameter scale), "
        "depth (registered depth images), odom (the odom topic), tf (odom_frame to base_frame).",
        allowed=("none", "fixed", "depth", "odom", "tf"),
    )
    scale: float = _parameter(
        1.0, "Network units to metres when scale_source is fixed.", low=1e-6, high=1e6
    )
    tf_mode: str = _parameter(
        "odom_and_map",
        "map_to_odom: someone else publishes odom to base. odom_and_map: we publish both. "
        "camera: map to the optical frame. off: no TF.",
        allowed=("map_to_odom", "odom_and_map", "camera", "off"),
        read_only=True,
    )
    map_frame: str = _parameter("map", "TF frame of the map, z up.", pattern=_FRAME, read_only=True)
    odom_frame: str = _parameter("odom", "TF frame of odometry.", pattern=_FRAME, read_only=True)
    base_frame: str = _parameter(
        "base_link", "TF frame of the robot's body.", pattern=_FRAME, read_only=True
    )
    tf_rate_hz: float = _parameter(
        20.0, "How often TF is published.", low=0.1, high=1000.0, unit="Hz"
    )
    tf_tolerance_s: float = _parameter(
        0.1, "How far ahead TF is stamped where it is repeated.", low=0.0, high=5.0, unit="s"
    )
    tf_timeout_s: float = _parameter(
        0.2, "How long a TF lookup may wait.", low=0.0, high=10.0, unit="s"
    )
    max_jump_m: float = _parameter(
        2.0,
        "A frame whose camera moves further than this from the last one is not believed "
        "(map units while the scale is not metric).",
        low=0.001,
        high=10_000.0,
        unit="m",
    )
    max_turn_deg: float = _parameter(
        60.0, "Or turns further than this.", low=0.1, high=180.0, unit="deg"
    )
    lost_after: int = _parameter(
        3, "Consecutive frames not believed after which the state is LOST.", low=1, high=10_000
    )
    found_after: int = _parameter(5, "Consecutive good frames that end LOST.", low=1, high=10_000)
    map_voxel_m: float = _parameter(
        0.05, "Edge of a voxel of the map; one point each.", low=0.001, high=10.0, unit="m"
    )
    map_max_points: int = _parameter(
        2_000_000, "Points the map may hold.", low=1_000, high=100_000_000
    )
    map_max_mb: float = _parameter(
        256.0, "Memory the map may hold.", low=1.0, high=100_000.0, unit="MB"
    )
    map_min_confidence: float = _parameter(
        1.5, "Points below this confidence stay out of the map; 1 is least.", low=1.0, high=1e6
    )
    map_range_m: float = _parameter(
        10.0, "Points deeper than this stay out of the map.", low=0.01, high=10_000.0, unit="m"
    )
    points_per_frame: int = _parameter(
        20_000, "Points taken from one frame, evenly over the image.", low=1, high=10_000_000
    )
    map_rate_hz: float = _parameter(
        1.0, "How often ~/map is published when it changed.", low=0.01, high=100.0, unit="Hz"
    )
    path_rate_hz: float = _parameter(
        2.0, "How often ~/path is published.", low=0.01, high=100.0, unit="Hz"
    )
    status_rate_hz: float = _parameter(
        2.0, "How often ~/status is published.", low=0.01, high=100.0, unit="Hz"
    )
    path_max_poses: int = _parameter(
        10_000, "Poses that ~/path and the trajectory keep.", low=2, high=10_000_000
    )
    map_directory: str = _parameter(
        "~/.ros/zipmap",
        "Folder that ~/save_map and ~/load_map never leave.",
        pattern=r".+",
        read_only=True,
    )
    session: str = _parameter(
        "",
        "Name of a session in map_directory, as of ~/save_map, that configuring loads. "
        "Empty: it begins with nothing.",
        read_only=True,
    )
    query_timeout_s: float = _parameter(
        2.0, "How long ~/query_view may take.", low=0.01, high=600.0, unit="s"
    )
    reset_on_time_jump: bool = _parameter(
        True, "Start anew when time jumps back (a bag loops); otherwise only queues are emptied."
    )
    no_data_warn_s: float = _parameter(
        5.0, "Warn when no image came for this long.", low=0.1, high=3600.0, unit="s"
    )

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if reason := validate(name, value):
                raise ParameterError(reason)
        if reason := self.conflict():
            raise ParameterError(reason)

    def updated(self, changes: Mapping[str, Any]) -> Parameters:
        """A copy with some values changed, all checked.

        Raises ParameterError with the reason when a name or value is refused.
        """
        clean: dict[str, Any] = {}
        for name, value in changes.items():
            if value == [""]:  # as ROS 2 says it, which cannot tell the type of an empty array
                value = []
            if reason := validate(name, value):
                raise ParameterError(reason)
            clean[name] = type(SPECS[name].default)(value)  # 1 to 1.0, a list to a tuple
        return replace(self, **clean)

    def conflict(self) -> str | None:
        """Why these values cannot stand together, or None."""
        frames = (self.map_frame, self.odom_frame, self.base_frame)
        if len(set(frames)) < 3:
            return f"map_frame, odom_frame, base_frame must differ, got {', '.join(frames)}"
        if len(set(self.cameras)) < len(self.cameras):
            return f"cameras must differ, got {', '.join(self.cameras)}"
        if self.scale_source == "tf" and self.tf_mode not in ("map_to_odom", "off"):
            return (
                f"scale_source tf reads {self.odom_frame} to {self.base_frame} from TF, which "
                f"tf_mode {self.tf_mode} does not leave to others: set tf_mode map_to_odom or off"
            )
        return None


SPECS: dict[str, Spec] = {
    f.name: Spec(name=f.name, default=getattr(Parameters, f.name), **f.metadata)
    for f in fields(Parameters)
}


def validate(name: str, value: Any) -> str | None:
    """Why ``value`` is refused for the parameter ``name``, or None when it is good.

    Checks type, finiteness, range, allowed values and pattern. An int is good for a float, a list
    of strings for an array. What depends on other parameters is `Parameters.conflict`.
    """
    spec = SPECS.get(name)
    if spec is None:
        return f"there is no parameter {name!r}"
    if not _has_type(spec, value):
        quote = isinstance(value, bool) and spec.type_name == "string"
        why = ": YAML reads on and off as booleans, quote them" if quote else ""
        return f"{name} must be of type {spec.type_name}, got {value!r}{why}"
    if spec.low is not None and spec.high is not None and not spec.low <= value <= spec.high:
        return f"{name} must be in {spec.constraint}, got {value}"
    if spec.allowed and value not in spec.allowed:
        return f"{name} must be one of {spec.constraint}, got {value!r}"
    texts = value if isinstance(spec.default, tuple) else [value]
    if spec.pattern and not all(re.fullmatch(spec.pattern, text) for text in texts):
        return f"{name} must match {spec.pattern}, got {value!r}"
    return None


def _has_type(spec: Spec, value: Any) -> bool:
    default = spec.default
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and math.isfinite(value)
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    return isinstance(value, type(default))


def to_markdown() -> str:
    """``docs/parameters.md``: one table row a parameter."""
    rows = [
        f"| `{s.name}` | {s.type_name} | `{json.dumps(s.default)}` "
        f"| {s.constraint.replace('|', chr(92) + '|')} | {'no' if s.read_only else 'yes'} "
        f"| {s.description} |"
        for s in SPECS.values()
    ]
    return "\n".join(
        [
            "# Parameters",
            "",
            "Printed by `python -m zipmap_ros.parameters --markdown`; edit "
            "`zipmap_ros/parameters.py` instead.",
            "A bad value is refused with the reason. Live parameters may be set while the node "
            "runs.",
            "YAML takes on and off for booleans: in a file they want quotes (`tf_mode: "
            '"off"`), on a command line two pairs of them',
            "(`ros2 param set /zipmap undistort '\"off\"'`).",
            "",
            "| name | type | default | allowed | live | description |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def to_yaml() -> str:
    """``config/stream.yaml``: every parameter with its default, as a ROS 2 parameter file.

    JSON values are YAML values, and tell 1 from 1.0 as ROS 2 does.
    """
    lines = [
        "# Every parameter with its default; docs/parameters.md explains them.",
        "# Printed by: python -m zipmap_ros.parameters --yaml",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in SPECS.values():
        # A ROS 2 parameter file cannot say the type of an empty array: leave it out.
        mark = "# " if spec.default == () else ""
        lines.append(f"    {mark}{spec.name}: {json.dumps(spec.default)}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the documentation or the parameter file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--markdown", action="store_true", help="print docs/parameters.md")
    kind.add_argument("--yaml", action="store_true", help="print config/stream.yaml")
    print(to_markdown() if parser.parse_args().markdown else to_yaml(), end="")


if __name__ == "__main__":
    main()
