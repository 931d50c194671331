# SPDX-License-Identifier: Apache-2.0
"""The network: exact, pure torch, usable by itself.

    from zipmap_ros.model import load_checkpoint
    model = load_checkpoint("checkpoint_online.pt")
    prediction, state = model.stream(images, model.new_state())

Start reading at ``zipmap.py``.
"""

from zipmap_ros.model.checkpoint import load_checkpoint, save_checkpoint, shipped_checkpoint
from zipmap_ros.model.config import VARIANTS, ModelConfig
from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.fast_weights import SceneState
from zipmap_ros.model.files import file_sha256
from zipmap_ros.model.zipmap import Prediction, QueryPrediction, ZipMap

__all__ = [
    "VARIANTS",
    "ModelConfig",
    "ModelError",
    "Prediction",
    "QueryPrediction",
    "SceneState",
    "ZipMap",
    "file_sha256",
    "load_checkpoint",
    "save_checkpoint",
    "shipped_checkpoint",
]
