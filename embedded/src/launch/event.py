# SPDX-License-Identifier: Apache-2.0
"""Event: something that happened, to which event handlers may react."""


class Event:
    """Base of all events."""

    name = "launch.Event"
