# SPDX-License-Identifier: Apache-2.0
"""XML and YAML launch files are not read here: every name of this module says so."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'launch.frontend' has no attribute '{name}'")
    raise NotImplementedError(f"launch.frontend.{name} needs a full ROS 2")
