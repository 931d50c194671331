# SPDX-License-Identifier: Apache-2.0
"""Numbers of a message that came: what programs written for ROS 2 do with them works."""

import array
import copy
import json
import pickle

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovariance, Twist
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import ParameterValue
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Bool, Float32, Int32, Int32MultiArray, UInt8, UInt8MultiArray


def received(message):
    """The message as it comes out of the network."""
    return deserialize_message(serialize_message(message), type(message))


def test_sequences_are_arrays_of_python():
    """True where not empty, searched, assigned to fields, printed as JSON, appended to."""
    scan = received(LaserScan(ranges=[2.0, 1.0]))
    assert isinstance(scan.ranges, array.array) and scan.ranges and not scan.intensities
    twist = Twist()
    twist.linear.x = min(scan.ranges)
    assert twist.linear.x == 1.0 and scan.ranges.index(1.0) == 1
    assert json.dumps(list(scan.ranges)) == "[2.0, 1.0]"
    scan.ranges.append(3.0)
    scan.intensities.append(0.5)
    assert received(scan) == scan and not received(LaserScan()).ranges
    numbers = received(Int32MultiArray(data=[1, 2]))
    assert Int32(data=sum(numbers.data)).data == 3


def test_fixed_arrays_are_of_numpy_and_can_be_written():
    """As in ROS 2."""
    pose = received(PoseWithCovariance(covariance=[0.5] * 36))
    assert isinstance(pose.covariance, np.ndarray)
    pose.covariance[0] = 1.0
    assert pose.covariance.sum() == 18.5


def test_bytes_are_views_that_answer_as_arrays():
    """Python's numbers, so that shifts do not overflow; slices too."""
    image = received(Image(data=bytes([1, 200, 3, 200])))
    data = image.data
    assert data and not received(Image()).data and data[1:] and not data[4:]
    assert data[0] << 8 | data[1] == 456 and type(data[1:][0]) is int
    assert json.dumps(list(data)) == "[1, 200, 3, 200]" and sum(data) == 404
    assert (data.index(200), data.index(200, 2), data.index(200, -1)) == (1, 3, 3)
    assert data.count(200) == 2 and 3 in data
    for wrong in ({"value": 4}, {"value": 1, "start": 1}, {"value": 200, "stop": 1}):
        with pytest.raises(ValueError, match="not among"):
            data.index(**wrong)
    assert data.tobytes() == bytes(data) == b"\1\xc8\3\xc8" and data.tolist() == list(data)
    assert UInt8(data=max(data)).data == 200 and received(OccupancyGrid(data=[-1])).data[0] == -1


def test_fields_of_bytes_are_equal_or_not():
    """To each other, whatever they are kept as; numpy compares with anything else."""
    first = received(Image(data=[1, 2])).data
    assert first == received(Image(data=[1, 2])).data == array.array("B", [1, 2])
    assert first != received(Image(data=[1, 3])).data and first != array.array("B", [1])
    assert (first == 1).tolist() == [True, False] and (first != 1).tolist() == [False, True]


def test_numpy_sees_plain_arrays():
    """Nothing that is calculated from bytes is true just for not being empty."""
    data = received(Image(data=bytes(4))).data
    for plain in (data > 0, data + 1, data.reshape(2, 2), data.astype(np.float32),
                  np.asarray(data), np.frombuffer(data, np.uint16)):  # fmt: skip
        assert type(plain) is np.ndarray
    for plain in (data[None], data.view("<u2"), data[[0, 1]], np.sort(data)):
        assert type(plain) is np.ndarray and len(list(plain)) == len(plain)
    assert np.shares_memory(data.reshape(2, 2), data)
    assert isinstance(data.max(), np.uint8) and isinstance(np.add.reduce(data), np.unsignedinteger)
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1


def test_numpys_functions_see_every_number():
    """They compare parts with each other, which for a field is one answer."""
    data = received(OccupancyGrid(data=[0, 0, 1, -1, 1, 1, 100, 100])).data
    numbers, counts = np.unique(data, return_counts=True)
    assert (numbers.tolist(), counts.tolist()) == ([-1, 0, 1, 100], [1, 2, 3, 2])
    assert np.setdiff1d(data, [0]).tolist() == [-1, 1, 100]
    assert np.intersect1d([0, 1, 5], data).tolist() == [0, 1]
    assert np.concatenate([data[:2], data[-1:]]).tolist() == [0, 0, 100]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
                                    lambda m: Image(data=m.data)])  # fmt: skip
def test_copies_are_as_good(copied):
    """Deep ones, pickled ones, and those that are sent on."""
    message = received(Image(data=[1, 2]))
    again = copied(message)
    assert again == message and again.data and again.data.index(2) == 1


@pytest.mark.parametrize("kind", [Image, CompressedImage, PointCloud2, UInt8MultiArray])
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_what_was_set_from_bytes_is_equal_after_the_wire(kind, make):
    """In either direction; other bytes are not."""
    message = kind(data=make(b"\1\2\3"))
    assert received(message) == message == received(message)
    assert message != kind(data=b"\1\2\4") and message != kind(data=b"\1\2") != kind()


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Float32, np.float32(0.5)), (Int32, np.int64(-7)), (Bool, np.bool_(True)),
     (Float32, np.int32(1)), (Int32, np.float32(1.0)), (Int32, np.array(1))],
)  # fmt: skip
def test_numbers_of_numpy_are_refused(kind, given):
    """Where ROS 2 does not check, it aborts. A float64 is a float."""
    with pytest.raises(AssertionError):
        kind(data=given)
    assert received(Float32(data=np.float64(0.5))).data == 0.5


@pytest.mark.parametrize("given", [np.ones(36, np.float32), np.ones(36, int)])
def test_fixed_arrays_of_another_dtype_are_refused(given):
    """A list of floats is taken."""
    with pytest.raises(AssertionError):
        PoseWithCovariance(covariance=given)
    assert PoseWithCovariance(covariance=[1.0] * 36).covariance.dtype == np.float64


def test_lists_of_numpys_booleans_are_refused():
    """As one of them is."""
    with pytest.raises(AssertionError):
        ParameterValue(bool_array_value=[np.bool_(True)])


def test_lists_of_numpys_numbers_are_taken():
    """Floats and integers."""
    assert LaserScan(ranges=list(np.ones(2, np.float32))).ranges == array.array("f", [1.0, 1.0])
    assert Int32MultiArray(data=list(np.arange(2))).data == array.array("i", [0, 1])
