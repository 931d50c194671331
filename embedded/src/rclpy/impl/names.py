# SPDX-License-Identifier: Apache-2.0
"""Rules of names, and how relative and private names become full ones."""

from __future__ import annotations

import re

_DIGIT_TOKEN = re.compile(r"(?:^|/)\d")
_SUBSTITUTION = re.compile(r"\{([^{}]*)\}")
MAX_NAME = 255


def node_name_error(name: str) -> tuple[str, int] | None:
    """What is wrong with a node name and where, None if nothing."""
    if not name:
        return "node name must not be empty", 0
    bad = re.search(r"[^A-Za-z0-9_]", name)
    if bad:
        return (
            "node name must not contain characters other than alphanumerics or '_'",
            bad.start(),
        )
    if name[0].isdigit():
        return "node name must not start with a number", 0
    if len(name) > MAX_NAME:
        return f"node name length should not exceed '{MAX_NAME}'", MAX_NAME - 1
    return None


def namespace_error(namespace: str) -> tuple[str, int] | None:
    """What is wrong with a namespace and where, None if nothing."""
    if not namespace:
        return "namespace must not be empty", 0
    if not namespace.startswith("/"):
        return "namespace must be absolute, it must lead with a '/'", 0
    return None if namespace == "/" else _path_error("namespace", namespace)


def full_name_error(name: str, kind: str = "topic") -> tuple[str, int] | None:
    """What is wrong with a full topic or service name and where, None if nothing."""
    if not name:
        return f"{kind} name must not be empty", 0
    if not name.startswith("/"):
        return f"{kind} name must be absolute, it must lead with a '/'", 0
    return _path_error(f"{kind} name", name)


def _path_error(what: str, name: str) -> tuple[str, int] | None:
    if name.endswith("/"):
        return f"{what} must not end with a '/'", len(name) - 1
    bad = re.search(r"[^A-Za-z0-9_/]", name)
    if bad:
        return (
            f"{what} must not contain characters other than alphanumerics, '_', or '/'",
            bad.start(),
        )
    if "//" in name:
        return f"{what} must not contain repeated '/'", name.index("//") + 1
    digit = _DIGIT_TOKEN.search(name)
    if digit:
        return f"{what} must not have a token that starts with a number", digit.end() - 1
    if len(name) > MAX_NAME - 8:
        return f"{what} length should not exceed '{MAX_NAME - 8}'", MAX_NAME - 9
    return None


def input_name_error(name: str, kind: str = "topic") -> tuple[str, int] | None:
    """What is wrong with a name as users write it (relative, `~`, `{node}`), None if nothing.

    Its length and repeated slashes are those of the full name.
    """
    what = f"{kind} name"
    if not name:
        return f"{what} must not be empty", 0
    if name.endswith("/"):
        return f"{what} must not end with a '/'", len(name) - 1
    for match in _SUBSTITUTION.finditer(name):
        if not re.fullmatch(r"(?:[A-Za-z_][A-Za-z0-9_]*)?", match[1]):
            return f"{what} has an invalid substitution", match.start(1)
    plain = _SUBSTITUTION.sub(lambda match: "x" * len(match[0]), name)
    bad = re.search(r"[^A-Za-z0-9_/~]", plain)
    if bad:
        allowed = "alphanumerics, '_', '/', or what '~' and '{}' stand for"
        return f"{what} must not contain characters other than {allowed}", bad.start()
    if "~" in plain[1:]:
        return f"{what} must not have tilde '~' unless it is the first character", (
            plain.index("~", 1)
        )
    if plain.startswith("~") and plain[1:2] not in ("", "/"):
        return f"{what} must not have a tilde '~' that is not followed by a '/'", 1
    digit = _DIGIT_TOKEN.search(plain)
    if digit:
        return f"{what} must not have a token that starts with a number", digit.end() - 1
    return None


def expand(name: str, node_name: str, node_namespace: str) -> str:
    """Full name of a name as users write it; raises ValueError for an unknown substitution."""
    namespace = node_namespace.rstrip("/")

    def substitute(match: re.Match) -> str:
        if match[1] == "node":
            return node_name
        if match[1] in ("ns", "namespace"):
            return node_namespace
        raise ValueError(f"topic name '{name}' is invalid: unknown substitution: {match[0]}")

    full = _SUBSTITUTION.sub(substitute, name)
    if full.startswith("~"):
        return f"{namespace}/{node_name}{full[1:]}"
    return full if full.startswith("/") else f"{namespace}/{full}"
