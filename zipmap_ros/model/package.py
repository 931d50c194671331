# SPDX-License-Identifier: Apache-2.0
"""A package of torch's AOTInductor, run while other threads of Python go on.

torch's own loader holds Python's lock as long as a network computes (pytorch issue 197516), so that
a node's callbacks wait for it. Called through ctypes, the library in the package lets go of it.
"""

from __future__ import annotations

import ctypes
import tempfile
import weakref
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor

# The C interface of the library (torch/csrc/inductor/aoti_runtime/interface.h). The container of a
# model; then tensors in and out and how many; a GPU's stream; what would run operators of others.
_CREATE = (POINTER(c_void_p), c_size_t, c_char_p, c_char_p)
_COUNT = (c_void_p, POINTER(c_size_t))
_HANDLES = POINTER(c_void_p)
_RUN = (c_void_p, _HANDLES, c_size_t, _HANDLES, c_size_t, c_void_p, c_void_p)
# torch passes pointers to tensors as capsules without a name.
_pointer = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


class Package:
    """A network compiled for the CPU; threads that call it take turns.

    Raises for a file that is no such package, whatever reading or loading it raises.
    """

    def __init__(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder, ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".so"))
            library = ctypes.CDLL(archive.extract(name, folder))
        self._run = _function(library, "Run", _RUN)
        self._container = c_void_p()
        create = _function(library, "CreateWithDevice", _CREATE)
        _check(create(byref(self._container), 1, b"cpu", None))
        delete = _function(library, "Delete", (c_void_p,))
        weakref.finalize(self, delete, self._container)
        outputs = c_size_t()
        _check(_function(library, "GetNumOutputs", _COUNT)(self._container, byref(outputs)))
        self._outputs = outputs.value

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs. Inputs must be contiguous and of the shapes it was compiled for:
        nobody looks."""
        # The library owns the inputs' handles from here on, and we those of the outputs.
        handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))
        inputs = (c_void_p * len(handles))(*(_pointer(handle, None) for handle in handles))
        found = (c_void_p * self._outputs)()
        _check(self._run(self._container, inputs, len(inputs), found, len(found), None, None))
        capsules = [_capsule(pointer, None, None) for pointer in found]
        return tuple(torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(capsules))


def _function(library: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Any:
    function = library[f"AOTInductorModelContainer{name}"]
    function.argtypes, function.restype = arguments, c_int32
    return function


def _check(code: int) -> None:
    if code != 0:
        raise RuntimeError(f"the compiled network failed with code {code}; its reason is on stderr")
