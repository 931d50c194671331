# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as plain tuples (x, y, z, qx, qy, qz, qw): metres and a unit quaternion.

A lookup composes a handful of them; on tuples that is ten times faster than on small arrays.
Names carry their frames: `a_T_b` maps coordinates in b into a.
"""

from __future__ import annotations

import math

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Transform = tuple[float, float, float, float, float, float, float]

IDENTITY: Transform = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
NEARLY_PARALLEL = 1.0 - 1e-9


def multiply(p: Quaternion, q: Quaternion) -> Quaternion:
    """Return the Hamilton product p q, (x, y, z, w) each."""
    px, py, pz, pw = p
    qx, qy, qz, qw = q
    return (
        pw * qx + px * qw + py * qz - pz * qy,
        pw * qy - px * qz + py * qw + pz * qx,
        pw * qz + px * qy - py * qx + pz * qw,
        pw * qw - px * qx - py * qy - pz * qz,
    )


def normalized(q: Quaternion) -> Quaternion:
    """Return q at unit length; q must not be zero."""
    n = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return (q[0] / n, q[1] / n, q[2] / n, q[3] / n)


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Return vector v turned by the unit quaternion q."""
    x, y, z, w = q
    vx, vy, vz = v
    # t = 2 q_xyz x v;  v + w t + q_xyz x t
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return (
        vx + w * tx + y * tz - z * ty,
        vy + w * ty + z * tx - x * tz,
        vz + w * tz + x * ty - y * tx,
    )


def compose(a_T_b: Transform, b_T_c: Transform) -> Transform:
    """Return a_T_c."""
    x, y, z = rotate(a_T_b[3:], b_T_c[:3])
    q = multiply(a_T_b[3:], b_T_c[3:])
    return (x + a_T_b[0], y + a_T_b[1], z + a_T_b[2], *q)


def inverse(a_T_b: Transform) -> Transform:
    """Return b_T_a."""
    x, y, z, qx, qy, qz, qw = a_T_b
    q = (-qx, -qy, -qz, qw)
    return (*rotate(q, (-x, -y, -z)), *q)


def slerp(p: Quaternion, q: Quaternion, ratio: float) -> Quaternion:
    """Turn from p (ratio 0) to q (ratio 1) along the shorter arc, at constant rate."""
    dot = p[0] * q[0] + p[1] * q[1] + p[2] * q[2] + p[3] * q[3]
    sign = -1.0 if dot < 0 else 1.0
    dot = abs(dot)
    if dot > NEARLY_PARALLEL:
        a, b = 1.0 - ratio, ratio
    else:
        angle = math.acos(dot)
        a, b = math.sin((1.0 - ratio) * angle), math.sin(ratio * angle)
    b *= sign
    mixed = (a * p[0] + b * q[0], a * p[1] + b * q[1], a * p[2] + b * q[2], a * p[3] + b * q[3])
    return normalized(mixed)


def interpolate(first: Transform, second: Transform, ratio: float) -> Transform:
    """Return the transform `ratio` of the way from first to second: linear, and slerp."""
    x, y, z = (u + ratio * (v - u) for u, v in zip(first[:3], second[:3], strict=True))
    return (x, y, z, *slerp(first[3:], second[3:], ratio))
