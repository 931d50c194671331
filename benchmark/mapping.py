# SPDX-License-Identifier: Apache-2.0
"""What the map costs once it is large: every operation on a map of so many points.

    python benchmark/mapping.py --points 1000000

insert   20,000 points, half of them in voxels that are known
evict    an insert that finds the map full: an eighth of it goes
cloud    the arrays of a whole cloud; message: the PointCloud2 of them
rescale  all points moved and sorted into voxels anew, as when the scale locks
project  a view of 640x480 drawn from the map
save     a session; load: the same one
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import milliseconds, report, seconds

from zipmap_ros.geometry import Camera, look_at
from zipmap_ros.mapping import StreamMapper, VoxelMap, load_session, save_session
from zipmap_ros.mapping.query import project_cloud
from zipmap_ros.model import ModelConfig, ZipMap
from zipmap_ros.nodes import convert
from zipmap_ros.parameters import Parameters

BATCH = 20_000
VOXEL = 0.05
CPU = torch.device("cpu")


class Room:
    """Random points on the walls of a room of 30 m, as many as asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def points(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(count, 3) points, their colours and confidences."""
        points = self.rng.uniform(-15, 15, (count, 3)).astype(np.float32)
        wall = self.rng.integers(0, 3, count)
        points[np.arange(count), wall] = self.rng.choice([-15, 15], count)
        points += self.rng.normal(0, 0.1, points.shape).astype(np.float32)
        colors = self.rng.integers(0, 256, (count, 3), dtype=np.uint8)
        return points, colors, self.rng.uniform(1.5, 5, count).astype(np.float32)


def filled(room: Room, voxel_map: VoxelMap, count: int) -> VoxelMap:
    """The map with ``count`` points or a few more."""
    while len(voxel_map) < count:
        voxel_map.insert(*room.points(BATCH))
    return voxel_map


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    room = Room()
    bounds = {"map_max_points": 2 * args.points, "map_max_mb": 10_000.0}
    torch.manual_seed(0)
    mapper = StreamMapper(ZipMap(ModelConfig.tiny()).eval(), Parameters().updated(bounds))
    voxel_map = filled(room, mapper.voxel_map, args.points)
    batches = [room.points(BATCH) for _ in range(args.repeats + 2)]
    for points, _, _ in batches:
        points[::2] = voxel_map.cloud().points[:: len(voxel_map) // (BATCH // 2)][: BATCH // 2]
    full = filled(room, VoxelMap(VOXEL, args.points, 10_000.0), args.points * 99 // 100)

    def evict() -> None:
        before = full.evicted
        while full.evicted == before:
            full.insert(*room.points(BATCH))

    def save() -> None:
        save_session(mapper, folder, "map", overwrite=True)

    def message() -> None:
        convert.points_to_cloud(cloud.points, cloud.colors, cloud.confidence, header)

    header = convert.make_header(0, "map")
    camera = Camera.from_fov(640, 480, 70.0)
    pose = look_at([0, 0, 0], [1, 0.5, 0])
    cloud = voxel_map.cloud()
    with tempfile.TemporaryDirectory() as folder:
        few = min(args.repeats, 3)
        measured = {
            "insert": seconds(lambda: voxel_map.insert(*batches.pop()), CPU, args.repeats),
            "cloud": seconds(voxel_map.cloud, CPU, args.repeats, warmup=3),
            "message": seconds(message, CPU, args.repeats, warmup=3),
            "evict": [max(seconds(evict, CPU, few))],
            "rescale": seconds(lambda: voxel_map.transform(np.eye(4), 1.0), CPU, few),
            "project": seconds(lambda: project_cloud(cloud, VOXEL, pose, camera), CPU, few),
            "save": seconds(save, CPU, few),
            "load": seconds(lambda: load_session(mapper, folder, "map"), CPU, few),
        }
    rows = [{"operation": name, **milliseconds(times)} for name, times in measured.items()]
    settings = {"points": args.points, "map_mb": voxel_map.megabytes}
    report("mapping", CPU, settings, rows, args.save)


if __name__ == "__main__":
    main()
