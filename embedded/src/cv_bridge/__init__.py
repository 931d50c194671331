# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs images as OpenCV images (numpy arrays), and back."""

from cv_bridge.core import CvBridge, CvBridgeError, getCvType

__all__ = ["CvBridge", "CvBridgeError", "cvtColorForDisplay", "getCvType"]


def cvtColorForDisplay(*args: object, **kwargs: object) -> None:
    """Not built."""
    raise NotImplementedError("cv_bridge.cvtColorForDisplay needs a full ROS 2")
