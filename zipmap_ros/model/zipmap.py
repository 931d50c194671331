# SPDX-License-Identifier: Apache-2.0
"""ZipMap: linear-time, stateful 3D reconstruction (arXiv 2603.04385), written from its description.

What is unusual about this network:
- the only memory of a scene is a set of fast weights of constant size (``SceneState``): no
  attention over frames, no cache, so the cost of a frame does not grow with the frames before it;
- every token is read with weights that already contain it, so localising, gating and rolling back
  are all the same computation: keep the returned state or drop it;
- a state can be asked for a view that no camera had (``query``), which changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zipmap_ros.model.backbone import RAY_CHANNELS, Backbone
from zipmap_ros.model.camera_head import RefiningCameraHead, StreamingCameraHead
from zipmap_ros.model.cameras import decode_pose
from zipmap_ros.model.config import ModelConfig
from zipmap_ros.model.dense_head import DenseHead, activate_depth, activate_points, activate_view
from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.fast_weights import (
    FastWeightLayer,
    FastWeights,
    Operation,
    SceneState,
    chunk_operations,
)

DENSE_OUTPUTS = ("depth", "local_points")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of S frames of B scenes, float32, in network units (not metric).

    pose_encoding   (B, S, 9), see ``cameras``
    camera_T_world  (B, S, 3, 4) world to camera, OpenCV axes
    intrinsics      (B, S, 3, 3) in pixels of the network's input
    depth           (B, S, H, W) along z, > 0; None if not asked for
    confidence      (B, S, H, W) >= 1, 1 is least; None if depth was not asked for
    local_points    (B, S, H, W, 3) in each frame's camera; None if not asked for or no such head
    pose_passes     the encoding after every refinement, the last one is ``pose_encoding``
    """

    pose_encoding: Tensor
    camera_T_world: Tensor
    intrinsics: Tensor
    depth: Tensor | None
    confidence: Tensor | None
    local_points: Tensor | None
    pose_passes: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class QueryPrediction:
    """What a state shows from T cameras: rgb (B, T, H, W, 3) in [0, 1], depth (B, T, H, W) along z
    in network units, confidence (B, T, H, W) >= 1."""

    rgb: Tensor
    depth: Tensor
    confidence: Tensor


