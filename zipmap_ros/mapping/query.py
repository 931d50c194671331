# SPDX-License-Identifier: Apache-2.0
"""What a camera would see from somewhere: by images from there, the map and the network's state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from zipmap_ros.geometry import Array, Camera, invert, transform_points
from zipmap_ros.mapping.alignment import Reference
from zipmap_ros.mapping.correction import Correction, node_weights
from zipmap_ros.mapping.voxel_map import Cloud, VoxelMap
from zipmap_ros.model import ModelConfig, SceneState, ZipMap
from zipmap_ros.model.cameras import ray_map
from zipmap_ros.model.preprocess import fit_size
from zipmap_ros.model.zipmap import QueryPrediction

NETWORK, MAP = "network", "map"
# Points of the map that mend a queried view, about and at most: the network waits meanwhile.
MOST_POINTS = 100_000
# Pixels from one to the next that are compared with the map, and which share of them must be known
# there: a few may be wild, and what they are corrected to reaches far.
_STEP, _LEAST = 3, 0.05
# A pixel of a reference is drawn so many times as wide as it is, which leaves no gaps.
_WIDE = 1.5
# A point of the cloud covers at most this many pixels to each side.
_MAX_SPLAT = 8
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, eq=False)
class QueriedView:
    """The answer to a query.

    camera      the pinhole of the images below
    depth       (h, w) float32 along z in map units, NaN where unknown
    confidence  (h, w) float32, 1 is least
    rgb         (h, w, 3) uint8
    source      NETWORK (the query head read the state) or MAP (the cloud was projected)
    warning     why the answer may be worth little; "" when there is no reason to doubt it
    """

    camera: Camera
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    source: str
    warning: str = ""


def query_network(
    model: ZipMap,
    state: SceneState,
    network_T_camera: Array,
    camera: Camera,
    scale: float,
    ask: Callable[[SceneState, torch.Tensor], QueryPrediction],
) -> QueriedView:
    """Ask the query head, by ``ask``: the model's ``query`` or a graph of it.

    The image size is the camera's, brought to what the network takes.
    """
    camera = fitted(camera, model.config)
    device = next(model.parameters()).device
    rays = ray_map(
        torch.as_tensor(network_T_camera, dtype=torch.float32, device=device),
        torch.as_tensor(camera.matrix, dtype=torch.float32, device=device),
        camera.height,
        camera.width,
    )
    answer = ask(state, rays[None])
    return QueriedView(
        camera,
        (answer.depth[0, 0] * scale).float().cpu().numpy(),
        answer.confidence[0, 0].float().cpu().numpy(),
        (answer.rgb[0, 0] * 255 + 0.5).to(torch.uint8).cpu().numpy(),
        NETWORK,
    )


def mended(view: QueriedView, *drawn: QueriedView) -> QueriedView:
    """What was drawn and, where nothing was, a network's answer, its depth fitted to the drawn one.

    The network remembers the images as it saw them; references and the map have their depth as
    motion mended it. What differs where both are known is smoothed, as each image's `Correction`.
    The first of ``drawn`` counts, where it shows nothing the second, and so on; of what fills less
    than a few hundredths nothing is taken.
    """
    depth, rgb = np.full(view.depth.shape, np.nan, np.float32), view.rgb.copy()
    for each in drawn:
        new = np.isnan(depth) & np.isfinite(each.depth)
        depth[new], rgb[new] = each.depth[new], each.rgb[new]
    shape, some = view.depth.shape, np.s_[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    known = np.isfinite(depth[some]) & np.isfinite(view.depth[some]) & (view.depth[some] > 0)
    if known.mean() < _LEAST:
        return replace(view, warning="no image and no map shows this view: it is a guess")
    logs = np.log(depth[some][known] / view.depth[some][known])
    v, u = np.nonzero(known)
    pixels = np.stack([u, v]) * _STEP + (_STEP // 2 + 0.5)
    correction = Correction.fitted(node_weights(pixels, shape), logs)
    brought = view.depth * correction.factor(shape)
    return replace(view, depth=np.where(np.isnan(depth), brought, depth), rgb=rgb)


def fitted(camera: Camera, config: ModelConfig) -> Camera:
    """The pinhole scaled to at most the size in which the network sees images of its aspect, of
    official ones to at most ``image_size`` a side; both sides multiples of the patch."""
    size, patch = config.image_size, config.patch_size
    sides: tuple[float, float] = camera.width, camera.height
    most = fit_size(camera.width, camera.height, size, patch)
    if config.is_official or not all(most):  # or too narrow for the network
        shrink = min(size / max(sides), 1.0)
        sides = sides[0] * shrink, sides[1] * shrink
    else:
        sides = min(sides, most, key=math.prod)
    w, h = (max(round(side / patch), 1) * patch for side in sides)
    return camera.undistorted().resized(w, h)


def draw_references(
    references: Sequence[Reference], network_T_camera: Array, camera: Camera, scale: float
) -> list[QueriedView]:
    """What each image from nearby shows of a view, its depth times ``scale``."""
    views = []
    for reference in references:
        picture = reference.picture
        z = picture.depth * reference.correction.factor(picture.depth.shape)
        local = picture.camera.unproject(z).reshape(-1, 3)
        points = transform_points(reference.world_T_camera, local).astype(np.float32)
        cloud = Cloud(points, picture.rgb.reshape(-1, 3), np.ones(len(points), np.float32))
        sizes = _WIDE / picture.camera.fx * z.ravel()
        view = project_cloud(cloud, sizes, network_T_camera, camera)
        views.append(replace(view, depth=view.depth * np.float32(scale)))
    return views


def project_map(
    voxel_map: VoxelMap, map_T_camera: Array, camera: Camera, most: int | None = None
) -> QueriedView:
    """Draw a map, or about ``most`` of its points, each of which then covers more."""
    size = len(voxel_map)
    every = max(size // (most or size or 1), 1)
    return project_cloud(voxel_map.cloud(every), voxel_map.voxel * every**0.5, map_T_camera, camera)


def project_cloud(
    cloud: Cloud, size: float | NDArray[np.floating], map_T_camera: Array, camera: Camera
) -> QueriedView:
    """Draw the cloud: each point covers the pixels that a cube would, the nearest wins.

    size  of the cubes, in units of the points: one for all, or (N,)
    """
    sizes = np.broadcast_to(np.asarray(size), len(cloud.points))
    camera = camera.undistorted()
    camera_T_map = invert(map_T_camera).astype(np.float32)
    local = cloud.points @ camera_T_map[:3, :3].T + camera_T_map[:3, 3]
    index = np.flatnonzero(local[:, 2] > sizes)
    pixel, z = camera.project(local[index])
    u, v = pixel.T
    near = (u > -_MAX_SPLAT) & (u < camera.width + _MAX_SPLAT)
    near &= (v > -_MAX_SPLAT) & (v < camera.height + _MAX_SPLAT)
    index, z = index[near], z[near].astype(np.float32)
    u, v = np.floor(pixel[near].T).astype(np.int64)
    reach = np.rint(np.minimum(0.5 * sizes[index] * camera.fx / z, _MAX_SPLAT)).astype(np.int64)
    # Positive floats sort like their bits: depth above, point below, the least wins.
    packed = (z.view(np.uint32).astype(np.uint64) << np.uint64(32)) | index.astype(np.uint64)
    nearest = np.full(camera.width * camera.height, _EMPTY, np.uint64)
    reaching = [np.flatnonzero(reach >= far) for far in range(reach.max(initial=0) + 1)]
    sides = range(1 - len(reaching), len(reaching))
    for dv, du in product(sides, sides):
        points = reaching[max(abs(du), abs(dv))]
        at_u, at_v = u[points] + du, v[points] + dv
        hit = (at_u >= 0) & (at_u < camera.width) & (at_v >= 0) & (at_v < camera.height)
        np.minimum.at(nearest, at_v[hit] * camera.width + at_u[hit], packed[points[hit]])
    return _gather(nearest, cloud, camera)


def _gather(nearest: NDArray[np.uint64], cloud: Cloud, camera: Camera) -> QueriedView:
    seen = nearest != _EMPTY
    point = (nearest[seen] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    depth = np.full(seen.shape, np.nan, np.float32)
    depth[seen] = (nearest[seen] >> np.uint64(32)).astype(np.uint32).view(np.float32)
    confidence = np.ones(seen.shape, np.float32)
    confidence[seen] = cloud.confidence[point]
    rgb = np.zeros((*seen.shape, 3), np.uint8)
    rgb[seen] = cloud.colors[point]
    shape = (camera.height, camera.width)
    return QueriedView(
        camera,
        depth.reshape(shape),
        confidence.reshape(shape),
        rgb.reshape(*shape, 3),
        MAP,
        "" if seen.any() else "no point of the map is in view",
    )
