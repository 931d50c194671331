# SPDX-License-Identifier: Apache-2.0
"""Points in time, kept as integer nanoseconds of one kind of clock."""

from __future__ import annotations

from typing import overload

import builtin_interfaces.msg

from rclpy.clock_type import ClockType
from rclpy.constants import S_TO_NS
from rclpy.duration import Duration


class Time:
    """A point in time; points of different clocks cannot be compared or subtracted."""

    def __init__(
        self,
        *,
        seconds: float = 0,
        nanoseconds: int = 0,
        clock_type: ClockType = ClockType.SYSTEM_TIME,
    ) -> None:
        if not isinstance(clock_type, ClockType):
            raise TypeError("Clock type must be a ClockType enum")
        if seconds < 0:
            raise ValueError("Seconds value must not be negative")
        if nanoseconds < 0:
            raise ValueError("Nanoseconds value must not be negative")
        total = int(seconds * S_TO_NS) + int(nanoseconds)
        if total >= 2**63:
            raise OverflowError("Total nanoseconds value is too large to store in C time point.")
        self._nanoseconds = total
        self._clock_type = clock_type

    @property
    def nanoseconds(self) -> int:
        """Nanoseconds since the clock's epoch."""
        return self._nanoseconds

    def seconds_nanoseconds(self) -> tuple[int, int]:
        """Whole seconds, and the rest in nanoseconds."""
        return divmod(self._nanoseconds, S_TO_NS)

    @property
    def clock_type(self) -> ClockType:
        """The clock it is of."""
        return self._clock_type

    def __repr__(self) -> str:
        return f"Time(nanoseconds={self.nanoseconds}, clock_type={self.clock_type.name})"

    def __add__(self, other: Duration) -> Time:
        if isinstance(other, Duration):
            try:
                return self._shifted(other.nanoseconds)
            except OverflowError as error:
                raise OverflowError("Addition leads to overflow in C storage.") from error
        return NotImplemented

    __radd__ = __add__

    @overload
    def __sub__(self, other: Time) -> Duration: ...

    @overload
    def __sub__(self, other: Duration) -> Time: ...

    def __sub__(self, other: Time | Duration) -> Time | Duration:
        if isinstance(other, Time):
            self._check(other, "Can't subtract times with different clock types")
            return Duration(nanoseconds=self.nanoseconds - other.nanoseconds)
        if isinstance(other, Duration):
            try:
                return self._shifted(-other.nanoseconds)
            except ValueError as error:
                raise ValueError("Subtraction leads to negative time.") from error
        return NotImplemented

    def _shifted(self, nanoseconds: int) -> Time:
        return Time(nanoseconds=self.nanoseconds + nanoseconds, clock_type=self.clock_type)

    def _check(self, other: Time, message: str) -> None:
        if self.clock_type != other.clock_type:
            raise TypeError(message)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Time):
            self._check(other, "Can't compare times with different clock types")
            return self.nanoseconds == other.nanoseconds
        return NotImplemented

    def __lt__(self, other: Time) -> bool:
        if isinstance(other, Time):
            self._check(other, "Can't compare times with different clock types")
            return self.nanoseconds < other.nanoseconds
        return NotImplemented

    def __le__(self, other: Time) -> bool:
        if isinstance(other, Time):
            self._check(other, "Can't compare times with different clock types")
            return self.nanoseconds <= other.nanoseconds
        return NotImplemented

    def __gt__(self, other: Time) -> bool:
        if isinstance(other, Time):
            self._check(other, "Can't compare times with different clock types")
            return self.nanoseconds > other.nanoseconds
        return NotImplemented

    def __ge__(self, other: Time) -> bool:
        if isinstance(other, Time):
            self._check(other, "Can't compare times with different clock types")
            return self.nanoseconds >= other.nanoseconds
        return NotImplemented

    def to_msg(self) -> builtin_interfaces.msg.Time:
        """As builtin_interfaces/Time."""
        seconds, nanoseconds = self.seconds_nanoseconds()
        return builtin_interfaces.msg.Time(sec=seconds, nanosec=nanoseconds)

    @classmethod
    def from_msg(
        cls, msg: builtin_interfaces.msg.Time, clock_type: ClockType = ClockType.ROS_TIME
    ) -> Time:
        """From builtin_interfaces/Time."""
        if not isinstance(msg, builtin_interfaces.msg.Time):
            raise TypeError("Must pass a builtin_interfaces.msg.Time object")
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec, clock_type=clock_type)
