# SPDX-License-Identifier: Apache-2.0
"""Messages to bytes and back."""

from __future__ import annotations

from typing import Any

from rosidl_embedded import cdr


def serialize_message(message: Any) -> bytes:
    """Encapsulated CDR, little-endian, without padding at the end."""
    return b"".join(cdr.serialize(message))


def deserialize_message(serialized_message: bytes, message_type: Any) -> Any:
    """Message from encapsulated CDR; raises ValueError for anything else.

    Large arrays are read-only views on the bytes.
    """
    return cdr.deserialize(serialized_message, message_type)
