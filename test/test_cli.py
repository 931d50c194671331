# SPDX-License-Identifier: Apache-2.0
"""The zipmap command on real inputs with a tiny network: files written, bad input in one line."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path

import cv2
import make_bag as bags
import numpy as np
import pytest
import torch
from known_world import blobs
from PIL import Image
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from zipmap_ros import cli
from zipmap_ros.model import ModelConfig, ZipMap, save_checkpoint
from zipmap_ros.parameters import to_yaml
from zipmap_ros.sources.folder import FolderSource
from zipmap_ros.sources.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """A tiny network of random weights whose fields of view are about a radian."""
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny())
    model.camera_mlp_head.mlp.fc2.bias.data[7:] = 1.0
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(model, path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eight small images in a folder."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(8):
        Image.fromarray(blobs(i)).save(folder / f"{i:03d}.png")
    return folder


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((48, 64, 3), np.arange(64)[:, None] + 20 * i, np.uint8))
    writer.release()


def write_bag(folder: Path, topics: dict[str, int]) -> None:
    """A bag of rgb8 images: so many on each topic."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    Image_, Header, Time = (
        types.types[name]
        for name in ("sensor_msgs/msg/Image", "std_msgs/msg/Header", "builtin_interfaces/msg/Time")
    )
    with Writer(folder, version=9) as writer:
        for topic, count in topics.items():
            connection = writer.add_connection(topic, Image_.__msgtype__, typestore=types)
            for i in range(count):
                data = blobs(i).ravel()
                header = Header(stamp=Time(sec=i, nanosec=7), frame_id="camera")
                message = Image_(header, 42, 56, "rgb8", 0, 56 * 3, data)
                raw = types.serialize_cdr(message, Image_.__msgtype__)
                writer.write(connection, 1_000_000_000 * i + 7, raw)


