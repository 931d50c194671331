# SPDX-License-Identifier: Apache-2.0
"""Events of ROS nodes, and matchers for those that address nodes."""

from . import lifecycle, matchers
from .matchers import matches_node_name

__all__ = ["lifecycle", "matchers", "matches_node_name"]
