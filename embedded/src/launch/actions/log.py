# SPDX-License-Identifier: Apache-2.0
"""Actions that write a line to the screen and to launch.log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..substitution import Substitution


class LogInfo(Action):
    """Write a message."""

    level = logging.INFO

    def __init__(self, *, msg: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__msg = normalize_to_list_of_substitutions(msg)

    @property
    def msg(self) -> list[Substitution]:
        """The message."""
        return self.__msg

    def execute(self, context: LaunchContext) -> None:
        get_logger("launch.user").log(self.level, perform_substitutions(context, self.__msg))


class LogDebug(LogInfo):
    """Write a message that is seen with `--debug` only."""

    level = logging.DEBUG


class LogWarning(LogInfo):
    """Write a warning."""

    level = logging.WARNING


class LogError(LogInfo):
    """Write an error."""

    level = logging.ERROR
