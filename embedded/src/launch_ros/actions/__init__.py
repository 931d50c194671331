# SPDX-License-Identifier: Apache-2.0
"""Actions for ROS nodes; composable nodes need a full ROS 2."""

from typing import Any

from .lifecycle_node import LifecycleNode
from .lifecycle_transition import LifecycleTransition
from .node import Node
from .ros_timer import RosTimer
from .scope import (
    PushRosNamespace,
    SetParameter,
    SetParametersFromFile,
    SetRemap,
    SetROSLogDir,
    SetUseSimTime,
)

__all__ = [
    "LifecycleNode",
    "LifecycleTransition",
    "Node",
    "PushRosNamespace",
    "RosTimer",
    "SetParameter",
    "SetParametersFromFile",
    "SetROSLogDir",
    "SetRemap",
    "SetUseSimTime",
]


def __getattr__(name: str) -> Any:
    if name in ("ComposableNodeContainer", "LoadComposableNodes"):
        raise NotImplementedError(f"launch_ros.actions.{name} needs a full ROS 2")
    raise AttributeError(f"module 'launch_ros.actions' has no attribute '{name}'")
