# SPDX-License-Identifier: Apache-2.0
"""What is accepted where a text may be a text, a substitution, or a sequence of both."""

from collections.abc import Iterable

from .substitution import Substitution

SomeSubstitutionsType = str | Substitution | Iterable[str | Substitution]
SomeSubstitutionsType_types_tuple = (str, Substitution, Iterable)
