# SPDX-License-Identifier: Apache-2.0
"""What a transform lookup can raise. Catch `TransformException` to catch them all."""


class TransformException(Exception):  # noqa: N818  tf2 names it so
    """Base of every error of the transform tree."""


class ConnectivityException(TransformException):
    """Both frames are known, but no chain of transforms joins them."""


class LookupException(TransformException):
    """A frame has never been heard of, or the frames form a loop."""


class ExtrapolationException(TransformException):
    """The chain exists, but not at the time asked for."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or starts with a slash."""


class TimeoutException(TransformException):
    """A remote buffer did not answer in time."""
