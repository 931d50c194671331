# SPDX-License-Identifier: Apache-2.0
"""Substitutions that give `true` or `false`, or choose by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def _parts(value: Any) -> list[Substitution]:
    return normalize_to_list_of_substitutions(
        str(value) if isinstance(value, bool | int | float) else value
    )


def _truth(context: LaunchContext, parts: list[Substitution], asked_by: Substitution) -> bool:
    text = perform_substitutions(context, parts)
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise SubstitutionFailure(f"{type(asked_by).__name__} needs true or false, got '{text}'")
    return word in _TRUE


def _text(truth: bool) -> str:
    return "true" if truth else "false"


class BooleanSubstitution(Substitution):
    """`true` or `false` out of any text that says so."""

    def __init__(self, value: SomeSubstitutionsType | bool) -> None:
        self.__value = _parts(value)

    def perform(self, context: LaunchContext) -> str:
        return _text(_truth(context, self.__value, self))


class NotSubstitution(Substitution):
    """The opposite."""

    def __init__(self, value: SomeSubstitutionsType | bool) -> None:
        self.__value = _parts(value)

    def perform(self, context: LaunchContext) -> str:
        return _text(not _truth(context, self.__value, self))


class AllSubstitution(Substitution):
    """Whether all are true; later ones are not evaluated after a false one."""

    def __init__(self, *args: SomeSubstitutionsType | bool) -> None:
        self.__args = [_parts(arg) for arg in args]

    def perform(self, context: LaunchContext) -> str:
        return _text(all(_truth(context, arg, self) for arg in self.__args))


class AnySubstitution(Substitution):
    """Whether any is true; later ones are not evaluated after a true one."""

    def __init__(self, *args: SomeSubstitutionsType | bool) -> None:
        self.__args = [_parts(arg) for arg in args]

    def perform(self, context: LaunchContext) -> str:
        return _text(any(_truth(context, arg, self) for arg in self.__args))


class AndSubstitution(AllSubstitution):
    """Whether both are true."""

    def __init__(
        self, left: SomeSubstitutionsType | bool, right: SomeSubstitutionsType | bool
    ) -> None:
        super().__init__(left, right)


class OrSubstitution(AnySubstitution):
    """Whether one is true."""

    def __init__(
        self, left: SomeSubstitutionsType | bool, right: SomeSubstitutionsType | bool
    ) -> None:
        super().__init__(left, right)


class EqualsSubstitution(Substitution):
    """Whether two texts are equal: as truth values or numbers where both are, else as texts."""

    def __init__(self, left: Any, right: Any) -> None:
        self.__left = _parts("" if left is None else left)
        self.__right = _parts("" if right is None else right)

    def perform(self, context: LaunchContext) -> str:
        left = perform_substitutions(context, self.__left)
        right = perform_substitutions(context, self.__right)
        return _text(_equal(left, right))


class NotEqualsSubstitution(EqualsSubstitution):
    """The opposite of `EqualsSubstitution`."""

    def perform(self, context: LaunchContext) -> str:
        return _text(super().perform(context) == "false")


def _equal(left: str, right: str) -> bool:
    words = left.lower(), right.lower()
    if all(word in ("true", "false") for word in words):
        return words[0] == words[1]
    try:
        return left == right or math.isclose(float(left), float(right))
    except ValueError:
        return False


class IfElseSubstitution(Substitution):
    """One of two texts, by a condition."""

    def __init__(
        self,
        condition: SomeSubstitutionsType | bool,
        if_value: SomeSubstitutionsType = "",
        else_value: SomeSubstitutionsType = "",
    ) -> None:
        if if_value == "" and else_value == "":
            raise RuntimeError("IfElseSubstitution needs if_value, else_value or both")
        self.__condition = _parts(condition)
        self.__if_value = normalize_to_list_of_substitutions(if_value)
        self.__else_value = normalize_to_list_of_substitutions(else_value)

    def perform(self, context: LaunchContext) -> str:
        chosen = self.__if_value if _truth(context, self.__condition, self) else self.__else_value
        return perform_substitutions(context, chosen)
