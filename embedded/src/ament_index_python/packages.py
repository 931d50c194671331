# SPDX-License-Identifier: Apache-2.0
"""Prefix and share directory of a package.

A package is found, in this order, as
1. `<prefix>/share/<name>/package.xml` (or its index marker) in a prefix of `get_search_paths()`;
2. a Python package whose parent folder has a `package.xml` of that name: a source checkout; or
   which has one in its own folder;
3. an editable pip install of such a folder.
For 2 and 3 the project's root counts as both prefix and share directory.
"""

import importlib.machinery
import os
import pathlib
import re
import sys

from .resources import get_resources
from .search_paths import get_search_paths

_NAME_TAG = re.compile(r"<name>\s*([^<\s]+)\s*</name>")
_VALID_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")


class PackageNotFoundError(KeyError):
    """No prefix and no Python environment has the package."""

    def __str__(self) -> str:
        return (
            f"\"package '{self.args[0]}' not found, searching: {get_search_paths()} "
            'and the Python packages of this environment"'
        )


def get_packages_with_prefixes() -> dict[str, str]:
    """Every package known: name -> prefix (project root for editable installs)."""
    found = get_resources("packages")
    for prefix in get_search_paths():
        for manifest in sorted(pathlib.Path(prefix, "share").glob("*/package.xml")):
            found.setdefault(manifest.parent.name, prefix)
    for root in _editable_roots():
        name = _package_name(root)
        if name:
            found.setdefault(name, root)
    return found


def get_package_prefix(package_name: str) -> str:
    """The prefix in which a package is installed. Raises PackageNotFoundError, ValueError."""
    if not _VALID_NAME.fullmatch(package_name):
        raise ValueError(f"'{package_name}' is not a valid package name")
    for prefix in get_search_paths():
        marker = os.path.join(prefix, "share", "ament_index", "resource_index", "packages")
        manifest = os.path.join(prefix, "share", package_name, "package.xml")
        if os.path.isfile(manifest) or os.path.isfile(os.path.join(marker, package_name)):
            return prefix
    root = _project_root(package_name)
    if root is None:
        raise PackageNotFoundError(package_name)
    return root


def get_package_share_directory(package_name: str, print_warning: bool = True) -> str:
    """The directory with a package's launch, config and interface files."""
    prefix = get_package_prefix(package_name)
    if _package_name(prefix) == package_name:
        return prefix
    share = os.path.join(prefix, "share", package_name)
    if print_warning and not os.path.isdir(share):
        print(f"Warning: share directory does not exist: '{share}'", file=sys.stderr)
    return share


def get_package_share_path(package_name: str, print_warning: bool = True) -> pathlib.Path:
    """`get_package_share_directory` as a path."""
    return pathlib.Path(get_package_share_directory(package_name, print_warning))


def _project_root(package_name: str) -> str | None:
    # PathFinder only: other finders on sys.meta_path may themselves ask this index.
    spec = importlib.machinery.PathFinder.find_spec(package_name)
    for folder in (spec and spec.submodule_search_locations) or []:
        folder = os.path.abspath(folder)
        for root in (os.path.dirname(folder), folder):
            if _package_name(root) == package_name:
                return root
    return next((r for r in _editable_roots() if _package_name(r) == package_name), None)


def _editable_roots() -> list[str]:
    # What pip writes beside an editable install (PEP 610), read without importlib.metadata,
    # whose import alone takes longer than most commands.
    import json
    from urllib.parse import unquote, urlparse

    roots = []
    for entry in sys.path:
        for record in sorted(pathlib.Path(entry or ".").glob("*.dist-info/direct_url.json")):
            origin = json.loads(record.read_text(encoding="utf-8"))
            if origin.get("dir_info", {}).get("editable"):
                roots.append(unquote(urlparse(origin["url"]).path))
    return roots


def _package_name(root: str) -> str | None:
    """The name in `root`/package.xml, None where there is no readable one."""
    try:
        with open(os.path.join(root, "package.xml"), encoding="utf-8") as manifest:
            match = _NAME_TAG.search(manifest.read())
    except (OSError, UnicodeDecodeError):
        return None
    return match.group(1) if match else None
