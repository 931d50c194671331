# SPDX-License-Identifier: Apache-2.0
"""Sources of launch descriptions: Python files here; XML and YAML need a full ROS 2."""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING

from .launch_description_source import LaunchDescriptionSource
from .some_substitutions_type import SomeSubstitutionsType

if TYPE_CHECKING:
    from .launch_description import LaunchDescription

__all__ = [
    "AnyLaunchDescriptionSource",
    "FrontendLaunchDescriptionSource",
    "InvalidLaunchFileError",
    "InvalidPythonLaunchFileError",
    "PythonLaunchDescriptionSource",
    "get_launch_description_from_any_launch_file",
    "get_launch_description_from_python_launch_file",
    "load_python_launch_file_as_module",
]


class InvalidLaunchFileError(Exception):
    """A launch file that is of no known kind."""


class InvalidPythonLaunchFileError(InvalidLaunchFileError):
    """A Python launch file without `generate_launch_description()`."""


def load_python_launch_file_as_module(python_launch_file_path: str) -> ModuleType:
    """Run a Python launch file, whatever its suffix, and return it as a module."""
    loader = SourceFileLoader("python_launch_file", python_launch_file_path)
    module = ModuleType(loader.name)
    module.__file__ = python_launch_file_path
    loader.exec_module(module)
    return module


def get_launch_description_from_python_launch_file(
    python_launch_file_path: str,
) -> LaunchDescription:
    """What `generate_launch_description()` of a file gives."""
    if not os.path.isfile(python_launch_file_path):
        raise FileNotFoundError(f"launch file '{python_launch_file_path}' does not exist")
    module = load_python_launch_file_as_module(python_launch_file_path)
    if not hasattr(module, "generate_launch_description"):
        raise InvalidPythonLaunchFileError(
            f"launch file '{python_launch_file_path}' does not contain the required function "
            "'generate_launch_description()'"
        )
    return module.generate_launch_description()


def get_launch_description_from_any_launch_file(launch_file_path: str) -> LaunchDescription:
    """A description from a `.py` file; NotImplementedError for `.xml`, `.yaml` and `.yml`."""
    suffix = os.path.splitext(launch_file_path)[1]
    if suffix == ".py":
        return get_launch_description_from_python_launch_file(launch_file_path)
    if suffix in (".xml", ".yaml", ".yml"):
        raise NotImplementedError(
            f"launch file '{launch_file_path}': a {suffix} launch file needs a full ROS 2"
        )
    raise InvalidLaunchFileError(
        f"'{launch_file_path}' is not a launch file: expected a name that ends in .py"
    )


class PythonLaunchDescriptionSource(LaunchDescriptionSource):
    """A Python launch file."""

    def __init__(self, launch_file_path: SomeSubstitutionsType) -> None:
        super().__init__(None, launch_file_path, "interpreted python launch file")

    def _get_launch_description(self, location: str) -> LaunchDescription:
        return get_launch_description_from_python_launch_file(location)


class AnyLaunchDescriptionSource(LaunchDescriptionSource):
    """A launch file of whatever kind its name says."""

    def __init__(self, launch_file_path: SomeSubstitutionsType) -> None:
        super().__init__(None, launch_file_path, "any launch file")

    def _get_launch_description(self, location: str) -> LaunchDescription:
        return get_launch_description_from_any_launch_file(location)


class FrontendLaunchDescriptionSource(LaunchDescriptionSource):
    """An XML or YAML launch file: not available here."""

    def __init__(self, launch_file_path: SomeSubstitutionsType, **_: object) -> None:
        raise NotImplementedError("FrontendLaunchDescriptionSource needs a full ROS 2")
