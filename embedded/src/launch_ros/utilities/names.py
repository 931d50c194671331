# SPDX-License-Identifier: Apache-2.0
"""Names of nodes and namespaces."""

import re

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_root_namespace(ns: str) -> bool:
    """Whether `ns` is the outermost namespace."""
    return ns == "/"


def is_namespace_absolute(ns: str) -> bool:
    """Whether `ns` does not depend on a surrounding namespace."""
    return ns.startswith("/")


def make_namespace_absolute(ns: str | None) -> str | None:
    """`ns` below the root; None stays None."""
    if ns is None or is_namespace_absolute(ns):
        return ns
    return "/" + ns


def prefix_namespace(base_ns: str | None, ns: str | None) -> str | None:
    """`ns` within `base_ns`: `ns` itself where it is absolute, None where both are None."""
    if base_ns is None or (ns is not None and is_namespace_absolute(ns)):
        return ns
    if not ns:
        return base_ns
    return f"{base_ns.rstrip('/')}/{ns}"


def validate_name(name: str) -> None:
    """ValueError for what cannot be a node's name."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(
            f"invalid node name '{name}': letters, digits and _ only, and no digit first"
        )


def validate_namespace(namespace: str) -> None:
    """ValueError for what cannot be an absolute namespace."""
    tokens = namespace[1:].split("/") if namespace != "/" else []
    if not namespace.startswith("/") or not all(_TOKEN.fullmatch(t) for t in tokens):
        raise ValueError(
            f"invalid namespace '{namespace}': it must start with /, and between slashes hold "
            "letters, digits and _ only, no digit first"
        )
