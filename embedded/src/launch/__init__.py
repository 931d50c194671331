# SPDX-License-Identifier: Apache-2.0
"""Describe processes and what to do when something happens to them; then run it all.

Names are those of ROS 2's `launch`. A description is a list of entities; `LaunchService` visits
them, then handles events until nothing is left to do or a shutdown is asked for.
"""

from . import actions, conditions, event_handlers, events, logging, substitutions
from .action import Action
from .condition import Condition
from .event import Event
from .event_handler import BaseEventHandler, EventHandler
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .launch_description_source import LaunchDescriptionSource
from .launch_description_sources import InvalidLaunchFileError
from .launch_service import LaunchService
from .some_actions_type import SomeActionsType, SomeActionsType_types_tuple
from .some_entities_type import SomeEntitiesType, SomeEntitiesType_types_tuple
from .some_substitutions_type import (
    SomeSubstitutionsType,
    SomeSubstitutionsType_types_tuple,
)
from .substitution import Substitution
from .substitutions import SubstitutionFailure

__all__ = [
    "Action",
    "BaseEventHandler",
    "Condition",
    "Event",
    "EventHandler",
    "InvalidLaunchFileError",
    "LaunchContext",
    "LaunchDescription",
    "LaunchDescriptionEntity",
    "LaunchDescriptionSource",
    "LaunchService",
    "SomeActionsType",
    "SomeActionsType_types_tuple",
    "SomeEntitiesType",
    "SomeEntitiesType_types_tuple",
    "SomeSubstitutionsType",
    "SomeSubstitutionsType_types_tuple",
    "Substitution",
    "SubstitutionFailure",
    "actions",
    "conditions",
    "event_handlers",
    "events",
    "logging",
    "substitutions",
]
