# SPDX-License-Identifier: Apache-2.0
"""The sizes and switches of one network, and the named ones."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace

from zipmap_ros.model.errors import ModelError

VARIANTS = ("main", "ref_view", "online", "state_query")
# Of which a network has at least one.
_SIZES = (
    *("image_size", "patch_size", "width", "encoder_depth", "encoder_heads", "depth", "heads"),
    *("fast_heads", "fast_hidden", "camera_heads", "dense_width"),
)


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the network; the defaults are the official ``main`` variant."""

    variant: str = "main"  # main, ref_view, online, state_query, or a name of one's own
    image_size: int = 518  # preprocessed width in pixels; the position grid is image_size / patch
    patch_size: int = 14  # pixels; image height and width are multiples of it
    width: int = 1024  # channels of a token
    encoder_depth: int = 24  # blocks of the per-image encoder
    encoder_heads: int = 16
    depth: int = 24  # pairs of (frame attention, fast weights)
    heads: int = 16  # of the frame attention
    registers: int = 4  # register tokens a frame
    fast_heads: int = 1  # fast-weight heads, each width / fast_heads channels
    fast_hidden: int = 2048  # hidden channels of one head's SwiGLU
    fast_bias: bool = True  # bias of the qkv and output projections around the fast weights
    fast_gate: bool = True  # output gate computed from the layer's input
    newton_schulz_steps: int = 5
    newton_schulz_dtype: str = "bfloat16"  # the official function; float32 for exact tests
    base_lr: float = 0.01  # learning rate of a token whose lr_fc output is 0
    collect: tuple[int, ...] = (4, 11, 17, 23)  # layers whose tokens the heads see
    reference_view: bool = False  # the first frame of a state takes its own camera token
    camera_head: str = "refine"  # refine: attends over frames; mlp: per frame, streams
    camera_heads: int = 16  # attention heads of the refine camera head
    dense_width: int = 256  # channels of the dense heads' fusion
    dense_channels: tuple[int, ...] = (256, 512, 1024, 1024)  # per collected level
    local_points: bool = True  # has the head for points in the camera's own frame
    query: bool = False  # has ray tokens and the head for unseen views

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or (kind is tuple and any(type(n) is not int for n in value)):
                raise ModelError(
                    f"{field.name} of the config is {value!r}: it is to be {kind.__name__}"
                )
        if self.camera_head not in ("refine", "mlp"):
            raise ModelError(f"camera_head is {self.camera_head!r}: use 'refine' or 'mlp'")
        if self.newton_schulz_dtype not in ("bfloat16", "float32"):
            raise ModelError(
                f"newton_schulz_dtype is {self.newton_schulz_dtype!r}: use 'bfloat16' or 'float32'"
            )
        ascending = sorted({*self.collect, -1, self.depth})
        if ascending != [-1, *self.collect, self.depth] or len(self.collect) != 4:
            raise ModelError(
                f"collect is {self.collect} for depth {self.depth}: "
                "the dense heads need four layer indices below depth, the lowest first"
            )
        if len(self.dense_channels) != 4:
            raise ModelError(f"dense_channels are {self.dense_channels}: give four")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name in _SIZES:
            most = 1 << 9 if name.endswith("depth") else 1 << 16
            if not 1 <= getattr(self, name) <= most:
                raise ModelError(f"{name} is {getattr(self, name)}: give 1 to {most}")
        if min(self.dense_channels) < 1 or self.registers < 0 or self.newton_schulz_steps < 0:
            raise ModelError("dense_channels, registers or newton_schulz_steps are below zero")
        if not 0 < self.base_lr < math.inf:
            raise ModelError(f"base_lr is {self.base_lr}: give a number above 0")
        for name in ("encoder_heads", "heads", "fast_heads"):
            if self.width % getattr(self, name):
                raise ModelError(
                    f"width {self.width} is not a multiple of {name} {getattr(self, name)}"
                )
        if self.width // self.heads % 4:
            raise ModelError(
                f"width {self.width} is {self.width // self.heads} for each of {self.heads} heads: "
                "RoPE takes multiples of 4"
            )
        if not self.streams and 2 * self.width % self.camera_heads:
            raise ModelError(
                f"twice the width {self.width} is not a multiple of camera_heads "
                f"{self.camera_heads}"
            )
        if self.image_size % self.patch_size:
            raise ModelError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}"
            )
        # Half of a map's channels say how far right, half how far down: a sine and a cosine each.
        if self.dense_width % 8 or any(channels % 4 for channels in self.dense_channels):
            raise ModelError(
                f"dense_width is {self.dense_width}, dense_channels {self.dense_channels}: give a "
                "multiple of 8, and multiples of 4"
            )

    @property
    def is_official(self) -> bool:
        """Whether it is one of the authors' networks, whatever its weights."""
        return self.variant in VARIANTS

    @property
    def streams(self) -> bool:
        """Whether the network was made to stream: its camera head sees one frame at a time."""
        return self.camera_head == "mlp"

    @property
    def special_tokens(self) -> int:
        """Tokens of a frame before its patches: one camera token and the registers."""
        return 1 + self.registers

    def to_json(self) -> str:
        """The config as JSON, read back by ``from_json``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Rebuild a config; unknown or missing names are an error, not a guess.

        Raises ModelError for those, for values of another type and for what is no config.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the config is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"the config is {type(values).__name__}, not an object with names")
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise ModelError(
                f"the config does not fit this version: missing {sorted(known - set(values))}, "
                f"unknown {sorted(set(values) - known)}"
            )
        tuples = {n: tuple(value) for n, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **tuples})

    @classmethod
    def official(cls, variant: str) -> ModelConfig:
        """The config of an official checkpoint: main, ref_view, online or state_query."""
        if variant not in VARIANTS:
            raise ModelError(f"variant is {variant!r}: use one of {', '.join(VARIANTS)}")
        main = cls()
        return {
            "main": main,
            "ref_view": replace(main, variant="ref_view", reference_view=True),
            "online": replace(main, variant="online", camera_head="mlp"),
            "state_query": replace(main, variant="state_query", reference_view=True, query=True),
        }[variant]

    @classmethod
    def tiny(cls) -> ModelConfig:
        """A few thousand parameters with every part: two fast-weight heads, stream and query."""
        return cls(
            variant="tiny",
            image_size=56,
            patch_size=14,
            width=32,
            encoder_depth=1,
            encoder_heads=2,
            depth=4,
            heads=2,
            fast_heads=2,
            fast_hidden=32,
            newton_schulz_dtype="float32",
            collect=(0, 1, 2, 3),
            reference_view=True,
            camera_head="mlp",
            dense_width=16,
            dense_channels=(8, 12, 16, 16),
            query=True,
        )
