# SPDX-License-Identifier: Apache-2.0
"""What is accepted where one or several actions may stand."""

from collections.abc import Iterable
from typing import Union

from .action import Action

SomeActionsType = Union[Action, Iterable[Action]]
SomeActionsType_types_tuple = (Action, Iterable)
