# SPDX-License-Identifier: Apache-2.0
"""Counts what a computation does instead of timing it: the same on a busy machine."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Counter(TorchDispatchMode):
    """Within it torch is watched.

    operations  that compute or move something; views do not
    live, peak  bytes of the tensors made so far that are still held, and the most of them at once;
                what was there before is not counted, nor what an operation uses inside itself
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._meet(tensor, 0)
        result = operation(*args, **(kwargs or {}))
        made = [
            self._meet(tensor, tensor.untyped_storage().nbytes()) for tensor in _tensors(result)
        ]
        self.operations += any(made) or operation._schema.is_mutable
        return result

    def _meet(self, tensor: Tensor, nbytes: int) -> bool:
        """Count a tensor's memory as ``nbytes`` from now until it is freed; False: it is known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return False
        self._known.add(key)
        self.live += nbytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, nbytes).atexit = False
        return True

    def _forget(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self.live -= nbytes


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
