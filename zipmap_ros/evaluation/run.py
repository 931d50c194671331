# SPDX-License-Identifier: Apache-2.0
"""``zipmap evaluate``: judge a checkpoint on data, by sequence length and chunk size.

    zipmap evaluate small.safetensors --data kitchen:data/kitchen --lengths 8 24 --out out/kitchen

Writes ``report.json`` (machine, settings, every figure) and ``report.html`` (tables and plots, one
self-contained file). Without true poses or depth only the figures that need none are there.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from zipmap_ros.evaluation import EvaluationError
from zipmap_ros.evaluation.datasets import Clip, Dataset, open_dataset
from zipmap_ros.evaluation.machine import describe_machine, describe_model
from zipmap_ros.evaluation.report import Evaluation, Example, Row, write_html, write_json
from zipmap_ros.evaluation.runs import (
    STILL,
    Run,
    Views,
    batch_run,
    guess_runs,
    guess_views,
    has_depth,
    has_poses,
    hidden_frames,
    mapper_run,
    mapper_views,
    query_views,
    stream_run,
)
from zipmap_ros.evaluation.scores import calibration, mean_scores, score, view_scores
from zipmap_ros.geometry import Array
from zipmap_ros.mapping.errors import MappingError
from zipmap_ros.model import ModelError, ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.synthetic import SyntheticError

EXAMPLES = """examples:
  zipmap evaluate --lengths 8 24 --clips 4                     the weights that ship, unseen worlds
  zipmap evaluate --data kitchen:FOLDER --lengths 24 200       7-Scenes layout
  zipmap evaluate checkpoint_online.pt --data tum:FOLDER --device cuda --precision bfloat16

