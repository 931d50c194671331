# SPDX-License-Identifier: Apache-2.0
"""A training run's files: cut off, damaged, on a full disk, written again by a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from zipmap_ros.model import ModelConfig, ZipMap, load_checkpoint, save_checkpoint
from zipmap_ros.training import TrainingError
from zipmap_ros.training.__main__ import main
from zipmap_ros.training.files import read_whole, rewind_log, write_whole
from zipmap_ros.training.trainer import Trainer

TINY = ["--preset", "tiny", "--device", "cpu"]
PHASES = ("twin", "transfer", "streams")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert main([*TINY, "--out", str(out)]) == 0
    return out


def _steps(log: Path) -> list[tuple[str, int]]:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(record["phase"], record["step"]) for record in records]


@pytest.mark.parametrize("name", ["last.pt", "pool.pt", "unseen.pt"])
@pytest.mark.parametrize("keep", [0, 7, 0.5], ids=["empty", "no file of torch", "cut off"])
def test_a_damaged_file_is_named(run: Path, tmp_path: Path, capsys, name: str, keep: float) -> None:
    for each in ("last.pt", "pool.pt", "unseen.pt"):
        content = (run / each).read_bytes()
        if each == name:
            content = b"garbage" if keep == 7 else content[: int(keep * len(content))]
        (tmp_path / each).write_bytes(content)
    assert main([*TINY, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / name} cannot be read, it is damaged" in said and "made anew" in said


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "last.pt"
    write_whole({"config": "a", "tensor": torch.ones(3)}, path)

    def full(content: object, unfinished: Path) -> None:
        unfinished.write_bytes(b"half of it")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"cannot write .*last.pt: .*: is the disk full\?"):
        write_whole({"config": "b"}, path)
    assert read_whole(path, "config")["config"] == "a"
    assert list(tmp_path.iterdir()) == [path]


def test_steps_that_are_taken_again_are_logged_once(run: Path, tmp_path: Path, monkeypatch) -> None:
    """Killed between checkpoints, and half a record of a power cut after it."""
    taken, step = [], Trainer.train_step

    def killed(self: Trainer) -> dict[str, float]:
        taken.append(self.step)
        if len(taken) == 8:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        assert main([*TINY, "--out", str(tmp_path)]) == 130
    log = tmp_path / "log.jsonl"
    assert len(_steps(log)) == 7
    log.write_text(log.read_text()[:-20])
    assert main([*TINY, "--out", str(tmp_path)]) == 0
    assert _steps(log) == [(phase, i) for phase in PHASES for i in range(1, 5)]
    assert _steps(log) == _steps(run / "log.jsonl")
    whole, again = (read_whole(out / "last.pt", "average")["average"] for out in (run, tmp_path))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert (tmp_path / "loss.png").exists() and load_checkpoint(tmp_path / "small.safetensors")


def test_a_log_is_rewound_to_its_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rewind_log(log, PHASES, (0, 0))
    assert not log.exists()
    places = [("twin", 1), ("twin", 2), ("transfer", 1), ("transfer", 1), ("other", 1)]
    lines = [json.dumps({"phase": phase, "step": step}) for phase, step in places]
    log.write_text("\n".join([*lines, "3", "[]", '{"phase": "tw']))
    rewind_log(log, PHASES, (1, 1))
    assert _steps(log) == places[:3]
    rewind_log(log, PHASES, (0, 1))
    assert _steps(log) == places[:1]


def test_an_export_makes_its_folder_and_has_one_format(run: Path, tmp_path: Path, capsys) -> None:
    made = tmp_path / "no" / "such" / "now.safetensors"
    assert main(["--device", "cpu", "--out", str(run), "--export", str(made)]) == 0
    assert load_checkpoint(made)
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "now.pt", "give a name that ends in .safetensors"),
        (tmp_path / "file" / "now.safetensors", "cannot write"),
    ):
        assert main(["--device", "cpu", "--out", str(run), "--export", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_weights_of_another_width_are_refused_before_rendering(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    """Whose tokens (1, 2, 1, 2 * width) were once taken for projections of larger patches."""
    config = ModelConfig.tiny()
    wider = ModelConfig(**{**vars(config), "width": 2 * config.width, "fast_hidden": 64})
    save_checkpoint(ZipMap(wider), tmp_path / "wider.safetensors")
    rendering = "zipmap_ros.training.__main__._data"
    monkeypatch.setattr(rendering, lambda *arguments: pytest.fail("worlds were rendered"))
    weights = ["--weights", str(tmp_path / "wider.safetensors")]
    assert main([*TINY, "--out", str(tmp_path / "out"), *weights]) == 2
    assert "take weights of a network of the same width" in capsys.readouterr().err
