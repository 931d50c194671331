# SPDX-License-Identifier: Apache-2.0
"""`--ros-args`: remaps, parameters, parameter files, log levels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy._rclpy_pybind11 import RCLInvalidROSArgsError, UnknownROSArgsError

_SWITCHES = {
    "--enable-stdout-logs": ("log_to_console", True),
    "--disable-stdout-logs": ("log_to_console", False),
    "--enable-rosout-logs": ("log_to_rosout", True),
    "--disable-rosout-logs": ("log_to_rosout", False),
    "--enable-external-lib-logs": ("log_to_files", True),
    "--disable-external-lib-logs": ("log_to_files", False),
}
_TOKEN = r"(?!\w*__)[A-Za-z_]\w*"
_PART = r"(?!__)[A-Za-z_]\w*"
_NODE = rf"(?:(?P<node>{_TOKEN}):)?"
_NAME = rf"(?:~?/)?{_TOKEN}(?:/{_TOKEN})*"
_REMAPS = [
    re.compile(_NODE + rule, re.ASCII)
    for rule in (
        rf"(?:(?P<kind>rostopic|rosservice)://)?(?P<source>{_NAME}):=(?P<target>{_NAME})",
        rf"(?P<source>__node|__name):=(?P<target>{_TOKEN})",
        rf"(?P<source>__ns):=(?P<target>/(?:{_TOKEN}/?)*)",
    )
]
_PARAMETER = re.compile(
    rf"{_NODE}(?P<name>/?{_PART}(?:(?:/|\./?){_PART})*):=(?P<value>.*)", re.ASCII | re.DOTALL
)
_ENCLAVE = re.compile(r"/|(?:/[A-Za-z_]\w*)+", re.ASCII)


@dataclass(frozen=True)
class RemapRule:
    """`[node:][kind://]source:=target`; kind is `rostopic` or `rosservice`, empty: both.

    Where source is `__node` or `__ns` it renames the node.
    """

    node: str
    source: str
    target: str
    kind: str = ""

    def renames(self, kind: str, node: str) -> bool:
        """Whether it is for topics or services, by their kind, of a node."""
        return (
            not self.source.startswith("__") and self.kind in ("", kind) and self.node in ("", node)
        )


@dataclass
class Arguments:
    """What stands after --ros-args."""

    remaps: list[RemapRule] = field(default_factory=list)
    # Pattern of node names -> parameters, in order: later ones win.
    parameters: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    log_levels: dict[str, str] = field(default_factory=dict)
    enclave: str = "/"
    log_to_console: bool = True
    log_to_rosout: bool = True
    log_to_files: bool = True

    def node_name(self, name: str) -> str | None:
        """Name given to a node, if any."""
        return self._special(name, ("__node", "__name"))

    def namespace(self, name: str) -> str | None:
        """Namespace given to a node, if any."""
        return self._special(name, ("__ns",))

    def _special(self, name: str, sources: tuple[str, ...]) -> str | None:
        for rule in self.remaps:
            if rule.source in sources and rule.node in ("", name):
                return rule.target
        return None

    def parameters_of(self, full_name: str) -> dict[str, Any]:
        """Parameters for a node by its full name, wildcards resolved."""
        found: dict[str, Any] = {}
        for pattern, parameters in self.parameters:
            if matches(pattern, full_name):
                found.update(parameters)
        return found


def split_arguments(args: list[str]) -> tuple[list[str], list[str]]:
    """Arguments that are not for ROS, and those that are."""
    own: list[str] = []
    ros: list[str] = []
    inside = False
    for argument in args:
        if argument == "--ros-args":
            inside = True
        elif inside and argument == "--":
            inside = False
        else:
            (ros if inside else own).append(argument)
    return own, ros


def parse_arguments(args: list[str] | None) -> Arguments:
    """Read what stands after --ros-args; raises RCLInvalidROSArgsError, UnknownROSArgsError."""
    _, ros = split_arguments(list(args or []))
    parsed = Arguments()
    unknown: list[str] = []
    queue = iter(ros)
    for flag in queue:
        if flag in _SWITCHES:
            name, value = _SWITCHES[flag]
            setattr(parsed, name, value)
            continue
        reader = _READERS.get(flag)
        if reader is None:
            unknown.append(flag)
            continue
        value_text = next(queue, None)
        if value_text is None:
            raise RCLInvalidROSArgsError(f"Couldn't parse trailing {flag} flag. No value found.")
        reader(parsed, value_text)
    if unknown:
        raise UnknownROSArgsError(str(unknown))
    return parsed


def parse_own_arguments(args: list[str] | None) -> Arguments:
    """Read the arguments of a node or a program, not of a context: the error says so."""
    try:
        return parse_arguments(args)
    except RCLInvalidROSArgsError as error:
        raise RCLInvalidROSArgsError(f"Failed to parse ROS arguments: {error}") from error


def _read_remap(parsed: Arguments, text: str) -> None:
    match = next(filter(None, (rule.fullmatch(text) for rule in _REMAPS)), None)
    if match is None:
        raise RCLInvalidROSArgsError(f"Couldn't parse remap rule: '-r {text}'.")
    parsed.remaps.append(RemapRule(**match.groupdict("")))


def _read_parameter(parsed: Arguments, text: str) -> None:
    from rclpy.impl.yaml_text import load_parameters

    failure = f"Couldn't parse parameter override rule: '-p {text}'."
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise RCLInvalidROSArgsError(failure)
    try:
        parameters = {match["name"]: load_parameters(match["value"])}
        _check_values(parameters)
    except (RCLInvalidROSArgsError, ValueError) as error:
        raise RCLInvalidROSArgsError(f"{failure} Error: {error}") from error
    parsed.parameters.append((match["node"] or "/**", parameters))


def _read_parameter_file(parsed: Arguments, text: str) -> None:
    try:
        found = read_parameter_file(Path(text))
        for _, parameters in found:
            _check_values(parameters)
    except RCLInvalidROSArgsError as error:
        raise RCLInvalidROSArgsError(
            f"Couldn't parse params file: '--params-file {text}'. Error: {error}"
        ) from error
    parsed.parameters += found


def _check_values(parameters: dict[str, Any]) -> None:
    from rclpy.impl.parameter_checks import given_parameter

    for name, value in parameters.items():
        given_parameter(name, value)


def _read_log_level(parsed: Arguments, text: str) -> None:
    name, separator, level = text.partition(":=") if ":=" in text else ("", "", text)
    is_level = level.upper() in ("UNSET", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    if not is_level or (separator and not name):
        raise RCLInvalidROSArgsError(f"Couldn't parse log level: '--log-level {text}'.")
    parsed.log_levels[name] = level


def _read_enclave(parsed: Arguments, text: str) -> None:
    if not _ENCLAVE.fullmatch(text):
        raise RCLInvalidROSArgsError(f"Enclave name is not valid: '{text}'")
    parsed.enclave = text


def _ignore(parsed: Arguments, text: str) -> None:
    """Log configuration files belong to a logging library that this runtime does not have."""


_READERS = {
    "-r": _read_remap,
    "--remap": _read_remap,
    "-p": _read_parameter,
    "--param": _read_parameter,
    "--params-file": _read_parameter_file,
    "--log-level": _read_log_level,
    "-e": _read_enclave,
    "--enclave": _read_enclave,
    "--log-config-file": _ignore,
    "--log-file-name": _ignore,
}


def read_parameter_file(
    path: Path, load: Callable[[str], Any] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Parameters by pattern of node names, in the order of the file.

    Values have the types that rcl gives them, or `load`. Raises RCLInvalidROSArgsError for a file
    that is missing or has another form.
    """
    from rclpy.impl.yaml_text import load_parameters

    try:
        content = (load or load_parameters)(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RCLInvalidROSArgsError(f"cannot read parameter file {path}: {error}") from error
    found: list[tuple[str, dict[str, Any]]] = []
    _collect(path, {} if content is None else content, "", found)
    return found


def _collect(path: Path, tree: Any, prefix: str, found: list[tuple[str, dict[str, Any]]]) -> None:
    if not isinstance(tree, dict):
        raise RCLInvalidROSArgsError(
            f"parameter file {path}: '{prefix or tree}' holds no 'ros__parameters'"
        )
    for key, value in tree.items():
        if key == "ros__parameters":
            if not isinstance(value, dict | None):
                raise RCLInvalidROSArgsError(
                    f"parameter file {path}: 'ros__parameters' of '{prefix}' holds no parameters "
                    f"by name, but {value!r:.60}"
                )
            found.append((prefix, flatten(value or {})))
        else:
            name = str(key)
            joined = f"{prefix.rstrip('/')}/{name.lstrip('/')}" if prefix else name
            _collect(path, value, joined, found)


def flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    """Nested parameters as one level, names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def matches(pattern: str, full_name: str) -> bool:
    """Whether a pattern names a node: `*` is one token, `**` any number; `cam` is `/cam`."""
    tokens = []
    for token in pattern.strip("/").split("/"):
        if token == "**":
            tokens.append("(?:/[^/]+)*")
        else:
            tokens.append("/" + re.escape(token).replace(r"\*", "[^/]*"))
    return re.fullmatch("".join(tokens), full_name) is not None
