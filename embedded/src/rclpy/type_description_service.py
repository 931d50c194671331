# SPDX-License-Identifier: Apache-2.0
"""The service that describes the types a node uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor
from rosidl_embedded import registry
from rosidl_embedded.definition import InterfaceError
from rosidl_embedded.type_hash import type_description, type_hash
from type_description_interfaces.msg import (
    Field,
    FieldType,
    IndividualTypeDescription,
    TypeDescription,
    TypeSource,
)
from type_description_interfaces.srv import GetTypeDescription

if TYPE_CHECKING:
    from rclpy.node import Node

START_TYPE_DESCRIPTION_SERVICE_PARAM = "start_type_description_service"


class TypeDescriptionService:
    """Serves `~/get_type_description` unless the parameter says no."""

    def __init__(self, node: Node) -> None:
        name = START_TYPE_DESCRIPTION_SERVICE_PARAM
        if not node.has_parameter(name):
            node.declare_parameter(
                name,
                True,
                ParameterDescriptor(
                    description="Start the ~/get_type_description service for this node.",
                    read_only=True,
                ),
            )
        if node.get_parameter(name).value:
            node.create_service(GetTypeDescription, "~/get_type_description", self._answer)

    def _answer(self, request: Any, response: Any) -> Any:
        try:
            wanted = type_hash(request.type_name)
            description = type_description(request.type_name)
        except InterfaceError as error:
            response.failure_reason = str(error)
            return response
        if request.type_hash and request.type_hash != wanted:
            response.failure_reason = f"the hash of '{request.type_name}' is {wanted}"
            return response
        response.successful = True
        response.type_description = TypeDescription(
            type_description=_message(description["type_description"]),
            referenced_type_descriptions=[
                _message(other) for other in description["referenced_type_descriptions"]
            ],
        )
        if request.include_type_sources:
            response.type_sources = [
                _source(part["type_name"])
                for part in (
                    description["type_description"],
                    *description["referenced_type_descriptions"],
                )
                if not part["type_name"].endswith(("_Event", "_Request", "_Response"))
            ]
        return response


def _source(name: str) -> TypeSource:
    return TypeSource(
        type_name=name,
        encoding=name.split("/")[1],
        raw_file_contents=registry.definition_text(name),
    )


def _message(description: dict) -> IndividualTypeDescription:
    return IndividualTypeDescription(
        type_name=description["type_name"],
        fields=[
            Field(name=field["name"], type=FieldType(**field["type"]))
            for field in description["fields"]
        ],
    )
