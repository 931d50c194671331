# SPDX-License-Identifier: Apache-2.0
"""Images to network input as the official loader makes it, with the camera carried along."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zipmap_ros.geometry import Camera
from zipmap_ros.model.errors import ModelError

# The height of a resized image, in target sizes: a column of pixels would take gigabytes.
TALLEST = 8
# What rounding to patches makes of the sides: a logarithm.
SAME_SIZE = 0.13


def preprocess_image(
    image: NDArray[np.uint8],
    target_size: int = 518,
    patch: int = 14,
    mode: str = "crop",
    camera: Camera | None = None,
) -> tuple[Tensor, Camera | None]:
    """One image as the network wants it.

    image   (H, W, 3) RGB or (H, W, 4) RGBA uint8; transparency becomes white
    target_size  pixels, a multiple of the patch
    mode    "crop": target_size wide, height rounded to the patch, rows above target_size cropped
            around the centre. "pad": the longer side becomes target_size, white around the rest.
            "fit": all of the image in the size of `fit_size`, not a mode of the official loader.
    Returns (3, h, w) float32 in [0, 1] and the camera of that image (None if none was given).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise ModelError(
            f"image is {image.dtype} {image.shape}: give uint8 (H, W, 3) RGB or (H, W, 4) RGBA"
        )
    if mode not in ("crop", "pad", "fit"):
        raise ModelError(f"mode is {mode!r}: use 'crop', 'pad' or 'fit'")
    if target_size % patch:
        raise ModelError(f"target_size is {target_size}: give a multiple of the patch {patch}")
    picture = _flatten_alpha(image)
    width, height = picture.size
    if camera is not None and (camera.width, camera.height) != picture.size:
        raise ModelError(
            f"the camera is of {camera.width}x{camera.height} pixels, the image {width}x{height}: "
            "give the one that belongs to it"
        )
    if mode == "fit":
        new_width, new_height = fit_size(width, height, target_size, patch)
    elif mode == "crop" or width >= height:
        new_width, new_height = target_size, round(height * target_size / width / patch) * patch
    else:
        new_width, new_height = round(width * target_size / height / patch) * patch, target_size
    if min(new_width, new_height) < patch:
        raise ModelError(
            f"an image of {width}x{height} becomes {new_width}x{new_height}, less than one patch "
            f"of {patch}: crop it closer to square"
        )
    if new_height > TALLEST * target_size:
        raise ModelError(f"an image of {width}x{height} is too narrow: crop it closer to square")
    resized = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1).float() / 255
    if camera is not None:
        camera = camera.resized(new_width, new_height)
    if mode == "fit":
        return pixels, camera
    if mode == "crop":
        top = max(0, (new_height - target_size) // 2)
        pixels = pixels[:, top : top + target_size]
        if camera is not None:
            camera = camera.cropped(0, top, new_width, pixels.shape[1])
        return pixels, camera
    left, top = (target_size - new_width) // 2, (target_size - new_height) // 2
    if camera is not None:
        camera = camera.cropped(-left, -top, target_size, target_size)
    return pad_white(pixels, target_size, target_size), camera


def fit_size(width: int, height: int, target_size: int, patch: int) -> tuple[int, int]:
    """Width and height for an image of any aspect: about as many patches as one of 4:3 that is
    target_size wide, and more where it is closer to square, its longer side being target_size.

    An image that is about so large in whole patches keeps its size.
    """
    factor = target_size * max(math.sqrt(0.75 / (width * height)), 1 / max(width, height))
    if width % patch == height % patch == 0 and abs(math.log(factor)) < SAME_SIZE:
        return width, height
    return round(width * factor / patch) * patch, round(height * factor / patch) * patch


def preprocess_images(
    images: Iterable[NDArray[np.uint8]], target_size: int = 518, patch: int = 14, mode: str = "crop"
) -> Tensor:
    """Several images as one batch (N, 3, h, w); smaller ones are centred on white."""
    tensors = [preprocess_image(image, target_size, patch, mode)[0] for image in images]
    if not tensors:
        raise ModelError("there are no images: give at least one")
    height = max(t.shape[1] for t in tensors)
    width = max(t.shape[2] for t in tensors)
    return torch.stack([pad_white(t, height, width) for t in tensors])


def pad_white(pixels: Tensor, height: int, width: int) -> Tensor:
    """Centre (3, h, w) on a white (3, height, width); of an odd margin the less is first."""
    top, left = (height - pixels.shape[1]) // 2, (width - pixels.shape[2]) // 2
    if (height, width) == tuple(pixels.shape[1:]):
        return pixels
    padded = pixels.new_ones(3, height, width)
    padded[:, top : top + pixels.shape[1], left : left + pixels.shape[2]] = pixels
    return padded


def _flatten_alpha(image: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image))
    if image.shape[2] == 3:
        return picture
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")
