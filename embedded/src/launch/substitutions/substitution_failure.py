# SPDX-License-Identifier: Apache-2.0
"""The error of this room."""


class SubstitutionFailure(RuntimeError):  # noqa: N818
    """A substitution has no value; the message says which and why."""
