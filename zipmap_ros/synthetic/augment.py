# SPDX-License-Identifier: Apache-2.0
"""What a real camera adds to a picture: blur, exposure drift, colour cast, vignetting, noise.

All of it is optional and changes the colours only: depth and poses stay exact.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(rgb: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Degrade clips as a camera would; each clip has its own camera, light drifts along it.

    rgb        (B, N, H, W, 3) uint8
    generator  on the device of ``rgb``: the same state gives the same bytes on the CPU
    strength   0 changes nothing; 1 is a poor webcam at worst

    Returns (B, N, H, W, 3) uint8.
    """
    B, N, H, W, _ = rgb.shape
    device = rgb.device

    def draw(*shape: int) -> Tensor:
        """Uniform in [-strength, strength]."""
        return (2 * torch.rand(*shape, generator=generator, device=device) - 1) * strength

    image = rgb.permute(0, 1, 4, 2, 3).float() / 255  # (B, N, 3, H, W)
    image = _motion_blur(image, draw(B, N, 2))
    time = torch.linspace(-1, 1, N, device=device)
    drift = 0.25 * draw(B, 1) + 0.15 * draw(B, 1) * time + 0.05 * draw(B, N)  # (B, N) stops
    cast = 1 + 0.1 * draw(B, 1, 3)
    image = image * (torch.exp2(drift)[..., None] * cast)[..., None, None]
    image = image.clamp_min(1e-4) ** torch.exp2(0.3 * draw(B, 1, 1, 1, 1))
    y = torch.linspace(-1, 1, H, device=device)[:, None]
    x = torch.linspace(-1, 1, W, device=device)
    image = image * (1 - 0.25 * draw(B, 1, 1, 1, 1).abs() * (x * x + y * y) / 2)
    sigma = 0.03 * draw(B, 1, 1, 1, 1).abs() * (0.4 + image.clamp(0, 1)).sqrt()  # shot noise
    noise = torch.randn(B, N, 3, H, W, generator=generator, device=device)
    image = image + sigma * noise
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 1, 3, 4, 2)


def _motion_blur(image: Tensor, direction: Tensor) -> Tensor:
    """Blur each (B, N, 3, H, W) frame along its (B, N, 2) direction, up to 1 % of the width."""
    B, N, C, H, W = image.shape
    reach = max(1, round(0.01 * W))
    axis = torch.arange(-reach, reach + 1, device=image.device, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    vector = direction.reshape(-1, 2, 1, 1) * reach
    length = vector.norm(dim=1).clamp_min(1e-3)
    along = (x * vector[:, 0] + y * vector[:, 1]) / length
    across = x * x + y * y - along * along  # squared
    kernel = torch.exp(-((along / (0.5 * length + 0.25)) ** 2) - across / 0.25**2)
    kernel = kernel / kernel.sum((1, 2), keepdim=True)  # (B * N, k, k)
    padded = F.pad(image.reshape(B * N, C, H, W), [reach] * 4, mode="replicate")
    kernels = kernel[:, None].repeat_interleave(C, 0)
    blurred = F.conv2d(padded.reshape(1, B * N * C, *padded.shape[2:]), kernels, groups=B * N * C)
    return blurred.reshape(image.shape)
