# SPDX-License-Identifier: Apache-2.0
"""Messages as text and back: YAML and CSV out, plain dictionaries in."""

from rosidl_runtime_py.convert import message_to_csv, message_to_ordereddict, message_to_yaml
from rosidl_runtime_py.get_interfaces import get_interface_path, get_interfaces
from rosidl_runtime_py.set_message import set_message_fields

__all__ = [
    "get_interface_path", "get_interfaces", "message_to_csv", "message_to_ordereddict",
    "message_to_yaml", "set_message_fields",
]  # fmt: skip
