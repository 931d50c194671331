# SPDX-License-Identifier: Apache-2.0
"""RIHS01 type hashes: SHA-256 over the canonical JSON of a type description (REP-2016)."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256

from rosidl_embedded.definition import EMPTY_MEMBER, Field, FieldType, Message, Service
from rosidl_embedded.registry import get_definition, get_message

# Field type numbers of type_description_interfaces/msg/FieldType; char counts as uint8.
_TYPE_IDS = {
    "nested": 1, "int8": 2, "uint8": 3, "char": 3, "int16": 4, "uint16": 5, "int32": 6,
    "uint32": 7, "int64": 8, "uint64": 9, "float32": 10, "float64": 11, "bool": 15, "byte": 16,
    "string": 17, "wstring": 18, "bounded_string": 21, "bounded_wstring": 22,
}  # fmt: skip
_ARRAY, _BOUNDED_SEQUENCE, _SEQUENCE = 48, 96, 144


@cache
def type_hash(name: str) -> str:
    """`RIHS01_` and 64 hex digits for a message, a service or one half of it."""
    description = type_description(name)
    return "RIHS01_" + sha256(json.dumps(description).encode()).hexdigest()


def type_description(name: str) -> dict:
    """The description that is hashed: the type, then every type it refers to, by name."""
    described: dict[str, dict] = {}
    if name.endswith("_Event"):
        _describe(_event_message(name.removesuffix("_Event")), described)
    else:
        definition = get_definition(name)
        message = _wrapper(definition) if isinstance(definition, Service) else definition
        _describe(message, described)
    return {
        "type_description": described.pop(name),
        "referenced_type_descriptions": [described[other] for other in sorted(described)],
    }


def _wrapper(service: Service) -> Message:
    parts = {"request": "Request", "response": "Response", "event": "Event"}
    return Message(
        service.name,
        tuple(
            Field(f"{part}_message", FieldType(f"{service.name}_{suffix}"))
            for part, suffix in parts.items()
        ),
    )


def _event_message(service: str) -> Message:
    return Message(
        f"{service}_Event",
        (
            Field("info", FieldType("service_msgs/msg/ServiceEventInfo")),
            Field("request", FieldType(f"{service}_Request", 0, "sequence", 1)),
            Field("response", FieldType(f"{service}_Response", 0, "sequence", 1)),
        ),
    )


def _describe(message: Message, described: dict[str, dict]) -> None:
    fields = message.fields or (Field(EMPTY_MEMBER, FieldType("uint8")),)
    described[message.name] = {
        "type_name": message.name,
        "fields": [{"name": field.name, "type": _field_type(field.type)} for field in fields],
    }
    for nested in {field.type.base for field in fields if not field.type.is_primitive}:
        if nested not in described:
            is_event = nested.endswith("_Event") and "/srv/" in nested
            inner = _event_message(nested.removesuffix("_Event")) if is_event else None
            _describe(inner or get_message(nested), described)


def _field_type(field_type: FieldType) -> dict:
    if not field_type.is_primitive:
        number = _TYPE_IDS["nested"]
    elif field_type.string_bound:
        number = _TYPE_IDS[f"bounded_{field_type.base}"]
    else:
        number = _TYPE_IDS[field_type.base]
    if field_type.kind == "array":
        number += _ARRAY
    elif field_type.kind == "sequence":
        number += _BOUNDED_SEQUENCE if field_type.size else _SEQUENCE
    return {
        "type_id": number,
        "capacity": field_type.size,
        "string_capacity": field_type.string_bound,
        "nested_type_name": "" if field_type.is_primitive else field_type.base,
    }
