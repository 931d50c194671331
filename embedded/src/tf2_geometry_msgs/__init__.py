# SPDX-License-Identifier: Apache-2.0
"""Transforms geometry messages; importing it makes them known to `Buffer.transform`.

Each function takes target_T_source as a TransformStamped and gives the message in target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import (
    Point,
    PointStamped,
    Pose,
    PoseStamped,
    PoseWithCovarianceStamped,
    Quaternion,
    TransformStamped,
    Vector3,
    Vector3Stamped,
)
from tf2_py.buffer_core import transform_tuple
from tf2_py.rigid import compose, rotate
from tf2_ros import ConvertRegistration, TransformRegistration


def do_transform_point(point: PointStamped, transform: TransformStamped) -> PointStamped:
    """Return the point in the target frame."""
    p = point.point
    x, y, z, *_ = compose(transform_tuple(transform.transform), (p.x, p.y, p.z, 0.0, 0.0, 0.0, 1.0))
    return PointStamped(header=transform.header, point=Point(x=x, y=y, z=z))


def do_transform_vector3(vector3: Vector3Stamped, transform: TransformStamped) -> Vector3Stamped:
    """Return the vector in the target frame: turned, not moved."""
    v = vector3.vector
    x, y, z = rotate(transform_tuple(transform.transform)[3:], (v.x, v.y, v.z))
    return Vector3Stamped(header=transform.header, vector=Vector3(x=x, y=y, z=z))


def do_transform_pose(pose: Pose, transform: TransformStamped) -> Pose:
    """Return the pose in the target frame."""
    p, q = pose.position, pose.orientation
    x, y, z, qx, qy, qz, qw = compose(
        transform_tuple(transform.transform), (p.x, p.y, p.z, q.x, q.y, q.z, q.w)
    )
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def do_transform_pose_stamped(pose: PoseStamped, transform: TransformStamped) -> PoseStamped:
    """Return the pose in the target frame."""
    return PoseStamped(header=transform.header, pose=do_transform_pose(pose.pose, transform))


def transform_covariance(cov_in: Any, transform: TransformStamped) -> np.ndarray:
    """Turn a 6x6 covariance (translation, rotation; row by row, 36 values) into the target."""
    q = transform_tuple(transform.transform)[3:]
    rotation = np.array([rotate(q, axis) for axis in ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))]).T
    both = np.kron(np.eye(2), rotation)
    covariance: np.ndarray = both @ np.asarray(cov_in, dtype=np.float64).reshape(6, 6) @ both.T
    return covariance.reshape(36)


def do_transform_pose_with_covariance_stamped(
    pose: PoseWithCovarianceStamped, transform: TransformStamped
) -> PoseWithCovarianceStamped:
    """Return the pose and its covariance in the target frame."""
    result = PoseWithCovarianceStamped(header=transform.header)
    result.pose.pose = do_transform_pose(pose.pose.pose, transform)
    result.pose.covariance = transform_covariance(pose.pose.covariance, transform)
    return result


for _type, _function in (
    (PointStamped, do_transform_point),
    (Vector3Stamped, do_transform_vector3),
    (PoseStamped, do_transform_pose_stamped),
    (PoseWithCovarianceStamped, do_transform_pose_with_covariance_stamped),
):
    TransformRegistration().add(_type, _function)
    ConvertRegistration().add_to_msg(_type, lambda message: message)
    ConvertRegistration().add_from_msg(_type, lambda message: message)
