# SPDX-License-Identifier: Apache-2.0
"""``zipmap evaluate`` from its arguments to its report, on a folder in the kitchen layout."""

import base64
import contextlib
import io
import json
import math
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import make_bag as bags
import numpy as np
import pytest
import torch

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.evaluation.datasets import SPLITS, Clip, Dataset, open_dataset
from zipmap_ros.evaluation.machine import STEPS_NOTE, TRAINING_NOTE, describe_model
from zipmap_ros.evaluation.report import (
    UNTRAINED,
    Column,
    Evaluation,
    Example,
    Row,
    _cell,
    _table,
    write_html,
)
from zipmap_ros.evaluation.run import Plan, _Gathered, _judge, _runs, main
from zipmap_ros.evaluation.runs import STILL, VELOCITY, Run
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import look_at
from zipmap_ros.model import ModelConfig, ZipMap, save_checkpoint

FRAMES = 18


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """A textured wall 2 m ahead, seen by a camera that moves along it."""
    folder = tmp_path_factory.mktemp("kitchen")
    (folder / "camera-intrinsics.txt").write_text("58.5 0 32\n0 58.5 24\n0 0 1\n")
    wall = cv2.resize(np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8), (240, 120))
    for k in range(FRAMES):
        name = str(folder / f"frame-{4 * k:06d}")
        cv2.imwrite(name + ".color.jpg", wall[20:68, 4 * k : 4 * k + 64])
        cv2.imwrite(name + ".depth.png", np.full((48, 64), 2000, np.uint16))
        eye = np.array([0.1 * k, 0.002 * k * k, 0.0])
        np.savetxt(name + ".pose.txt", look_at(eye, eye + (0.0, 0.0, 2.0), (0.0, -1.0, 0.0)))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny())
    with torch.no_grad():
        model.camera_mlp_head.mlp.fc2.bias[7:] = 1.0
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(model, path, {STEPS_NOTE: "0"})
    return path


