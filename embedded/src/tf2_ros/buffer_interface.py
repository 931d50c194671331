# SPDX-License-Identifier: Apache-2.0
"""What every transform buffer offers, and the table of types that it can transform.

A package registers its types on import: `import tf2_geometry_msgs` makes poses transformable.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header

Transformer = Callable[[Any, TransformStamped], Any]


class TypeException(Exception):  # noqa: N818  tf2_ros names it so
    """A type that nobody has registered was given."""

    def __init__(self, errstr: str) -> None:
        super().__init__(errstr)
        self.errstr = errstr


class NotImplementedException(Exception):  # noqa: N818  tf2_ros names it so
    """A buffer does not say how it looks transforms up."""

    def __init__(self) -> None:
        self.errstr = "CanTransform or LookupTransform not implemented"
        super().__init__(self.errstr)


class TransformRegistration:
    """Type of a stamped object -> function (object, transform) -> object."""

    _transformers: dict[type, Transformer] = {}  # noqa: RUF012  one table for all instances

    def print_me(self) -> None:
        """Print the table."""
        print(self._transformers)

    def add(self, key: type, callback: Transformer) -> None:
        """Register how objects of type `key` are transformed."""
        self._transformers[key] = callback

    def get(self, key: type) -> Transformer:
        """Return the function for `key`; TypeException when there is none."""
        if key not in self._transformers:
            raise TypeException(f"Type {key} is not loaded or supported")
        return self._transformers[key]


class ConvertRegistration:
    """Conversions between a type and its message, and between two types."""

    _to_msg: dict[Any, Callable[[Any], Any]] = {}  # noqa: RUF012
    _from_msg: dict[Any, Callable[[Any], Any]] = {}  # noqa: RUF012
    _convert: dict[Any, Callable[[Any], Any]] = {}  # noqa: RUF012

    def add_from_msg(self, key: type, callback: Callable[[Any], Any]) -> None:
        """Register message -> `key`."""
        self._from_msg[key] = callback

    def add_to_msg(self, key: type, callback: Callable[[Any], Any]) -> None:
        """Register `key` -> message."""
        self._to_msg[key] = callback

    def add_convert(self, key: tuple[type, type], callback: Callable[[Any], Any]) -> None:
        """Register key[0] -> key[1]."""
        self._convert[key] = callback

    def get_from_msg(self, key: type) -> Callable[[Any], Any]:
        """Return message -> `key`."""
        return self._find(self._from_msg, key)

    def get_to_msg(self, key: type) -> Callable[[Any], Any]:
        """Return `key` -> message."""
        return self._find(self._to_msg, key)

    def get_convert(self, key: tuple[type, type]) -> Callable[[Any], Any]:
        """Return key[0] -> key[1]."""
        return self._find(self._convert, key)

    @staticmethod
    def _find(table: dict[Any, Callable[[Any], Any]], key: Any) -> Callable[[Any], Any]:
        if key not in table:
            raise TypeException(f"Type {key} is not loaded or supported")
        return table[key]


def convert(a: Any, b_type: type) -> Any:
    """Return `a` as a `b_type`: directly where registered, else through its message."""
    registration = ConvertRegistration()
    try:
        direct = registration.get_convert((type(a), b_type))
    except TypeException:
        if type(a) is b_type:
            return deepcopy(a)
        return registration.get_from_msg(b_type)(registration.get_to_msg(type(a))(a))
    return direct(a)


def Stamped(obj: Any, stamp: Any, frame_id: str) -> Any:
    """Give any object a header."""
    obj.header = Header(frame_id=frame_id, stamp=stamp)
    return obj


class BufferInterface:
    """Transforms stamped objects with the lookups that a subclass provides."""

    def __init__(self) -> None:
        self.registration = TransformRegistration()

    def transform(
        self,
        object_stamped: Any,
        target_frame: str,
        timeout: Duration = Duration(),  # noqa: B008  a Duration is immutable
        new_type: type | None = None,
    ) -> Any:
        """Return the object in `target_frame`, at its own stamp; waits up to `timeout`.

        Raises:
            TypeException: nobody registered the object's type.
            TransformException: as lookup_transform.
        """
        do_transform = self.registration.get(type(object_stamped))
        header = object_stamped.header
        transform = self.lookup_transform(target_frame, header.frame_id, header.stamp, timeout)
        result = do_transform(object_stamped, transform)
        return result if new_type is None else convert(result, new_type)

    def transform_full(
        self,
        object_stamped: Any,
        target_frame: str,
        target_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
        new_type: type | None = None,
    ) -> Any:
        """Return the object in `target_frame` at `target_time`, through `fixed_frame`."""
        do_transform = self.registration.get(type(object_stamped))
        header = object_stamped.header
        transform = self.lookup_transform_full(
            target_frame, target_time, header.frame_id, header.stamp, fixed_frame, timeout
        )
        result = do_transform(object_stamped, transform)
        return result if new_type is None else convert(result, new_type)

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """Return target_T_source at `time`; a subclass says how."""
        raise NotImplementedException

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """Return target (at target_time) _T_ source (at source_time); a subclass says how."""
        raise NotImplementedException

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> bool:
        """Return whether lookup_transform would succeed; a subclass says how."""
        raise NotImplementedException

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> bool:
        """Return whether lookup_transform_full would succeed; a subclass says how."""
        raise NotImplementedException
