# SPDX-License-Identifier: Apache-2.0
"""Substitutions that ask the package index or the parameters set so far."""

from .executable_in_package import ExecutableInPackage, command_for, find_executable
from .find_package import FindPackage, FindPackagePrefix, FindPackageShare
from .parameter import Parameter

__all__ = [
    "ExecutableInPackage",
    "FindPackage",
    "FindPackagePrefix",
    "FindPackageShare",
    "Parameter",
    "command_for",
    "find_executable",
]
