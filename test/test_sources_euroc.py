# SPDX-License-Identifier: Apache-2.0
"""The EuRoC layout, on a sequence of four images written by hand."""

import shutil

import cv2
import numpy as np
import pytest

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.evaluation.datasets import open_dataset
from zipmap_ros.model import ModelConfig
from zipmap_ros.sources import SourceError, open_source
from zipmap_ros.sources.euroc import EurocSource

SENSOR = """
# General sensor definitions.
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [0.0, -1.0, 0.0, 0.5,
         1.0,  0.0, 0.0, 0.0,
         0.0,  0.0, 1.0, 0.0,
         0.0,  0.0, 0.0, 1.0]
rate_hz: 20
resolution: [32, 24]
camera_model: pinhole
intrinsics: [30.0, 31.0, 15.5, 11.5] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0002, 1.8e-05]
"""
START = 1_403_636_579_000_000_000  # nanoseconds: as a float it would lose its last digits
IMAGES = [START + 50_000_001 * k for k in range(4)]
POSES = """#timestamp, p_RS_R_x [m], p_y, p_z, q_RS_w [], q_x, q_y, q_z, v_x, v_y, v_z
{0},1.0,2.0,3.0,1.0,0.0,0.0,0.0,9,9,9
{1},1.0,2.0,4.0,0.0,1.0,0.0,0.0,9,9,9
{2},1.0,2.0,5.0,1.0,0.0,0.0,0.0,9,9,9
"""


@pytest.fixture
def sequence(tmp_path):
    cam, truth = tmp_path / "mav0/cam0", tmp_path / "mav0/state_groundtruth_estimate0"
    (cam / "data").mkdir(parents=True)
    truth.mkdir()
    (cam / "sensor.yaml").write_text(SENSOR)
    rows = ["#timestamp [ns],filename"] + [f"{stamp},{stamp}.png" for stamp in IMAGES]
    (cam / "data.csv").write_text("\r\n".join(rows) + "\r\n")
    for k, stamp in enumerate(IMAGES):
        cv2.imwrite(str(cam / f"data/{stamp}.png"), np.full((24, 32), 10 * k, np.uint8))
    # Poses 1 ms after the images, and none near the last image.
    text = POSES.format(*(stamp + 1_000_000 for stamp in IMAGES[:3]))
    (truth / "data.csv").write_text(text)
    return tmp_path


def test_frames_of_the_layout(sequence):
    source = open_source("auto", str(sequence))
    assert source.has_truth and source.fps == pytest.approx(20)
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == IMAGES and len(source) == 4
    assert [frame.map_T_camera is None for frame in frames] == [False, False, False, True]
    assert frames[2].rgb.shape == (24, 32, 3) and (frames[2].rgb == 20).all()
    camera = frames[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (30.0, 31.0, 16.0, 12.0)
    assert camera.distortion_model == "plumb_bob" and camera.distortion[0] == -0.28
    assert frames[0].depth is None


def test_rows_in_any_order_are_frames_in_order_of_time(sequence):
    """Poses out of order were once searched as if they were not, and lost without a word."""
    expected = list(EurocSource(str(sequence)))
    for path in sequence.rglob("data.csv"):
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([head, *rows[::-1]]))
    frames = list(EurocSource(str(sequence)))
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in expected]
    for frame, same in zip(frames, expected, strict=True):
        assert np.array_equal(frame.map_T_camera, same.map_T_camera)
        assert np.array_equal(frame.rgb, same.rgb)


def test_each_image_has_the_nearest_of_many_poses(sequence):
    """Poses come faster than images: pose k is 4 k + 1 ms after the first image, at x = k."""
    rows = [f"{START + 4_000_000 * k + 1_000_000},{k},0,0,1,0,0,0" for k in range(26)]
    (sequence / "mav0/state_groundtruth_estimate0/data.csv").write_text("\n".join(rows))
    frames = list(EurocSource(str(sequence)))[:3]
    # T_BS puts the camera half a metre ahead of the body; images come every 50 ms.
    assert [frame.map_T_camera[0, 3] - 0.5 for frame in frames] == [0, 12, 25]
    at = START + 4_000_000 * 26  # 10 ms from the third image
    (sequence / "mav0/state_groundtruth_estimate0/data.csv").write_text(
        f"{rows[0]}\n{IMAGES[2] + 10_000_000},7,0,0,1,0,0,0\n{at + 50_000_000},8,0,0,1,0,0,0"
    )
    frames = list(EurocSource(str(sequence)))
    assert frames[1].map_T_camera is None
    assert [frames[i].map_T_camera[0, 3] - 0.5 for i in (0, 2, 3)] == [0, 7, 8]


