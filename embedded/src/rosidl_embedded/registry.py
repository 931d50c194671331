# SPDX-License-Identifier: Apache-2.0
"""Where interface definitions are: `share/` beside this file, and the ament index."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

from rosidl_embedded.definition import (
    InterfaceError,
    Message,
    Service,
    parse_message,
    parse_service,
)

_OWN_SHARE = Path(__file__).parent / "share"
_classes: dict[str, type] = {}
_lock = threading.RLock()


@cache
def _share_directory(package: str) -> Path | None:
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    if (_OWN_SHARE / package).is_dir():
        return _OWN_SHARE / package
    try:
        return Path(get_package_share_directory(package))
    except (PackageNotFoundError, ValueError):
        return None


@cache
def interface_names(package: str, kind: str) -> list[str]:
    """Sorted names of a package's interfaces; `kind` is `msg` or `srv`."""
    share = _share_directory(package)
    if share is None:
        return []
    return sorted(path.stem for path in (share / kind).glob(f"*.{kind}"))


def has_package(package: str, kind: str = "") -> bool:
    """Whether a package has interfaces (of that kind)."""
    return any(interface_names(package, k) for k in ([kind] if kind else ["msg", "srv"]))


def packages() -> list[str]:
    """Sorted names of the packages with interfaces that can be listed."""
    from ament_index_python.packages import get_packages_with_prefixes

    known = {path.name for path in _OWN_SHARE.iterdir()}
    known.update(name for name in get_packages_with_prefixes() if has_package(name))
    return sorted(known)


@cache
def get_definition(name: str) -> Message | Service:
    """Definition of `package/msg/Name`, `package/srv/Name` or a service half.

    Raises InterfaceError where no such interface is known.
    """
    package, kind, short = _parts(name)
    share = _share_directory(package)
    path = share / kind / f"{short}.{kind}" if share is not None else None
    if path is not None and path.is_file():
        reader = parse_service if kind == "srv" else parse_message
        return reader(name, path.read_text(encoding="utf-8"))
    stem, _, half = name.rpartition("_")
    if kind == "srv" and half in ("Request", "Response"):
        service = get_definition(stem)
        if isinstance(service, Service):
            return service.request if half == "Request" else service.response
    raise InterfaceError(
        f"interface '{name}' is unknown: neither a standard one nor in share/{package}/{kind}"
    )


def get_message(name: str) -> Message:
    """Definition of a message or a service half; raises InterfaceError for anything else."""
    definition = get_definition(name)
    if not isinstance(definition, Message):
        raise InterfaceError(f"'{name}' is a service, a message was needed")
    return definition


def get_class(name: str) -> type:
    """The Python class of an interface; the same object every time."""
    with _lock:
        if name not in _classes:
            from rosidl_embedded import message_class

            definition = get_definition(name)
            if isinstance(definition, Message):
                _classes[name] = message_class.make_message_class(definition)
            else:
                _classes[name] = message_class.make_service_class(definition)
        return _classes[name]


def definition_text(name: str) -> str:
    """The text of the file that defines an interface; raises InterfaceError."""
    return definition_path(name).read_text(encoding="utf-8")


def definition_path(name: str) -> Path:
    """The file that defines an interface; raises InterfaceError."""
    package, kind, short = _parts(name)
    share = _share_directory(package)
    path = share / kind / f"{short}.{kind}" if share is not None else None
    if path is None or not path.is_file():
        raise InterfaceError(f"interface '{name}' has no file in share/{package}/{kind}")
    return path


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) != 3:
        raise InterfaceError(f"'{name}' is not of the form package/msg/Name")
    return parts
