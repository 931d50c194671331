# SPDX-License-Identifier: Apache-2.0
"""The gauge: how the network's own world, of arbitrary place and scale, lies in ``map``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zipmap_ros.geometry import Array, invert


def scaled(T: Array, scale: float) -> Array:
    """A (..., 4, 4) pose with its translation multiplied."""
    T = np.array(T, dtype=np.float64)
    T[..., :3, 3] *= scale
    return T


@dataclass(frozen=True, eq=False)
class Gauge:
    """One camera pose known in both worlds, and the scale between them.

    anchor_network  (4, 4) network_T_camera, network units
    anchor_map      (4, 4) map_T_camera of the same camera; stays where it is when scale changes
    scale           network units to map units
    """

    anchor_network: Array
    anchor_map: Array
    scale: float = 1.0

    @property
    def map_T_network(self) -> Array:
        """(4, 4) rigid transform of network coordinates *times scale* into ``map``."""
        return self.anchor_map @ invert(scaled(self.anchor_network, self.scale))

    def to_map(self, network_T_camera: Array) -> Array:
        """(..., 4, 4) network poses to ``map_T_camera``."""
        return self.map_T_network @ scaled(network_T_camera, self.scale)

    def to_network(self, map_T_camera: Array) -> Array:
        """(..., 4, 4) ``map_T_camera`` to network poses."""
        return scaled(invert(self.map_T_network) @ map_T_camera, 1 / self.scale)

    def in_map(self, network_T_network: Array) -> Array:
        """(4, 4) a rigid transform of the network's world as one of ``map``."""
        M = self.map_T_network
        return M @ scaled(network_T_network, self.scale) @ invert(M)

    def covariance_in_map(self, covariance: Array | None) -> Array | None:
        """(6, 6) of a twist in a camera, in map units; None stays None."""
        units = np.array([self.scale] * 3 + [1.0] * 3)
        return None if covariance is None else covariance * np.outer(units, units)

    def change_from(self, old: Gauge) -> tuple[Array, float]:
        """What moves map coordinates of ``old`` into this gauge: ``new_T_old @ (ratio * p)``."""
        ratio = self.scale / old.scale
        new, before = self.map_T_network, old.map_T_network
        return new @ invert(scaled(before, ratio)), ratio
