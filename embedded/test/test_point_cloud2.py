# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 helpers: layouts by hand, and no copy where none is needed."""

import array
import contextlib
import random
import struct
import tracemalloc

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

HEADER = Header(frame_id="map")


def field(name, offset, datatype=PointField.FLOAT32, count=1):
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


XYZI = [field("x", 0), field("y", 4), field("z", 8), field("i", 12, PointField.UINT16)]


def test_bytes_of_a_cloud_are_as_its_fields_say():
    cloud = point_cloud2.create_cloud(HEADER, XYZI, [(1.0, 2.0, 3.0, 4), (5.0, 6.0, 7.0, 8)])
    assert bytes(cloud.data) == struct.pack("<fffHfffH", 1, 2, 3, 4, 5, 6, 7, 8)
    assert isinstance(cloud.data, array.array)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 14, 28)
    assert (cloud.is_dense, cloud.is_bigendian) == (False, False)
    assert cloud.header.frame_id == "map"


@pytest.mark.parametrize("organized", [False, True])
def test_arrays_there_and_back(organized):
    values = np.arange(36, dtype=np.float32).reshape((3, 4, 3) if organized else (12, 3))
    cloud = point_cloud2.create_cloud_xyz32(HEADER, values)
    assert (cloud.height, cloud.width) == ((3, 4) if organized else (1, 12))
    points = point_cloud2.read_points(cloud)
    assert points.shape == (12,)
    assert np.shares_memory(points, np.frombuffer(cloud.data, np.uint8))
    back = point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True)
    np.testing.assert_array_equal(back, values)


def test_padding_after_points_and_rows_is_skipped():
    row = struct.pack("<ffxxxxffxxxx", 1, 2, 3, 4) + b"row!"
    cloud = PointCloud2(
        height=2, width=2, fields=[field("a", 0), field("b", 4)], point_step=12, row_step=28,
        data=array.array("B", row * 2),
    )  # fmt: skip
    np.testing.assert_array_equal(
        point_cloud2.read_points_numpy(cloud), [[1, 2], [3, 4], [1, 2], [3, 4]]
    )
    padded = point_cloud2.create_cloud(HEADER, cloud.fields, [(1.0, 2.0)], step=12)
    assert len(padded.data) == padded.point_step == 12


def test_big_endian_clouds():
    cloud = PointCloud2(
        height=1, width=2, fields=[field("a", 0)], point_step=4, row_step=8, is_bigendian=True,
        data=array.array("B", struct.pack(">ff", 1.5, -2.0)),
    )  # fmt: skip
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud)[:, 0], [1.5, -2.0])


def test_selections():
    points = [(1.0, np.nan, 3.0, 1), (4.0, 5.0, 6.0, 2), (7.0, 8.0, 9.0, 3)]
    cloud = point_cloud2.create_cloud(HEADER, XYZI, points)
    kept = point_cloud2.read_points(cloud, field_names=["x", "y"], skip_nans=True)
    np.testing.assert_array_equal(kept["x"], [4, 7])
    assert len(point_cloud2.read_points(cloud, ["x", "z"], skip_nans=True)) == 3
    assert point_cloud2.read_points(cloud, uvs=[2])["i"][0] == 3
    for chosen in (np.array([0, 2]), np.array([True, False, True])):
        assert point_cloud2.read_points(cloud, uvs=chosen)["i"].tolist() == [1, 3]
    first = point_cloud2.read_points_list(cloud, uvs=[1])[0]
    assert (first.x, first.i) == (4.0, 2)
    cloud.is_dense = True
    assert len(point_cloud2.read_points(cloud, skip_nans=True)) == 3
    for names in (["rgb"], ["x", "rgb"]):
        with pytest.raises(AssertionError, match="not in the cloud"):
            point_cloud2.read_points(cloud, names)
    with pytest.raises(AssertionError, match="same datatype"):
        point_cloud2.read_points_numpy(cloud)


def test_dtype_of_fields():
    fields = [field("a", 2, PointField.INT16, 2), field("", 8, PointField.FLOAT64)]
    dtype = point_cloud2.dtype_from_fields(fields, point_step=20)
    assert dtype.names == ("a_0", "a_1", "unnamed_field_1")
    assert [dtype.fields[n][1] for n in dtype.names] == [2, 4, 8]
    assert dtype.itemsize == 20
    with pytest.raises(AssertionError, match="Duplicate"):
        point_cloud2.dtype_from_fields([field("a", 0), field("a", 4)])


