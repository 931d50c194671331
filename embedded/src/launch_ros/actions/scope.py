# SPDX-License-Identifier: Apache-2.0
"""What holds for all nodes that follow in the same scope: namespace, parameters, remappings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.actions import SetEnvironmentVariable
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..utilities import (
    evaluate_parameter_dict,
    make_namespace_absolute,
    normalize_parameter_dict,
    normalize_remap_rule,
    prefix_namespace,
    validate_namespace,
)

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from launch.substitution import Substitution


def _append(context: LaunchContext, key: str, item: object) -> None:
    # A new list each time: leaving a scope brings the old one back.
    context.launch_configurations[key] = [*context.launch_configurations.get(key, []), item]


class PushRosNamespace(Action):
    """A namespace around the nodes that follow in this scope."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__namespace = normalize_to_list_of_substitutions(namespace)

    @property
    def namespace(self) -> list[Substitution]:
        """The namespace."""
        return self.__namespace

    def execute(self, context: LaunchContext) -> None:
        namespace = perform_substitutions(context, self.__namespace)
        outer = context.launch_configurations.get("ros_namespace")
        absolute = make_namespace_absolute(prefix_namespace(outer, namespace)) or "/"
        validate_namespace(absolute)
        context.launch_configurations["ros_namespace"] = absolute


class SetParameter(Action):
    """A parameter for all nodes that follow in this scope."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__parameter = normalize_parameter_dict(
            {tuple(normalize_to_list_of_substitutions(name)): value}
        )

    def execute(self, context: LaunchContext) -> None:
        for item in evaluate_parameter_dict(context, self.__parameter).items():
            _append(context, "global_params", item)


class SetUseSimTime(SetParameter):
    """`use_sim_time` for all nodes that follow in this scope."""

    def __init__(self, value: Any, **kwargs: Any) -> None:
        super().__init__("use_sim_time", value, **kwargs)


class SetParametersFromFile(Action):
    """A parameter file for all nodes that follow in this scope."""

    def __init__(self, filename: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__filename = normalize_to_list_of_substitutions(filename)

    def execute(self, context: LaunchContext) -> None:
        path = os.path.abspath(perform_substitutions(context, self.__filename))
        _append(context, "global_params", path)


class SetRemap(Action):
    """A remapping for all nodes that follow in this scope."""

    def __init__(
        self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.__rule = normalize_remap_rule((src, dst))

    def execute(self, context: LaunchContext) -> None:
        source, target = self.__rule
        rule = perform_substitutions(context, source), perform_substitutions(context, target)
        _append(context, "ros_remaps", rule)


class SetROSLogDir(SetEnvironmentVariable):
    """The directory in which nodes that follow put their log files."""

    def __init__(self, new_log_dir: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__("ROS_LOG_DIR", new_log_dir, **kwargs)