@pytest.fixture(scope="module")
def folder(kitchen, checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report"
    data = f"kitchen:{kitchen}"
    lengths, chunks = ["--lengths", "6", "18", "999"], ["--chunks", "1", "8"]
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = main([str(checkpoint), "--data", data, *lengths, *chunks, "--out", str(out)])
    assert code == 0
    (out / "printed.txt").write_text(printed.getvalue())
    (out / "said.txt").write_text(said.getvalue())
    return out


def test_the_json_holds_every_length_and_mode(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["format"] == "zipmap_evaluation_1"
    modes = {(row["length"], row["mode"]) for row in report["results"]}
    networks = {"batch", "mapper", "stream 1"}
    assert {mode for n, mode in modes if n == 6} >= networks
    assert "stream 8" not in {mode for n, mode in modes if n == 6}  # a chunk longer than the clip
    assert {mode for n, mode in modes if n == 18} >= {*networks, "stream 8"}
    assert {n for n, _ in modes} == {6, 18}  # 999 frames are not there
    assert sum(mode.startswith("guess") for n, mode in modes if n == 18) == 2
    asked = {row["mode"] for row in report["results"] if "query.psnr_db" in row["mean"]}
    assert asked >= {"batch", "stream 1", "stream 8", STILL} and VELOCITY not in asked
    assert report["machine"]["torch"] == torch.__version__
    assert report["machine"]["load"] >= 0
    assert len(report["model"]["sha256"]) == 64 and report["settings"]["clips"] == 3


def test_lengths_that_are_not_there_are_said(folder):
    said = (folder / "said.txt").read_text()
    assert "has 18 frames that can be judged, too few for --lengths 999\n" in said


def test_a_row_is_the_mean_of_its_clips(folder):
    report = json.loads((folder / "report.json").read_text())
    row = next(r for r in report["results"] if r["length"] == 6 and r["mode"] == "stream 1")
    values = [clip["depth.abs_rel"] for clip in row["clips"].values()]
    assert len(values) == 3
    assert row["mean"]["depth.abs_rel"] == pytest.approx(np.mean(values))
    assert len(row["deciles"]) == 10
    assert row["mean"]["seconds_per_frame"] > 0
    # The wall is flat and faced: one constant depth is the truth.
    guess = next(r for r in report["results"] if r["mode"].startswith("guess: still"))
    assert guess["mean"]["depth.abs_rel"] == pytest.approx(0.0, abs=1e-6)
    assert guess["mean"]["ate_sim3.rmse"] > 0
    # Eighteen frames of this path are longer than a metre, six are not.
    assert row["mean"]["rpe_m.translation"] is None
    longer = next(r for r in report["results"] if r["length"] == 18 and r["mode"] == "stream 1")
    assert longer["mean"]["rpe_m.translation"] > 0


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.links += [v for k, v in attributes if k in ("src", "href") and v]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_html_is_whole_and_needs_no_other_file(folder):
    text = (folder / "report.html").read_text()
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert len(tags.links) >= 5
    assert all(link.startswith("data:image/png;base64,") for link in tags.links)
    for link in tags.links:
        png = np.frombuffer(base64.b64decode(link.split(",")[1]), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert picture is not None and picture.std() > 1
    for heading in ("ATE Sim(3), m", "AbsRel", "F-score, %", "s/frame", "unseen views: AbsRel"):
        assert f"<th>{heading}</th>" in text
    titles = re.findall("<h3>(.*?)</h3>", text)
    pictured = ("By sequence", "Trajectories", "Depth, stream 1", "Depth error", "Maps", "Unseen")
    assert all(map(str.startswith, titles, pictured)) and len(titles) == len(pictured)
    assert all("18 frames" in title for title in titles[1:-1])


def test_a_random_network_is_marked_as_one(folder):
    assert UNTRAINED in (folder / "report.html").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert report["untrained"] is True
    assert (folder / "printed.txt").read_text().strip() == UNTRAINED


def test_a_network_of_unknown_training_is_not(kitchen, tmp_path, capsys):
    model = ZipMap(ModelConfig.tiny())
    save_checkpoint(model, tmp_path / "other.safetensors")
    assert main(_arguments(tmp_path / "other.safetensors", kitchen, tmp_path)) == 0
    out = capsys.readouterr().out
    assert UNTRAINED not in out and "stream 1" in out and "guess: still camera" in out
    assert json.loads((tmp_path / "report.json").read_text())["untrained"] is False


def test_json_goes_to_standard_output_alone(checkpoint, kitchen, tmp_path, capsys):
    assert main([*_arguments(checkpoint, kitchen, tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report.json").read_text())
    assert not re.search(r"\bNaN\b|\bInfinity\b", json.dumps(printed))
    modes = {row["mode"] for row in printed["results"]}
    assert "mapper" not in modes  # --no-mapper


def _arguments(checkpoint, kitchen, out):
    data = ["--data", f"kitchen:{kitchen}", "--lengths", "4", "--chunks", "1", "--clips", "1"]
    return [str(checkpoint), *data, "--no-mapper", "--out", str(out)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--data": "nonsense:x"}, "nonsense"),
        ({"--data": "kitchen:/no/such/folder"}, "/no/such/folder"),
        ({"--data": "kitchen"}, "needs a path"),
        ({"--data": "synthetic:train"}, "test or validation"),
        ({"--lengths": "2"}, "too short"),
        ({"--lengths": "400"}, "18 frames at most"),
        ({"--chunks": "0"}, "1 or more"),
        ({"--every": "0"}, "--every"),
        ({"--every": "2", "--data": "synthetic"}, "--every is for recordings"),
        ({"--topic": "/camera/image_raw"}, "--topic is for the images of a bag"),
        ({"--device": "toaster"}, "toaster"),
    ],
)
def test_bad_input_is_one_line_and_code_2(checkpoint, kitchen, tmp_path, capsys, change, message):
    arguments = [*_arguments(checkpoint, kitchen, tmp_path), "--every", "1", "--device", "cpu"]
    arguments += ["--topic", ""]
    for option, value in change.items():
        arguments[arguments.index(option) + 1] = value
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("zipmap evaluate: ") and message in line
    assert not (tmp_path / "report.html").exists()


def test_a_missing_checkpoint_is_one_line_and_code_2(kitchen, tmp_path, capsys):
    assert main(_arguments(tmp_path / "none.safetensors", kitchen, tmp_path)) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_too_little_memory_costs_a_row_and_not_the_report(
    checkpoint, kitchen, tmp_path, monkeypatch
):
    def refuse(*_):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr("zipmap_ros.evaluation.run._warm_up", lambda *_: None)
    monkeypatch.setattr("zipmap_ros.evaluation.run.batch_run", refuse)
    assert main(_arguments(checkpoint, kitchen, tmp_path)) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {row["mode"]: row for row in report["results"]}
    assert rows["batch"]["mean"] == {} and "memory" in rows["batch"]["problems"][0]
    assert rows["stream 1"]["mean"]["depth.abs_rel"] > 0
    assert (
        "batch, 4 frames: the device has too little memory"
        in (tmp_path / "report.html").read_text()
    )


def test_too_little_memory_for_all_leaves_a_report_without_figures(
    kitchen, tmp_path, monkeypatch, capsys
):
    """A network that does not stream, on images without a truth: drawing no curve was an error."""

    def refuse(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    weights = tmp_path / "batch.safetensors"
    save_checkpoint(ZipMap(replace(ModelConfig.tiny(), camera_head="refine")), weights)
    (tmp_path / "photos").mkdir()
    for image in kitchen.glob("*.jpg"):
        shutil.copy(image, tmp_path / "photos" / image.name.replace(".color", ""))
    arguments = [str(weights), "--data", f"folder:{tmp_path / 'photos'}", "--lengths", "4"]
    arguments += ["--out", str(tmp_path)]
    monkeypatch.setattr("zipmap_ros.evaluation.run.batch_run", refuse)
    assert main(arguments) == 2 and "CUDA out of memory" in capsys.readouterr().err
    monkeypatch.setattr("zipmap_ros.evaluation.run._warm_up", lambda *_: None)
    assert main(arguments) == 0
    assert "the device has too little memory" in (tmp_path / "report.html").read_text("utf-8")


def test_an_interrupt_is_not_a_traceback(checkpoint, kitchen, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("zipmap_ros.evaluation.run._warm_up", interrupt)
    assert main(_arguments(checkpoint, kitchen, tmp_path)) == 130
    assert "interrupted" in capsys.readouterr().err


def test_training_is_known_from_the_notes(tmp_path):
    model = ZipMap(ModelConfig.tiny())
    path = tmp_path / "weights.safetensors"
    for notes, trained in (
        ({}, None),
        ({TRAINING_NOTE: "{}"}, True),
        ({STEPS_NOTE: "1200"}, True),
        ({STEPS_NOTE: "0"}, False),
    ):
        save_checkpoint(model, path, notes)
        assert describe_model(model, path)["trained"] is trained


def test_clips_spread_over_a_sequence():
    frames = list(range(100))
    dataset = Dataset("numbers", [Clip("a", frames)])
    assert [clip.frames[0] for clip in dataset.clips(20, 3)] == [0, 40, 80]
    assert [clip.frames[0] for clip in dataset.clips(90, 3)] == [0]  # they would be the same
    assert dataset.clips(101, 3) == []
    two = Dataset("two", [Clip("a", frames), Clip("b", frames)])
    assert [clip.name for clip in two.clips(100, 2)] == ["a 0..99", "b 0..99"]
    assert [clip.frames[0] for clip in two.clips(20, 3)] == [0, 80] * 2  # as many of each


def test_a_chunk_may_be_as_long_as_the_clip():
    model = ZipMap(ModelConfig.tiny())
    clip = Clip("", [Frame(i, np.zeros((42, 56, 3), np.uint8)) for i in range(8)])
    modes = [mode for mode, _ in _runs(model, clip, Plan((8,), (1, 8, 9), 1, False))]
    assert modes == ["stream 1", "stream 8", "batch"]


def test_unseen_views_are_those_of_the_first_mode_that_has_some(monkeypatch):
    views = {"stream 1": None, "batch": "first", "mapper": "second"}
    module = "zipmap_ros.evaluation.run"
    monkeypatch.setattr(f"{module}._runs", lambda *_: [(mode, object) for mode in views])
    monkeypatch.setattr(f"{module}._views", lambda model, clip, mode: views[mode])
    monkeypatch.setattr(_Gathered, "add", lambda *_: None)
    _, shown = _judge(None, None, None, defaultdict(_Gathered))
    assert shown == "first"


def test_kitchen_frames_are_what_the_files_say(kitchen):
    dataset = open_dataset(f"kitchen:{kitchen}", 5, 1, 3, ModelConfig.tiny())
    frames = dataset.sequences[0].frames
    assert len(frames) == 5
    assert frames[1].map_T_camera[0, 3] == pytest.approx(0.3)  # every third
    assert frames[0].rgb.shape == (42, 56, 3)
    np.testing.assert_allclose(frames[0].depth, 2.0)
    assert frames[0].camera.fx == pytest.approx(58.5 * 56 / 64)
    with pytest.raises(EvaluationError, match="no TUM RGB-D sequence"):
        open_dataset(f"tum:{kitchen}", 5, 1, 1, ModelConfig.tiny())


@pytest.fixture
def lost(kitchen, tmp_path):
    """The kitchen, whose tracking was lost at the beginning and once later."""
    folder = tmp_path / "lost"
    shutil.copytree(kitchen, folder)
    for k in (0, 1, 2, 3, 8):
        (folder / f"frame-{4 * k:06d}.pose.txt").write_text("-inf -inf -inf -inf\n" * 4)
    return folder


@pytest.mark.filterwarnings("ignore:left out")
def test_frames_without_truth_cost_no_length(lost):
    (sequence,) = open_dataset(f"kitchen:{lost}", 6, 1, 1, ModelConfig.tiny()).sequences
    places = [frame.map_T_camera[0, 3] for frame in sequence.frames]
    np.testing.assert_allclose(places, [0.4, 0.5, 0.6, 0.7, 0.9, 1.0])
    (sequence,) = open_dataset(f"kitchen:{lost}", 99, 1, 2, ModelConfig.tiny()).sequences
    places = [frame.map_T_camera[0, 3] for frame in sequence.frames]
    np.testing.assert_allclose(places, [0.4, 0.6, 1.0, 1.2, 1.4, 1.6])  # every other


def test_depth_without_poses_is_judged_beside_a_guess(checkpoint, kitchen, tmp_path):
    folder = tmp_path / "depth"
    shutil.copytree(kitchen, folder, ignore=shutil.ignore_patterns("*.pose.txt"))
    arguments = _arguments(checkpoint, kitchen, tmp_path)
    arguments[2] = f"folder:{folder}"
    assert main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    modes = {row["mode"] for row in report["results"]}
    assert STILL in modes and VELOCITY not in modes
    assert all(row["mean"]["depth.abs_rel"] is not None for row in report["results"])
    html = (tmp_path / "report.html").read_text()
    assert STILL in html and html.count("<div><table>") == 1  # none of trajectories


def test_data_is_told_apart_and_judged_once(kitchen, checkpoint, tmp_path, capsys):
    """Long paths were once cut off in the table of the terminal; chunks too long went unsaid."""
    rows = [Row(f"kitchen:/a/long/way/to/{name}", 8, "batch", {}, {}, [], []) for name in "ab"]
    printed = Evaluation({}, {}, {}, rows, []).summary()
    assert all(row.data in printed for row in rows)
    arguments = [*_arguments(checkpoint, kitchen, tmp_path), "--data", f"kitchen:{kitchen}"]
    assert main([*arguments, "--chunks", "1", "999"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    modes = [row["mode"] for row in report["results"]]
    assert len(modes) == len(set(modes)) and "stream 1" in modes
    assert "left out: --chunks 999, no clip of" in capsys.readouterr().err


def test_poses_of_another_time_are_said_to_be(checkpoint, kitchen, tmp_path, capsys):
    """TUM RGB-D: every pose 40 ms after an image."""
    folder = tmp_path / "tum"
    shutil.copytree(kitchen, folder)
    names = sorted(path.name for path in folder.glob("*.jpg"))
    rows = (f"{k / 10 + 1} {name}\n" for k, name in enumerate(names))
    (folder / "rgb.txt").write_text("".join(rows))
    poses = (f"{k / 10 + 1.04} {k / 10} 0 0 0 0 0 1\n" for k in range(len(names)))
    (folder / "groundtruth.txt").write_text("".join(poses))
    arguments = _arguments(checkpoint, kitchen, tmp_path)
    arguments[2] = f"tum:{folder}"
    assert main(arguments) == 2
    assert "poses and images share their time" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:left out")
def test_truth_that_is_lost_for_a_while_does_not_end_an_evaluation(checkpoint, lost, tmp_path):
    assert main(_arguments(checkpoint, lost, tmp_path)) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert all(row["mean"]["ate_sim3.rmse"] is not None for row in report["results"])


def test_of_a_bag_with_two_cameras_one_is_judged(checkpoint, kitchen, tmp_path, capsys):
    frames = open_dataset(f"kitchen:{kitchen}", 4, 1, 1, ModelConfig.tiny()).sequences[0].frames
    with bags.BagWriter(tmp_path / "bag") as bag:
        for frame in frames:
            bag.write_frame(frame)
            message = bags.image_message(255 - frame.rgb, "rgb8", frame.stamp_ns)
            bag.write("/left/image_raw", message, frame.stamp_ns)
    arguments = _arguments(checkpoint, kitchen, tmp_path)
    arguments[2] = f"bag:{tmp_path / 'bag'}"
    assert main(arguments) == 2
    assert "name one as the topic" in capsys.readouterr().err
    assert main([*arguments, "--topic", "/left/image_raw"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["settings"]["topic"]
    config = ModelConfig.tiny()
    (sequence,) = open_dataset(arguments[2], 4, 1, 1, config, "/left/image_raw").sequences
    np.testing.assert_array_equal(sequence.frames[0].rgb, 255 - frames[0].rgb)


def test_a_bag_whose_truth_is_of_another_time_is_judged_without(kitchen, tmp_path):
    frames = open_dataset(f"kitchen:{kitchen}", 4, 1, 1, ModelConfig.tiny()).sequences[0].frames
    with bags.BagWriter(tmp_path / "bag") as bag:
        bag.write(bags.TRUTH, bags.pose_message(np.eye(4), 1), 1)
        for frame in frames:
            late = frame.stamp_ns + 10**9
            bag.write(bags.IMAGE, bags.image_message(frame.rgb, "rgb8", late), late)
    (sequence,) = open_dataset(f"bag:{tmp_path / 'bag'}", 3, 1, 1, ModelConfig.tiny()).sequences
    assert [frame.map_T_camera for frame in sequence.frames] == [None] * 3


def test_a_clip_without_valid_depth_has_no_part_in_the_deciles():
    gathered = _Gathered()
    confidence = np.random.default_rng(0).uniform(1, 2, (3, 8, 8)).astype(np.float32)
    run = Run(
        *("stream 1", np.arange(3), np.stack([np.eye(4)] * 3), np.ones((3, 8, 8), np.float32)),
        *(np.stack([np.eye(3)] * 3), confidence),
    )
    for name, metres in (("seen", 2.0), ("unseen", np.nan)):
        depth = np.full((8, 8), metres, np.float32)
        frames = [Frame(i, np.zeros((8, 8, 3), np.uint8), depth=depth) for i in range(3)]
        gathered.add(Clip(name, frames), run, None)
    np.testing.assert_allclose(gathered.row("data", 3, "stream 1").deciles, 0, atol=1e-6)


def test_why_there_are_no_figures_is_told_once():
    flat, poses = np.ones((3, 8, 8), np.float32), np.stack([np.eye(4)] * 3)
    run = Run("mapper", np.arange(3), poses, flat, np.stack([np.eye(3)] * 3))
    clip = Clip("clip", [Frame(i, np.zeros((8, 8, 3), np.uint8)) for i in range(3)])
    for given, problems in (
        (run, []),
        (replace(run, depth=np.nan * flat), ["the output is not finite"]),
        (replace(run, problem="too dark"), ["too dark"]),
    ):
        gathered = _Gathered()
        for name in "ab":
            gathered.add(replace(clip, name=name), given, None)
        assert gathered.row("data", 3, "mapper").problems == problems


def test_the_least_that_can_be_planned():
    assert Plan((3, 8), (1,), 1, False).clips == 1
    for lengths, chunks, clips in (((2, 8), (1,), 1), ((8,), (0, 8), 1), ((8,), (1,), 0)):
        with pytest.raises(EvaluationError):
            Plan(lengths, chunks, clips, False)


SHARE, ERROR = Column("share", "", 1, "more"), Column("error", "", 1)


def row(mode, value, length=8):
    return Row("data", length, mode, {"share": value, "error": value}, {}, [], [])


def test_a_tie_with_guessing_is_not_marked():
    for column, worse in ((SHARE, 99.0), (ERROR, 101.0)):
        guess = [row(STILL, 100.0)]
        assert "loses" not in _cell(row("mapper", 100.0), guess, column)
        assert "loses" in _cell(row("mapper", worse), guess, column)


@pytest.mark.parametrize(
    ("column", "loses"), [(ERROR, [False, True, True]), (SHARE, [True, True, False])]
)
def test_what_is_worse_than_the_better_guess_is_marked(column, loses):
    guesses = [row(STILL, 2.0), row(VELOCITY, 4.0)]
    cells = [_cell(row("batch", value), guesses, column) for value in (1.0, 3.0, 5.0)]
    assert ["loses" in cell for cell in cells] == loses


def test_only_a_known_figure_of_a_network_can_be_worse_than_guessing():
    guess = [row(STILL, 1.0)]
    for figure, column in (
        (row("batch", 5.0), Column("error", "", 1, "")),
        (row(VELOCITY, 5.0), ERROR),
        (row("batch", math.nan), ERROR),
    ):
        assert "loses" not in _cell(figure, guess, column)
    assert _cell(row("batch", 5.0), [row(STILL, math.nan)], ERROR) == "<td>5.0</td>"


def test_tables_show_what_is_known():
    mean = {"share": 12.34, "error": math.nan, "depth.abs_rel": 0.1234, "ate_sim3.percent": None}
    rows = [Row("kitchen", 8, mode, mean, {"a": {}, "b": {}}, [], []) for mode in ("batch", STILL)]
    table = _table(rows, [SHARE, Column("error", "error", 1)])
    assert table.count("<td>2</td><td>12.3</td></tr>") == 2 and "error" not in table
    assert table.count('<tr class="first">') == 1 and table.count("mode guess") == 1
    assert _table(rows, [ERROR]) == ""
    printed = Evaluation({}, {}, {}, rows, []).summary().splitlines()
    assert printed[1].split() == ["kitchen", "8", "batch", "–", "–", "0.123", "–"]


def test_the_html_is_what_it_says_of_itself_in_any_locale(tmp_path, monkeypatch):
    """In ISO 8859-1 an evaluation ended at the delta of a heading."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, *_: encoding or "latin-1")
    rows = [Row("kitchen", 8, "batch", {"depth.delta_1_25": 50.0}, {}, [], [])]
    frame = Frame(0, np.zeros((8, 8, 3), np.uint8))
    example = Example("kitchen", 8, "clip", [frame], [], None)
    page = tmp_path / "report.html"
    write_html(Evaluation({}, {"file": "ä"}, {}, rows, [example]), page)
    assert "δ" in page.read_text("utf-8")


def test_figures_are_compared_with_guesses_of_their_own_length():
    rows = [row(STILL, 1.0), row(STILL, 9.0, length=24), row("batch", 5.0, length=24)]
    assert "loses" not in _table(rows, [ERROR])


def test_synthetic_worlds_come_by_seed():
    config = ModelConfig.tiny()
    first = open_dataset("synthetic", 3, 2, 1, config)
    again = open_dataset("synthetic:test", 3, 2, 1, config)
    other = open_dataset("synthetic:validation", 3, 2, 1, config)
    numbers = [clip.name.split()[1] for clip in first.sequences]
    assert numbers == [str(SPLITS["test"]), str(SPLITS["test"] + 1)]
    assert len({clip.name.split()[2] for clip in first.sequences}) == 2  # ways to carry a camera
    frames, same = first.sequences[1].frames, again.sequences[1].frames
    np.testing.assert_array_equal(frames[2].rgb, same[2].rgb)
    assert (frames[2].rgb != other.sequences[1].frames[2].rgb).any()
    assert frames[0].depth.shape == (42, 56) and math.isfinite(np.nanmedian(frames[0].depth))


def test_a_folder_that_cannot_be_is_said_before_the_work(tmp_path, monkeypatch, capsys):
    work = "zipmap_ros.evaluation.run._evaluate_all"
    monkeypatch.setattr(work, lambda arguments: pytest.fail("the work was done"))
    (tmp_path / "out").write_text("a file")
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "out") in capsys.readouterr().err