def test_poses_are_the_cameras_not_the_bodys(sequence):
    frames = list(EurocSource(str(sequence / "mav0")))
    np.testing.assert_allclose(frames[0].map_T_camera[:3, 3], [1.5, 2.0, 3.0])
    np.testing.assert_allclose(frames[0].map_T_camera[:3, :3], [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    # Half a turn about x: the camera's x axis (the body's y) now points to -y.
    np.testing.assert_allclose(frames[1].map_T_camera[:3, 0], [0, -1, 0], atol=1e-12)


@pytest.mark.parametrize("bad", ["nan,nan,nan,1.0,0.0,0.0,0.0", "0,0,0,0,0,0,0", "1,2,3,1,0,0,?"])
def test_a_bad_pose_costs_itself_alone(sequence, bad):
    truth = sequence / "mav0/state_groundtruth_estimate0/data.csv"
    truth.write_text(truth.read_text().replace("1.0,2.0,4.0,0.0,1.0,0.0,0.0", bad))
    with pytest.warns(RuntimeWarning, match="left out: .* the pose"):
        frames = list(EurocSource(str(sequence)))
    assert [frame.map_T_camera is None for frame in frames] == [False, True, False, True]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("state_groundtruth_estimate0/data.csv", "cannot read"),
        ("cam0/sensor.yaml", "sensor.yaml"),
        ("cam0/data.csv", "cannot read"),
    ],
)
def test_a_missing_file_is_named(sequence, missing, message):
    (sequence / "mav0" / missing).unlink()
    with pytest.raises(SourceError, match=message):
        EurocSource(str(sequence))


def test_what_is_no_euroc_sequence_is_refused(sequence, tmp_path_factory):
    with pytest.raises(SourceError, match="no EuRoC"):
        EurocSource(str(tmp_path_factory.mktemp("empty")))
    sensor = sequence / "mav0/cam0/sensor.yaml"
    sensor.write_text(SENSOR.replace("radial-tangential", "magic"))
    with pytest.raises(SourceError, match="magic"):
        EurocSource(str(sequence))


def test_a_sequence_may_have_no_true_poses(sequence):
    shutil.rmtree(sequence / "mav0/state_groundtruth_estimate0")
    source = EurocSource(str(sequence))
    assert not source.has_truth and all(frame.map_T_camera is None for frame in source)


def test_evaluation_wants_true_poses_that_share_the_time_of_images(sequence):
    judged = open_dataset(f"euroc:{sequence}", 9, 1, 1, ModelConfig.tiny())
    assert [frame.stamp_ns for frame in judged.sequences[0].frames] == IMAGES[:3]
    truth = sequence / "mav0/state_groundtruth_estimate0/data.csv"
    truth.write_text(POSES.format(1, 2, 3))
    with pytest.raises(EvaluationError, match=r"no image of .* has a true pose"):
        open_dataset(f"euroc:{sequence}", 9, 1, 1, ModelConfig.tiny())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[32, 24]", "[.inf, 24]", "OverflowError"),
        ("[32, 24]", '!!int ""', "IndexError"),
        ("[32, 24]", "!!timestamp x", "AttributeError"),
        ("[32, 24]", "[" * 3000, "RecursionError"),
        ("[30.0, 31.0", "[.nan, 31.0", "no finite intrinsics"),
        ("[30.0, 31.0", "[0.0, 31.0", "focal lengths above 0"),
        ("[30.0, 31.0", "[30.0, -31.0", "focal lengths above 0"),
        ("-0.28", ".inf", "no finite intrinsics"),
        ("data: [0.0", "data: [.nan", "T_BS is not finite"),
        ("data: [0.0, -1.0", "data: [0.0, 0.0", "T_BS is no rotation"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(sequence, old, new, says):
    sensor = sequence / "mav0/cam0/sensor.yaml"
    assert old in SENSOR
    sensor.write_text(SENSOR.replace(old, new))
    with pytest.raises(SourceError, match=rf"sensor\.yaml.*{says}"):
        EurocSource(str(sequence))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("9" * 20 + ",a.png", r"the stamp 99999999999999999999 ns in .*cam0/data\.csv"),
        ("-1,a.png", r"the stamp -1 ns in .*cam0/data\.csv"),
        (f'{START},"' + "x" * 200_000, r"cam0/data\.csv.*field larger"),
    ],
)
def test_rows_that_cannot_be_are_refused(sequence, row, says):
    with open(sequence / "mav0/cam0/data.csv", "a") as file:
        file.write(row + "\n")
    with pytest.raises(SourceError, match=says):
        EurocSource(str(sequence))


def test_an_image_that_cannot_be_read_costs_itself_alone(sequence):
    (sequence / f"mav0/cam0/data/{IMAGES[1]}.png").write_bytes(b"no image")
    with pytest.warns(RuntimeWarning, match=str(IMAGES[1])):
        sizes = [frame.rgb.size for frame in EurocSource(str(sequence))]
    assert [size > 0 for size in sizes] == [True, False, True, True]


def test_data_to_judge_on_may_lie_in_the_home_folder(sequence, monkeypatch):
    """Shells leave the ~ of euroc:~/V1_01 alone."""
    monkeypatch.setenv("HOME", str(sequence.parent))
    judged = open_dataset(f"euroc:~/{sequence.name}", 9, 1, 1, ModelConfig.tiny())
    assert len(judged.sequences[0].frames) == 3


def test_a_mark_of_the_encoding_before_the_first_word_is_none_of_it(sequence):
    images = sequence / "mav0/cam0/data.csv"
    images.write_text(images.read_text(), "utf-8-sig")
    assert len(open_source("euroc", str(sequence))) == 4
