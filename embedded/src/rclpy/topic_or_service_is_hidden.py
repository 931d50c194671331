# SPDX-License-Identifier: Apache-2.0
"""Names that tools do not show."""

from __future__ import annotations

HIDDEN_TOPIC_PREFIX = "_"
TOPIC_SEPARATOR_STRING = "/"


def topic_or_service_is_hidden(name: str) -> bool:
    """Whether a part of a topic's or service's name begins with an underscore."""
    return any(part.startswith(HIDDEN_TOPIC_PREFIX) for part in name.split(TOPIC_SEPARATOR_STRING))
