# SPDX-License-Identifier: Apache-2.0
"""Build hook: refuses to install over a full ROS 2."""

import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RefuseBesideRos(BuildHookInterface):
    """Stops the build where a sourced ROS 2 provides rclpy."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Raise RuntimeError naming the prefix that holds a real rclpy."""
        for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
            if (Path(prefix) / "share" / "rclpy" / "package.xml").is_file():
                raise RuntimeError(
                    f"a full ROS 2 is sourced ({prefix} provides rclpy): use it, "
                    "and do not install the embedded runtime into the same environment"
                )
