# SPDX-License-Identifier: Apache-2.0
"""What is accepted where a text may be a text, a substitution, or a sequence of both."""

from collections.abc import Iterable
from typing import Union

from .substitution import Substitution

SomeSubstitutionsType = Union[str, Substitution, Iterable[Union[str, Substitution]]]
SomeSubstitutionsType_types_tuple = (str, Substitution, Iterable)