class ZipMap(nn.Module):
    """The network. All but ``forward`` record gradients only in training mode.

    Its parameters stay float32.
    ``compute_dtype`` (torch.float32 unless set) is the dtype of the backbone's matrix products,
    ``head_dtype`` that of the dense heads; the residual stream, the state, the camera head and all
    results stay float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.head_dtype = torch.float32
        self.aggregator = Backbone(config)
        width = 2 * config.width
        if config.camera_head == "mlp":
            self.camera_mlp_head = StreamingCameraHead(width)
        else:
            self.camera_head = RefiningCameraHead(width, config.camera_heads)

        def dense_head(channels: int) -> DenseHead:
            return DenseHead(
                width, config.dense_width, config.dense_channels, channels, config.patch_size
            )

        if config.local_points:
            self.local_point_head = dense_head(3)
        self.depth_head = dense_head(2)
        if config.query:
            self.nvs_head = dense_head(5)

    def fast_weight_layers(self) -> list[FastWeightLayer]:
        """The layers that own fast weights, in order."""
        return [block.get_submodule("ttt_block") for block in self.aggregator.global_blocks]  # type: ignore[misc]

    def new_state(self, batch: int = 1) -> SceneState:
        """The state of ``batch`` scenes of which nothing has been seen."""
        with self._gradients():
            starts = [layer.start_weights(batch) for layer in self.fast_weight_layers()]
            return SceneState.from_weights(starts)

    def reconstruct(self, images: Tensor, outputs: Collection[str] = DENSE_OUTPUTS) -> Prediction:
        """All frames at once, every frame seeing every other (bidirectional).

        images (S, 3, H, W) or (B, S, 3, H, W), float32 in [0, 1], H and W multiples of the patch.
        ``stream`` with ``chunk_frames=S`` gives the same and the state as well.
        """
        images = self.checked(images)
        _check_values(images)
        with self._gradients():
            return self(images, self.new_state(images.shape[0]), outputs=outputs)[0]

    def stream(
        self,
        images: Tensor,
        state: SceneState,
        chunk_frames: int = 1,
        outputs: Collection[str] = DENSE_OUTPUTS,
    ) -> tuple[Prediction, SceneState]:
        """Fold frames into a state, ``chunk_frames`` at a time, and read each chunk from it.

        images (S, 3, H, W) or (B, S, 3, H, W) as for ``reconstruct``. ``state`` is not changed:
        keep the returned one, or drop it to leave the frames out. S frames in one call equal
        ceil(S / chunk_frames) calls that carry the state, bit for bit.
        """
        images = self.checked(images)
        _check_chunk(chunk_frames)
        if state.frames_seen == 0:  # once a scene: a GPU has to wait for it
            _check_values(images)
        with self._gradients():
            parts = []
            for chunk in images.split(chunk_frames, dim=1):
                prediction, state = self(chunk, state, outputs=outputs)
                parts.append(prediction)
            return _concatenate(parts), state

    def query(self, state: SceneState, rays: Tensor) -> QueryPrediction:
        """Ask a state what cameras would see. The state is only read.

        rays (T, 9, H, W) or (B, T, 9, H, W) from ``cameras.ray_map``, in the world of the state's
        poses, or for official weights that of ``cameras.official_query_poses``. Raises ModelError
        when the network has no query head.
        """
        rays = self.checked_rays(rays)
        self.check_state(state, len(rays))
        with self._gradients():
            with self._products_in(self.compute_dtype, rays.device):
                tokens = self.aggregator.ray_tokens(rays)
                applied = [Operation("apply", 0, tokens.shape[1] * tokens.shape[2])]
                grid = self._grid(rays)
                levels, _ = self.aggregator(tokens, grid, state, applied)
            return QueryPrediction(*activate_view(self._dense(self.nvs_head, levels, grid)))

    def forward(
        self,
        images: Tensor,
        state: SceneState,
        chunk_frames: int | None = None,
        outputs: Collection[str] = DENSE_OUTPUTS,
    ) -> tuple[Prediction, SceneState]:
        """One pass over frames (B, S, 3, H, W), updating every ``chunk_frames`` (None: once).

        Equal to ``stream`` up to rounding, but holds the tokens of all frames at once: faster to
        train with, not for long sequences.
        """
        self.check_state(state, images.shape[0])
        _check_chunk(chunk_frames)
        unknown = sorted(set(outputs) - set(DENSE_OUTPUTS))
        if unknown:
            raise ModelError(f"outputs are {outputs!r}: give a tuple of any of {DENSE_OUTPUTS}")
        S, H, W = images.shape[1], *images.shape[-2:]
        grid = self._grid(images)
        with self._products_in(self.compute_dtype, images.device):
            tokens = self.aggregator.image_tokens(images, starts_state=state.frames_seen == 0)
            per_frame = tokens.shape[2]
            chunk_tokens = None if chunk_frames is None else chunk_frames * per_frame
            operations = chunk_operations(S * per_frame, chunk_tokens)
            levels, layers = self.aggregator(tokens, grid, state, operations)
        camera_head = self.camera_mlp_head if self.config.streams else self.camera_head
        with self._products_in(torch.float32, images.device):
            passes = camera_head(levels[-1])
        camera_T_world, intrinsics = decode_pose(passes[-1], H, W)
        depth = confidence = local_points = None
        if "depth" in outputs:
            depth, confidence = activate_depth(self._dense(self.depth_head, levels, grid))
        if "local_points" in outputs and self.config.local_points:
            local_points = activate_points(self._dense(self.local_point_head, levels, grid))
        prediction = Prediction(
            passes[-1], camera_T_world, intrinsics, depth, confidence, local_points, tuple(passes)
        )
        return prediction, SceneState(layers, state.targets, state.frames_seen + S)

    def _gradients(self) -> torch.set_grad_enabled:
        return torch.set_grad_enabled(self.training and torch.is_grad_enabled())

    @staticmethod
    def _products_in(
        dtype: torch.dtype, device: torch.device, cache: bool = False
    ) -> AbstractContextManager:
        """Products are computed in ``dtype`` within it, whatever autocast the caller is under.

        ``cache`` keeps the cast copy of a weight: not where each is used once a pass.
        """
        enabled = dtype != torch.float32
        if not enabled and not torch.amp.is_autocast_available(device.type):
            return nullcontext()  # such as meta, where operations are counted
        return torch.autocast(device.type, dtype, enabled, cache_enabled=cache)

    def _dense(self, head: DenseHead, levels: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """The raw maps of a dense head, float32."""
        with self._products_in(self.head_dtype, levels[0].device, cache=True):
            return head(levels, grid).float()

    def _grid(self, maps: Tensor) -> tuple[int, int]:
        patch = self.config.patch_size
        return maps.shape[-2] // patch, maps.shape[-1] // patch

    def _check_maps(self, maps: Tensor, channels: int, name: str) -> Tensor:
        batched = maps[None] if maps.ndim == 4 else maps
        patch = self.config.patch_size
        fits = batched.ndim == 5 and batched.shape[2] == channels and batched.numel() > 0
        if not fits or batched.shape[-2] % patch or batched.shape[-1] % patch:
            raise ModelError(
                f"{name} are {tuple(maps.shape)}: give (frames, {channels}, H, W), optionally with "
                f"a batch in front, at least one frame, H and W multiples of {patch}"
            )
        if batched.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ModelError(
                f"{name} are {batched.dtype}: give floating point values, as .float() makes them"
            )
        weights = self.aggregator.camera_token.dtype
        if weights != torch.float32:
            raise ModelError(
                f"the network's parameters are {weights}: leave them float32, and set its "
                "compute_dtype for products in another"
            )
        return batched.float()

    def checked(self, images: Tensor) -> Tensor:
        """Images for ``stream`` as (B, S, 3, H, W) float32. Raises ModelError for others."""
        return self._check_maps(images, 3, "images")

    def checked_rays(self, rays: Tensor) -> Tensor:
        """Rays for ``query`` as (B, T, 9, H, W) float32. Raises ModelError for others, and without
        a query head."""
        if not self.config.query:
            raise ModelError(
                f"the {self.config.variant} network has no query head: load one that has "
                "(state_query, or the small model that ships)"
            )
        return self._check_maps(rays, RAY_CHANNELS, "rays")

    def check_state(self, state: SceneState, batch: int) -> None:
        """Raise ModelError for a state of another network, or of not ``batch`` scenes."""
        expected = (batch * self.config.fast_heads, self.config.depth)
        found = (state.layers[0].w0.shape[0] if state.layers else 0, len(state.layers))
        if found != expected or len(state.targets) != len(state.layers):
            raise ModelError(
                f"the state has {found[0]} scene-heads in {found[1]} layers, the input needs "
                f"{expected[0]} in {expected[1]}: make it with new_state(batch={batch})"
            )
        for layer, weights, targets in zip(
            self.fast_weight_layers(), state.layers, state.targets, strict=True
        ):
            if isinstance(layer, FastWeightLayer):  # which another may stand in for
                _check_weights(layer, weights, targets, expected[0])


def _check_chunk(chunk_frames: int | None) -> None:
    if chunk_frames is not None and chunk_frames < 1:
        raise ModelError(f"chunk_frames is {chunk_frames}: give at least 1")


def _check_values(images: Tensor) -> None:
    """Raise ModelError for images that are not about in [0, 1]: what resizes may overshoot."""
    if images.is_meta:  # where operations are counted
        return
    low, high = (float(value) for value in images.detach().aminmax())
    if not -0.5 <= low <= high <= 1.5:
        raise ModelError(
            f"images go from {low:g} to {high:g}: give RGB in [0, 1], not in 0 to 255 and not "
            "normalised"
        )


def _check_weights(
    layer: FastWeightLayer, weights: FastWeights, targets: FastWeights, scene_heads: int
) -> None:
    for name, w, target in zip(FastWeights._fields, weights, targets, strict=True):
        own: Tensor = getattr(layer, name)
        shape = (scene_heads, *own.shape[1:])
        norms = (scene_heads, 1, own.shape[-1])
        if (w.shape, target.shape) != (shape, norms) or not w.dtype == target.dtype == own.dtype:
            raise ModelError(
                f"the state is of another network: its {name} are {tuple(w.shape)} {w.dtype} with "
                f"norms {tuple(target.shape)} {target.dtype}, this network's {shape} {own.dtype} "
                f"with norms {norms}: make it with new_state()"
            )


def _concatenate(parts: list[Prediction]) -> Prediction:
    """Predictions of successive chunks as one."""
    if len(parts) == 1:
        return parts[0]

    def join(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values, dim=1)

    passes = tuple(
        torch.cat(each, dim=1) for each in zip(*(p.pose_passes for p in parts), strict=True)
    )
    return Prediction(
        passes[-1],
        join("camera_T_world"),  # type: ignore[arg-type]
        join("intrinsics"),  # type: ignore[arg-type]
        join("depth"),
        join("confidence"),
        join("local_points"),
        passes,
    )