def run(capsys, *words: object) -> tuple[int, str, str]:
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def refused(capsys, *words: object) -> str:
    """The one line that says why, after exit code 2."""
    code, out, err = run(capsys, *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    return err


@pytest.fixture(scope="module")
def done(tmp_path_factory, folder, checkpoint) -> Path:
    """The results of the folder of images."""
    out = tmp_path_factory.mktemp("done")
    assert (
        cli.main(["reconstruct", str(folder), "--out", str(out), "--checkpoint", checkpoint]) == 0
    )
    return out


def test_a_folder_becomes_trajectory_map_depth_and_report(done):
    summary = json.loads((done / "summary.json").read_text())
    assert summary["frames"] == 8 == summary["used"] + summary["gated"]
    assert len((done / "trajectory.tum").read_text().splitlines()) == 8
    assert (done / "map.ply").read_bytes().startswith(b"ply\n")
    assert Image.open(done / "report.png").size[0] > 1000
    assert len(list((done / "depth").glob("*.png"))) == 8
    with np.load(done / "depth" / "000007.npz") as file:
        depth, K = file["depth"], file["K"]
        assert depth.shape == file["confidence"].shape == (42, 56)
        assert file["stamp_ns"].dtype == np.int64
    assert K[0, 2] == 28 and K[1, 2] == 21
    png = cv2.imread(str(done / "depth" / "000007.png"), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16
    np.testing.assert_allclose(png, depth * 1000, atol=0.51)


def test_the_same_again_gives_the_same_and_leaves_nothing_over(
    capsys, tmp_path, folder, checkpoint, done
):
    (tmp_path / "depth").mkdir()
    for end in (".npz", ".png"):  # of a longer run
        shutil.copy(done / "depth" / f"000007{end}", tmp_path / "depth" / f"000008{end}")
    arguments = ("--out", tmp_path, "--checkpoint", checkpoint, "--json")
    code, out, _ = run(capsys, "reconstruct", folder, *arguments)
    assert code == 0
    assert json.loads((tmp_path / "summary.json").read_text()).items() <= json.loads(out).items()
    for name in ("trajectory.tum", "map.ply", "depth/000007.png"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()
    assert len(list((tmp_path / "depth").glob("*.npz"))) == 8


@pytest.mark.parametrize("name", ["1305031102.160407.png", "000001.png", "000001.npz"])
def test_depth_of_others_is_never_touched(capsys, tmp_path, folder, checkpoint, name):
    """A data set has its own where results would go."""
    theirs = tmp_path / "depth" / name
    theirs.parent.mkdir()
    theirs.write_text("measured")
    arguments = ("--out", tmp_path, "--checkpoint", checkpoint)
    code, _, err = run(capsys, "reconstruct", folder, *arguments)
    assert code == 2
    assert f"{name} was not written by zipmap: choose another folder" in err.splitlines()[-1]
    assert theirs.read_text() == "measured"


def test_a_bad_image_costs_itself_alone(capsys, tmp_path, folder, checkpoint):
    images = shutil.copytree(folder, tmp_path / "images")
    (images / "004.png").write_bytes(b"")
    arguments = ("--out", tmp_path / "out", "--checkpoint", checkpoint, "--json")
    with pytest.warns(RuntimeWarning, match=r"004\.png cannot be decoded"):
        code, out, _ = run(capsys, "reconstruct", images, *arguments)
    summary = json.loads(out)
    assert code == 0 and summary["frames"] == 8 and summary["estimates"] == 7
    assert summary["dropped"] == {"bad_image": 1}


def test_warnings_are_one_line_in_the_program_and_left_alone_in_others(monkeypatch):
    others = warnings.formatwarning
    monkeypatch.setattr(warnings, "formatwarning", others)
    assert cli.main(["info", "no.safetensors"]) == 2
    assert warnings.formatwarning is others
    monkeypatch.setattr(sys, "argv", ["zipmap", "info", "no.safetensors"])
    assert cli.main() == 2
    assert warnings.formatwarning("a b", RuntimeWarning, "b.py", 1) == "zipmap: a b\n"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError("the camera was unplugged")])
def test_what_was_computed_is_written_whatever_ends_the_run(
    capsys, monkeypatch, tmp_path, folder, checkpoint, end
):
    read = FolderSource.__iter__

    def broken(self):
        for i, frame in enumerate(read(self)):
            if i == 5:
                raise end
            yield frame

    monkeypatch.setattr(FolderSource, "__iter__", broken)
    arguments = ("--out", tmp_path, "--checkpoint", checkpoint)
    code, _, err = run(capsys, "reconstruct", folder, *arguments)
    assert (code, "interrupted" in err) == ((130, True) if str(end) == "" else (2, False))
    assert len((tmp_path / "trajectory.tum").read_text().splitlines()) == 5
    assert json.loads((tmp_path / "summary.json").read_text())["estimates"] == 5
    assert (tmp_path / "map.ply").exists() and (tmp_path / "report.png").exists()


def test_the_report_shows_depth_in_the_final_scale(capsys, monkeypatch, tmp_path, checkpoint):
    """Also that of frames from before it was found."""
    shown = []
    monkeypatch.setattr(
        "zipmap_ros.mapping.reconstruct.write_report",
        lambda path, estimates, *rest: shown.extend(estimates),
    )
    (tmp_path / "depth.yaml").write_text("/**:\n  ros__parameters: {scale_source: depth}\n")
    arguments = ("--out", tmp_path, "--checkpoint", checkpoint, "--max-frames", 12)
    arguments += ("--params", tmp_path / "depth.yaml", "--json")
    _, out, _ = run(capsys, "reconstruct", "synthetic", *arguments)
    assert json.loads(out)["scale"] != 1
    with np.load(tmp_path / "depth" / "000000.npz") as file:
        np.testing.assert_allclose(shown[0].depth, file["depth"], rtol=1e-6)
    assert {estimate.scale for estimate in shown} == {json.loads(out)["scale"]}


def test_a_video_stops_after_max_frames(capsys, tmp_path, checkpoint):
    write_video(tmp_path / "clip.mp4", 10)
    arguments = ("--out", tmp_path / "out", "--checkpoint", checkpoint, "--max-frames", 4)
    code, out, err = run(capsys, "reconstruct", tmp_path / "clip.mp4", *arguments)
    assert code == 0 and "4/4" in err
    assert "frames  4" in out


def test_every_frame_of_one_topic_of_a_bag(capsys, tmp_path, checkpoint):
    write_bag(tmp_path / "run", {"/left/image": 5, "/right/image": 3})
    start = ("reconstruct", tmp_path / "run", "--out", tmp_path / "out", "--checkpoint", checkpoint)
    assert "/left/image, /right/image" in refused(capsys, *start)
    code, out, _ = run(capsys, *start, "--topic", "/right/image", "--json")
    assert code == 0 and json.loads(out)["frames"] == 3
    stamps = [line.split()[0] for line in (tmp_path / "out/trajectory.tum").open()]
    assert stamps == ["0.000000007", "1.000000007", "2.000000007"]


def test_a_bag_twice_gives_the_same_files_with_mount_and_odometry(
    capsys, tmp_path, checkpoint, monkeypatch
):
    """Raw images, calibration, depth, /tf_static, /odom; in chunks, with a parameter file."""
    # Takes most of the time, and says how long the run took: drawn elsewhere.
    monkeypatch.setattr("zipmap_ros.mapping.reconstruct.write_report", lambda *_: None)
    frames = list(islice(SyntheticSource(3, frames=30, width=56, height=42), 7))
    for frame in frames:  # with strides: each gives the scale a ratio
        frame.map_T_camera[:3, 3] *= 10
    bags.make_bag(tmp_path / "bag", frames, odometry=True)
    params = tmp_path / "stream.yaml"
    changed = {
        'scale_source: "none"': 'scale_source: "odom"',
        "max_jump_m: 2.0": "max_jump_m: 10000.0",
    }
    text = to_yaml().replace("chunk_frames: 1", "chunk_frames: 2")
    for old, new in changed.items():
        text = text.replace(old, new)
    params.write_text(text)
    results = []
    for name in ("once", "twice"):
        code, out, _ = run(
            capsys,
            *("reconstruct", tmp_path / "bag", "--topic", "/camera/image_raw", "--json"),
            *("--params", params, "--checkpoint", checkpoint, "--out", tmp_path / name),
        )
        assert code == 0
        results.append(json.loads(out))
    timing = {"out", "seconds", "frames_per_second"}
    first, second = ({k: v for k, v in r.items() if k not in timing} for r in results)
    assert first == second
    assert (first["frames"], first["estimates"], first["dropped"]) == (7, 7, {})
    assert first["scale_spread"] > 0, "no odometry has reached the scale"
    files = ["trajectory.tum", "map.ply", *(f"depth/{i:06d}.npz" for i in range(7))]
    for name in files:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    # The first pose of the base is the origin: the camera is where it is mounted.
    stamp, *position = (tmp_path / "once" / "trajectory.tum").read_text().split()[:4]
    np.testing.assert_allclose(np.array(position, float), bags.BASE_T_CAMERA[:3, 3], atol=1e-6)
    assert stamp == "0.000000000"


def test_a_damaged_bag_is_one_line(capsys, tmp_path, checkpoint):
    write_bag(tmp_path / "run", {"/image": 2})
    (file,) = (tmp_path / "run").glob("*.db3")
    with sqlite3.connect(file) as bag:
        bag.execute("ALTER TABLE messages RENAME COLUMN data TO bytes")
    says = refused(capsys, "reconstruct", tmp_path / "run", "--checkpoint", checkpoint)
    assert "run is damaged after 0 messages on /image: " in says


def test_odometry_that_is_not_there_is_said(capsys, tmp_path, folder, checkpoint):
    params = tmp_path / "odom.yaml"
    params.write_text("/**:\n  ros__parameters:\n    scale_source: odom\n")
    end = ("--out", tmp_path / "out", "--checkpoint", checkpoint, "--params", params)
    assert "only a bag has odometry" in refused(capsys, "reconstruct", folder, *end)
    write_bag(tmp_path / "run", {"/image": 2})
    assert "odometry topics none" in refused(capsys, "reconstruct", tmp_path / "run", *end)


def test_batch_and_parameters_from_a_file(capsys, tmp_path, folder, checkpoint):
    text = to_yaml().replace('scale_source: "none"', 'scale_source: "fixed"')
    text = text.replace("path_max_poses: 10000", "path_max_poses: 3")
    params = tmp_path / "stream.yaml"
    params.write_text(text.replace("scale: 1.0", "scale: 3.0") + "    use_sim_time: true\n")
    arguments = ("--out", tmp_path, "--checkpoint", checkpoint, "--batch", "--json")
    code, text, _ = run(capsys, "reconstruct", folder, *arguments, "--params", params)
    summary = json.loads(text)
    assert code == 0 and summary["metric"] and summary["scale"] == 3.0
    assert summary["used"] == 8, "a batch keeps every frame"
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert len(lines) == 8, "the node forgets poses, a file has them all"


def test_a_parameter_file_may_name_the_node_in_a_namespace(capsys, tmp_path, folder, checkpoint):
    file = tmp_path / "robots.yaml"
    file.write_text("/robot/zipmap:\n  ros__parameters: {chunk_frames: 0}\n")
    arguments = ("--checkpoint", checkpoint, "--params", file)
    assert "chunk_frames must be" in refused(capsys, "reconstruct", folder, *arguments)
    file.write_text("robot:\n  zipmap:\n    ros__parameters: {chunk_frames: 0}\n")
    assert "chunk_frames" in refused(capsys, "reconstruct", folder, *arguments)
    file.write_text("/robot/camera:\n  ros__parameters: {rate: 10}\n")
    says = refused(capsys, "reconstruct", folder, *arguments)
    assert "has no node zipmap or /**, but /robot/camera" in says


def test_a_parameter_file_may_serve_the_web_view_too(capsys, tmp_path, folder, checkpoint):
    file = tmp_path / "robot.yaml"
    file.write_text("/**:\n  ros__parameters: {viewer_port: 8081, use_sim_time: true}\n")
    arguments = ("--checkpoint", checkpoint, "--params", file, "--out", tmp_path / "out")
    assert run(capsys, "reconstruct", folder, *arguments)[0] == 0


def test_a_dump_of_the_node_is_a_parameter_file(capsys, tmp_path, folder, checkpoint):
    """It has what every node has, and null for what is not set."""
    file = tmp_path / "dump.yaml"
    others = ["diagnostic_updater: {period: 1.0}", "start_type_description_service: true"]
    values = ", ".join([*others, "qos_overrides: {}", "cameras: null", "chunk_frames: 0"])
    file.write_text(f"/zipmap:\n  ros__parameters: {{{values}}}\n")
    arguments = ("reconstruct", folder, "--checkpoint", checkpoint, "--params", file)
    assert "chunk_frames must be" in refused(capsys, *arguments)
    file.write_text(file.read_text().replace("chunk_frames: 0", "chunk_frames: 1"))
    assert run(capsys, *arguments, "--out", tmp_path / "out")[0] == 0


def test_topics_of_a_bag_are_refused_for_what_is_none(capsys, folder, checkpoint):
    arguments = ("reconstruct", folder, "--checkpoint", checkpoint)
    assert "is of a bag, which" in refused(capsys, *arguments, "--topic", "/image")
    assert "--odom is for a bag" in refused(capsys, *arguments, "--odom", "/odom")


def test_the_synthetic_world_needs_no_file(capsys, tmp_path, checkpoint):
    code, out, _ = run(
        capsys,
        *("reconstruct", "synthetic", "--out", tmp_path, "--checkpoint", checkpoint),
        *("--max-frames", 3, "--json"),
    )
    assert code == 0 and json.loads(out)["frames"] == 3


def test_bad_inputs_are_one_line_and_exit_code_2(capsys, tmp_path, folder, checkpoint):
    out = ("--out", tmp_path / "out", "--checkpoint", checkpoint)
    assert "there is no" in refused(capsys, "reconstruct", tmp_path / "no.mp4", *out)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert "notes.txt" in refused(capsys, "reconstruct", text, *out)
    broken = tmp_path / "broken.mp4"
    broken.write_text("hello")
    assert "broken.mp4" in refused(capsys, "reconstruct", broken, *out)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "empty" in refused(capsys, "reconstruct", empty, *out)
    assert "--max-frames" in refused(capsys, "reconstruct", folder, *out, "--max-frames", 0)
    assert "--out is empty" in refused(capsys, "reconstruct", folder, "--out", "")


def test_bad_checkpoints_and_parameters_are_one_line(capsys, tmp_path, folder, checkpoint):
    start = ("reconstruct", folder, "--out", tmp_path / "out", "--checkpoint")
    assert "there is no checkpoint" in refused(capsys, *start, tmp_path / "no.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(Path(checkpoint).read_bytes()[:1000])
    assert "cut.safetensors" in refused(capsys, *start, cut)
    assert "device must match" in refused(capsys, *start, checkpoint, "--device", "tpu")
    params = tmp_path / "params.yaml"
    for content, reason in (
        ("/**:\n  ros__parameters:\n    map_voxel: 1.0", "there is no parameter 'map_voxel'"),
        ("/**:\n  ros__parameters:\n    map_voxel_m: -1.0", "must be in"),
        ("/**:\n  other: 1", "no ROS 2 parameter file"),
        ("a: [", "cannot read parameters"),
        ("- 1", "it holds a list, not names of nodes"),
        ("a: 2001-99-99", "cannot read parameters"),
        ('a: !!int ""', "cannot read parameters"),
        ("&a\nx: *a", "cannot read parameters"),
        ("[" * 3000, "cannot read parameters"),
        ("zipmap: {ros__parameters: [1, 2]}", "give names and values"),
        ("zipmap: {ros__parameters: text}", "give names and values"),
        ("zipmap: {ros__parameters: {1: 2}}", "there is no parameter '1'"),
    ):
        params.write_text(content)
        assert reason in refused(capsys, *start, checkpoint, "--params", params)


def test_info_says_what_a_checkpoint_is(capsys, checkpoint):
    code, out, _ = run(capsys, "info", checkpoint, "--json")
    info = json.loads(out)
    assert code == 0 and info["variant"] == "tiny" and info["streams"] and info["state_mb"] > 0
    assert info["config"]["patch_size"] == 14
    lines = run(capsys, "info")[1].splitlines()  # of what ships, which has long notes
    assert max(map(len, lines)) <= 100 and any("phases.1: name twin" in line for line in lines)


def test_help_names_every_verb_and_delegates(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(v in out for v in ("reconstruct", "info", "evaluate", "train"))
    code, out, _ = run(capsys, "evaluate", "--help")
    assert code == 0 and "usage: zipmap evaluate" in out and "--lengths" in out
    code, _, err = run(capsys, "fly")
    assert code == 2 and "invalid choice" in err


def test_help_has_examples_that_parse(capsys) -> None:
    """Whoever copies a line of --help gets a command, not a usage error."""
    for verb in ("", "reconstruct", "info", "evaluate", "train"):
        code, text, _ = run(capsys, *([verb] if verb else []), "--help")
        assert code == 0
        lines = text.partition("examples:\n")[2].split("\n\n")[0].splitlines()
        examples = [re.split(r"\s{3,}", line.strip())[0].split() for line in lines]
        assert examples, f"zipmap {verb} --help shows no example"
        for words in examples:
            if words[0] == "zipmap" and words[1] in ("reconstruct", "info"):
                assert cli._parser().parse_args(words[1:]).verb == words[1]


@pytest.mark.parametrize("entry", ["zipmap_ros.cli", "zipmap_ros.nodes.stream_node"])
def test_threads_are_calm_before_numpy_asks_how_many_there_are(entry: str) -> None:
    """BLAS and OpenMP read the environment when they are loaded, not later."""
    code = f"""
import sys
import zipmap_ros.threads
def calm():
    assert "numpy" not in sys.modules, "numpy is loaded already"
    print("calm")
zipmap_ros.threads.calm_threads = calm
import {entry} as entry
if entry.__name__ == "zipmap_ros.cli":
    entry.main(["info", "--json"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("calm"), done.stdout


def test_who_reads_no_further_ends_nothing_badly():
    """As `zipmap info | head -1`."""
    code = "import sys; from zipmap_ros.cli import main; sys.exit(main(['info']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 0)


def test_a_pipe_that_breaks_within_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one to a compiler that died: nothing was compiled."""

    def broken(arguments: object) -> dict[str, object]:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "_compile", broken)
    with pytest.raises(BrokenPipeError):
        cli.main(["compile"])
