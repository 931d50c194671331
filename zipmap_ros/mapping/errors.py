# SPDX-License-Identifier: Apache-2.0
"""The mapping room's error."""


class MappingError(ValueError):
    """A frame, request or saved session that mapping cannot use, and what to do about it."""
