# SPDX-License-Identifier: Apache-2.0
"""Frames in; poses, depth, points and a map out.

    from zipmap_ros.mapping import StreamMapper, load_network
    model, sha256 = load_network(parameters)
    mapper = StreamMapper(model, parameters, sha256)
    for frame in frames:
        estimates = mapper.add_frame(frame)
    estimates = mapper.flush()  # of a chunk that is not full

Start reading at ``mapper.py``.
"""

from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.mapping.mapper import StreamMapper
from zipmap_ros.mapping.network import load_network, release_memory
from zipmap_ros.mapping.query import QueriedView
from zipmap_ros.mapping.session import load_session, save_session
from zipmap_ros.mapping.voxel_map import Cloud, VoxelMap

__all__ = [
    "Cloud",
    "MappingError",
    "QueriedView",
    "StreamMapper",
    "VoxelMap",
    "load_network",
    "load_session",
    "release_memory",
    "save_session",
]
