# SPDX-License-Identifier: Apache-2.0
"""Clouds as binary PLY files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zipmap_ros.mapping.voxel_map import Cloud

_VERTEX = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z")]
    + [(name, "u1") for name in ("red", "green", "blue")]
    + [("confidence", "<f4")]
)


def write_ply(path: str | Path, cloud: Cloud) -> None:
    """Write points with colour and confidence, little endian."""
    vertices = np.empty(len(cloud), _VERTEX)
    for axis, name in enumerate(("x", "y", "z")):
        vertices[name] = cloud.points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = cloud.colors[:, channel]
    vertices["confidence"] = cloud.confidence
    kinds = {"<f4": "float", "|u1": "uchar"}
    properties = "".join(
        f"property {kinds[_VERTEX[name].str]} {name}\n" for name in _VERTEX.names or ()
    )
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud)}\n"
        f"{properties}end_header\n"
    )
    with open(path, "wb") as file:
        file.write(header.encode("ascii"))
        file.write(vertices.tobytes())
