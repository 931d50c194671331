# SPDX-License-Identifier: Apache-2.0
"""Which interfaces there are, and the files that define them."""

from __future__ import annotations

from collections.abc import Collection

from rosidl_embedded import registry
from rosidl_embedded.definition import InterfaceError


def get_interfaces(package_names: Collection[str] = ()) -> dict[str, list[str]]:
    """Return package -> names such as "msg/String", of all packages where none is given.

    Raises:
        LookupError: one of the packages has no interfaces.
    """
    found = {
        package: [
            f"{kind}/{name}"
            for kind in ("msg", "srv")
            for name in registry.interface_names(package, kind)
        ]
        for package in package_names or registry.packages()
    }
    unknown = [package for package, names in found.items() if not names]
    if unknown:
        raise LookupError(f"Unknown package {unknown[0]!r}")
    return found


def get_interface_path(interface_name: str) -> str:
    """Return the path of the file that defines an interface, "std_msgs/msg/String" for example.

    Raises:
        LookupError: there is no such file.
    """
    try:
        return str(registry.definition_path(interface_name))
    except InterfaceError as error:
        raise LookupError(str(error)) from error
