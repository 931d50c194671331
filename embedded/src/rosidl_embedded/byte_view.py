# SPDX-License-Identifier: Apache-2.0
"""Images and clouds as they came: bytes that are not copied, and yet answer as `array.array`."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any, cast

import numpy as np


class ByteView(np.ndarray):
    """A read-only numpy view in one dimension that behaves as the `array.array` of ROS when read.

    It is true where it is not empty, gives Python's numbers, has `index` and `count`, and is equal
    to another field or not. What is calculated from it, `reshape` and `astype` are plain numpy.
    """

    def __bool__(self) -> bool:
        return self.size > 0

    def __getitem__(self, key: Any) -> Any:
        item = np.asarray(self)[key]
        if isinstance(key, slice):
            return item.view(ByteView)
        return item.item() if isinstance(item, np.generic) else item

    def __iter__(self) -> Iterator[Any]:
        plain = np.asarray(self)
        return iter(memoryview(cast(Any, plain)) if plain.ndim == 1 else plain)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, (ByteView, array.array)):
            return np.array_equal(self, other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        if isinstance(other, (ByteView, array.array)):
            return not np.array_equal(self, other)
        return super().__ne__(other)

    __hash__ = None

    def __array_wrap__(self, result: Any, *_: Any) -> Any:
        return result.view(np.ndarray)[()]

    def index(self, value: int, start: int = 0, stop: int | None = None) -> int:
        """Place of the first such number; raises ValueError where there is none."""
        first, last, _ = slice(start, stop).indices(len(self))
        found = np.flatnonzero(np.asarray(self)[first:last] == value)
        if not len(found):
            raise ValueError(f"{value!r} is not among the numbers")
        return first + int(found[0])

    def count(self, value: int) -> int:
        """How often a number is there."""
        return int(np.count_nonzero(np.asarray(self) == value))

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """As numpy's, a plain array."""
        return np.asarray(self).view(*args, **kwargs)

    def reshape(self, *args: Any, **kwargs: Any) -> Any:
        """As numpy's, a plain array."""
        return np.asarray(self).reshape(*args, **kwargs)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """As numpy's, a plain array."""
        return np.asarray(self).astype(*args, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Have numpy calculate with a plain array: its functions compare element by element."""
        return func(*_plain(args), **{name: _plain(value) for name, value in kwargs.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, ByteView):
        return np.asarray(value)
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
