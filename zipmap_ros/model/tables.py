# SPDX-License-Identifier: Apache-2.0
"""Tables that depend on sizes alone: made once, kept for a while, and held where that is too short.

A recorded CUDA graph reads a table by its address for as long as it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Held = dict[tuple[object, ...], object]

_held: ContextVar[Held | None] = ContextVar("held", default=None)


def kept(count: int) -> Callable[[F], F]:
    """As lru_cache of ``count``, of a function of positional arguments; but see `held`."""

    def decorate(make: F) -> F:
        recent = lru_cache(count)(make)

        @wraps(make)
        def table(*arguments: Any) -> Any:
            held = _held.get()
            if held is None:
                return recent(*arguments)
            key = (make, *arguments)
            if key not in held:
                held[key] = recent(*arguments)
            return held[key]

        for name in ("cache_clear", "cache_info"):
            setattr(table, name, getattr(recent, name))
        return table  # type: ignore[return-value]

    return decorate


@contextmanager
def held() -> Iterator[Held]:
    """Within it this thread gets each table once and for all, whatever else is asked for meanwhile.

    They live as long as what it gives, which has all of them.
    """
    tables: Held = {}
    token = _held.set(tables)
    try:
        yield tables
    finally:
        _held.reset(token)
