# SPDX-License-Identifier: Apache-2.0
"""Message classes, to those who use them: construction, fields, equality, text."""

import array

import numpy as np
import pytest
from geometry_msgs.msg import Point, PoseStamped, Vector3
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool


def test_construction():
    """Nothing, or keywords; others are refused, positions too."""
    assert (Point().x, Point(y=2.0).y) == (0.0, 2.0)
    assert PoseStamped().pose.orientation.w == 1.0
    with pytest.raises(TypeError):
        Point(1.0)
    first, second = PoseStamped(), PoseStamped()
    first.header.frame_id = "map"
    assert second.header.frame_id == ""


@pytest.mark.embedded
def test_fields_are_always_checked():
    """Elsewhere where ROS_PYTHON_CHECK_FIELDS asks for it."""
    with pytest.raises(AssertionError):
        Point(w=1.0)


def test_slots_and_types():
    """No attribute can be added by mistake; the fields can be asked for."""
    with pytest.raises(AttributeError):
        Point().color = 1
    assert list(Point.__slots__[:3]) == ["_x", "_y", "_z"]
    assert Point.get_fields_and_field_types() == {"x": "double", "y": "double", "z": "double"}
    types = Image.get_fields_and_field_types()
    assert types["header"] == "std_msgs/Header" and types["data"] == "sequence<uint8>"
    assert CameraInfo.get_fields_and_field_types()["k"] == "double[9]"
    assert SetBool.Request.get_fields_and_field_types() == {"data": "boolean"}


def test_equality():
    """By type and every field, arrays by their values."""
    assert Point(x=1.0) == Point(x=1.0) != Point(x=2.0)
    assert Point() != Vector3()
    image = Image(header=Header(frame_id="cam"), data=[1, 2, 3])
    same = Image(header=Header(frame_id="cam"), data=np.array([1, 2, 3], np.uint8))
    assert image == same and image != Image(data=[1, 2, 3])


def test_text():
    """`repr` names the class and every field."""
    assert repr(Point(x=1.5)) == "geometry_msgs.msg.Point(x=1.5, y=0.0, z=0.0)"
    assert repr(String(data="a'b")) == 'std_msgs.msg.String(data="a\'b")'
    assert repr(Header()) == (
        "std_msgs.msg.Header(stamp=builtin_interfaces.msg.Time(sec=0, nanosec=0), frame_id='')"
    )
    assert repr(SetBool.Response(success=True)) == (
        "std_srvs.srv.SetBool_Response(success=True, message='')"
    )


def test_arrays():
    """A sequence is an array.array at first, a fixed array a numpy one; it has a type."""
    image = Image()
    assert isinstance(image.data, array.array) and image.data.typecode == "B"
    image.data = array.array("B", b"abc")
    assert image.data == array.array("B", b"abc")
    info = CameraInfo()
    assert isinstance(info.k, np.ndarray) and info.k.shape == (9,)
    info.k = [1.0] * 9
    assert info.k.dtype == np.float64 and info.k.sum() == 9.0


@pytest.mark.embedded
def test_arrays_are_kept_as_given():
    """Elsewhere some are copied."""
    image, given = Image(), array.array("B", b"abc")
    image.data = given
    assert image.data is given