@pytest.mark.parametrize(
    ("layout", "error"),
    [
        ({"point_step": 4, "fields": [field("x", 0, count=2**32 - 1)]}, "count 4294967295"),
        ({"point_step": 4, "fields": [field("x", 0)], "data": b""}, "0 bytes are no 1 x 1 points"),
        ({"point_step": 4, "fields": [field("", 0, 9)]}, "unnamed_field_0 has datatype 9"),
        ({"point_step": 4, "fields": [field("x", 2)]}, "x ends at byte 6 of a point of 4"),
        ({"point_step": 4, "fields": [field("x", 2**32 - 4)]}, "x ends at byte 4294967296"),
        ({"point_step": 2, "fields": [field("x", 0, 2, 65_000)], "width": 0}, "x ends at byte"),
        ({"point_step": 2**31 - 1, "width": 0}, "Points of 2147483647 bytes are too large"),
        ({"point_step": 2, "height": 2, "row_step": 3}, "2 bytes in rows of 3"),
    ],
)
def test_clouds_that_say_more_than_they_hold_are_refused(layout, error):
    """At once; of no data at all numpy reads what is beside them in memory."""
    cloud = PointCloud2(**{"height": 1, "width": 1, "data": bytes(4), **layout})
    with pytest.raises((AssertionError, ValueError), match=error):
        point_cloud2.read_points(cloud)


@pytest.mark.parametrize("datatype", [0, 9, 255])
def test_an_unknown_datatype_is_named(datatype):
    with pytest.raises(ValueError, match=f"Field y has datatype {datatype}: it must be one of"):
        point_cloud2.dtype_from_fields([field("x", 0), field("y", 4, datatype)])
    with pytest.raises(ValueError, match=f"Field y has datatype {datatype}"):
        point_cloud2.create_cloud(HEADER, [field("y", 0, datatype)], [(1,)])


def test_elements_of_all_fields_are_counted_together():
    fields = [field(name, 0, PointField.UINT8, 40_000) for name in "ab"]
    with pytest.raises(AssertionError, match="Field b has count 40000"):
        point_cloud2.dtype_from_fields(fields)


def test_a_row_step_that_is_too_short_is_not_believed():
    """Rows would lie over each other; ROS 2 never looks at it."""
    cloud = point_cloud2.create_cloud_xyz32(
        HEADER, np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    )
    expected = point_cloud2.read_points_numpy(cloud)
    cloud.row_step = 12
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), expected)


def _odd_cloud(rng):
    numbers = [0, 1, 4, 12, 16, 100, 65_536, 2**31, 2**32 - 1]
    step, width = rng.choice([4, 16, 16, *numbers]), rng.choice([0, 1, 2, 6, *numbers])
    fields = [
        field(
            rng.choice(["x", "y", "z", "", "a b", "class", "x_0"]), rng.choice([0, 4, *numbers]),
            rng.choice([7, 7, 7, 2, 8, 0, 9, 255]), rng.choice([1, 1, 1, 0, 2, 3, 65_537]),
        )
        for _ in range(rng.choice([0, 1, 1, 2, 3]))
    ]  # fmt: skip
    return PointCloud2(
        height=rng.choice([0, 1, 1, 1, *numbers]), width=width, fields=fields, point_step=step,
        row_step=rng.choice([0, step * width % 2**32, *numbers]), is_dense=rng.random() < 0.5,
        is_bigendian=rng.random() < 0.5, data=bytes(rng.choice([0, 1, 96, 4096])),
    )  # fmt: skip


def _call_all(rng, cloud):
    options = {
        "field_names": rng.choice([None, None, [], ["x"], ["x", "x"]]),
        "skip_nans": rng.random() < 0.5, "uvs": rng.choice([None, None, [0], [10**6], [-1]]),
    }  # fmt: skip
    points = rng.choice([[], [()], [(1, 2)], [1], [("a",)], np.zeros(()), np.zeros((2, 3, 1))])
    for call in (
        lambda: point_cloud2.read_points(cloud, reshape_organized_cloud=True, **options),
        lambda: point_cloud2.read_points_numpy(cloud, **options),
        lambda: point_cloud2.read_points_list(cloud, **options),
        lambda: point_cloud2.create_cloud(HEADER, cloud.fields, points, rng.choice([None, 0, 16])),
    ):
        with contextlib.suppress(AssertionError, ValueError, IndexError, TypeError):
            call()


def test_odd_clouds_raise_what_is_documented():
    """And cost little: their own bytes are 4 kB at most."""
    rng = random.Random(5)
    tracemalloc.start()
    try:
        for _ in range(400):
            _call_all(rng, _odd_cloud(rng))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_arrays_that_do_not_fit_the_fields_are_refused():
    with pytest.raises(AssertionError, match="3 values"):
        point_cloud2.create_cloud(HEADER, XYZI, np.zeros((2, 3)))
    with pytest.raises(AssertionError, match="do not match"):
        point_cloud2.create_cloud(HEADER, XYZI, np.zeros(2, dtype=[("x", "f4")]))
    with pytest.raises(AssertionError, match="0 values"):
        point_cloud2.create_cloud(HEADER, XYZI, np.zeros(()))
    with pytest.raises(AssertionError, match="at least one field"):
        point_cloud2.create_cloud(HEADER, [], [()])
    with pytest.raises(ValueError, match="i ends at byte 14 of a point of 12"):
        point_cloud2.create_cloud(HEADER, XYZI, [(1.0, 2.0, 3.0, 4)], step=12)
    assert point_cloud2.create_cloud_xyz32(HEADER, np.zeros((0, 3))).width == 0
