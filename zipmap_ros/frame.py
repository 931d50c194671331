# SPDX-License-Identifier: Apache-2.0
"""The two types that travel through the house: what came in, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zipmap_ros.geometry import Camera


@dataclass(frozen=True, eq=False)
class Frame:
    """One image as it came from a camera.

    stamp_ns    time of exposure, integer nanoseconds
    rgb         (H, W, 3) uint8, RGB
    frame_id    TF frame of the camera's optical axes
    camera      intrinsics of ``rgb``; None when the camera is not calibrated
    depth       (H, W) float32 metres along z, registered to ``rgb``, NaN where unknown, or None
    source      name of the camera when there are several, else ""
    map_T_camera  (4, 4) float64 true pose where a data set or simulator knows it, else None
    """

    stamp_ns: int
    rgb: NDArray[np.uint8]
    frame_id: str = "camera"
    camera: Camera | None = None
    depth: NDArray[np.float32] | None = None
    source: str = ""
    map_T_camera: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Estimate:
    """What the mapper knows of one frame.

    stamp_ns, frame_id, source  copied from the Frame
    map_T_camera  (4, 4) float64: camera (OpenCV axes) in ``map``, already scaled
    depth         (h, w) float32 along z, in map units (metres once the scale is metric)
    confidence    (h, w) float32, >= 1; 1 is least
    camera        the pinhole that belongs to ``depth``
    rgb           (h, w, 3) uint8: the image as the network saw it, pixel for pixel with ``depth``
    scale         network units -> map units
    kept          whether the frame was kept: in the map, in the state where its chunk was new
    jump          (4, 4) float64 what finding a known place moved the pose by: the camera's motion
                  since the frame before led to ``invert(jump) @ map_T_camera``; None if none was
    motion_covariance  (6, 6) float64 of the error of that motion without the jump, as a twist in
                  the camera (translation in map units, then rotation in radians); None if unknown
    carried       whether it is the motion of another camera of the same body, by the mounts, or of
                  the odometry
    points        (N, 3) float32 confident points in ``map``; none of a frame that is not kept
    colors        (N, 3) uint8 RGB of ``points``
    point_confidence  (N,) float32 of ``points``
    """

    stamp_ns: int
    frame_id: str
    map_T_camera: NDArray[np.float64]
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    camera: Camera
    rgb: NDArray[np.uint8]
    scale: float = 1.0
    kept: bool = True
    jump: NDArray[np.float64] | None = None
    motion_covariance: NDArray[np.float64] | None = None
    carried: bool = False
    source: str = ""
    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    colors: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    point_confidence: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
