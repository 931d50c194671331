# SPDX-License-Identifier: Apache-2.0
"""Everything that a training run is: the network, its phases, its data and how much each counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from zipmap_ros.model import ModelConfig
from zipmap_ros.training.losses import LossWeights


@dataclass(frozen=True)
class PoolConfig:
    """The rendered clips that batches are cut from."""

    clips: int = 2400
    frames: int = 160  # of a clip
    width: int = 144  # pixels, as rendered; batches are cropped from it
    height: int = 116
    first_seed: int = 10_000_000  # of its worlds; evaluation draws from 0 and 50_000


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one kind of batch. It begins with fresh optimiser states."""

    name: str
    steps: int
    twin: bool = False  # softmax attention in the fast weights' place
    transfer: bool = False  # only the fast weights learn: to answer as the last phase's twin
    width: int = 64  # pixels of an image
    patch: int = 8
    aspects: tuple[float, ...] = (0.5, 0.625, 0.75)  # height over width, one choice per batch
    frames: int = 512  # of a step, over all clips and processes
    views: tuple[int, ...] = (2, 2, 3, 4, 6)  # frames of a clip, one choice per batch
    chunks: tuple[int, ...] = (0,)  # frames per update, one choice per batch; 0 is the whole clip
    segments: int = 1  # pieces of a clip with a carried, detached state between them
    strides: tuple[int, ...] = (1, 2, 3, 4)  # frames of the pool between views
    dense_share: float = 0.1  # of the frames whose depth is predicted densely
    query_views: int = 1  # unseen views asked for at the end of a clip
    query_share: float = 0.25  # of the clips that are asked for them
    muon_lr: float = 0.02  # of the matrices in the blocks; 0 leaves them to AdamW
    adam_lr: float = 1e-3  # of everything else
    warmup: int = 30
    floor: float = 0.05  # of the learning rate, reached at the last step
    ema: float = 0.99


@dataclass(frozen=True)
class TrainingConfig:
    """One run."""

    name: str
    model: ModelConfig
    phases: tuple[Phase, ...]
    pool: PoolConfig = field(default_factory=PoolConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 1
    weight_decay: float = 0.01
    clip_gradient: float = 1.0
    gpu_dtype: str = "bfloat16"  # of matrix products on a GPU, or float32
    layer_scale: float = 0.5  # of a fresh network; 0.01 is for one that starts from a trained one

    def to_json(self) -> str:
        """The whole configuration, for a checkpoint and the log."""
        return json.dumps(asdict(self), indent=1)


SMALL = ModelConfig(
    variant="small",
    image_size=144,
    patch_size=12,
    width=128,
    encoder_depth=2,
    encoder_heads=2,
    depth=4,
    heads=2,
    registers=3,
    fast_heads=2,
    fast_hidden=256,
    newton_schulz_dtype="float32",
    collect=(0, 1, 2, 3),
    reference_view=True,
    camera_head="mlp",
    dense_width=32,
    dense_channels=(32, 48, 64, 64),
    local_points=False,
    query=True,
)


# Single frames until depth follows the image, pairs until the attention twin sees motion, streams
# of the twin, longer ones in the end; then the fast weights in the attention's place: taught by the
# twin, then everything on streams, the last of them far longer than what one backward pass reaches.
_SMALL_PHASES = (
    Phase("frames", 386, twin=True, frames=256, views=(1,), strides=(1,), dense_share=1.0,
          query_views=0, warmup=50, floor=0.1, ema=0.98),
    Phase("twin", 580, twin=True, views=(2, 3), strides=(2, 4, 8, 12), query_share=1.0,
          dense_share=0.25, muon_lr=0.012, floor=0.3),
    Phase("twin_streams", 2700, twin=True, frames=320, views=(2, 4, 8, 12), chunks=(0, 1, 1),
          strides=(1, 2, 4, 8), muon_lr=0.012),
    Phase("twin_longer", 2971, twin=True, frames=320, views=(4, 8, 12, 16), chunks=(0, 1),
          strides=(1, 2, 4, 8), muon_lr=0.012, floor=0.04, ema=0.995),
    Phase("transfer", 119, transfer=True, frames=384, views=(4, 8, 12), chunks=(1, 1, 2),
          strides=(1, 2, 4), query_share=1.0, muon_lr=0, adam_lr=0.01, ema=0.97),
    Phase("streams", 2240, frames=384, views=(4, 8, 12), chunks=(1, 1, 2, 4), segments=2,
          query_views=2, muon_lr=0.006, adam_lr=6e-4, floor=0.2),
    Phase("long", 392, frames=512, views=(12,), chunks=(1, 2), segments=4, strides=(1, 2, 3),
          query_views=2, muon_lr=0.003, adam_lr=3e-4, warmup=10, floor=0.3),
    Phase("longer", 207, frames=784, views=(12,), chunks=(1, 2), segments=8, strides=(1,),
          query_views=2, muon_lr=0.0012, adam_lr=1.2e-4, warmup=10, floor=0.02, ema=0.985),
)  # fmt: skip


def _small() -> TrainingConfig:
    """What made the weights that ship, as their card tells it: for a GPU."""
    same = {"width": 144, "patch": 12, "aspects": (9 / 16, 3 / 4)}
    phases = tuple(replace(phase, **same) for phase in _SMALL_PHASES)  # type: ignore[arg-type]
    return TrainingConfig(name="small", model=SMALL, phases=phases, gpu_dtype="float32")


# Frames of a step and steps of each phase, on a CPU, which has no time for the others.
_CPU_SIZES = {"frames": (32, 900), "twin": (64, 2900), "twin_streams": (64, 3900),
              "transfer": (96, 330), "streams": (96, 1200), "long": (96, 250)}  # fmt: skip


def _small_cpu() -> TrainingConfig:
    """The same for a CPU, which sees a tenth of the frames in some hours; twins at half size."""
    config = _small()
    phases = []
    for phase in config.phases:
        if phase.name not in _CPU_SIZES:
            continue
        frames, steps = _CPU_SIZES[phase.name]
        half = {"width": 72, "patch": 6} if phase.twin or phase.transfer else {}
        phases.append(replace(phase, frames=frames, steps=steps, **half))  # type: ignore[arg-type]
    pool = PoolConfig(clips=1200, frames=64)
    return replace(config, name="small_cpu", phases=tuple(phases), pool=pool)


def _tiny() -> TrainingConfig:
    model = replace(ModelConfig.tiny(), variant="tiny_trained", patch_size=8, image_size=32)
    same = {"width": 32, "frames": 8, "views": (2,), "query_views": 1, "warmup": 2}
    return TrainingConfig(
        name="tiny",
        model=model,
        phases=(
            Phase("twin", 4, twin=True, **same),  # type: ignore[arg-type]
            Phase("transfer", 4, transfer=True, **same),  # type: ignore[arg-type]
            Phase("streams", 4, chunks=(1,), segments=2, **same),  # type: ignore[arg-type]
        ),
        pool=PoolConfig(clips=4, frames=8, width=32, height=26),
    )


PRESETS = {"small": _small, "small_cpu": _small_cpu, "tiny": _tiny}
