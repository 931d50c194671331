# SPDX-License-Identifier: Apache-2.0
"""A frame as the network takes it: rectified, resized, camera and measured depth carried along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera
from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.mapping.undistort import rectification
from zipmap_ros.model import ModelConfig
from zipmap_ros.model.preprocess import preprocess_image

# Of brightness: a covered lens has a few tenths of a level of 255, 1.5 with the noise of a small
# sensor, a bare wall in poor light more than ten.
LEAST_CONTRAST = 2 / 255
# Between neighbouring pixels: images of cameras have more than 0.9 at the network's size, busy
# synthetic textures more than 0.7, and what a receiver without a signal shows less than 0.2. Along
# the slats of a blind they are alike, so that one direction is enough.
LEAST_CORRELATION = 0.4


@dataclass(frozen=True, eq=False)
class View:
    """One network input.

    frame     what it was made from, without the images: a batch keeps hundreds of views
    pixels    (3, h, w) float32 in [0, 1], h and w multiples of the patch
    camera    the pinhole of ``pixels``; None when the frame's camera is not known
    measured  (h, w) float32 metres along z, NaN where unknown; None without a depth image
    aspect    height over width, in ``pixels``, of a pixel that was square in the frame
    """

    frame: Frame
    pixels: torch.Tensor
    camera: Camera | None
    measured: NDArray[np.float32] | None
    aspect: float = 1.0

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8: ``pixels`` as an image."""
        return (self.pixels.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).numpy()

    def shows_nothing(self) -> str | None:
        """Why no scene can be seen in it, and what to do; None when there may be one."""
        grey = self.pixels.mean(0)
        grey = grey - grey.mean()
        contrast = float(grey.std(correction=0))
        if contrast < LEAST_CONTRAST:
            return (
                f"the image is blank, its contrast {255 * contrast:.1f} of 255 levels: "
                "uncover the lens, give it light, or check the exposure"
            )
        across, down = (grey[:, 1:] * grey[:, :-1]).mean(), (grey[1:] * grey[:-1]).mean()
        correlation = float(max(across, down)) / contrast**2
        if correlation < LEAST_CORRELATION:
            return (
                f"the image is noise, neighbouring pixels correlate by {correlation:.2f}: "
                "give it light, or check the cable, the receiver and the encoding"
            )
        return None


def prepare(frame: Frame, config: ModelConfig, undistort: bool) -> View:
    """Make a frame fit the network: cropped as official ones know it, whole for others.

    Raises MappingError (or the model's error) for an image that cannot be used.
    """
    rgb, camera, measured = frame.rgb, frame.camera, frame.depth
    if rgb.size == 0:
        raise MappingError("the image is empty: it could not be read")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise MappingError(f"the image is {rgb.dtype} {rgb.shape}: give uint8 (H, W, 3) RGB")
    height, width = rgb.shape[:2]
    if camera is not None and (camera.width, camera.height) != (width, height):
        raise MappingError(
            f"the image has {width}x{height} pixels, its camera {camera.width}x{camera.height}: "
            "give the calibration (camera_info) that belongs to the image"
        )
    if measured is not None and measured.shape != (height, width):
        raise MappingError(
            f"the image has {width}x{height} pixels, its depth "
            f"{measured.shape[1]}x{measured.shape[0]}: register depth to the image"
        )
    if camera is not None and camera.is_distorted and undistort:
        rectify = rectification(camera)
        rgb, camera = rectify.image(rgb), rectify.camera
        measured = None if measured is None else rectify.depth(measured)
    # A probe of focal length 1 comes out as the scale and shift between the two images.
    probe = Camera(width, height, 1.0, 1.0, 0.0, 0.0)
    mode = "crop" if config.is_official else "fit"
    pixels, moved = preprocess_image(rgb, config.image_size, config.patch_size, mode, probe)
    assert moved is not None
    return View(
        replace(frame, rgb=frame.rgb[:0, :0].copy(), depth=None),
        pixels,
        None if camera is None else _carry(camera, moved),
        None if measured is None else _sample(measured, moved),
        moved.fy / moved.fx,
    )


def _carry(camera: Camera, moved: Camera) -> Camera:
    return replace(
        camera.undistorted(),
        width=moved.width,
        height=moved.height,
        fx=camera.fx * moved.fx,
        fy=camera.fy * moved.fy,
        cx=camera.cx * moved.fx + moved.cx,
        cy=camera.cy * moved.fy + moved.cy,
    )


def _sample(depth: NDArray[np.float32], moved: Camera) -> NDArray[np.float32]:
    """The depth under the centre of each pixel of the network's image."""
    u = ((np.arange(moved.width) + 0.5 - moved.cx) / moved.fx).astype(int)
    v = ((np.arange(moved.height) + 0.5 - moved.cy) / moved.fy).astype(int)
    inside = np.clip(v, 0, depth.shape[0] - 1)[:, None], np.clip(u, 0, depth.shape[1] - 1)
    return depth[inside].astype(np.float32)
