# SPDX-License-Identifier: Apache-2.0
"""Actions on launch configurations, the named values of a launch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..substitution import Substitution


class DeclareLaunchArgument(Action):
    """An argument of a launch file, settable by `name:=value` and by whoever includes the file.

    Without `default_value` it is required. A value outside `choices` is refused.
    """

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__name = name
        self.__default_value = (
            None if default_value is None else normalize_to_list_of_substitutions(default_value)
        )
        self.__choices = None if choices is None else list(choices)
        if self.__choices == []:
            raise ValueError(f"argument '{name}': choices must not be empty")
        self.__description = description or "no description given"
        if self.__choices and description is not None:
            self.__description += ". Valid choices are: " + str(self.__choices)
        self._conditionally_included = False

    @property
    def name(self) -> str:
        """The name of the argument."""
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        """The default, None for a required argument."""
        return self.__default_value

    @property
    def description(self) -> str:
        """What the argument is for, valid choices included."""
        return self.__description

    @property
    def choices(self) -> list[str] | None:
        """The values allowed, None for any."""
        return self.__choices

    def execute(self, context: LaunchContext) -> None:
        configurations = context.launch_configurations
        if self.__name not in configurations:
            if self.__default_value is None:
                raise RuntimeError(
                    f"Required launch argument '{self.__name}' "
                    f"(description: '{self.__description}') was not provided"
                )
            configurations[self.__name] = perform_substitutions(context, self.__default_value)
        value = configurations[self.__name]
        if self.__choices is not None and value not in self.__choices:
            raise RuntimeError(
                f"Argument '{self.__name}' provided value '{value}' is not valid. "
                f"Valid options are: {self.__choices}"
            )


class SetLaunchConfiguration(Action):
    """Set a launch configuration."""

    def __init__(
        self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = normalize_to_list_of_substitutions(value)

    @property
    def name(self) -> list[Substitution]:
        """The name."""
        return self.__name

    @property
    def value(self) -> list[Substitution]:
        """The value."""
        return self.__value

    def execute(self, context: LaunchContext) -> None:
        name = perform_substitutions(context, self.__name)
        context.launch_configurations[name] = perform_substitutions(context, self.__value)


class UnsetLaunchConfiguration(Action):
    """Remove a launch configuration, if it is set."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__name = normalize_to_list_of_substitutions(name)

    def execute(self, context: LaunchContext) -> None:
        context.launch_configurations.pop(perform_substitutions(context, self.__name), None)


class PushLaunchConfigurations(Action):
    """Remember the launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        context._push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Go back to the launch configurations remembered last."""

    def execute(self, context: LaunchContext) -> None:
        context._pop_launch_configurations()


class ResetLaunchConfigurations(Action):
    """Forget all launch configurations but those given, whose values are taken before."""

    def __init__(
        self,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__kept = [
            (normalize_to_list_of_substitutions(k), normalize_to_list_of_substitutions(v))
            for k, v in (launch_configurations or {}).items()
        ]

    def execute(self, context: LaunchContext) -> None:
        kept = {
            perform_substitutions(context, k): perform_substitutions(context, v)
            for k, v in self.__kept
        }
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)
