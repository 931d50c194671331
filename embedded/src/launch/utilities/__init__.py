# SPDX-License-Identifier: Apache-2.0
"""Helpers for authors of actions and substitutions, under the names ROS 2 gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


def ensure_argument_type(
    argument: object, types: Any, argument_name: str, caller: str | None = None
) -> None:
    """TypeError that names the argument where it is of none of `types`."""
    if not isinstance(argument, types):
        wanted = types if isinstance(types, tuple) else (types,)
        names = ", ".join(getattr(t, "__name__", str(t)) for t in wanted)
        raise TypeError(
            f"{caller + ': ' if caller else ''}argument '{argument_name}' must be one of "
            f"[{names}], got {argument!r} of type {type(argument).__name__}"
        )


def is_a(obj: object, entity_type: type) -> bool:
    """`isinstance`."""
    return isinstance(obj, entity_type)


def is_a_subclass(obj: object, entity_type: type) -> bool:
    """Whether `obj` is an instance of `entity_type` or a class derived from it."""
    return isinstance(obj, entity_type) or (isinstance(obj, type) and issubclass(obj, entity_type))


def normalize_to_list_of_substitutions(subs: SomeSubstitutionsType) -> list[Substitution]:
    """A text, a substitution or a sequence of both as a list of substitutions.

    Anything else, a path or a number for instance, is a TypeError: write `str(value)`.
    """
    from ..substitutions import TextSubstitution

    if isinstance(subs, str):
        return [TextSubstitution(text=subs)]
    if isinstance(subs, Substitution):
        return [subs]
    if not isinstance(subs, Iterable):
        raise TypeError(
            f"expected a str, a Substitution or a sequence of them, got {subs!r} "
            f"of type {type(subs).__name__}"
        )
    items: list[Substitution] = []
    for item in subs:
        if isinstance(item, str):
            items.append(TextSubstitution(text=item))
        elif isinstance(item, Substitution):
            items.append(item)
        else:
            raise TypeError(
                f"a sequence of substitutions may hold str and Substitution only, "
                f"got {item!r} of type {type(item).__name__}"
            )
    return items


def perform_substitutions(context: LaunchContext, subs: Iterable[Substitution]) -> str:
    """The texts of all substitutions, joined."""
    return "".join([sub.perform(context) for sub in subs])
