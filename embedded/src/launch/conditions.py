# SPDX-License-Identifier: Apache-2.0
"""Conditions on launch configurations and on texts that say true or false."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .condition import Condition
from .some_substitutions_type import SomeSubstitutionsType
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .launch_context import LaunchContext
    from .substitution import Substitution

VALID_TRUE_EXPRESSIONS = ["true", "1"]
VALID_FALSE_EXPRESSIONS = ["false", "0"]


class InvalidConditionExpressionError(Exception):
    """The text of a condition is neither true, false, 1 nor 0."""


def evaluate_condition_expression(context: LaunchContext, expression: list[Substitution]) -> bool:
    """True for `true` and `1`, False for `false` and `0`, case and outer blanks ignored."""
    text = perform_substitutions(context, expression)
    word = text.strip().lower()
    if word in VALID_TRUE_EXPRESSIONS:
        return True
    if word in VALID_FALSE_EXPRESSIONS:
        return False
    valid = VALID_TRUE_EXPRESSIONS + VALID_FALSE_EXPRESSIONS
    raise InvalidConditionExpressionError(
        f"invalid condition expression, expected one of {valid} but got '{text}'"
    )


class IfCondition(Condition):
    """Holds where the expression says true."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self.__expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=self._expression_is_true)

    def _expression_is_true(self, context: LaunchContext) -> bool:
        return evaluate_condition_expression(context, self.__expression)

    def describe(self) -> str:
        return f"{type(self).__name__}({' + '.join(s.describe() for s in self.__expression)})"


class UnlessCondition(IfCondition):
    """Holds where the expression says false."""

    def evaluate(self, context: LaunchContext) -> bool:
        return not super().evaluate(context)


class LaunchConfigurationEquals(Condition):
    """Holds where a launch configuration is set and equals `expected_value`.

    With `expected_value=None` it holds where the configuration is not set.
    """

    def __init__(
        self,
        launch_configuration_name: str,
        expected_value: SomeSubstitutionsType | None,
    ) -> None:
        self.__name = launch_configuration_name
        self.__expected = (
            None if expected_value is None else normalize_to_list_of_substitutions(expected_value)
        )
        super().__init__(predicate=self._is_equal)

    def _is_equal(self, context: LaunchContext) -> bool:
        value = context.launch_configurations.get(self.__name)
        if self.__expected is None or value is None:
            return value is None and self.__expected is None
        return value == perform_substitutions(context, self.__expected)

    def describe(self) -> str:
        return f"{type(self).__name__}({self.__name})"


class LaunchConfigurationNotEquals(LaunchConfigurationEquals):
    """Holds where `LaunchConfigurationEquals` does not."""

    def evaluate(self, context: LaunchContext) -> bool:
        return not super().evaluate(context)
