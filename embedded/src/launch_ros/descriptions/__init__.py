# SPDX-License-Identifier: Apache-2.0
"""Descriptions of parameters; those of composable nodes need a full ROS 2."""

from typing import Any

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue

__all__ = ["Parameter", "ParameterFile", "ParameterValue"]


def __getattr__(name: str) -> Any:
    if name in ("ComposableNode", "ComposableLifecycleNode"):
        raise NotImplementedError(f"launch_ros.descriptions.{name} needs a full ROS 2")
    raise AttributeError(f"module 'launch_ros.descriptions' has no attribute '{name}'")
