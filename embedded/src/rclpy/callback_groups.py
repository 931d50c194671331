# SPDX-License-Identifier: Apache-2.0
"""Which callbacks may run at the same time."""

from __future__ import annotations

import weakref
from threading import Lock
from typing import Any


class CallbackGroup:
    """Decides for the entities in it when their callbacks may begin."""

    def __init__(self) -> None:
        self.entities: set[weakref.ref] = set()

    def add_entity(self, entity: Any) -> None:
        """Put an entity into the group."""
        self.entities.add(weakref.ref(entity, self.entities.discard))

    def has_entity(self, entity: Any) -> bool:
        """Whether an entity is in the group."""
        return weakref.ref(entity) in self.entities

    def can_execute(self, entity: Any) -> bool:
        """Whether a callback of the entity may begin now."""
        raise NotImplementedError()

    def beginning_execution(self, entity: Any) -> bool:
        """Try to begin; returns False where it may not."""
        raise NotImplementedError()

    def ending_execution(self, entity: Any) -> None:
        """Say that a callback ended."""
        raise NotImplementedError()


class ReentrantCallbackGroup(CallbackGroup):
    """Callbacks run in parallel without restriction."""

    def can_execute(self, entity: Any) -> bool:
        """Always."""
        return True

    def beginning_execution(self, entity: Any) -> bool:
        """Always."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """Nothing to do."""


class MutuallyExclusiveCallbackGroup(CallbackGroup):
    """One callback at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._active_entity: Any = None
        self._lock = Lock()

    def can_execute(self, entity: Any) -> bool:
        """Whether no callback of the group is running."""
        return self._active_entity is None

    def beginning_execution(self, entity: Any) -> bool:
        """Begin if no callback of the group is running."""
        with self._lock:
            if self._active_entity is None:
                self._active_entity = entity
                return True
        return False

    def ending_execution(self, entity: Any) -> None:
        """Let the next one begin."""
        with self._lock:
            assert self._active_entity == entity
            self._active_entity = None
