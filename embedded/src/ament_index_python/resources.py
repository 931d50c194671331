# SPDX-License-Identifier: Apache-2.0
"""The resource index: `<prefix>/share/ament_index/resource_index/<type>/<name>`."""

import os

from .search_paths import get_search_paths

_INDEX = os.path.join("share", "ament_index", "resource_index")


class InvalidResourceTypeNameError(ValueError):
    """A resource type that is empty or contains a path separator."""


class InvalidResourceNameError(ValueError):
    """A resource name that is empty or contains a path separator."""


def _checked(resource_type: str, resource_name: str = "any") -> None:
    if not resource_type or "/" in resource_type or "\\" in resource_type:
        raise InvalidResourceTypeNameError(f"resource type '{resource_type}' is invalid")
    if not resource_name or "/" in resource_name or "\\" in resource_name:
        raise InvalidResourceNameError(f"resource name '{resource_name}' is invalid")


def get_resource(resource_type: str, resource_name: str) -> tuple[str, str]:
    """(content, prefix) of one resource; LookupError where no prefix has it."""
    prefix = has_resource(resource_type, resource_name)
    if not isinstance(prefix, str):
        raise LookupError(
            f"Could not find the resource '{resource_name}' of type '{resource_type}'"
        )
    with open(os.path.join(prefix, _INDEX, resource_type, resource_name), encoding="utf-8") as f:
        return f.read(), prefix


def has_resource(resource_type: str, resource_name: str) -> str | bool:
    """The prefix that has the resource, or False."""
    _checked(resource_type, resource_name)
    for prefix in get_search_paths():
        if os.path.isfile(os.path.join(prefix, _INDEX, resource_type, resource_name)):
            return prefix
    return False


def get_resources(resource_type: str) -> dict[str, str]:
    """Every resource of a type: name -> prefix."""
    _checked(resource_type)
    found: dict[str, str] = {}
    for prefix in get_search_paths():
        folder = os.path.join(prefix, _INDEX, resource_type)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if not name.startswith(".") and os.path.isfile(os.path.join(folder, name)):
                found.setdefault(name, prefix)
    return found


def get_resource_types() -> set[str]:
    """Every resource type that some prefix has."""
    types: set[str] = set()
    for prefix in get_search_paths():
        folder = os.path.join(prefix, _INDEX)
        if os.path.isdir(folder):
            types.update(n for n in os.listdir(folder) if not n.startswith("."))
    return types
