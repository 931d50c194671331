# SPDX-License-Identifier: Apache-2.0
"""Where interface definitions are: rosbags' store, `share/` beside this file, the ament index."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

from rosidl_embedded.definition import (
    EMPTY_MEMBER,
    Constant,
    Field,
    FieldType,
    InterfaceError,
    Message,
    Service,
    parse_message,
    parse_service,
)

_OWN_SHARE = Path(__file__).parent / "share"
# Defaults written in the definitions; the store keeps fields and constants only.
_DEFAULTS = {("geometry_msgs/msg/Quaternion", "w"): 1.0}
_classes: dict[str, type] = {}
_lock = threading.RLock()


@cache
def _store() -> dict:
    from rosbags.typesys.stores.ros2_jazzy import FIELDDEFS

    return FIELDDEFS


@cache
def _stored_packages() -> dict[str, list[str]]:
    packages: dict[str, list[str]] = {}
    for name in _store():
        package, _, message = name.split("/")
        packages.setdefault(package, []).append(message)
    return packages


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
    names = set(_stored_packages().get(package, ())) if kind == "msg" else set()
    share = _share_directory(package)
    if share is not None:
        names.update(path.stem for path in (share / kind).glob(f"*.{kind}"))
    return sorted(names)


def has_package(package: str, kind: str = "") -> bool:
    """Whether a package has interfaces (of that kind)."""
    return any(interface_names(package, k) for k in ([kind] if kind else ["msg", "srv"]))


def packages() -> list[str]:
    """Sorted names of the packages with interfaces that can be listed."""
    from ament_index_python.packages import get_packages_with_prefixes

    known = {path.name for path in _OWN_SHARE.iterdir()} | set(_stored_packages())
    known.update(name for name in get_packages_with_prefixes() if has_package(name))
    return sorted(known)


@cache
def get_definition(name: str) -> Message | Service:
    """Definition of `package/msg/Name`, `package/srv/Name` or a service half.

    Raises InterfaceError where no such interface is known.
    """
    try:
        package, kind, short = name.split("/")
    except ValueError:
        raise InterfaceError(f"'{name}' is not of the form package/msg/Name") from None
    if kind == "msg" and name in _store():
        return _from_store(name)
    share = _share_directory(package)
    path = share / kind / f"{short}.{kind}" if share is not None else None
    if path is not None and path.is_file():
        reader = parse_service if kind == "srv" else parse_message
        return reader(name, path.read_text(encoding="utf-8"))
    stem, _, half = name.rpartition("_")
    if kind == "srv" and half in ("Request", "Response"):
        service = get_definition(stem)
        assert isinstance(service, Service)
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
    """The definition as text: the file where there is one, otherwise written from the fields."""
    package, kind, short = name.split("/")
    share = _share_directory(package)
    path = share / kind / f"{short}.{kind}" if share is not None else None
    if path is not None and path.is_file():
        return path.read_text(encoding="utf-8")
    message = get_message(name)
    lines = [f"{item.type} {item.name}={_plain(item.value)}" for item in message.constants]
    lines += [f"{_msg_type(field.type)} {field.name}" for field in message.fields]
    return "\n".join([*lines, ""])


def _plain(value: object) -> object:
    return value[0] if isinstance(value, bytes) else value


def _msg_type(field_type: FieldType) -> str:
    base = field_type.base.replace("/msg/", "/")
    if field_type.string_bound:
        base += f"<={field_type.string_bound}"
    if field_type.kind == "scalar":
        return base
    upto = "<=" if field_type.kind == "sequence" and field_type.size else ""
    return f"{base}[{upto}{field_type.size or ''}]"


def _from_store(name: str) -> Message:
    constants, fields = _store()[name]
    return Message(
        name,
        tuple(
            Field(field, _stored_type(description), _DEFAULTS.get((name, field)))
            for field, description in fields
            if field != EMPTY_MEMBER
        ),
        tuple(
            Constant(label, kind, bytes([value]) if kind == "byte" else value)
            for label, kind, value in constants
        ),
    )


def _stored_type(description: tuple) -> FieldType:
    node, detail = int(description[0]), description[1]
    if node == 1:
        return FieldType(detail[0], detail[1])
    if node == 2:
        return FieldType(detail)
    inner = _stored_type(detail[0])
    return FieldType(
        inner.base, inner.string_bound, "array" if node == 3 else "sequence", detail[1]
    )
