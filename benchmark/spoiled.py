# SPDX-License-Identifier: Apache-2.0
"""What the mapper makes of images with a camera's and a robot's own marks on them.

    python benchmark/spoiled.py data/kitchen

Clips of --frames follow one another through a folder in the 7-Scenes layout; each row changes their
images in one way and maps them with their calibration; the mean over the clips. Errors are after
alignment by Sim(3), depth after one scale for the clip, where the image shows the scene.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from aspects import measured
from measure import report
from numpy.typing import NDArray
from PIL import Image

from zipmap_ros.evaluation.runs import fit
from zipmap_ros.evaluation.scores import mean_scores
from zipmap_ros.frame import Frame
from zipmap_ros.mapping.bars import Bars
from zipmap_ros.model import ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.sources import open_source

Images = NDArray[np.uint8]  # (N, H, W, 3), all of a clip
H, W = 480, 640
Y, X = np.indices((H, W))
EDGE = H + 10 * np.sin(X / 60)  # of a body, before its share of the rows
GRIPPER = ((abs(X - 200 - (H - Y) / 4) < 35) | (abs(X - 440 + (H - Y) / 4) < 35)) & (Y > 260)


def texture(seed: int, low: int, high: int) -> Images:
    """(H, W, 3) blobs of 16 pixels."""
    small = np.random.default_rng(seed).integers(low, high, (H // 16, W // 16, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((W, H), Image.Resampling.BICUBIC))


def covered(where: NDArray[np.bool_], what: Images) -> Callable[[Images], Images]:
    """With the same there in all images."""
    return lambda images: np.where(where[..., None], what, images)


def each(change: Callable[[int, NDArray[np.float64]], NDArray]) -> Callable[[Images], Images]:
    """With each image changed by itself: its index and (H, W, 3) values of 0..255."""

    def changed(images: Images) -> Images:
        made = [np.clip(change(i, image.astype(float)), 0, 255) for i, image in enumerate(images)]
        return np.stack(made).astype(np.uint8)

    return changed


def body(share: float) -> tuple[NDArray[np.bool_], Images]:
    """A bumper over a share of the image, from below."""
    return EDGE - share * H < Y, texture(7, 20, 160)


def jpeg(image: NDArray[np.float64]) -> Images:
    """Through a JPEG of quality 15."""
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "jpeg", quality=15)
    return np.asarray(Image.open(file))


def walker(i: int, image: NDArray[np.float64]) -> NDArray:
    """Somebody over a quarter of the image, to and fro."""
    left = int(0.32 * W * (1 + np.sin(0.09 * i)))
    image[int(0.3 * H) :, left : left + int(0.36 * W)] = texture(11, 0, 255)[
        : H - int(0.3 * H), :230
    ]
    return image


def bands(i: int, image: NDArray[np.float64]) -> NDArray:
    """Light of the mains, by the shutter's rows."""
    return image * (1 + 0.2 * np.sin(2 * np.pi * (Y / 160 + 0.37 * i)))[..., None]


BLACK = np.zeros((H, W, 3), np.uint8)
HIDES = {
    "letterbox 12 %": (abs(Y - H / 2) > 0.38 * H, BLACK),
    "pillarbox 12 %": (abs(X - W / 2) > 0.38 * W, BLACK),
    "grey letterbox 15 %": (abs(Y - H / 2) > 0.35 * H, BLACK + 70),
    "body 10 %": body(0.10),
    "body 25 %": body(0.25),
    "body 40 %": body(0.40),
    "gripper": (GRIPPER | (Y > 430), texture(8, 20, 200)),
    "name and time": ((Y > 430) & (Y < 460) & (X < 300) & (X % 20 < 12), BLACK + 255),
}
CHANGES: dict[str, Callable[[Images], Images]] = {
    "clean": lambda images: images,
    **{name: covered(*what) for name, what in HIDES.items()},
    "exposure in steps": each(lambda i, image: image * (1, 0.7, 1.3, 0.85)[i // 8 % 4]),
    "JPEG 15": each(lambda _, image: jpeg(image)),
    "grey": each(lambda _, image: np.repeat(image @ [[0.3], [0.59], [0.11]], 3, axis=2)),
    "inverted": each(lambda _, image: 255 - image),
    "low light": each(lambda i, a: 0.12 * a + np.random.default_rng(i).normal(0, 5, a.shape)),
    "vignetting": each(
        lambda _, a: a * (1 - 0.9 * np.hypot(Y - H / 2, X - W / 2)[..., None] ** 2 / 400**2)
    ),
    "bands of a fifth": each(bands),
    "walker 25 %": each(walker),
    "frozen 5 of 20": lambda images: images[
        [i - (i % 20 - 12) if 12 < i % 20 < 18 else i for i in range(len(images))]
    ],
}


def rows_of(model: ZipMap, clips: list[list[Frame]], only: list[str]) -> Iterator[dict]:
    """A row for each change."""
    for name in only or CHANGES:
        scores = []
        for clip in clips:
            bars, seen = Bars(), []
            for frame, rgb in zip(
                clip, CHANGES[name](np.stack([f.rgb for f in clip])), strict=True
            ):
                assert frame.depth is not None
                known = ~HIDES[name][0] if name in HIDES else np.True_
                depth = np.where(known, frame.depth, np.float32(np.nan))
                seen.append(fit(bars.cut(replace(frame, rgb=rgb, depth=depth)), model.config))
            scores.append(measured(model, seen, calibrated=True))
        yield {"images": name} | mean_scores(scores)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kitchen", help="a folder in the 7-Scenes layout, 640x480")
    parser.add_argument("--checkpoint", default=str(shipped_checkpoint()), help="weights")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60, help="of a clip")
    parser.add_argument("--only", nargs="+", default=[], choices=CHANGES, metavar="NAME")
    parser.add_argument("--save", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    model = load_checkpoint(args.checkpoint, args.device)
    source = iter(open_source("folder", args.kitchen))
    clips = [list(islice(source, args.frames)) for _ in range(args.clips)]
    settings = {"checkpoint": Path(args.checkpoint).name, "frames": args.frames}
    rows = rows_of(model, clips, args.only)
    report("spoiled images", args.device, settings, rows, args.save)


if __name__ == "__main__":
    main()
