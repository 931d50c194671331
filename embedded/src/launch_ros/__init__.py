# SPDX-License-Identifier: Apache-2.0
"""ROS nodes in launch descriptions. Names are those of ROS 2's `launch_ros`."""

from . import actions, descriptions, event_handlers, events, substitutions, utilities

__all__ = ["actions", "descriptions", "event_handlers", "events", "substitutions", "utilities"]
