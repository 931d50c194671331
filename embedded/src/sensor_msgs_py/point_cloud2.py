# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 messages as structured numpy arrays, and back.

Reading gives a view of the message's bytes where its layout allows; writing copies them once.
"""

from __future__ import annotations

import array
import sys
from collections import namedtuple
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_DATATYPES: dict[int, np.dtype[Any]] = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}
DUMMY_FIELD_PREFIX = "unnamed_field"
MOST_ELEMENTS = 65_536  # of a point
MOST_BYTES = 2**20  # of a point: numpy keeps those of one for none, too


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Return the numpy dtype of one point.

    A field of count n becomes n of them, `name_0` to `name_(n-1)`; a field without a name gets
    one. `point_step`: bytes per point where there is padding at the end.

    Raises:
        AssertionError: a count is 0, a name is there twice, or there are too many elements.
        ValueError: a datatype is none, or a field ends beyond the point.
    """
    size = MOST_BYTES if point_step is None else point_step
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"Points of {size} bytes are too large")
    names: dict[str, None] = {}
    offsets: list[int] = []
    formats: list[np.dtype] = []
    for number, field in enumerate(fields):
        name = field.name or f"{DUMMY_FIELD_PREFIX}_{number}"
        datatype = _DATATYPES.get(field.datatype)
        if datatype is None:
            raise ValueError(
                f"Field {name} has datatype {field.datatype}: it must be one of {[*_DATATYPES]}"
            )
        assert 0 < field.count <= MOST_ELEMENTS - len(names), (
            f"Field {name} has count {field.count}, can't process it"
        )
        end = field.offset + field.count * datatype.itemsize
        if end > size:
            raise ValueError(f"Field {name} ends at byte {end} of a point of {size}")
        for element in range(field.count):
            element_name = f"{name}_{element}" if field.count > 1 else name
            assert element_name not in names, "Duplicate field names are not allowed!"
            names[element_name] = None
            offsets.append(field.offset + element * datatype.itemsize)
            formats.append(datatype)
    layout: dict[str, Any] = {"names": [*names], "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)  # type: ignore[call-overload]


def read_points(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points of a cloud as a structured array, (N,) or (height, width).

    Args:
        cloud: the message.
        field_names: which fields; None for all.
        skip_nans: leave points with a NaN in these fields out (unless the cloud is dense).
        uvs: indices of the points wanted, in the flattened cloud.
        reshape_organized_cloud: keep (height, width) where height is above 1.

    Raises:
        AssertionError: a field that is not there, or as `dtype_from_fields`.
        ValueError: fewer bytes than the points take; a selection in (height, width); or as
            `dtype_from_fields`.
        IndexError: an index beyond the points.
    """
    assert isinstance(cloud, PointCloud2), "Cloud is not a sensor_msgs.msg.PointCloud2"
    points: np.ndarray = _points(cloud).reshape(-1)
    if field_names is not None:
        names = points.dtype.names or ()
        assert all(name in names for name in field_names), (
            f"Requested field is not in the cloud: asked for {list(field_names)}, it has {names}"
        )
        points = points[list(field_names)]
    if skip_nans and not cloud.is_dense:
        valid = np.ones(len(points), dtype=bool)
        for name in points.dtype.names or ():
            if points.dtype[name].kind == "f":
                valid &= ~np.isnan(points[name])
        points = points[valid]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.height, cloud.width)
    return points


def _points(cloud: PointCloud2) -> np.ndarray:
    """Return the points of a cloud as (height, width), a view.

    A `row_step` that is too short for a row is not believed: ROS 2 never looks at it.
    """
    height, width, size = cloud.height, cloud.width, cloud.point_step
    row = max(cloud.row_step, width * size)
    if height * width and max(height * width, (height - 1) * row + width * size) > len(cloud.data):
        raise ValueError(
            f"{len(cloud.data)} bytes are no {height} x {width} points of {size} bytes"
            + (f" in rows of {row}" if row > width * size else "")
        )
    dtype = dtype_from_fields(cloud.fields, point_step=size)
    dtype = dtype.newbyteorder(">" if cloud.is_bigendian else "<")
    return np.ndarray((height, width), dtype, cloud.data, strides=(row, size))


def read_points_numpy(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return fields of one common type as a plain array, (N, fields); see `read_points`."""
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    assert len({points.dtype[name] for name in points.dtype.names or ()}) <= 1, (
        "All fields need to have the same datatype. Use `read_points()` otherwise."
    )
    return structured_to_unstructured(points)


def read_points_list(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable | None = None,
) -> list:
    """Return the points as a list of named tuples; slow, for a few points.

    Raises:
        ValueError: a field's name is none for a named tuple; or as `read_points`.
    """
    assert isinstance(cloud, PointCloud2), "Cloud is not a sensor_msgs.msg.PointCloud2"
    points = read_points(cloud, field_names, skip_nans, uvs)
    Point = namedtuple("Point", points.dtype.names or ())  # type: ignore[misc]
    return [Point._make(point) for point in points.tolist()]


def create_cloud(
    header: Header,
    fields: Iterable[PointField],
    points: Iterable,
    step: int | None = None,
) -> PointCloud2:
    """Return a PointCloud2 of `points`.

    Args:
        header: stamp and frame.
        fields: what a point is made of.
        points: a structured array of exactly these fields; or a plain array (..., fields); or
            any iterable of sequences. One dimension of points gives height 1; two are
            (height, width).
        step: bytes per point, where there is padding at the end.

    Raises:
        AssertionError, ValueError: the points are not of these fields, or as `dtype_from_fields`.
        TypeError, OverflowError: values that are no numbers, or none of their field's.
    """
    fields = list(fields)
    dtype = dtype_from_fields(fields, point_step=step)
    assert dtype.names, "A point has at least one field"
    if isinstance(points, np.ndarray):
        if points.dtype.names is None:
            values = points.shape[-1] if points.ndim > 1 else 0
            assert values == len(dtype.names), (
                f"Each point has {values} values, but there are {len(dtype.names)} fields"
            )
            points = unstructured_to_structured(points, dtype=dtype)
        else:
            assert points.dtype == dtype, (
                "PointFields and structured NumPy array dtype do not match for all fields! "
                "Check their field order, names and types."
            )
    else:
        points = np.array([tuple(point) for point in points], dtype=dtype)
    assert 1 <= points.ndim <= 2, f"A PointCloud2 has 1 or 2 dimensions, not {points.ndim}"
    height, width = (1, len(points)) if points.ndim == 1 else points.shape
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(points).reshape(-1).view(np.uint8).data)
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder != "little",
        fields=fields,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * width,
        data=data,
    )


def create_cloud_xyz32(header: Header, points: Iterable) -> PointCloud2:
    """Return a PointCloud2 of float32 x, y, z from an array (..., 3) or an iterable of triples."""
    fields = [
        PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
        for number, name in enumerate("xyz")
    ]
    return create_cloud(header, fields, points)
