# SPDX-License-Identifier: Apache-2.0
"""A ray-cast world with exact depth, poses and intrinsics, for training, tests and the demo."""

from zipmap_ros.synthetic.layouts import LAYOUTS
from zipmap_ros.synthetic.textures import SyntheticError, Textures
from zipmap_ros.synthetic.trajectory import CLEARANCE, MOTIONS, Motion
from zipmap_ros.synthetic.world import World, render, trajectories

__all__ = [
    "CLEARANCE",
    "LAYOUTS",
    "MOTIONS",
    "Motion",
    "SyntheticError",
    "Textures",
    "World",
    "render",
    "trajectories",
]
