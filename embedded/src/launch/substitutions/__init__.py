# SPDX-License-Identifier: Apache-2.0
"""Substitutions that launch files use."""

from .context_substitutions import (
    AnonName,
    LaunchConfiguration,
    LaunchLogDir,
    LocalSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from .logic_substitutions import (
    AllSubstitution,
    AndSubstitution,
    AnySubstitution,
    BooleanSubstitution,
    EqualsSubstitution,
    IfElseSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
)
from .substitution_failure import SubstitutionFailure
from .system_substitutions import (
    Command,
    EnvironmentVariable,
    FileContent,
    FindExecutable,
    PythonExpression,
)
from .text_substitutions import PathJoinSubstitution, StringJoinSubstitution, TextSubstitution

__all__ = [
    "AllSubstitution",
    "AndSubstitution",
    "AnonName",
    "AnySubstitution",
    "BooleanSubstitution",
    "Command",
    "EnvironmentVariable",
    "EqualsSubstitution",
    "FileContent",
    "FindExecutable",
    "IfElseSubstitution",
    "LaunchConfiguration",
    "LaunchLogDir",
    "LocalSubstitution",
    "NotEqualsSubstitution",
    "NotSubstitution",
    "OrSubstitution",
    "PathJoinSubstitution",
    "PythonExpression",
    "StringJoinSubstitution",
    "SubstitutionFailure",
    "TextSubstitution",
    "ThisLaunchFile",
    "ThisLaunchFileDir",
]