writes report.html (open it) and report.json into --out
"""
LENGTHS = (8, 24, 50, 100, 200, 500)
CHUNKS = (1, 8)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", nargs="?", help="weights to judge (default: the small model that ships)"
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="KIND[:PATH]",
        help="synthetic (default), synthetic:validation, kitchen:PATH, tum:PATH, euroc:PATH, "
        "bag:PATH, folder:PATH, video:PATH; may be given several times",
    )
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=LENGTHS, metavar="N", help="frames in a clip"
    )
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=CHUNKS, metavar="C", help="streamed chunk sizes"
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=3,
        help="clips of each length (default: 3); of a recording they spread over its first frames, "
        "as many as the longest length, and overlap by half at most: of a length over two thirds "
        "of the longest there is one",
    )
    parser.add_argument(
        "--every", type=int, default=1, help="use one frame of so many of a recording"
    )
    parser.add_argument("--topic", help="image topic of a bag (default: its only one)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the backbone"
    )
    parser.add_argument("--variant", help="of an official file: main or ref_view, if not clear")
    parser.add_argument("--no-mapper", action="store_true", help="only the network by itself")
    parser.add_argument(
        "--out", default="out/evaluation", help="folder for the report (default: out/evaluation)"
    )
    parser.add_argument("--json", action="store_true", help="print report.json to standard output")


def main(argv: list[str] | None = None) -> int:
    """``zipmap evaluate``; 0, or 2 after one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="zipmap evaluate",
        description="Judge a checkpoint on data, by sequence length and chunk size.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        folder = Path(arguments.out)
        folder.mkdir(parents=True, exist_ok=True)  # before the work, which may take hours
        evaluation = _evaluate_all(arguments)
        text = write_json(evaluation, folder / "report.json")
        write_html(evaluation, folder / "report.html")
    except (
        EvaluationError,
        MappingError,
        ModelError,
        SyntheticError,
        OSError,
        torch.OutOfMemoryError,
    ) as error:
        print(f"zipmap evaluate: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(text if arguments.json else evaluation.summary())
    print(f"wrote {folder / 'report.html'} and report.json", file=sys.stderr)
    return 0


@dataclass(frozen=True)
class Plan:
    """What to run: clip lengths, streamed chunk sizes, clips of each length, the mapper or not."""

    lengths: tuple[int, ...]
    chunks: tuple[int, ...]
    clips: int
    mapper: bool

    def __post_init__(self) -> None:
        if min(self.lengths) < 3:
            raise EvaluationError(f"a clip of {min(self.lengths)} frames is too short: 3 at least")
        if min(self.chunks) < 1 or self.clips < 1:
            raise EvaluationError("chunk sizes and the number of clips must be 1 or more")


def evaluate(model: ZipMap, dataset: Dataset, plan: Plan) -> tuple[list[Row], Example]:
    """All rows of a data set, and the first clip of the longest length as an example.

    Lengths that the data does not have are left out, as are chunks longer than all clips, and named
    on standard error; EvaluationError when that leaves no length.
    """
    work = [(n, dataset.clips(n, plan.clips)) for n in sorted(set(plan.lengths))]
    left_out = [str(length) for length, clips in work if not clips]
    work = [(length, clips) for length, clips in work if clips]
    longest = max(len(sequence.frames) for sequence in dataset.sequences)
    if not work:
        raise EvaluationError(
            f"{dataset.name} has {longest} frames at most: give --lengths up to that"
        )
    if left_out:
        what = f"{dataset.name} has {longest} frames that can be judged"
        print(f"left out: {what}, too few for --lengths {' '.join(left_out)}", file=sys.stderr)
    too_long = [str(chunk) for chunk in sorted(set(plan.chunks)) if chunk > work[-1][0]]
    if too_long:
        what = f"no clip of {dataset.name} has as many frames"
        print(f"left out: --chunks {' '.join(too_long)}, {what}", file=sys.stderr)
    _warm_up(model, work[0][1][0])
    rows: list[Row] = []
    example: Example | None = None
    steps = sum(len(clips) for _, clips in work)
    with tqdm(total=steps, desc=dataset.name, unit="clip", file=sys.stderr) as progress:
        for length, clips in work:
            gathered: dict[str, _Gathered] = defaultdict(_Gathered)
            for clip in clips:
                progress.set_postfix_str(f"{length} frames")
                runs, views = _judge(model, clip, plan, gathered)
                if clip is clips[0]:
                    example = Example(dataset.name, length, clip.name, clip.frames, runs, views)
                progress.update()
            rows += [each.row(dataset.name, length, mode) for mode, each in gathered.items()]
    assert example is not None
    return rows, example


@dataclass
class _Gathered:
    """What the clips of one length gave in one mode."""

    names: list[str] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    deciles: list[Array] = field(default_factory=list)
    problems: set[str] = field(default_factory=set)

    def add(self, clip: Clip, run: Run, views: Views | None) -> None:
        self.names.append(clip.name)
        self.scores.append(score(run, clip.frames))
        if views is not None:
            self.scores[-1] |= view_scores(views, clip.frames)
        found = calibration(run, clip.frames)
        if found is not None and np.isfinite(found).all():
            self.deciles.append(found)
        if not run.finite or run.problem:
            self.problems.add(run.problem or "the output is not finite")

    def row(self, data: str, length: int, mode: str) -> Row:
        deciles = np.mean(self.deciles, axis=0).tolist() if self.deciles else []
        clips = dict(zip(self.names, self.scores, strict=True))
        problems = sorted(self.problems)
        return Row(data, length, mode, mean_scores(self.scores), clips, deciles, problems)


def _judge(
    model: ZipMap, clip: Clip, plan: Plan, gathered: dict[str, _Gathered]
) -> tuple[list[Run], Views | None]:
    """Every mode over one clip; the runs, and the first mode's unseen views."""
    runs: list[Run] = []
    shown: Views | None = None
    for mode, make in _runs(model, clip, plan):
        entry = gathered[mode]
        try:
            made, views = make(), _views(model, clip, mode)
        except torch.OutOfMemoryError:
            entry.problems.add("the device has too little memory")
            continue
        entry.add(clip, made, views)
        shown = shown or views
        runs.append(made)
    return runs, shown


def _runs(model: ZipMap, clip: Clip, plan: Plan) -> Iterator[tuple[str, Callable[[], Run]]]:
    """The modes that the network and the data allow, and what makes each run."""
    frames = clip.frames
    if model.config.streams:
        for chunk in sorted(set(plan.chunks)):
            if chunk <= len(frames):
                yield f"stream {chunk}", partial(stream_run, model, frames, chunk)
    yield "batch", partial(batch_run, model, frames)
    if model.config.streams and plan.mapper:
        yield "mapper", partial(mapper_run, model, frames)
    if has_poses(frames) or has_depth(frames):
        guesses = {guess.mode: guess for guess in guess_runs(frames)}
        yield from ((mode, partial(guesses.__getitem__, mode)) for mode in guesses)


def _views(model: ZipMap, clip: Clip, mode: str) -> Views | None:
    """Unseen views in the manner of ``mode``; None where the mode or the data has none."""
    asks = model.config.query and has_poses(clip.frames) and len(hidden_frames(len(clip.frames)))
    if not asks:
        return None
    if mode == "mapper":
        return mapper_views(model, clip.frames)
    if mode.startswith("guess"):
        return guess_views(clip.frames) if mode == STILL else None
    chunk = len(clip.frames) if mode == "batch" else int(mode.split()[1])
    return query_views(model, clip.frames, chunk)


def _evaluate_all(arguments: argparse.Namespace) -> Evaluation:
    plan = Plan(
        tuple(arguments.lengths), tuple(arguments.chunks), arguments.clips, not arguments.no_mapper
    )
    names = list(dict.fromkeys(arguments.data or ["synthetic"]))
    _check_options(arguments, {name.partition(":")[0] for name in names})
    path = Path(arguments.checkpoint or shipped_checkpoint())
    model = load_checkpoint(path, _device(arguments.device), arguments.variant)
    model.compute_dtype = getattr(torch, arguments.precision)
    rows: list[Row] = []
    examples: list[Example] = []
    longest, topic = max(plan.lengths), arguments.topic or ""
    for name in names:
        dataset = open_dataset(name, longest, plan.clips, arguments.every, model.config, topic)
        more, example = evaluate(model, dataset, plan)
        rows += more
        examples.append(example)
    settings = {**asdict(plan), "every": arguments.every, "precision": arguments.precision}
    if topic:
        settings["topic"] = topic
    return Evaluation(
        describe_machine(model), describe_model(model, path), settings, rows, examples
    )


def _check_options(arguments: argparse.Namespace, kinds: set[str]) -> None:
    """Raises EvaluationError for options that the kinds of data do not have."""
    if arguments.every < 1:
        raise EvaluationError(f"--every is {arguments.every}: give 1 or more")
    if arguments.every > 1 and "synthetic" in kinds:
        raise EvaluationError(
            "--every is for recordings, and synthetic worlds are none: leave it out, or judge on "
            "recordings by themselves"
        )
    if arguments.topic and "bag" not in kinds:
        raise EvaluationError("--topic is for the images of a bag: give --data bag:PATH")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EvaluationError(f"cannot use the device {name!r}: {reason}") from error


def _warm_up(model: ZipMap, clip: Clip) -> None:
    """Two frames in every way, so that no measured run pays for first-time set-up."""
    batch_run(model, clip.frames[:2])
    if model.config.streams:
        stream_run(model, clip.frames[:2], 1)
        mapper_run(model, clip.frames[:2])
