# SPDX-License-Identifier: Apache-2.0
"""Import finder of interface packages, registered when Python starts (`ros2_embedded.pth`).

It is asked after every other finder, so a real package always wins; of a package that is also a
real Python package only `.msg` and `.srv` are served. Starting Python costs it one small module.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

_KINDS = ("msg", "srv")
_SUFFIXES = ("_msgs", "_interfaces", "_srvs", "_dds_common")


class InterfaceFinder:
    """Finds `<package>`, `<package>.msg` and `<package>.srv` of known interfaces."""

    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None):
        """Return a spec for an interface module, None for any other name."""
        package, _, kind = fullname.partition(".")
        if kind not in _KINDS if kind else not _may_have_interfaces(package):
            return None
        from rosidl_embedded import registry

        if not registry.has_package(package, kind):
            return None
        return ModuleSpec(fullname, cls, is_package=not kind)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        """Let Python make the module."""
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill an interface module: its classes are made when first asked for."""
        package, _, kind = module.__name__.partition(".")
        if not kind:
            module.__path__ = []
            module.__doc__ = f"Interfaces of {package}, made from their definitions."
            return
        from rosidl_embedded import registry

        names = registry.interface_names(package, kind)

        def make_class(name: str) -> object:
            if name not in names and not _is_service_half(name, kind, names):
                raise AttributeError(f"module '{package}.{kind}' has no interface '{name}'")
            value = registry.get_class(f"{package}/{kind}/{name}")
            setattr(module, name, value)
            return value

        module.__doc__ = f"The {kind} interfaces of {package}."
        module.__getattr__ = make_class  # type: ignore[method-assign]
        module.__dir__ = lambda: names  # type: ignore[method-assign]
        module.__all__ = names  # type: ignore[attr-defined]


def _may_have_interfaces(package: str) -> bool:
    """Tell most other names apart cheaply: any failing import in Python comes here."""
    if package.endswith(_SUFFIXES):
        return True
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "")
    return any(
        os.path.isdir(os.path.join(prefix, "share", package, kind))
        for prefix in prefixes.split(os.pathsep)
        if prefix
        for kind in _KINDS
    )


def _is_service_half(name: str, kind: str, names: list[str]) -> bool:
    return kind == "srv" and name.rpartition("_")[0] in names


def install() -> None:
    """Register the finder once, after all others."""
    if not any(getattr(f, "__name__", "") == "InterfaceFinder" for f in sys.meta_path):
        sys.meta_path.append(InterfaceFinder)
